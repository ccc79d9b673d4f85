"""A tar archive (POSIX ustar) that can be written in one way alone.

A header follows from a name and a size, names rise, and nothing is after the end: two programs that
read the same bytes cannot find two contents in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, Final

from protocol.errors import ArchiveError

_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
_PART: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_NAME: Final = re.compile(rf"(?=.{{1,100}}\Z){_PART}(/{_PART})*")
MAX_FILES: Final = 1 << 20
#: Whoever reads an archive has one file of it in memory at a time.
MAX_FILE_BYTES: Final = 1 << 28


class PlainArchive(Mapping[str, bytes]):
    """The files of an archive by name, read from the archive when they are asked for.

    Args:
        file: The archive, open for reading; it is read from its beginning.

    Raises:
        ArchiveError: It is not written as `write_archive` does (E-ARCHIVE).
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        at, last = 0, ""
        file.seek(0)
        while True:
            header = file.read(_BLOCK)
            if header == _END[:_BLOCK]:
                break
            name, size = _named(header)
            if name <= last:
                raise _malformed(f"{name} comes after {last}")
            if len(self._places) >= MAX_FILES:
                raise _malformed(f"there are more than {MAX_FILES} files")
            self._places[name], last = (at + _BLOCK, size), name
            at += _BLOCK + size
            file.seek(at)
            rest = -size % _BLOCK
            if file.read(rest) != bytes(rest):
                raise _malformed(f"{name} is not filled up with zeros")
            at += rest
        if file.read(_BLOCK) != _END[:_BLOCK] or file.read(1):
            raise _malformed("it does not end after two blocks of zeros")

    def __getitem__(self, name: str) -> bytes:
        at, size = self._places[name]
        self._file.seek(at)
        data = self._file.read(size)
        if len(data) != size:
            raise _malformed(f"{name} ends early")
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def write_archive(file: BinaryIO, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files, whose names rise.

    Raises:
        ArchiveError: A name or a size cannot be in one, or names do not rise.
    """
    last = ""
    for name, data in files:
        if name <= last:
            raise _malformed(f"{name} comes after {last}")
        file.write(_header(name, len(data)))
        file.write(data + bytes(-len(data) % _BLOCK))
        last = name
    file.write(_END)


def _named(header: bytes) -> tuple[str, int]:
    """Name and size that a header says, when it is the one that follows from them."""
    try:
        name = header[:100].rstrip(b"\0").decode("ascii")
        size = int(header[124:135].decode("ascii"), 8)
        if header == _header(name, size):
            return name, size
    except ValueError:
        pass
    raise _malformed("a header is not as it has to be")


def is_name(name: str) -> bool:
    """Whether a file in an archive may have that name."""
    return _NAME.fullmatch(name) is not None


def _header(name: str, size: int) -> bytes:
    if not is_name(name) or not 0 <= size <= MAX_FILE_BYTES:
        raise _malformed(f"no name of a file in an archive, or too large: {name[:120]!r}")
    parts = (
        name.encode("ascii").ljust(100, b"\0"), b"0000644\0", b"0000000\0", b"0000000\0",
        b"%011o\0" % size, b"00000000000\0", b" " * 8, b"0", bytes(100), b"ustar\0", b"00",
        bytes(64), b"0000000\0", b"0000000\0", bytes(155), bytes(12),
    )  # fmt: skip
    whole = b"".join(parts)
    return whole[:148] + b"%06o\0 " % sum(whole) + whole[156:]


def _malformed(what: str) -> ArchiveError:
    return ArchiveError(
        f"the archive is not as it has to be: {what}",
        code="E-ARCHIVE",
        remedy="ask for it again; keep this one, if somebody may have changed it",
    )
