"""Receipts from sets of made-up customers, with a log in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.canonical import canonical_json
from protocol.log import tree
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import ED25519_COSIGNATURE, cosign_ed25519
from protocol.log.entries import COUNTED, Entry
from protocol.log.notes import ED25519, Note, VerifierKey, sign_ed25519
from protocol.log.proofs import LogProof
from protocol.log.seals import seal
from protocol.receipts.checking import Checked, check_receipt
from protocol.receipts.document import (
    Answer,
    Receipt,
    RunShown,
    Told,
    Unrecorded,
    told_nothing,
    told_of,
)
from protocol.receipts.handles import Handles, handle, handles, in_order, key_commitment
from protocol.receipts.proof import AnswerProof, CountedSet
from protocol.receipts.seen import Seen
from protocol.receipts.sets import Committed, commit, shelf_of, show
from protocol.signing import public_bytes
from tests.protocol.log.trees import Kept

AT: Final = "2026-12-01T09:00:00.000000Z"
PROCESSING: Final[dict[str, Any]] = {
    "privacy_notice": "1", "language": "en",
    "purposes": [{"purpose": "Segments for own marketing.", "pii_controllers": ["north"]}],
}  # fmt: skip
PARTIES: Final = ({"party_id": "north", "party_name": "North", "party_address": "a@north.example"},)


def bytes_of(name: str, size: int) -> bytes:
    """`size` bytes that follow from a name."""
    return hashlib.shake_256(name.encode()).digest(size)


@dataclass
class Partner:
    """A node's log and its sets, answer by answer."""

    name: str = "north"
    log: Kept = field(default_factory=Kept)
    entries: list[bytes] = field(default_factory=list)
    runs: dict[str, list[tuple[bytes, Handles, Committed, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.signs = Ed25519PrivateKey.from_private_bytes(bytes_of(f"key {self.name}", 32))
        self.origin = f"fedseg/{self.name}/0123456789abcdef"
        self.vkey = VerifierKey(self.origin, ED25519, public_bytes(self.signs))
        self.add(Entry(AT, "stop", {"agreement_hash": "", "partner": self.name}))

    def add(self, entry: Entry) -> int:
        data = entry.to_bytes()
        self.log.append(tree.leaf_hash(data))
        self.entries.append(data)
        return len(self.entries) - 1

    def key(self, run: str) -> bytes:
        return bytes_of(f"receipts {self.name} {run}", 32)

    def run_id(self, run: str) -> bytes:
        return bytes_of(f"run {run}", 16)

    def counts(self, run: str, customers: Sequence[str], **changes: Any) -> Committed:
        """Commit to the set of the run's next answer; `changes` are lies of its entry."""
        done = self.runs.setdefault(run, [])
        context = bytes_of(f"context {run} {len(done)}", 32)
        found = in_order(handles(self.key(run), customers))
        at_least = done[-1][2].bits if done else 0
        committed = commit(found, self.key(run), context, at_least=at_least)
        about = {
            "agreement": "pilot", "run": self.run_id(run).hex(), "round": len(done),
            "number": len(done), "context": context.hex(),
            "key": key_commitment(self.key(run)).hex(), "bits": committed.bits,
            "root": committed.root.hex(),
        } | changes  # fmt: skip
        number = self.add(Entry(AT, COUNTED, about))
        done.append((context, found, committed, number))
        return committed

    def note(self, name: str | None = None) -> Note:
        size = len(self.entries)
        text = Checkpoint(name or self.origin, size, tree.root(size, self.log)).to_text()
        return sign_ed25519(Note(text), self.origin, self.signs)

    def answers(self, run: str, customer: str) -> list[Answer]:
        own, size = handle(self.key(run), customer), len(self.entries)
        made = []
        for context, found, committed, number in self.runs[run]:
            first, count = shelf_of(own, committed.bits)
            rows = np.array([int(one) >> (64 - committed.bits) for one in found[:, 0]])
            on_shelf = found[(rows >= first) & (rows < first + count)]
            shown = show(own, committed, on_shelf, self.key(run), context)
            proof = AnswerProof(
                entry=self.entries[number],
                index=number,
                inclusion=tuple(tree.inclusion_proof(number, size, self.log)),
                bucket=shown.bucket,
                path=shown.path,
            )
            made.append(Answer(proof=proof, left=True))
        return made

    def shown(self, run: str, customer: str, unrecorded: Sequence[int] = ()) -> RunShown:
        return RunShown(
            run=self.run_id(run),
            handle=handle(self.key(run), customer),
            answers=tuple(self.answers(run, customer)),
            unrecorded=tuple(Unrecorded(at=AT, round=one) for one in unrecorded),
        )

    def told(self, shown: RunShown) -> list[Told]:
        root, size = tree.root(len(self.entries), self.log), len(self.entries)
        found = []
        for one in shown.answers:
            about, counted = one.proof.check(shown.handle, size=size, root=root)
            found.append(told_of(about, counted=counted, left=one.left))
        return found + [told_nothing(shown.run, one) for one in shown.unrecorded]

    def receipt(
        self, *shown: RunShown, customer: str = "C-1", told: Any = None, seen: Seen | None = None
    ) -> Receipt:
        events = [one for run in shown for one in self.told(run)] if told is None else told
        return Receipt(
            receipt_id=bytes_of(f"receipt {customer}", 16).hex(),
            record_id="pilot-1",
            principal=bytes_of(f"principal {customer}", 32).hex(),
            entity=self.name,
            processing=PROCESSING,
            parties=PARTIES,
            events=[one.to_dict(self.name) for one in events],
            checkpoint=self.note(),
            runs=shown,
            seen=seen,
        )

    def seen(
        self, *by: Partner, text: str | None = None, under: str | None = None, strange: bool = False
    ) -> Seen:
        """The third of three seals, of the log as it is; `text`, `under`, `strange` are lies.

        Args:
            by: Who cosigns it, at 1,800,000,000 seconds and one later each.
            under: Origin of the seals.
            strange: Whether another key signs them.
        """
        seals, nonce = Kept(), bytes_of(f"nonce {self.name}", 32)
        leaves = [tree.leaf_hash(bytes_of(f"seal {at}", 32)) for at in range(2)]
        leaves.append(tree.leaf_hash(seal(nonce, text or self.note().text)))
        for leaf in leaves:
            seals.append(leaf)
        origin = under or f"{self.origin}/pilot"
        signs = Partner("stranger").signs if strange else self.signs
        note = sign_ed25519(
            Note(Checkpoint(origin, 3, tree.root(3, seals)).to_text()), origin, signs
        )
        for at, one in enumerate(by):
            note = cosign_ed25519(note, one.witness.name, one.signs, 1_800_000_000 + at)
        hashes = tuple(tree.inclusion_proof(2, 3, seals))
        return Seen(nonce=nonce, proof=LogProof(2, hashes, note))

    @property
    def witness(self) -> VerifierKey:
        return VerifierKey(self.origin, ED25519_COSIGNATURE, public_bytes(self.signs))

    def signed(self, *shown: RunShown, **options: Any) -> bytes:
        return canonical_json(self.receipt(*shown, **options).signed_by(self.signs))

    def check(self, data: bytes, **options: Any) -> Checked:
        return check_receipt(data, log=self.vkey, **options)


def about(data: bytes) -> CountedSet:
    return CountedSet.of(Entry.from_bytes(data))
