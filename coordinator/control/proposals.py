"""Agreements that the operator proposed, and what each partner answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, LiteralString

from coordinator.control.announcements import COMPLETE, PROPOSED, Announcements
from coordinator.control.joined import joined_cards
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from coordinator.store.hand_overs import KeptHandOvers
from coordinator.store.times import stamp
from protocol.agreement.document import time_text
from protocol.agreement.hand_overs import HandOvers
from protocol.agreement.named_keys import check_named_keys, outdated_parties
from protocol.agreement.parties import Party
from protocol.control.calls import MAX_PROPOSALS
from protocol.errors import AgreementError, UsageError
from protocol.log import entries as kinds
from protocol.signed_agreement import SignedAgreement
from protocol.signing import Envelope

OPEN: Final = "open"
SIGNED: Final = "signed"
DECLINED: Final = "declined"

_SELECT: Final[LiteralString] = "SELECT agreement_hash, envelope, proposed_at FROM proposals "


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one party said to a proposal.

    Attributes:
        kind: `OPEN`, `SIGNED` or `DECLINED`.
        comment: Of a partner that declined.
        at: When; empty before.
        signature: DSSE, 64 bytes; empty unless it signed.
    """

    partner: str
    kind: str = OPEN
    comment: str = ""
    at: str = ""
    signature: bytes = b""

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "partner": self.partner,
            "answer": self.kind,
            "comment": self.comment,
            "at": self.at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One proposed agreement.

    Attributes:
        draft: As it was proposed, without signatures.
        answers: One for each party, in the agreement's order.
        outdated: Ids of parties that handed over the key that it names before it was published:
            their signatures do not count, and it has to be drafted again.
    """

    draft: SignedAgreement
    proposed_at: str
    answers: tuple[Answer, ...]
    outdated: tuple[str, ...] = ()

    @property
    def hash(self) -> bytes:
        """The agreement's hash."""
        return self.draft.agreement.hash

    @property
    def complete(self) -> bool:
        """Whether every party signed."""
        return all(answer.kind == SIGNED for answer in self.answers)

    def signed(self) -> SignedAgreement:
        """The agreement with the signatures so far."""
        keys = {party.id: party.public_key for party in self.draft.agreement.parties}
        envelope: Envelope = self.draft.envelope
        for answer in self.answers:
            if answer.kind == SIGNED:
                envelope = envelope.with_signature(keys[answer.partner], answer.signature)
        return SignedAgreement(agreement=self.draft.agreement, envelope=envelope)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        agreement = self.draft.agreement
        return {
            **agreement.named(),
            "proposed_at": self.proposed_at,
            "effective": time_text(agreement.effective),
            "complete": self.complete,
            "outdated": list(self.outdated),
            "answers": [answer.to_dict() for answer in self.answers],
        }


class Proposals:
    """The proposals in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def propose(self, draft: SignedAgreement, *, now: datetime) -> list[Proposal]:
        """Propose an agreement to its parties.

        Returns:
            Proposals with the same id that were not complete: the new one takes their place.

        Raises:
            AgreementError: A party did not join by invitation, or with another key (E-AGR-PARTY).
            UsageError: It is proposed already (E-PROPOSED).
            AgreementError: It names a key that was handed over (E-KEY-ROTATED), or does not go with
                the hand-overs that are known.
            RuleError: A party lacks the due diligence that it demands (E-DILIGENCE).
        """
        agreement = draft.agreement
        check_named_keys(agreement, KeptHandOvers(self._store).load())
        _check_parties(agreement.parties, {c.id: c.public_key for c in joined_cards(self._store)})
        Diligence(self._store).check(agreement, now)
        if self.with_hash(agreement.hash) is not None:
            raise UsageError(
                f"agreement {agreement.id!r}, version {agreement.version}, is proposed already",
                code="E-PROPOSED",
                remedy="see `fedseg-coordinator agreement status`",
            )
        replaced = [
            one for one in self.all() if one.draft.agreement.id == agreement.id and not one.complete
        ]
        with self._store.transaction():
            for one in replaced:
                self._store.ask("DELETE FROM proposals WHERE agreement_hash = ?", one.hash)
            self._store.ask(
                "INSERT INTO proposals VALUES (?, ?, ?, ?, ?,"
                " (SELECT coalesce(max(number), 0) + 1 FROM proposals))",
                agreement.hash,
                agreement.id,
                agreement.version,
                draft.to_bytes(),
                stamp(now),
            )
            self._store.log.append(
                kinds.PROPOSED,
                at=stamp(now),
                agreement=agreement.id,
                version=agreement.version,
                agreement_hash=agreement.hash.hex(),
            )
            Announcements(self._store).add(
                PROPOSED, [party.id for party in agreement.parties], agreement.hash
            )
            self._store.ask(
                "DELETE FROM proposals WHERE agreement_hash NOT IN"
                " (SELECT agreement_hash FROM proposals ORDER BY number DESC LIMIT ?)",
                MAX_PROPOSALS,
            )
        return replaced

    def all(self) -> list[Proposal]:
        """Every proposal, newest first."""
        known = KeptHandOvers(self._store).load()
        rows = self._store.ask(_SELECT + "ORDER BY number DESC")
        return [self._read(row, known) for row in rows]

    def with_hash(self, agreement_hash: bytes) -> Proposal | None:
        """The proposal of an agreement; None when there is none."""
        row = self._store.one(_SELECT + "WHERE agreement_hash = ?", agreement_hash)
        return None if row is None else self._read(row, KeptHandOvers(self._store).load())

    def sign(self, proposal: Proposal, partner: str, signature: bytes, *, now: datetime) -> bool:
        """Keep a partner's signature; whether every party has signed now.

        With the last signature the agreement is published: runs may begin under it.

        Raises:
            SignatureError: It is not that party's over this agreement.
            AgreementError: It names a key that was handed over (E-KEY-ROTATED).
            RuleError: It is the last, and a party lacks due diligence (E-DILIGENCE).
        """
        key = {p.id: p.public_key for p in proposal.draft.agreement.parties}[partner]
        proposal.draft.envelope.with_signature(key, signature)
        if all(a.kind == SIGNED for a in proposal.answers if a.partner != partner):
            Diligence(self._store).check(proposal.draft.agreement, now)
        self._keep(proposal, partner, signature, "", now)
        return self.publish(proposal.hash)

    def decline(self, proposal: Proposal, partner: str, comment: str, *, now: datetime) -> None:
        """Keep a partner's word that it does not sign, in place of an earlier one.

        Or of a signature with a key that it handed over since, which does not count.

        Raises:
            UsageError: It has signed (E-AGR-SIGNED): a signature cannot be taken back.
        """
        if any(a.partner == partner and a.kind == SIGNED for a in proposal.answers):
            raise UsageError(
                f"{partner} has signed",
                code="E-AGR-SIGNED",
                remedy="a signed agreement is ended by `fedseg-node agreement stop`",
            )
        self._keep(proposal, partner, None, comment, now)

    def publish(self, agreement_hash: bytes) -> bool:
        """Publish a proposal if every party signed it; whether it is."""
        proposal = self.with_hash(agreement_hash)
        if proposal is None or not proposal.complete:
            return False
        if self._store.has_agreement(agreement_hash):
            return True
        self._store.add_agreement(proposal.signed())
        parties = [party.id for party in proposal.draft.agreement.parties]
        with self._store.transaction():
            Announcements(self._store).add(COMPLETE, parties, agreement_hash)
        return True

    def _keep(
        self, proposal: Proposal, partner: str, signature: bytes | None, comment: str, now: datetime
    ) -> None:
        with self._store.transaction():
            if signature is not None and not self._store.has_agreement(proposal.hash):
                known = KeptHandOvers(self._store).load()
                check_named_keys(proposal.draft.agreement, known)
            signed = self._signed_by(proposal, partner)
            self._store.ask(
                "INSERT INTO proposal_answers VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (agreement_hash, partner) DO UPDATE SET"
                " signature = excluded.signature, comment = excluded.comment,"
                " answered_at = excluded.answered_at"
                " WHERE proposal_answers.signature IS NULL OR ? = 1",
                proposal.hash,
                partner,
                signature,
                comment,
                stamp(now),
                int(partner in proposal.outdated),
            )
            if self._signed_by(proposal, partner) == signed:
                self._store.log.unchanged(kinds.ANSWERED)  # or other words for the same answer
            else:
                self._store.log.append(
                    kinds.ANSWERED,
                    at=stamp(now),
                    agreement_hash=proposal.hash.hex(),
                    partner=partner,
                    signed=signature is not None,
                )

    def _signed_by(self, proposal: Proposal, partner: str) -> bytes | None:
        """A partner's signature on record; empty where it declined, None without an answer."""
        row = self._store.one(
            "SELECT signature FROM proposal_answers WHERE agreement_hash = ? AND partner = ?",
            proposal.hash,
            partner,
        )
        return None if row is None else bytes(row[0] or b"")

    def _read(self, row: tuple[Any, ...], known: HandOvers) -> Proposal:
        draft = _parsed(bytes(row[1]))
        outdated = outdated_parties(draft.agreement, known)
        if outdated and self._store.has_agreement(draft.agreement.hash):
            outdated = ()  # published with the keys of its time
        rows = self._store.ask(
            "SELECT partner, signature, comment, answered_at FROM proposal_answers"
            " WHERE agreement_hash = ?",
            row[0],
        )
        said = {
            partner: Answer(
                partner=partner,
                kind=DECLINED if signature is None else SIGNED,
                comment=comment,
                at=at,
                signature=bytes(signature or b""),
            )
            for partner, signature, comment, at in rows
            if signature is None or partner not in outdated
        }
        return Proposal(
            draft=draft,
            proposed_at=row[2],
            answers=tuple(
                said.get(party.id, Answer(partner=party.id)) for party in draft.agreement.parties
            ),
            outdated=outdated,
        )


@lru_cache(maxsize=2 * MAX_PROPOSALS)
def _parsed(envelope: bytes) -> SignedAgreement:
    """An agreement is read once, though every node asks for it again and again."""
    return SignedAgreement.from_bytes(envelope, kept=True)


def _check_parties(parties: tuple[Party, ...], joined: Mapping[str, bytes]) -> None:
    away = [party.id for party in parties if party.id not in joined]
    if away:
        raise AgreementError(
            f"{', '.join(away)}: no admitted node joined by invitation, so nothing can be proposed",
            code="E-AGR-PARTY",
            remedy="`fedseg-coordinator partner invite` them; or carry files: `agreement draft "
            "FILE --out`",
        )
    other = [party.id for party in parties if joined[party.id] != party.public_key]
    if other:
        raise AgreementError(
            f"the agreement has another key of {', '.join(other)} than the card with which it "
            "joined",
            code="E-AGR-PARTY",
            remedy="draft it again with `agreement draft --joined`",
        )
