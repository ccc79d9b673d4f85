"""C2SP proofs that an entry is in a log, checked offline. The format: c2sp.org/tlog-proof."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from protocol.errors import LogError
from protocol.log.checkpoints import Checkpoint
from protocol.log.notes import MAX_NOTE_BYTES, Note, Verifier
from protocol.log.text import from_base64, malformed, number, to_base64, utf8
from protocol.log.tree import HASH_BYTES, check_inclusion, leaf_hash

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63
MAX_EXTRA_BYTES: Final = 1 << 16
_MAX_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES


@dataclass(frozen=True, slots=True)
class LogProof:
    """Entry `index` is in the log of `note`, a checkpoint; nobody vouches for `extra`."""

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None

    def to_bytes(self) -> bytes:
        """The proof; raises MalformedError where `parse` would."""
        extra = [] if self.extra is None else [f"extra {to_base64(self.extra)}"]
        hashes = [to_base64(one) for one in self.hashes]
        head = "\n".join([HEADER, *extra, f"index {self.index}", *hashes])
        data = head.encode("utf-8") + b"\n\n" + self.note.to_bytes()
        LogProof.parse(data)
        return data

    @staticmethod
    def parse(data: bytes) -> LogProof:
        """Read a proof; nothing of it is checked. Raises MalformedError."""
        if len(data) > _MAX_BYTES:
            raise malformed(f"a proof of {len(data)} bytes, at most {_MAX_BYTES}")
        head, blank, note = data.partition(b"\n\n")
        lines = utf8(head, "a proof").split("\n")
        if not blank or lines.pop(0) != HEADER:
            raise malformed(f"a proof begins with {HEADER!r}, and a checkpoint follows")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = from_base64(lines.pop(0).removeprefix("extra "), "extra data")
            if len(extra) > MAX_EXTRA_BYTES:
                raise malformed(f"extra data of {len(extra)} bytes, at most {MAX_EXTRA_BYTES}")
        if not lines or not lines[0].startswith("index "):
            raise malformed("a proof names no index")
        index = number(lines.pop(0).removeprefix("index "), "an index")
        if len(lines) > MAX_HASHES:
            raise malformed(f"a proof of {len(lines)} hashes, at most {MAX_HASHES}")
        hashes = tuple(from_base64(line, "a hash") for line in lines)
        if any(len(one) != HASH_BYTES for one in hashes):
            raise malformed(f"a hash takes {HASH_BYTES} bytes")
        return LogProof(index, hashes, Note.parse(note), extra)

    def check(
        self,
        entry: bytes,
        *,
        origin: str,
        log: Verifier,
        witnesses: Collection[Verifier] = (),
        quorum: int = 0,
    ) -> Checkpoint:
        """Check that `entry` is in the log `origin`, seen by `quorum` of `witnesses`.

        A key counts once, under however many names it signed, and the log's own never.

        Returns:
            The checkpoint in which the entry is.

        Raises:
            MalformedError: The note is no checkpoint, or the index is beyond it.
            LogError: E-LOG-ORIGIN another log's; E-LOG-UNSIGNED the log did not sign it;
                E-LOG-SIGNATURE a known key's signature is wrong; E-LOG-QUORUM too few witnesses;
                E-LOG-INCLUSION the entry is not shown to be in it.
        """
        found = self.note.verified([log, *witnesses])
        if log.key not in found:
            raise LogError(f"{log.key.name} did not sign the checkpoint", code="E-LOG-UNSIGNED")
        seen = {key.public_key for key in found} - {log.key.public_key}
        if len(seen) < quorum:
            raise LogError(
                f"{len(seen)} witnesses cosigned the checkpoint, {quorum} are asked for",
                code="E-LOG-QUORUM",
                remedy="Ask for a proof under a checkpoint that more of them cosigned.",
            )
        checkpoint = Checkpoint.from_text(self.note.text)
        if checkpoint.origin != origin:
            raise LogError(
                f"the checkpoint is of {checkpoint.origin!r}, not of {origin!r}",
                code="E-LOG-ORIGIN",
                remedy="Ask for the proof from the log that is meant.",
            )
        check_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint
