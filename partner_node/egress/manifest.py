"""What one message that wants to leave says, and what it is about: read from its own bytes.

The kind, the sender, the place in the run, the length of the vector and the hash come from the
bytes themselves, never from whoever made them. What bytes under masks cannot show (the question,
its bounds, noise and cost, how many customers were counted) is added from what the node knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.agreement.document import Agreement
from protocol.canonical import tagged_hash
from protocol.messages import Announce, Request
from protocol.participants import Members
from protocol.privacy.accounting import rho_of_cost
from protocol.privacy.ledger import Charge
from protocol.privacy.mechanisms import share_variance
from protocol.release.document import Release
from protocol.replies import KINDS, Reply
from protocol.signing import key_id
from protocol.sum_query import SumQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an answer is an answer to.

    Attributes:
        words: What was asked.
        low, high: Between which the entries of the sum lie, before noise and masks, for as many
            customers as the agreement allows this partner.
        sensitivity_squared: Square of the most by which one customer changes the sum (L2 norm).
        share_variance: Variance of this partner's share of the noise; 0 for an exact total.
        participants: Ids of the partners whose answers are added up.
        cost: What it costs a customer, in units of 2^-60 of rho; 0 for an exact total.
    """

    words: str
    low: int
    high: int
    sensitivity_squared: int
    share_variance: int
    participants: tuple[str, ...]
    cost: int

    @staticmethod
    def of(
        query: SumQuery,
        agreement: Agreement,
        *,
        partner: int,
        members: Members,
        charge: Charge | None,
    ) -> Question:
        """What partner number `partner` answers under a set of `members`.

        Args:
            charge: What the ledger says of it; None for an exact total.
        """
        low, high = query.range(agreement.parties[partner].max_customers)
        colluding = agreement.secure_sum.max_colluding
        return Question(
            words=query.words,
            low=int(low.min()),
            high=int(high.max()),
            sensitivity_squared=query.sensitivity_squared,
            share_variance=share_variance(
                query.variance, partners=len(members), colluding=colluding
            )
            if query.variance
            else 0,
            participants=tuple(agreement.parties[i].id for i in sorted(members)),
            cost=0 if charge is None else charge.cost,
        )

    @property
    def rho(self) -> float:
        """The cost as rho."""
        return rho_of_cost(self.cost)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; whole numbers that may be beyond 2^53 as text."""
        return {
            "words": self.words,
            "low": str(self.low),
            "high": str(self.high),
            "sensitivity_squared": str(self.sensitivity_squared),
            "share_variance": str(self.share_variance),
            "participants": list(self.participants),
            "cost": str(self.cost),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Question:
        """The question that `to_dict` gave."""
        numbers = ("low", "high", "sensitivity_squared", "share_variance", "cost")
        return Question(
            words=values["words"],
            participants=tuple(values["participants"]),
            **{name: int(values[name]) for name in numbers},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One message that wants to leave.

    Attributes:
        kind: Of `protocol.replies`; from the bytes, like all up to `sha256`.
        partner: In whose name it speaks: the partner's number in the agreement.
        belongs_to: What it says that it belongs to: the run id of a HELLO, the round's context of
            a MASKED, the run hash of all others; empty for an ACK.
        head: The participant set that a READY or ACCEPT signs; empty for all others.
        vector_length: Entries of a masked vector; None for all others.
        n_bytes: How long it is.
        sha256: Of all its bytes, in hex.
        acknowledges: What an ACK confirms, in words; empty for all others.
        run_id, round: The run, and its last round at this node; -1 before the first.
        context: Of the announcement that it replies to; empty when it replies to another request.
        agreement_id, agreement_version, agreement_hash: What it is sent under.
        receiver, receiver_key: Whose request it replies to, and the id of the key that signed it.
        question: What a MASKED answers; None for all others.
        customers: How many of the partner's customers are counted in it; None when none are.
        release: Hash of the release that an APPROVAL signs; empty for all others.
    """

    kind: str
    partner: int
    belongs_to: bytes
    head: bytes
    vector_length: int | None
    n_bytes: int
    sha256: str
    acknowledges: str
    run_id: bytes
    round: int
    context: bytes
    agreement_id: str
    agreement_version: int
    agreement_hash: bytes
    receiver: str
    receiver_key: str
    question: Question | None
    customers: int | None
    release: bytes

    @staticmethod
    def of(
        data: bytes,
        reply: Reply,
        *,
        agreement: Agreement,
        request: Request,
        requested_by: bytes,
        run_id: bytes,
        round: int,
        question: Question | None = None,
        customers: int | None = None,
        release: Release | None = None,
    ) -> Manifest:
        """The manifest of `data`.

        Args:
            reply: What `protocol.replies.read_reply` found in it.
            request: What it replies to.
            requested_by: The public key that signed that.
        """
        coordinator = agreement.coordinator
        return Manifest(
            kind=reply.kind,
            partner=reply.partner,
            belongs_to=reply.belongs_to,
            head=reply.head,
            vector_length=reply.length,
            n_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            acknowledges=acknowledged(reply, request),
            run_id=run_id,
            round=round,
            context=context_of(request),
            agreement_id=agreement.id,
            agreement_version=agreement.version,
            agreement_hash=agreement.hash,
            receiver=coordinator.legal_name if requested_by == agreement.keys.coordinator else "?",
            receiver_key=key_id(requested_by),
            question=question,
            customers=customers,
            release=b"" if release is None else release.hash,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; bytes in hex."""
        values = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in ((n, getattr(self, n)) for n in self.__slots__)
        }
        return values | {"question": None if self.question is None else self.question.to_dict()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Manifest:
        """The manifest that `to_dict` gave."""
        hexed = ("belongs_to", "head", "run_id", "context", "agreement_hash", "release")
        question = values["question"]
        return Manifest(
            **{
                **values,
                **{name: bytes.fromhex(values[name]) for name in hexed},
                "question": None if question is None else Question.from_dict(question),
            }
        )


def slot_of(reply: Reply, request: Request, run_id: bytes) -> bytes:
    """Names what a reply answers, 32 bytes: there is one message for it, for ever."""
    return tagged_hash(
        "egress",
        reply.kind.encode("ascii"),
        run_id,
        context_of(request),
        reply.head if KINDS[reply.kind].one_a_set else b"",
        acknowledged(reply, request).encode("ascii"),
    )


def context_of(request: Request) -> bytes:
    """The context of an announcement; empty for every other request."""
    return request.context if isinstance(request, Announce) else b""


def acknowledged(reply: Reply, request: Request) -> str:
    """What an ACK confirms, in words; empty for every reply that one request alone gets."""
    answers = KINDS[reply.kind].answers
    return answers.get(type(request), "") if len(answers) > 1 else ""
