"""Facts of one node for its documents, each read where it lies; nothing is made up here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final

from partner_node.agreement_files import missing_signatures
from partner_node.evidence.measured import measured_at
from partner_node.home import NodeHome
from partner_node.segments.count_ranges import agreed_step, ranges_of
from partner_node.store.audit_log import AuditLog
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.agreement.software import Software
from protocol.evidence.looking import Entries, Entry, Materials
from protocol.log import entries as kinds
from protocol.log.entries import Entry as LogEntry
from protocol.log.tree import leaf_hash
from protocol.privacy.words import fuel
from protocol.signed_agreement import SignedAgreement

#: The command that shows each source; an entry's number is put in.
SHOWS: Final[Mapping[str, str]] = {
    "agreement": "fedseg-node agreement show",
    "log": "fedseg-node log prove {number} --out entry.proof",
    "record:ledger": "fedseg-node budget show",
    "record:requests": "fedseg-node rights list",
    "record:deletions": "fedseg-node retention list",
    "record:log": "fedseg-node log verify",
    "record:signatures": "fedseg-node agreement show",
    "measured": "fedseg-node check",
    "measured:attacks": "fedseg-node evidence attacks --results FILE",
    "program": "fedseg-node check",
    "home": "fedseg-node egress list",
}
#: What would put something where nothing is.
FILLS: Final[Mapping[str, str]] = {
    "log:left": "a message that left this node, of which the audit log has none",
    "log:release": "a release that this node received, of which the audit log has none",
    "log:agreement-signed": "this node's signature of this version: fedseg-node agreement sign",
    "setting:consent.objections": "a table of objections: [[consent.sources]] in node.toml",
    "record:ledger": "noise in the agreement: of exact totals there is no budget",
    "measured:backup": "a backup, of which none is on record: fedseg-node state backup",
    "measured:authority": "a readable file of the trusted authority: root_certificates in "
    "node.toml",
    "home:customers": "an answer to a question under this agreement, which counts customers",
}


def materials_of(
    home: NodeHome,
    signed: SignedAgreement,
    store: NodeStore,
    now: datetime,
    *,
    file: Path,
    attacks: Sequence[str] = (),
) -> Materials:
    """Everything that this node's documents about one agreement are made of.

    Args:
        home: As `NodeHome.under` the agreement.
        file: The agreement's file, for messages.
        attacks: What attacks found, in sentences; nothing where none were run.

    Raises:
        AgreementError: A signature of the agreement is wrong (E-AGR-SIGNATURE).
    """
    agreement = signed.agreement
    installed = Software.installed(metadata.version, resources.files)
    return Materials(
        side="node",
        party=_own_id(home, agreement),
        now=now,
        agreement=agreement.to_dict(),
        about=agreement.named(),
        settings=_settings(home),
        log=log_facts(store.log, agreement),
        records=_records(signed, file, store, now),
        measured={**measured_at(home), "attacks": tuple(attacks)},
        program={"version": installed.version, "sha256": installed.sha256.hex()},
        home=_counts(store, agreement),
        shows=SHOWS,
        fills=FILLS,
    )


def _own_id(home: NodeHome, agreement: Agreement) -> str:
    """This partner's id in the agreement; empty where it is no party of it."""
    key = home.keystore().identity_public
    pairs = zip(agreement.parties, agreement.keys.of_parties, strict=True)
    return next((party.id for party, keys in pairs if key in keys), "")


def _settings(home: NodeHome) -> dict[str, Any]:
    config = home.config
    sources = config.consent.sources
    return {
        "rights.authority": config.rights.authority,
        "rights.data_from": config.rights.data_from,
        "egress.hold": config.egress.hold,
        "data.kind": config.data.kind,
        "consent.notices": list(config.consent.notices),
        "consent.sources": [
            {"name": one.name, "holds": one.holds, "kind": one.kind} for one in sources
        ],
        "consent.objections": [
            {"name": one.name, "flags": list(one.flags)}
            for one in sources
            if one.holds == "objections"
        ],
    }


def log_facts(log: AuditLog, agreement: Agreement) -> dict[str, Entries]:
    """Entries by kind: of the agreement where they name one, else of the whole node."""
    found: dict[str, Entries] = {}
    for kind, names in kinds.KINDS.items():
        outer = log.of_kind(
            kind,
            agreement=agreement.id if kind == kinds.QUESTION else None,
            agreement_hash=agreement.hash.hex() if "agreement_hash" in names else None,
        )
        if outer is not None:
            count, first, last = outer
            found[kind] = Entries(count=count, first=_entry(log, first), last=_entry(log, last))
    return found


def _entry(log: AuditLog, number: int) -> Entry:
    data = log.entry(number)
    read = LogEntry.from_bytes(data)
    return Entry(number=number, at=read.at, leaf=leaf_hash(data).hex(), about=read.about)


def _records(
    signed: SignedAgreement, file: Path, store: NodeStore, now: datetime
) -> dict[str, Any]:
    agreement = signed.agreement
    missing = {party.id for party in missing_signatures(signed, file)}
    size, stop = store.log.size, store.stop_of(agreement.hash)
    found: dict[str, Any] = {
        "signatures": {party.id: party.id not in missing for party in agreement.parties},
        "stopped": None if stop is None else {"on": stop.at[:10], "by": stop.partner},
        "requests": {"by_right": _requests(store, now)},
        "deletions": _deletions(store),
        "log": {"entries": size, "root": store.log.root(size).hex()} if size else None,
    }
    if agreement.privacy is not None:
        found["ledger"] = fuel(agreement.privacy, spent=Ledger(store).spent(agreement))
    return found


def _requests(store: NodeStore, now: datetime) -> list[dict[str, Any]]:
    rows = store.ask(
        "SELECT kind, count(*), sum(done_at <> '' AND substr(done_at, 1, 10) <= due_on),"
        " sum(done_at <> '' AND substr(done_at, 1, 10) > due_on), sum(done_at = ''),"
        " sum(done_at = '' AND due_on < ?) FROM requests GROUP BY kind ORDER BY kind",
        now.date().isoformat(),
    )
    names = ("right", "received", "in_time", "late", "open", "overdue")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _deletions(store: NodeStore) -> dict[str, Any]:
    ((written, deleted, last),) = store.ask(
        "SELECT count(*), coalesce(sum(ended = 'deleted'), 0),"
        " max(CASE WHEN ended = 'deleted' THEN ended_at END) FROM exports"
    )
    return {"written": written, "deleted": deleted, "last": last}


def _counts(store: NodeStore, agreement: Agreement) -> dict[str, Any]:
    """How many customers the last answer counted, as a range of the width that is printed."""
    row = store.one(
        "SELECT e.customers FROM egress e JOIN runs r ON r.run_id = e.run_id"
        " WHERE r.agreement_hash = ? AND e.customers IS NOT NULL ORDER BY e.number DESC LIMIT 1",
        agreement.hash,
    )
    if row is None:
        return {}
    (found,) = ranges_of([int(row[0])], step=agreed_step(agreement))
    return {"customers": found.words}
