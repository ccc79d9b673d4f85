"""C2SP checkpoints: origin, size and root of a log as the text of a signed note.

The format is that of c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.log.text import MAX_NUMBER, from_base64, malformed, number, to_base64
from protocol.log.tree import EMPTY_ROOT, HASH_BYTES


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's state: `origin` names the log, `root` (32 bytes) is that of `size` entries."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or any(one < " " for one in line):
                raise malformed("a checkpoint has an empty line or a control character")
        if not 0 <= self.size <= MAX_NUMBER:
            raise malformed(f"a log's size lies outside 0 to 2^63 - 1: {self.size}")
        if len(self.root) != HASH_BYTES:
            raise malformed(f"a root takes {HASH_BYTES} bytes, found {len(self.root)}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise malformed("an empty log has another root")

    def to_text(self) -> str:
        """The text that is signed; ends with a newline."""
        lines = (self.origin, str(self.size), to_base64(self.root), *self.extensions)
        return "".join(line + "\n" for line in lines)

    @staticmethod
    def from_text(text: str) -> Checkpoint:
        """Read the text of a note; raises MalformedError."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop():
            raise malformed("a checkpoint takes origin, size and root, each a line")
        origin, size, root, *extensions = lines
        return Checkpoint(
            origin, number(size, "a log's size"), from_base64(root, "a root"), tuple(extensions)
        )
