"""The one place that every reply passes before it leaves the node.

A reply that is new is written down as a manifest and checked; one that was written down before
leaves again only with the very same bytes. What is held waits for the person at this machine. All
of it happens in the transaction that stores the run's state: what leaves is on record first.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from partner_node.egress.beside import beside_words, objection_to_beside
from partner_node.egress.check import Grounds, objection_to_content, objection_to_sending
from partner_node.egress.manifest import Manifest, Question, slot_of
from partner_node.egress.records import APPROVED, EXPIRED, FREE, REFUSED, Manifests, Written
from partner_node.egress.settings import EgressSection
from partner_node.egress.words import message_words
from partner_node.four_eyes import needs_two
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.records import EgressRecord
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.governance import EGRESS
from protocol.errors import MalformedError, RuleError
from protocol.log.beside import Told
from protocol.messages import Announce, Request, round_number
from protocol.partner_round import Ask, PartnerRound
from protocol.replies import Reply, read_reply

logger = logging.getLogger(__name__)

#: What the coordinator is told while a message waits, and once it never leaves.
HELD: Final = "E-EGRESS-HELD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a new answer or approval was made from.

    Attributes:
        customers: How many customers were counted; None for the approval of a release.
    """

    ask: Ask
    customers: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A reply that may leave; nothing else does.

    Attributes:
        message: Number of its manifest.
        kind: Of `protocol.replies`.
        beside: What leaves beside it, of logs and cosignatures; empty where nothing does.
    """

    reply: bytes
    message: int
    kind: str
    beside: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A refusal to be raised once the transaction is committed."""

    refusal: RuleError


class EgressGate:
    """What leaves the node of one partner passes here.

    Args:
        partner: The partner's number in the agreement.
        settings: What is held for approval.
    """

    def __init__(
        self, agreement: Agreement, partner: int, store: NodeStore, settings: EgressSection
    ) -> None:
        self._agreement = agreement
        self._partner = partner
        self._store = store
        self._settings = settings
        self._manifests = Manifests(store)

    def pass_out(
        self,
        run: PartnerRound,
        request: Request,
        data: bytes,
        answered: Answered | None,
        *,
        requested_by: bytes,
        now: datetime,
    ) -> Cleared | Stopped:
        """Let a reply out, or not; inside the transaction that stores `run`.

        Args:
            run: The run in the state that is stored.
            request: What `data` replies to.
            answered: What a new answer or approval was made from; None for every other message,
                and for one that was made before.
            requested_by: The public key that signed the request.

        Raises:
            RuleError: The reply is not what was agreed, or another one was written down for the
                same request (E-EGRESS); the transaction has to be undone.
        """
        try:
            reply = read_reply(data)
        except MalformedError as error:
            raise _refused(f"it is no message of this protocol: {error.message}") from error
        slot = slot_of(reply, request, run.run_id)
        known = self._manifests.of_slot(slot)
        grounds = self._grounds(run, request)
        if known is None:
            manifest = self._manifest(reply, data, answered, grounds, requested_by)
            self._check(manifest, data, reply, grounds)
            known = self._write_down(manifest, slot, now)
        else:
            objection = objection_to_sending(known.manifest, data, reply, grounds)
            if objection is not None:
                raise _refused(f"message {known.number} was written down, but {objection}")
        refusal = _refusal(known, stamp(now))
        if refusal is not None:
            return Stopped(refusal=refusal)
        self._log(known, stamp(now))
        return Cleared(reply=data, message=known.number, kind=known.manifest.kind)

    def pass_beside(self, message: int, told: Told) -> bytes:
        """Let out what is said of logs beside a message that leaves now; inside a transaction.

        It is on record with that message before it leaves.

        Args:
            message: Number of the manifest, cleared just now.

        Raises:
            RuleError: It is not of this agreement's logs, or too large (E-EGRESS).
        """
        data = told.to_bytes()
        objection = objection_to_beside(told, data, self._agreement, self._partner)
        if objection is not None:
            raise _refused(objection)
        sha256 = hashlib.sha256(data).hexdigest()
        self._store.note_beside(message, len(data), sha256, beside_words(told))
        logger.debug("beside message %s: %s", message, beside_words(told))
        return data

    def _grounds(self, run: PartnerRound, request: Request) -> Grounds:
        charge = None
        if isinstance(request, Announce):
            charge = Ledger(self._store).charge_of(request.context)
        return Grounds(
            agreement=self._agreement,
            partner=self._partner,
            request=request,
            run=run,
            charge=charge,
        )

    def _manifest(
        self,
        reply: Reply,
        data: bytes,
        answered: Answered | None,
        grounds: Grounds,
        requested_by: bytes,
    ) -> Manifest:
        ask = None if answered is None else answered.ask
        question = None
        if ask is not None and ask.query is not None:
            question = Question.of(
                ask.query,
                self._agreement,
                partner=self._partner,
                members=ask.members,
                charge=grounds.charge,
            )
        return Manifest.of(
            data,
            reply,
            agreement=self._agreement,
            request=grounds.request,
            requested_by=requested_by,
            run_id=grounds.run.run_id,
            round=grounds.run.round,
            question=question,
            customers=None if answered is None else answered.customers,
            release=None if ask is None else ask.release,
        )

    @staticmethod
    def _check(manifest: Manifest, data: bytes, reply: Reply, grounds: Grounds) -> None:
        objection = objection_to_sending(manifest, data, reply, grounds)
        if objection is None:
            objection = objection_to_content(manifest, reply, grounds)
        if objection is not None:
            raise _refused(objection)

    def _write_down(self, manifest: Manifest, slot: bytes, now: datetime) -> Written:
        expires_at, people = None, 1
        if self._settings.holds(manifest.kind):
            expires_at = stamp(now + self._settings.patience)
            two = needs_two(self._store, EGRESS, self._agreement, self._agreement)
            people = 2 if two else 1
        number = self._manifests.add(
            manifest, slot, now=stamp(now), expires_at=expires_at, people=people
        )
        return self._manifests.get(number)

    def _log(self, known: Written, now: str) -> None:
        manifest, again = known.manifest, known.times > 0
        what = message_words(manifest, again=again)
        number = f", round {round_number(manifest.round)}" if manifest.round >= 0 else ""
        logger.info("run %s%s: answered with %s", manifest.run_id.hex()[:8], number, what)
        self._store.save_egress(
            EgressRecord(
                at=now,
                run_id=manifest.run_id,
                what=what,
                round=manifest.round,
                n_bytes=manifest.n_bytes,
                sha256=manifest.sha256,
                customers=None if again else manifest.customers,
                manifest=known.number,
            )
        )


def _refused(objection: str) -> RuleError:
    return RuleError(
        f"nothing leaves: {objection}",
        code="E-EGRESS",
        remedy="this is a defect, or somebody changed node.db or the program: report this line",
    )


def _refusal(known: Written, now: str) -> RuleError | None:
    """Why a message that was held stays here; None when it may leave."""
    state = known.state(now)
    number = known.number
    if state in (FREE, APPROVED):
        return None
    if state == REFUSED:
        return RuleError(f"message {number} was refused here", code="E-EGRESS-REFUSED")
    if state == EXPIRED:
        return RuleError(
            f"message {number} was not approved before {known.expires_at}",
            code="E-EGRESS-EXPIRED",
            remedy="start a new run; a higher hold_hours in [egress] leaves more time",
        )
    return RuleError(
        f"message {number} waits for approval until {known.expires_at}",
        code=HELD,
        remedy=f"`fedseg-node egress show {number}`, then `fedseg-node egress approve {number}` "
        f"or `fedseg-node egress refuse {number}`",
    )
