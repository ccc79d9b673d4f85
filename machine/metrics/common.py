"""What both sides measure: the build, the disk, the last backup, certificates."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from cryptography import x509

from machine.backups import last_backup
from machine.certificates import lasting
from machine.files import open_regular
from machine.metrics.families import Measured, Metric
from protocol.errors import FedsegError

_MAX_PEM_BYTES: Final = 1 << 20
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
COMMON: Final = (BUILD, STATE_SOUND, READY, DISK_FREE, DISK_SIZE, BACKUP, CERTIFICATE)


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


def first_end(file: Path) -> datetime | None:
    """When the first certificate of a PEM file ends; None when it cannot be read.

    Of several of one name the last to end counts: the others are there anew.
    """
    try:
        with open_regular(file) as opened:
            found = x509.load_pem_x509_certificates(opened.read(_MAX_PEM_BYTES))
    except (OSError, ValueError, FedsegError):
        return None
    return min((one.not_valid_after_utc for one in lasting(found)), default=None)


def seconds_of(text: str) -> float:
    """A stored moment as seconds since 1970.

    >>> seconds_of("1970-01-01T00:01:00Z")
    60.0
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
