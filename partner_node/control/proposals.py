"""Agreements that the coordinator's operator proposed online, as a node sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from machine.files import write_file
from partner_node.agreement_files import naming, read_agreement
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.home import NodeHome
from partner_node.membership import Membership
from partner_node.signing import FORGOTTEN, forget_first
from protocol.agreement.diligence import DiligenceRecord
from protocol.agreement.document import Agreement
from protocol.control.calls import DECLINE, DILIGENCE, PROPOSAL, PROPOSALS, SIGN
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
from protocol.errors import AgreementError, FedsegError, MalformedError, TransportError, UsageError
from protocol.signed_agreement import SignedAgreement
from protocol.signing import key_id
from protocol.strict import Fields

_MIN_DIGITS: Final = 8
_KINDS: Final = {
    ProposalsReply.Answer.OPEN: "open",
    ProposalsReply.Answer.SIGNED: "signed",
    ProposalsReply.Answer.DECLINED: "declined",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one party said to a proposal, as the coordinator tells it."""

    partner: str
    kind: str
    comment: str

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"partner": self.partner, "answer": self.kind, "comment": self.comment}

    @property
    def words(self) -> str:
        """The party and its answer."""
        return f"{self.partner}: {self.kind}" + (f" ({self.comment})" if self.comment else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A proposal, as the coordinator tells it; only the envelope's signatures prove anything."""

    hash: bytes
    id: str
    version: int
    answers: tuple[Answered, ...]

    @property
    def complete(self) -> bool:
        """Whether every party signed, as the coordinator says."""
        return all(answer.kind == "signed" for answer in self.answers)

    @property
    def words(self) -> str:
        """Who answered what."""
        return "; ".join(answer.words for answer in self.answers)

    def named(self) -> dict[str, Any]:
        """Which agreement it is, as `Agreement.named`."""
        return {"agreement": self.id, "version": self.version, "agreement_hash": self.hash.hex()}

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            **self.named(),
            "complete": self.complete,
            "answers": [answer.to_dict() for answer in self.answers],
        }


def proposed(home: NodeHome) -> list[Proposed]:
    """What is proposed to this node, newest first.

    Raises:
        FedsegError: The node did not join, or the coordinator is not reached or refuses.
    """
    with open_channel(home) as channel:
        return listed(channel)


def fetched(home: NodeHome, digits: str) -> tuple[SignedAgreement, Path]:
    """A proposal with the signatures so far, and the file in which it is kept.

    Args:
        digits: Its hash, or the first digits.

    Raises:
        UsageError: None, or more than one, begins with these digits.
        AgreementError: It is not the agreement that was named, or another coordinator's.
    """
    with open_channel(home) as channel:
        found = _chosen(listed(channel), digits)
        return fetch(home, channel, found), file_of(home, found.hash)


def fetch(home: NodeHome, channel: Channel, found: Proposed) -> SignedAgreement:
    """Fetch a proposal and keep it; one with every signature is fetched once.

    Raises:
        AgreementError: It is not what it is said to be (E-AGR-OTHER), or another coordinator's.
    """
    path = file_of(home, found.hash)
    kept = _complete(path)
    if kept is not None:
        with naming(path):
            return _checked(home, kept, found)
    reply = channel.call(PROPOSAL, ProposalRequest(hash=found.hash), ProposalReply)
    with naming(path):
        signed = _checked(home, SignedAgreement.from_bytes(reply.envelope), found)
    write_file(path, signed.to_bytes(), mode=0o600)
    return signed


def _complete(path: Path) -> SignedAgreement | None:
    """What was fetched before with every signature: nothing can be added to it."""
    try:
        signed = read_agreement(path)
        return None if signed.missing() else signed
    except AgreementError:
        return None


def _checked(home: NodeHome, signed: SignedAgreement, found: Proposed) -> SignedAgreement:
    agreement = signed.agreement
    if agreement.hash != found.hash:
        raise _other(f"the agreement {agreement.hash.hex()[:16]}…", found)
    if (agreement.id, agreement.version) != (found.id, found.version):
        raise _other(f"version {agreement.version} of agreement {agreement.id}", found)
    membership, known = Membership.load(home.directory), home.hand_overs.load()
    key = agreement.coordinator.public_key
    if membership is None or key not in known.same_owner(membership.coordinator_key):
        raise AgreementError(
            "it names another coordinator's key than the one that this node joined",
            code="E-AGR-PARTY",
            remedy="do not sign it; ask the operator, and the other partners",
        )
    return signed


def _other(sent: str, found: Proposed) -> AgreementError:
    return AgreementError(
        f"the coordinator told of version {found.version} of agreement {found.id}, "
        f"{found.hash.hex()[:16]}…, and sent {sent}",
        code="E-AGR-OTHER",
        remedy="do not sign it; tell the other partners",
    )


def diligence_on(home: NodeHome, agreement: Agreement) -> list[DiligenceRecord]:
    """What the operator checked of the parties; every record is signed by it.

    Raises:
        FedsegError: The coordinator is not reached, or a record is not what it should be.
    """
    with open_channel(home) as channel:
        reply = channel.call(DILIGENCE, DiligenceRequest(hash=agreement.hash), DiligenceReply)
    found = [DiligenceRecord.from_bytes(envelope) for envelope in reply.envelopes]
    for record in found:
        record.verify(agreement.coordinator.public_key, known=home.hand_overs.load())
    return found


def send_signature(home: NodeHome, signed: SignedAgreement) -> bool:
    """Send this node's signature to the coordinator; whether every party has signed now."""
    signature = signed.envelope.signatures[key_id(home.keystore().identity_public)]
    with open_channel(home) as channel:
        reply = channel.call(
            SIGN, SignRequest(hash=signed.agreement.hash, signature=signature), SignReply
        )
    return bool(reply.complete)


def decline(home: NodeHome, digits: str, comment: str) -> Proposed:
    """Decline a proposal; raises UsageError, or what the coordinator refuses.

    A first signature that waits for a second person is forgotten before the coordinator is asked,
    and stays forgotten where that is away or refuses: one person is enough to decline.
    """
    _check_digits(digits)
    forgotten = forget_first(home, digits)
    try:
        with open_channel(home) as channel:
            found = _chosen(listed(channel), digits)
            channel.call(DECLINE, DeclineRequest(hash=found.hash, comment=comment), DeclineReply)
    except FedsegError as error:
        if forgotten:
            error.message += f". {FORGOTTEN}"
        raise
    return found


def file_of(home: NodeHome, agreement_hash: bytes) -> Path:
    """Where a proposal is kept as it was fetched last, for `check --agreement` too."""
    return home.config.node.state / "proposals" / f"{agreement_hash.hex()[:16]}.json"


def listed(channel: Channel) -> list[Proposed]:
    """What is proposed to this node, newest first, over a connection that there is."""
    reply = channel.call(PROPOSALS, ProposalsRequest(), ProposalsReply)
    try:
        return [_read(entry) for entry in reply.entries]
    except (MalformedError, KeyError) as error:
        raise TransportError(
            "the coordinator tells of proposals in another form",
            code="E-CONTROL-REPLY",
            remedy="ask the operator which version the coordinator has",
        ) from error


def _read(entry: ProposalsReply.Entry) -> Proposed:
    fields = Fields({"hash": entry.hash.hex(), "id": entry.id}, "proposal")
    answers = []
    for answer in entry.answers:
        said = Fields({"partner": answer.partner, "comment": answer.comment}, "answer")
        answers.append(
            Answered(
                partner=said.line("partner", max_length=40),
                kind=_KINDS[answer.kind],
                comment=said.text_or_nothing("comment", max_length=1_000),
            )
        )
    return Proposed(
        hash=fields.hex("hash", size=32),
        id=fields.line("id", max_length=200),
        version=entry.version,
        answers=tuple(answers),
    )


def _check_digits(digits: str) -> None:
    if not re.fullmatch(rf"[0-9a-f]{{{_MIN_DIGITS},64}}", digits):
        raise UsageError(
            f"--proposed {digits!r} is no hash",
            remedy=f"give at least {_MIN_DIGITS} digits of it, as `fedseg-node agreement "
            "proposals` prints it",
        )


def _chosen(found: list[Proposed], digits: str) -> Proposed:
    _check_digits(digits)
    chosen = [one for one in found if one.hash.hex().startswith(digits)]
    if len(chosen) != 1:
        raise UsageError(
            f"{len(chosen) or 'no'} proposals begin with {digits}",
            remedy="see `fedseg-node agreement proposals`; the operator may have proposed another "
            "one in its place",
        )
    return chosen[0]
