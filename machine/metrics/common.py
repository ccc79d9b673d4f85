"""What both sides measure: the build, the disk, the last backup, certificates."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from machine.backups import last_backup
from machine.certificates import first_end
from machine.duties.duty import Duty, State
from machine.duties.shown import states_of
from machine.metrics.families import Measured, Metric

_DAY_S: Final = 86_400.0

BUILD: Final = Metric(
    "fedseg_build_info", "Always 1: which program runs.", ("program", "version", "python")
)
STATE_SOUND: Final = Metric(
    "fedseg_state_sound", "1 when the state could be read just now, else 0."
)
READY: Final = Metric("fedseg_ready", "1 when a condition of /health/ready holds.", ("check",))
DISK_FREE: Final = Metric("fedseg_disk_free_bytes", "Free bytes of a folder's disk.", ("folder",))
DISK_SIZE: Final = Metric("fedseg_disk_size_bytes", "Size of a folder's disk.", ("folder",))
BACKUP: Final = Metric(
    "fedseg_last_backup_timestamp_seconds",
    "When the last backup was written; 0 when none was since this folder was made.",
)
CERTIFICATE: Final = Metric(
    "fedseg_certificate_days_left",
    "Days until a certificate ends, less than 0 afterwards.",
    ("certificate",),
)
DUTIES: Final = Metric(
    "fedseg_duties",
    "Duties by how they stand: overdue, soon, unknown, ok, not asked; compliance status.",
    ("state",),
)
DUTY: Final = Metric(
    "fedseg_duty_overdue",
    "1 while a duty is overdue, by its name; how each stands says compliance status.",
    ("duty", "agreement"),
)
DUTY_NEXT: Final = Metric(
    "fedseg_duty_next_timestamp_seconds",
    "The date that decides of a duty; absent where it has none.",
    ("duty", "agreement"),
)
COMMON: Final = (
    BUILD, STATE_SOUND, READY, DISK_FREE, DISK_SIZE, BACKUP, CERTIFICATE, DUTIES, DUTY, DUTY_NEXT,
)  # fmt: skip


def measure_common(
    measured: Measured,
    *,
    program: str,
    checks: Mapping[str, bool],
    folders: Mapping[str, Path],
    certificates: Mapping[str, Path],
    backup_note: Path,
    now: datetime,
) -> None:
    """Say what a process of either side says.

    Args:
        program: ``node`` or ``coordinator``.
        checks: The conditions of readiness.
        folders: Whose disks are looked at, by label; a folder that is not there is left out.
        certificates: PEM files by label; of several in one file the first to end counts, and
            of several of one name the last. What cannot be read is left out, and is said where it
            is used.
        backup_note: Where the last backup is noted.
    """
    measured.set(BUILD, 1, program, metadata.version("fedseg"), platform.python_version())
    for name, holds in checks.items():
        measured.set(READY, holds, name)
    for label, folder in folders.items():
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            continue
        measured.set(DISK_FREE, usage.free, label)
        measured.set(DISK_SIZE, usage.total, label)
    made = last_backup(backup_note)
    measured.set(BACKUP, 0 if made is None else made.timestamp())
    for label, file in certificates.items():
        end = first_end(file)
        if end is not None:
            measured.set(CERTIFICATE, (end - now).total_seconds() / _DAY_S, label)


def measure_duties(measured: Measured, duties: Sequence[Duty]) -> None:
    """Say how duties stand; of requests of customers no number is told, nor anything of them."""
    for state, count in states_of(duties).items():
        measured.set(DUTIES, count, state)
    for one in duties:
        measured.set(DUTY, one.state is State.OVERDUE, one.name, one.about)
        if one.next is not None and not one.is_private:
            measured.set(DUTY_NEXT, one.next.timestamp(), one.name, one.about)


def seconds_of(text: str) -> float:
    """A stored moment as seconds since 1970.

    >>> seconds_of("1970-01-01T00:01:00Z")
    60.0
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
