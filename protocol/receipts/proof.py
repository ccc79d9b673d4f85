"""One answer's proof: an entry of the audit log, and the bucket of one handle in its set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocol.canonical import canonical_form
from protocol.errors import LogError
from protocol.log.entries import COUNTED, Entry
from protocol.log.text import from_base64, to_base64
from protocol.log.tree import HASH_BYTES, check_inclusion, leaf_hash
from protocol.receipts.buckets import (
    CONTEXT_BYTES,
    bucket_of,
    check_bits,
    elements,
    leaf,
    read_bucket,
)
from protocol.receipts.handles import from_bytes
from protocol.receipts.text import does_not_hold, malformed
from protocol.strict import Fields

_MOST_HASHES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedSet:
    """What an entry of kind ``counted`` says.

    Attributes:
        at: When the set was committed to, by the node's clock.
        run: The run's id.
        number: Of the run's sets, from 0.
        context: Names the answer that counted it.
        key: The commitment to the run's key.
        bits: How many bits a bucket's number has.
    """

    at: str
    agreement: str
    run: bytes
    round: int
    number: int
    context: bytes
    key: bytes
    bits: int
    root: bytes

    @staticmethod
    def of(entry: Entry) -> CountedSet:
        """What the entry says; raises MalformedError when it is another's or its sizes are odd."""
        if entry.kind != COUNTED:
            raise malformed(f"an entry of kind {entry.kind}, not {COUNTED}")
        about = entry.about
        found = CountedSet(
            at=entry.at,
            agreement=about["agreement"],
            run=bytes.fromhex(about["run"]),
            round=about["round"],
            number=about["number"],
            context=bytes.fromhex(about["context"]),
            key=bytes.fromhex(about["key"]),
            bits=check_bits(about["bits"]),
            root=bytes.fromhex(about["root"]),
        )
        sizes = {len(found.key), len(found.root), len(found.context)}
        if sizes != {HASH_BYTES} or CONTEXT_BYTES != HASH_BYTES:
            raise malformed("an entry about counted customers has a hash of another length")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerProof:
    """The proof about one answer.

    Attributes:
        entry: The entry's bytes.
        index: Its number in the log.
        inclusion: The proof that it is in the log of the receipt's checkpoint.
        bucket: The elements of the handle's bucket.
        path: The proof that the bucket is in the set of the entry.
    """

    entry: bytes
    index: int
    inclusion: tuple[bytes, ...]
    bucket: bytes
    path: tuple[bytes, ...]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "entry": Entry.from_bytes(self.entry).to_dict(),
            "index": self.index,
            "inclusion": [to_base64(one) for one in self.inclusion],
            "bucket": to_base64(self.bucket),
            "path": [to_base64(one) for one in self.path],
        }

    @staticmethod
    def read(fields: Fields) -> AnswerProof:
        """Read a proof, and leave other fields be; nothing is checked. Raises MalformedError."""
        return AnswerProof(
            entry=canonical_form(dict(fields.object("entry").values), what="an entry"),
            index=fields.integer("index", at_least=0, at_most=(1 << 53) - 1),
            inclusion=_hashes(fields, "inclusion"),
            bucket=from_base64(fields.line("bucket", max_length=4096), "a bucket"),
            path=_hashes(fields, "path"),
        )

    def check(self, handle: bytes, *, size: int, root: bytes) -> tuple[CountedSet, bool]:
        """Check the proof for a handle, in the log of a checkpoint that is trusted.

        Args:
            size: Of the checkpoint.
            root: Of the checkpoint.

        Returns:
            The set, and whether the handle's customer is in it. One who is not may be said to be
            in it by chance, with a probability of 2^-57; one who is, is never said not to be.

        Raises:
            MalformedError: The entry, or the bucket, is none.
            LogError: E-LOG-INCLUSION the entry is not shown to be in the log; E-RECEIPT-PROOF the
                bucket not to be in the set.
        """
        about = CountedSet.of(Entry.from_bytes(self.entry))
        check_inclusion(leaf_hash(self.entry), self.index, size, self.inclusion, root)
        shown = read_bucket(self.bucket)
        try:
            check_inclusion(
                leaf_hash(leaf(self.bucket)),
                bucket_of(handle, about.bits),
                1 << about.bits,
                self.path,
                about.root,
            )
        except LogError as error:
            raise does_not_hold(
                "a receipt's bucket is not shown to be the customer's in the set that was counted",
                "E-RECEIPT-PROOF",
            ) from error
        (own,) = elements(from_bytes(handle), about.context)
        return about, bool(np.isin(own, shown))


def _hashes(fields: Fields, name: str) -> tuple[bytes, ...]:
    values = fields.values[name] if fields.is_list(name) else None
    if values is None or len(values) > _MOST_HASHES:
        raise malformed(f"{fields.path(name)} is no list of at most {_MOST_HASHES} hashes")
    found = [from_base64(one, "a hash") for one in values if isinstance(one, str)]
    if len(found) != len(values) or any(len(one) != HASH_BYTES for one in found):
        raise malformed(f"{fields.path(name)}: a hash takes {HASH_BYTES} bytes, as base64")
    return tuple(found)
