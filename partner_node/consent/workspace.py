"""The gate's own DuckDB: opened once for the same files, with a new, empty session for each pass.

To open a DuckDB takes longer than a pass over a small table. A session's tables and views are its
own and are gone at its end: nothing that was read is there in the next one.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import duckdb

from partner_node.sources.duckdb.sandbox import Sandbox

#: A DuckDB that held more than this at the end of a pass is closed, to give it back; bytes.
_MOST_KEPT: Final = 32 << 20
#: A session shorter than this, seconds, held little; not even to ask is sooner.
_BRIEF_S: Final = 0.1


class Workspace:
    """A DuckDB that is kept from pass to pass, shut in with the files of the pass.

    Args:
        limits: What it may take of this machine.
        keep: Whether it is kept whatever it holds; else only when that is little.
    """

    def __init__(self, limits: Sandbox, *, keep: bool = False) -> None:
        self._limits = limits
        self._keep = keep
        self._idle: _Database | None = None

    @contextmanager
    def session(self, files: tuple[str, ...]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection without tables, shut in with the named files, its settings locked.

        Raises:
            SourceError: The temporary folder cannot be made (E-SOURCE-FILE).
            duckdb.Error: It cannot be done.
        """
        database, self._idle = self._idle, None
        if database is not None and database.files != files:
            database.close()
            database = None
        if database is None:
            database = _Database(self._limits, files)
        session = database.connection.cursor()
        light, since = False, time.monotonic()
        try:
            yield session
            brief = time.monotonic() - since < _BRIEF_S
            light = self._keep or brief or _held(session) <= _MOST_KEPT
        finally:
            session.close()
            if light and self._idle is None:
                self._idle = database
            else:
                database.close()


class _Database:
    """One DuckDB, closed when nobody holds it any more."""

    def __init__(self, limits: Sandbox, files: tuple[str, ...]) -> None:
        opened = ExitStack()
        self.files = files
        self.connection = opened.enter_context(limits.closed_in(files))
        self.close = weakref.finalize(self, opened.close)


def _held(session: duckdb.DuckDBPyConnection) -> int:
    """What a session's DuckDB holds, in memory and in its temporary folder, bytes."""
    sql = "SELECT sum(memory_usage_bytes + temporary_storage_bytes) FROM duckdb_memory()"
    ((held,),) = session.execute(sql).fetchall()
    return int(held or 0)
