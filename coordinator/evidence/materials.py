"""Facts of the coordinator for its documents, each read where it lies; nothing is made up here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final

from coordinator.config import BACKUP_NOTE, KEY_FILE, STORE_FILE, CoordinatorConfig
from coordinator.service.certificates import read_certificate
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, FINISHED
from machine.backups import last_backup
from machine.files import open_regular
from machine.modes import modes_words
from protocol.agreement.document import Agreement
from protocol.agreement.software import Software
from protocol.agreement.stop import SignedStop
from protocol.errors import FedsegError
from protocol.evidence.looking import Materials

#: The command that shows each source.
SHOWS: Final[Mapping[str, str]] = {
    "agreement": "fedseg-coordinator agreement show",
    "record:signatures": "fedseg-coordinator agreement list",
    "record:runs": "fedseg-coordinator run list",
    "record:releases": "fedseg-coordinator release list",
    "measured:certificate": "fedseg-coordinator certificate show",
    "measured:key_store": "fedseg-coordinator key show",
}
#: What would put something where nothing is.
FILLS: Final[Mapping[str, str]] = {
    "record:releases": "a release: no run under this agreement has ended with one",
    "measured:backup": "a backup, of which none is on record: fedseg-coordinator state backup",
    "measured:certificate": "a certificate that can be read: fedseg-coordinator certificate show",
}
_ENCRYPTED: Final = b"ENCRYPTED PRIVATE KEY"
_MOST_BYTES: Final = 1 << 16


def materials_of(
    config: CoordinatorConfig, store: CoordinatorStore, agreement: Agreement, now: datetime
) -> Materials:
    """Everything that the coordinator's documents about one agreement are made of."""
    installed = Software.installed(metadata.version, resources.files)
    return Materials(
        side="coordinator",
        party="",
        now=now,
        agreement=agreement.to_dict(),
        about=agreement.named(),
        records=_records(store, agreement),
        measured=_measured(config),
        program={"version": installed.version, "sha256": installed.sha256.hex()},
        shows=SHOWS,
        fills=FILLS,
    )


def _records(store: CoordinatorStore, agreement: Agreement) -> dict[str, Any]:
    published = next(one for one in store.agreements() if one.agreement.hash == agreement.hash)
    missing = {party.id for party in published.missing()}
    states = [row.state for row in store.runs_of(agreement.hash)]
    stops = [SignedStop.from_bytes(one) for one in store.stops_of(agreement.hash)]
    stop = min(stops, key=lambda one: one.at, default=None)
    ended = {FINISHED: states.count(FINISHED), FAILED: states.count(FAILED)}
    return {
        "signatures": {party.id: party.id not in missing for party in agreement.parties},
        "runs": {
            "finished": ended[FINISHED],
            "failed": ended[FAILED],
            "open": len(states) - sum(ended.values()),
        },
        "stopped": None if stop is None else {"on": stop.at[:10], "by": stop.partner},
        "releases": _releases(store, agreement),
    }


def _releases(store: CoordinatorStore, agreement: Agreement) -> dict[str, Any] | None:
    """How many releases there are under the agreement, and when; None before the first."""
    of_agreement = {row.run_id for row in store.runs_of(agreement.hash)}
    times = sorted(at for run_id, at, _ in store.releases() if run_id in of_agreement)
    return {"count": len(times), "first": times[0], "last": times[-1]} if times else None


def _measured(config: CoordinatorConfig) -> dict[str, Any]:
    """What is found now; what cannot be looked at is left out."""
    backup = last_backup(config.directory / BACKUP_NOTE)
    found = {
        "key_store": _key_store(config),
        "modes": modes_words(_private_places(config)),
        "certificate": _certificate(config),
        "backup": "" if backup is None else f"{backup:%Y-%m-%d}",
    }
    return {name: words for name, words in found.items() if words}


def _key_store(config: CoordinatorConfig) -> str:
    try:
        with open_regular(config.directory / KEY_FILE) as opened:
            data = opened.read(_MOST_BYTES)
    except (OSError, FedsegError):
        return ""
    if _ENCRYPTED not in data:
        return ""
    return f"{KEY_FILE} is encrypted under a passphrase (PKCS #8)"


def _private_places(config: CoordinatorConfig) -> list[Path]:
    """What must be closed to other accounts."""
    key = config.directory / KEY_FILE
    state = [] if config.store is not None else [config.directory / STORE_FILE]
    return [key.parent, key, *state]


def _certificate(config: CoordinatorConfig) -> str:
    try:
        found = read_certificate(config.certificate)
    except FedsegError:
        return ""
    return f"for {', '.join(found.names)}, until {found.expires:%Y-%m-%d}"
