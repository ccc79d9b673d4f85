"""Duties of keeping: backups, certificates, keys, and the logs that partners witness."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from machine.backups import last_backup
from machine.certificates import first_end
from machine.duties.duty import Duty, State, dated
from partner_node.home import NodeHome
from partner_node.membership import CERTIFICATE_FILE
from partner_node.sealed_proofs import newest_cosigned
from partner_node.store.node_store import NodeStore
from partner_node.store.seals import Seals
from partner_node.store.times import moment
from partner_node.store.witnessed import open_forks
from protocol.agreement.document import Agreement

#: A backup that is older is due; the same as in deploy/monitoring/alerts.yaml.
BACKUP_AGE: Final = timedelta(days=2)


def backup_duty(home: NodeHome, now: datetime) -> Duty:
    """When the folder was last copied to where a lost disk does not take it."""
    made = last_backup(home.backup_note)
    duty = Duty(
        name="backup",
        state=State.OVERDUE,
        found="none was ever made here" if made is None else f"made at {made:%Y-%m-%d %H:%M} UTC",
        way_out="fedseg-node state backup FILE",
        source="the note of the last backup",
    )
    return duty if made is None else dated(duty, made + BACKUP_AGE, now, notice=timedelta())


def certificate_duties(home: NodeHome, now: datetime) -> Iterator[Duty]:
    """Certificates that end: the authority that this node trusts, and its own."""
    yield _certificate(
        "authority", home.config.coordinator.root_certificates, now,
        "ask the operator for the new one",
    )  # fmt: skip
    own = home.keys_folder / CERTIFICATE_FILE
    if own.exists():
        yield _certificate("own-certificate", own, now, "it is renewed while the node serves")


def _certificate(name: str, file: Path, now: datetime, way_out: str) -> Duty:
    end = first_end(file)
    duty = Duty(
        name=name,
        state=State.UNKNOWN,
        found=f"{file.name} cannot be read as a certificate",
        way_out=way_out,
        source=file.name,
    )
    if end is None:
        return duty
    holds = Duty(
        name=name, state=State.OK, found=f"{file.name} holds until {end:%Y-%m-%d}",
        way_out=way_out, source=file.name,
    )  # fmt: skip
    return dated(holds, end, now)


def fork_duty(store: NodeStore) -> Duty:
    """Audit logs of other partners that forked, and that nobody here accepted."""
    forks = open_forks(store)
    since = min((moment(fork.found_at) for _, fork in forks), default=None)
    return Duty(
        name="logs-of-others",
        state=State.OVERDUE if forks else State.OK,
        since=since,
        found="forked: " + ", ".join(f"{fork.party} under {under}" for under, fork in forks)
        if forks
        else "none forked",
        way_out="ask that partner, then fedseg-node log accept PARTNER" if forks else "",
        source="fedseg-node log witness",
    )


def cosigning_duty(store: NodeStore, agreement: Agreement) -> Duty:
    """Whether other partners witness this node's log."""
    sealed, seen = Seals(store, agreement.id).size, newest_cosigned(store, agreement.id)
    found = "nothing was sealed yet: that begins with a run"
    if sealed and seen is None:
        found = f"{sealed} seals of this log, none cosigned"
    elif seen is not None:
        found = f"{sealed} seals of this log, others cosigned the first {seen.number + 1}"
    unseen = bool(sealed) and seen is None
    return Duty(
        name="cosigning",
        about=agreement.id,
        state=State.SOON if unseen else State.OK,
        found=found,
        way_out="ask the other partners which version they run" if unseen else "",
        source="fedseg-node log witness",
    )
