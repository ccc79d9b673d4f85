"""Agreements at the coordinator: which there are, and one in plain words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from coordinator.control.proposals import DECLINED, Proposal, Proposals
from coordinator.runs.in_force import in_force
from coordinator.shown.keys import hand_overs_table
from coordinator.shown.proposals import proposals_shown
from coordinator.store.coordinator_store import CoordinatorStore
from machine.shown import Shown
from machine.tables import Table, changes_view, filled_table, folding_table
from machine.text import minute, shown
from protocol.agreement.changes import Differences
from protocol.agreement.document import Agreement, time_text
from protocol.agreement.stop import SignedStop
from protocol.agreement_words import agreement_words
from protocol.errors import UsageError


def agreements_shown(store: CoordinatorStore, now: datetime) -> Shown:
    """Every version that was published, the newest first, and what was proposed online."""
    current = {one.hash for one in in_force(store, now).values()}
    rows: list[dict[str, Any]] = [
        {
            **one.named(),
            "effective": time_text(one.effective),
            "expires": time_text(one.expires),
            "state": _state(store, one, current, now),
        }
        for one in (signed.agreement for signed in store.agreements())
    ]
    table = folding_table("agreement", "version", "from", "to", "stands", title="Agreements")
    for row in rows:
        table.add_row(
            row["agreement"], str(row["version"]), minute(row["effective"]), minute(row["expires"]),
            row["state"],
        )  # fmt: skip
    proposals = proposals_shown(Proposals(store).all(), now)
    return Shown(
        values={"agreements": rows, **proposals.values},
        parts=[table if rows else "No agreement is published here.", *proposals.parts],
    )


def agreement_shown(store: CoordinatorStore, agreement_hash: bytes, now: datetime) -> Shown:
    """A version in plain words, as partners read it: who signed, and what changed.

    Raises:
        UsageError: Nothing with this hash is published or proposed here (E-AGR-UNKNOWN).
    """
    proposal = Proposals(store).with_hash(agreement_hash)
    known = {one.agreement.hash: one.agreement for one in store.agreements()}
    proposed = None if proposal is None else proposal.draft.agreement
    agreement = known.get(agreement_hash, proposed)
    if agreement is None:
        raise UsageError(
            f"no agreement {agreement_hash.hex()[:16]}… is published or proposed here",
            code="E-AGR-UNKNOWN",
            remedy="see `fedseg-coordinator agreement list`",
        )
    before = known.get(agreement.supersedes or b"")
    differing = None if before is None else Differences.between(before, agreement)
    stops = [SignedStop.from_bytes(envelope) for envelope in store.stops_of(agreement_hash)]
    published = agreement_hash in known
    return Shown(
        values={
            **agreement.named(),
            "document": agreement.to_dict(),
            "published": published,
            "signatures": _signatures(agreement, proposal),
            "stops": [
                {"partner": one.partner, "at": one.at, "reason": one.reason} for one in stops
            ],
            "changes": None if differing is None else differing.to_dict(),
            "hand_overs": [one.values for one in agreement.hand_overs],
        },
        parts=[
            *(f"STOPPED: {one.refusal(agreement).message}" for one in stops),
            _signed_words(agreement, proposal),
            *([] if proposal is None else [_answers(proposal)]),
            *(
                [hand_overs_table(agreement.hand_overs, title="Keys that were handed over since")]
                if agreement.hand_overs
                else []
            ),
            *([] if differing is None else changes_view(differing.rows, title=differing.title)),
            "As its parties read it:",
            *(
                one if isinstance(one, str) else filled_table(one.title, one.headers, one.rows)
                for one in agreement_words(agreement, shown)
            ),
        ],
    )


def chosen_agreement(
    store: CoordinatorStore, id: str, version: int | None, *, proposed: bool = False
) -> Agreement:
    """The newest version of an agreement, or the one with a number.

    Args:
        id: Empty for the only agreement.
        proposed: Of those that were proposed online, instead of those that are published.

    Raises:
        UsageError: There is none, or there are several agreements and none is named.
    """
    what = "proposed" if proposed else "published"
    known = (
        [one.draft.agreement for one in Proposals(store).all()]
        if proposed
        else [signed.agreement for signed in store.agreements()]
    )
    ids = sorted({one.id for one in known})
    if not id and len(ids) > 1:
        raise UsageError(
            f"several agreements are {what} here: {', '.join(ids)}",
            code="E-AGR-WHICH",
            remedy="name the one that is meant",
        )
    found = [
        one for one in known
        if id in ("", one.id) and version in (None, one.version)
    ]  # fmt: skip
    if not found:
        raise UsageError(
            f"no such agreement is {what} here",
            code="E-AGR-UNKNOWN",
            remedy="see `fedseg-coordinator agreement list`",
        )
    return max(found, key=lambda one: one.version)


def _state(store: CoordinatorStore, one: Agreement, current: set[bytes], now: datetime) -> str:
    if store.stops_of(one.hash):
        return "stopped"
    if one.effective > now:
        return "waits"
    if one.expires <= now:
        return "over"
    return "in force" if one.hash in current else "replaced"


def _signatures(agreement: Agreement, proposal: Proposal | None) -> list[dict[str, Any]]:
    """Whether each party signed; what is published without a proposal, all did, by files."""
    if proposal is None:
        return [{"partner": party.id, "answer": "signed"} for party in agreement.parties]
    return [answer.to_dict() for answer in proposal.answers]


def _signed_words(agreement: Agreement, proposal: Proposal | None) -> str:
    if proposal is None or proposal.complete:
        return f"Signed by everyone: {', '.join(party.id for party in agreement.parties)}."
    away = [one.partner for one in proposal.answers if not one.signature]
    declined = [one.partner for one in proposal.answers if one.kind == DECLINED]
    return f"Not signed yet by: {', '.join(away)}." + (
        f" Declined by: {', '.join(declined)}." if declined else ""
    )


def _answers(proposal: Proposal) -> Table:
    table = folding_table("partner", "answer", "since", "comment", title="What each party said")
    for one in proposal.answers:
        table.add_row(
            one.partner, one.kind, minute(one.at or proposal.proposed_at), shown(one.comment)
        )
    return table
