"""The whole content of the store, carried from one database into another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import Any, Final, LiteralString, Protocol

from coordinator.store.schema import TABLES
from coordinator.store.store_database import open_file
from machine.database import Database
from protocol.errors import StoreError

#: The rows of each table.
Content = dict[str, list[tuple[Any, ...]]]
_MEMORY: Final = ":memory:"


class Asked(Protocol):
    """A database of either kind, inside a transaction."""

    def ask(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        ...


@contextmanager
def in_memory() -> Iterator[Database]:
    """A new, empty database of SQLite that is in no file."""
    with closing(open_file(_MEMORY)) as database:
        yield database


@lru_cache(maxsize=1)
def columns() -> dict[str, tuple[LiteralString, ...]]:
    """The columns of every table at the newest schema, in order."""
    with in_memory() as database:
        return {
            table: tuple(row[1] for row in database.ask(f"PRAGMA table_info({table})"))
            for table in TABLES
        }


def content_of(database: Asked) -> Content:
    """Every row, by table, in the order of its values."""
    return {
        table: sorted(_rows(database, table, names), key=repr) for table, names in columns().items()
    }


def copy(source: Asked, target: Asked) -> None:
    """Write every row of one database into another, empty one, and read it back.

    Call it while nobody else changes either.

    Raises:
        StoreError: The target does not read as the source does.
    """
    for table, names in columns().items():
        marks = ", ".join("?" for _ in names)
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - ours
        for row in _rows(source, table, names):
            target.ask(sql, *row)
    if content_of(target) != content_of(source):
        raise StoreError("the copy of the coordinator's state does not read as it was written")


def _rows(
    database: Asked, table: LiteralString, names: tuple[LiteralString, ...]
) -> list[tuple[Any, ...]]:
    sql = f"SELECT {', '.join(names)} FROM {table}"  # noqa: S608 - names of our own schema
    return [tuple(row) for row in database.ask(sql)]
