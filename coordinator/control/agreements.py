"""Agreements online: what is proposed to a partner, and its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from coordinator.control.callers import Caller
from coordinator.control.guard import RefusedError, parsed
from coordinator.control.parties import agreement_of
from coordinator.control.proposals import DECLINED, OPEN, SIGNED, Proposal, Proposals
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from protocol.control.calls import MAX_COMMENT
from protocol.control.v1.control_pb2 import (
    DeclineReply,
    DeclineRequest,
    DiligenceReply,
    DiligenceRequest,
    ProposalReply,
    ProposalRequest,
    ProposalsReply,
    ProposalsRequest,
    SignReply,
    SignRequest,
)
from protocol.strict import Fields

_KINDS: Final = {
    OPEN: ProposalsReply.Answer.OPEN,
    SIGNED: ProposalsReply.Answer.SIGNED,
    DECLINED: ProposalsReply.Answer.DECLINED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreements:
    """Answers admitted nodes, about agreements to which they are parties."""

    store: CoordinatorStore
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def proposals(self, caller: Caller, request: bytes) -> ProposalsReply:
        """What is proposed to the caller, newest first."""
        parsed(ProposalsRequest, request)
        return ProposalsReply(
            entries=[_entry(one) for one in Proposals(self.store).all() if _is_party(caller, one)]
        )

    def proposal(self, caller: Caller, request: bytes) -> ProposalReply:
        """One proposal, with the signatures so far; raises RefusedError (E-PROPOSAL)."""
        found = self._proposal(caller, parsed(ProposalRequest, request).hash)
        return ProposalReply(envelope=found.signed().to_bytes())

    def sign(self, caller: Caller, request: bytes) -> SignReply:
        """Keep the caller's signature.

        Raises:
            RefusedError: There is no such proposal for the caller (E-PROPOSAL).
            SignatureError: It is not the caller's signature over it.
        """
        asked = parsed(SignRequest, request)
        complete = Proposals(self.store).sign(
            self._proposal(caller, asked.hash), caller.partner, asked.signature, now=self.clock()
        )
        return SignReply(complete=complete)

    def decline(self, caller: Caller, request: bytes) -> DeclineReply:
        """Keep the caller's comment.

        Raises:
            RefusedError: There is no such proposal for the caller (E-PROPOSAL).
            MalformedError: The comment is empty, too long, or hides something.
            UsageError: The caller has signed (E-AGR-SIGNED).
        """
        asked = parsed(DeclineRequest, request)
        found = self._proposal(caller, asked.hash)
        comment = Fields({"comment": asked.comment}, "decline").text(
            "comment", max_length=MAX_COMMENT
        )
        Proposals(self.store).decline(found, caller.partner, comment, now=self.clock())
        return DeclineReply()

    def diligence(self, caller: Caller, request: bytes) -> DiligenceReply:
        """The records on the parties of an agreement; raises RefusedError (E-PROPOSAL)."""
        agreement_hash = parsed(DiligenceRequest, request).hash
        found = Proposals(self.store).with_hash(agreement_hash)
        if found is not None and _is_party(caller, found):
            agreement = found.draft.agreement
        else:
            agreement = agreement_of(self.store, caller, agreement_hash)
        newest = Diligence(self.store).newest()
        return DiligenceReply(
            envelopes=[newest[p.id].to_bytes() for p in agreement.parties if p.id in newest]
        )

    def _proposal(self, caller: Caller, agreement_hash: bytes) -> Proposal:
        found = Proposals(self.store).with_hash(agreement_hash)
        if found is None or not _is_party(caller, found):
            raise RefusedError("no such proposal for this partner", code="E-PROPOSAL")
        return found


def _is_party(caller: Caller, proposal: Proposal) -> bool:
    return any(party.id == caller.partner for party in proposal.draft.agreement.parties)


def _entry(proposal: Proposal) -> ProposalsReply.Entry:
    agreement = proposal.draft.agreement
    return ProposalsReply.Entry(
        hash=proposal.hash,
        id=agreement.id,
        version=agreement.version,
        proposed_at=proposal.proposed_at,
        answers=[
            ProposalsReply.Answer(
                partner=answer.partner,
                kind=_KINDS[answer.kind],
                comment=answer.comment,
                at=answer.at,
            )
            for answer in proposal.answers
        ],
    )
