"""Checking receipts offline: against the log's key, and one against another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from protocol.errors import LogError, SignatureError
from protocol.log.checkpoints import Checkpoint
from protocol.log.notes import Ed25519Verifier, VerifierKey
from protocol.receipts.document import (
    COUNTED,
    RECEIPT_TYPE,
    Receipt,
    RunShown,
    SignedReceipt,
    Told,
    told_nothing,
    told_of,
)
from protocol.receipts.handles import handle, key_commitment
from protocol.receipts.proof import CountedSet
from protocol.receipts.text import does_not_hold
from protocol.signing import verify_document


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRun:
    """What is proved of one run.

    Attributes:
        sets: The sets that the log was told of, in their order.
        told: What was said of each answer, in the order of the receipt's events.
    """

    shown: RunShown
    sets: tuple[CountedSet, ...]
    told: tuple[Told, ...]

    @property
    def counted(self) -> tuple[int, ...]:
        """The rounds in which the customer was counted."""
        return tuple(one.round for one in self.told if one.state == COUNTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A receipt that holds.

    Attributes:
        checkpoint: The state of the log in which all of it is.
        cosigned: Who cosigned a seal of that, by name, and when by their clocks, seconds since
            1970; of the witnesses that were given.
    """

    receipt: Receipt
    checkpoint: Checkpoint
    cosigned: Mapping[str, int]
    runs: tuple[CheckedRun, ...]


def check_receipt(
    data: bytes, *, log: VerifierKey, witnesses: Collection[VerifierKey] = (), quorum: int = 0
) -> Checked:
    """Check a receipt of the log whose key is `log`, cosigned by `quorum` of `witnesses`.

    Args:
        witnesses: Keys that cosign, of other partners; those of strangers are passed over.

    Raises:
        MalformedError: It is no receipt (E-RECEIPT-FORMAT, E-LOG-FORMAT).
        LogError: E-RECEIPT-SIGNATURE the log's key did not sign it; E-LOG-SIGNATURE, E-LOG-UNSIGNED
            or E-LOG-ORIGIN its checkpoint or its seals are not that log's; E-LOG-QUORUM too few
            witnesses cosigned, or the receipt has no seal;
            E-LOG-INCLUSION an entry is not in it; E-RECEIPT-PROOF a bucket is not in a set;
            E-RECEIPT-RUN sets of different runs, or not all from the first on; E-RECEIPT-CLAIM its
            words say something else than its proofs.
    """
    signed = SignedReceipt.parse(data)
    receipt = signed.receipt
    try:
        verify_document(log.public_key, RECEIPT_TYPE, signed.signed, signed.signature, who=log.name)
    except SignatureError as error:
        raise does_not_hold(
            f"{log.name} did not sign the receipt", "E-RECEIPT-SIGNATURE"
        ) from error
    checkpoint = _checkpoint(receipt, log)
    cosigned = _cosigned(receipt, log, witnesses, quorum)
    runs = tuple(_checked(one, checkpoint) for one in receipt.runs)
    if len({one.shown.run for one in runs}) != len(runs):
        raise does_not_hold("a receipt shows one run twice", "E-RECEIPT-RUN")
    told = [event.to_dict(receipt.entity) for run in runs for event in run.told]
    if [dict(one) for one in receipt.events] != told:
        raise does_not_hold("a receipt's events do not follow from its proofs", "E-RECEIPT-CLAIM")
    return Checked(receipt=receipt, checkpoint=checkpoint, cosigned=cosigned, runs=runs)


def _checkpoint(receipt: Receipt, log: VerifierKey) -> Checkpoint:
    receipt.checkpoint.verified([Ed25519Verifier(log)])
    checkpoint = Checkpoint.from_text(receipt.checkpoint.text)
    if checkpoint.origin != log.name:
        raise LogError(
            f"the checkpoint is of {checkpoint.origin!r}, not of {log.name!r}",
            code="E-LOG-ORIGIN",
            remedy="Ask for the receipt from the log that is meant.",
        )
    return checkpoint


def _cosigned(
    receipt: Receipt, log: VerifierKey, witnesses: Collection[VerifierKey], quorum: int
) -> dict[str, int]:
    seen = receipt.seen
    found = {} if seen is None else seen.check(receipt.checkpoint.text, log, witnesses)
    if len(found) < quorum:
        raise LogError(
            f"{len(found)} witnesses cosigned a seal of the checkpoint, {quorum} are asked for",
            code="E-LOG-QUORUM",
            remedy="Ask for a receipt that more of them cosigned: `rights receipt --cosigned`.",
        )
    return found


def _checked(shown: RunShown, checkpoint: Checkpoint) -> CheckedRun:
    """Check all of one run; raises as `check_receipt` does."""
    sets: list[CountedSet] = []
    told: list[Told] = []
    for number, answer in enumerate(shown.answers):
        about, counted = answer.proof.check(
            shown.handle, size=checkpoint.size, root=checkpoint.root
        )
        if about.run != shown.run or (sets and about.key != sets[0].key):
            raise does_not_hold("a receipt joins sets of different runs", "E-RECEIPT-RUN")
        if about.number != number:
            raise does_not_hold(
                f"a receipt shows set {about.number} of a run where set {number} is to stand",
                "E-RECEIPT-RUN",
            )
        sets.append(about)
        told.append(told_of(about, counted=counted, left=answer.left))
    if len({one.context for one in sets}) != len(sets):
        raise does_not_hold("a receipt shows two sets of one answer", "E-RECEIPT-RUN")
    told += [told_nothing(shown.run, one) for one in shown.unrecorded]
    return CheckedRun(shown=shown, sets=tuple(sets), told=tuple(told))


def check_together(receipts: Sequence[Checked]) -> None:
    """Check receipts of one log against each other.

    Raises:
        LogError: Two of them do not go together (E-RECEIPT-TWO): one customer has two handles in
            one run, two customers have the same, or one set is two.
    """
    handles: dict[tuple[bytes, str], bytes] = {}
    owners: dict[tuple[bytes, bytes], str] = {}
    sets: dict[tuple[bytes, int], CountedSet] = {}
    for receipt in receipts:
        whose = receipt.receipt.principal
        for run in receipt.runs:
            own = run.shown.handle
            if not own:
                continue
            if handles.setdefault((run.shown.run, whose), own) != own:
                raise _two("give one customer two handles in one run")
            if owners.setdefault((run.shown.run, own), whose) != whose:
                raise _two("give two customers the same handle")
            for one in run.sets:
                if sets.setdefault((one.run, one.number), one) != one:
                    raise _two("show two sets for one")


def check_opened(receipt: Checked, key: bytes, customer: str) -> None:
    """Check with the key of one of its runs that a receipt is about the customer with an id.

    Raises:
        LogError: The log was told of that key for none of its runs, or the handle is another
            customer's (E-RECEIPT-HANDLE).
        MalformedError: A key of another length.
    """
    told = key_commitment(key)
    opened = [run for run in receipt.runs if told in {one.key for one in run.sets}]
    if not opened:
        raise does_not_hold("this is not the key that the log was told of", "E-RECEIPT-HANDLE")
    if any(run.shown.handle != handle(key, customer) for run in opened):
        raise does_not_hold("the receipt shows another customer's handle", "E-RECEIPT-HANDLE")


def _two(what: str) -> LogError:
    return LogError(
        f"two receipts {what}",
        code="E-RECEIPT-TWO",
        remedy="Keep both: together they show that the node does not tell the truth.",
    )
