"""A log as rows of a database: entries and hashes, the tables `log_entries` and `log_hashes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString, Protocol

from protocol.errors import LogError
from protocol.log.tree import EMPTY_ROOT, TILE_WIDTH, appended, leaf_hash, root


class Rows(Protocol):
    """A database of SQLite's words, ``?`` for values."""

    def ask(self, sql: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; raises StoreError."""
        ...


class LogRows:
    """The rows of one log; a `TileReader` and a `LogReader`.

    Args:
        rows: The database.
        command: What shows the entries, for errors.
    """

    def __init__(self, rows: Rows, *, command: str) -> None:
        self._rows = rows
        self._command = command

    def add(self, data: bytes) -> int:
        """Add an entry's bytes and its hashes, inside a transaction; its number, from 0."""
        number = self.size
        self._rows.ask("INSERT INTO log_entries VALUES (?, ?)", number, data)
        for one in appended(number, leaf_hash(data), self):
            self._rows.ask(
                "INSERT INTO log_hashes VALUES (?, ?, ?)", one.level, one.position, one.hash
            )
        return number

    @property
    def size(self) -> int:
        """How many entries there are."""
        ((size,),) = self._rows.ask("SELECT coalesce(max(number) + 1, 0) FROM log_entries")
        return int(size)

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` entries, of all when left out; raises LogError."""
        size = self.size if size is None else size
        return root(size, self) if size else EMPTY_ROOT

    def entry(self, number: int) -> bytes:
        """The bytes of one entry.

        Raises:
            LogError: There is none with that number (E-LOG-UNKNOWN).
        """
        found = self.entries(number, number + 1)
        if not found:
            raise LogError(
                f"the log has no entry {number}",
                code="E-LOG-UNKNOWN",
                remedy=f"`{self._command}` lists them; the first is 0",
            )
        return found[0]

    def entries(self, start: int, stop: int) -> list[bytes]:
        """Entries `start` to `stop`, without `stop`, in order; those that are there."""
        rows = self._rows.ask(
            "SELECT entry FROM log_entries WHERE number >= ? AND number < ? ORDER BY number",
            start,
            stop,
        )
        return [bytes(entry) for (entry,) in rows]

    def tile(self, level: int, index: int, width: int) -> Sequence[bytes]:
        """See `protocol.log.tree.TileReader`."""
        first = index * TILE_WIDTH
        rows = self._rows.ask(
            "SELECT hash FROM log_hashes WHERE level = ? AND position >= ? AND position < ?"
            " ORDER BY position",
            level,
            first,
            first + width,
        )
        return [bytes(one) for (one,) in rows]


class NumberedLog(Protocol):
    """A log whose entries are shown by number or by kind."""

    @property
    def size(self) -> int:
        """How many entries there are."""
        ...

    def numbered(
        self, *, since: int = 0, kinds: Sequence[str] = (), last: int | None = None
    ) -> list[tuple[int, bytes]]:
        """Entries with their numbers, oldest first.

        Args:
            since: From this number on.
            kinds: Of these kinds alone, found by an index; of all when empty.
            last: Of all these only so many, the newest.
        """
        ...
