"""Every duty of the operator, in one list: what `compliance status`, console and metrics tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from coordinator.config import BACKUP_NOTE, CoordinatorConfig
from coordinator.duties.agreements import agreement_duties
from coordinator.runs.in_force import next_to_run
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from machine.backups import last_backup
from machine.certificates import first_end
from machine.duties.duty import Duty, State, dated, looked_at

#: A backup that is older is due; the same as in deploy/monitoring/alerts.yaml.
BACKUP_AGE: Final = timedelta(days=2)


def duties_of(
    config: CoordinatorConfig,
    store: CoordinatorStore,
    now: datetime,
    *,
    under: str | None = None,
) -> list[Duty]:
    """How every duty stands; nothing is changed.

    Args:
        under: Only what is of this agreement, or of the coordinator as a whole.
    """
    found = list(_of_folder(config, store, now))
    agreements = next_to_run(store, now)
    for id, agreement in sorted(agreements.items()):
        if under in (None, id):
            found += looked_at(
                partial(agreement_duties, store, agreement, now),
                Duty(
                    name="agreement", about=id, state=State.OVERDUE, found="",
                    source=f"agreement {id}", way_out="fedseg-coordinator agreement status",
                ),
            )  # fmt: skip
    if not agreements:
        found.append(
            Duty(
                name="agreement", state=State.NOT_ASKED, source="the published agreements",
                found="none is in force here",
            )
        )  # fmt: skip
    return found


def _of_folder(config: CoordinatorConfig, store: CoordinatorStore, now: datetime) -> Iterator[Duty]:
    made = last_backup(config.directory / BACKUP_NOTE)
    backup = Duty(
        name="backup",
        state=State.OVERDUE,
        found="none was ever made here" if made is None else f"made at {made:%Y-%m-%d %H:%M} UTC",
        way_out="fedseg-coordinator state backup FILE",
        source="the note of the last backup",
    )
    yield backup if made is None else dated(backup, made + BACKUP_AGE, now, notice=timedelta())
    yield _certificate("certificate", config.certificate, now)
    if config.control is not None:
        yield _certificate("authority", config.control.authority, now)
    forks = KeptHandOvers(store).forks()
    yield Duty(
        name="keys",
        state=State.OVERDUE if forks else State.OK,
        since=min((datetime.fromisoformat(at) for _, at in forks), default=None),
        found=f"handed over twice: {', '.join(one.whose for one, _ in forks)}"
        if forks
        else "no key was handed over twice",
        way_out="ask its people which one they made: fedseg-coordinator key show" if forks else "",
        source="fedseg-coordinator key show",
    )


def _certificate(name: str, file: Path, now: datetime) -> Duty:
    end = first_end(file)
    way_out = "fedseg-coordinator certificate renew, then switch"
    if end is None:
        return Duty(
            name=name, state=State.UNKNOWN, source=file.name, way_out=way_out,
            found=f"{file.name} cannot be read as a certificate",
        )  # fmt: skip
    duty = Duty(
        name=name, state=State.OK, source=file.name, way_out=way_out,
        found=f"{file.name} holds until {end:%Y-%m-%d}",
    )  # fmt: skip
    return dated(duty, end, now)
