"""The gate's own DuckDB, reused for the same files, with a new, empty session for each pass.

Opening a DuckDB takes longer than a pass over a small table. A session's tables and views are its
own and are dropped at its end: the next one sees nothing that was read.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import duckdb

from partner_node.sources.duckdb.sandbox import Sandbox

#: A DuckDB that uses more than this at the end of a pass is closed, to free it; bytes.
_MOST_KEPT: Final = 32 << 20
#: A session shorter than this, in seconds, used little; asking DuckDB would take longer.
_BRIEF_S: Final = 0.1


class Workspace:
    """A DuckDB that is reused from pass to pass, confined to the files of the pass.

    Args:
        limits: Resources of this machine that it may use.
        keep: Whether it is always reused; else only if it uses little memory.
    """

    def __init__(self, limits: Sandbox, *, keep: bool = False) -> None:
        self._limits = limits
        self._keep = keep
        self._idle: _Database | None = None

    @contextmanager
    def session(self, files: tuple[str, ...]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection without tables, confined to the named files, with locked settings.

        Raises:
            SourceError: The temporary folder cannot be created (E-SOURCE-FILE).
            duckdb.Error: DuckDB fails.
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
    """One DuckDB, closed when it is garbage-collected."""

    def __init__(self, limits: Sandbox, files: tuple[str, ...]) -> None:
        opened = ExitStack()
        self.files = files
        self.connection = opened.enter_context(limits.closed_in(files))
        self.close = weakref.finalize(self, opened.close)


def _held(session: duckdb.DuckDBPyConnection) -> int:
    """Bytes that a session's DuckDB uses, in memory and in its temporary folder."""
    sql = "SELECT sum(memory_usage_bytes + temporary_storage_bytes) FROM duckdb_memory()"
    ((held,),) = session.execute(sql).fetchall()
    return int(held or 0)
