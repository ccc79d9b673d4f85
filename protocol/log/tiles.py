"""Paths and bytes of tiles and bundles of entries, as C2SP tlog-tiles has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.log.text import MAX_NUMBER, malformed
from protocol.log.tree import HASH_BYTES, TILE_WIDTH

MAX_ENTRY_BYTES: Final = 2**16 - 1
MAX_LEVEL: Final = 63
_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class TilePath:
    """Which tile: its `level` (None: a bundle of entries), `index`, and `width`, 1 to 256."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if self.level is not None and not 0 <= self.level <= MAX_LEVEL:
            raise malformed(f"tiles have levels 0 to {MAX_LEVEL}, not {self.level}")
        if not 0 <= self.index <= MAX_NUMBER:
            raise malformed(f"a tile's index lies outside 0 to 2^63 - 1: {self.index}")
        if not 1 <= self.width <= TILE_WIDTH:
            raise malformed(f"a tile has 1 to {TILE_WIDTH} hashes, not {self.width}")

    def __str__(self) -> str:
        """The path.

        >>> str(TilePath(0, 1234067, 8))
        'tile/0/x001/x234/067.p/8'
        """
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        where = "/".join([*("x" + part for part in parts[:-1]), parts[-1]])
        kind = "entries" if self.level is None else self.level
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{kind}/{where}{partial}"

    @staticmethod
    def parse(path: str) -> TilePath:
        """Read a path; raises MalformedError unless it is written as `str` writes it."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise malformed(f"no path of a tile: {path[:80]!r}")
        kind, where, width = match.groups()
        found = TilePath(
            None if kind == "entries" else int(kind),
            int(where.replace("x", "").replace("/", "")),
            TILE_WIDTH if width is None else int(width),
        )
        if str(found) != path:
            raise malformed(f"no path of a tile in its usual form: {path[:80]!r}")
        return found


def write_tile(hashes: Sequence[bytes]) -> bytes:
    """The bytes of a tile of 1 to 256 hashes."""
    data = b"".join(hashes)
    read_tile(data, len(hashes))
    return data


def read_tile(data: bytes, width: int) -> list[bytes]:
    """The `width` hashes of a tile; raises MalformedError."""
    if not 1 <= width <= TILE_WIDTH or len(data) != width * HASH_BYTES:
        raise malformed(f"{len(data)} bytes are no tile of {width} hashes")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def write_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle of 1 to 256 entries, each below 65,536 bytes."""
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise malformed(f"a bundle has 1 to {TILE_WIDTH} entries, not {len(entries)}")
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise malformed(f"an entry has at most {MAX_ENTRY_BYTES} bytes, not {len(entry)}")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def read_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle; raises MalformedError."""
    if not 1 <= width <= TILE_WIDTH:
        raise malformed(f"a bundle has 1 to {TILE_WIDTH} entries, not {width}")
    found: list[bytes] = []
    at = 0
    for _ in range(width):
        start = at + 2
        end = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or end > len(data):
            raise malformed(f"a bundle ends within entry {len(found)} of {width}")
        found.append(data[start:end])
        at = end
    if at != len(data):
        raise malformed(f"{len(data) - at} bytes after the last of {width} entries")
    return found
