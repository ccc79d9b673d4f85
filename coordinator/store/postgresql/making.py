"""Making the coordinator's state in a database of PostgreSQL, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from coordinator.store.content import Asked
from coordinator.store.postgresql.connection import LOCKS, Connection, connect
from coordinator.store.postgresql.database import MAKE_HEAD, head_of
from coordinator.store.postgresql.dialect import schema_statements, statement
from coordinator.store.postgresql.errors import of_statement
from coordinator.store.postgresql.place import ServerPlace
from coordinator.store.schema import MIGRATIONS, TABLES
from protocol.errors import StoreError


def make(
    place: ServerPlace, *, coordinator: str, fill: Callable[[Asked], None] = lambda _: None
) -> None:
    """Make the state in one transaction. It is in use once a coordinator has opened it.

    One that was made before and never opened, as the process was killed, is made anew.

    Args:
        coordinator: Id by which the database is to know its coordinator.
        fill: Writes the first rows.

    Raises:
        StoreError: It cannot be made, or there is a state that is in use (E-STORE-TAKEN), or other
            tables of the same names (E-STORE-SCHEMA).
    """
    with closing(connect(place)) as connection:
        draft = _Draft(connection=connection, name=place.name)
        draft.ask("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        draft.ask("SELECT pg_advisory_xact_lock(?, 0)", LOCKS)
        _clear(draft)
        for sql in (MAKE_HEAD, *schema_statements(MIGRATIONS, 0)):
            draft.ask(sql)
        fill(draft)
        draft.ask("INSERT INTO fedseg_store VALUES (1, ?, ?, false)", len(MIGRATIONS), coordinator)
        draft.ask("COMMIT")


def drop(database: Asked) -> None:
    """Remove a state; inside a transaction."""
    for table in reversed(TABLES):
        database.ask(f"DROP TABLE {table}")
    database.ask("DROP TABLE fedseg_store")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """The database while its state is made."""

    connection: Connection
    name: str

    def ask(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        try:
            cursor = self.connection.execute(statement(sql), values)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise of_statement(error, self.name, broken=self.connection.closed) from error


def _clear(draft: _Draft) -> None:
    """Remove what a killed process made, and refuse whatever else is there."""
    head = head_of(draft.connection, draft.name)
    if head is not None and not head[2]:
        drop(draft)
        return
    if head is not None:
        raise StoreError(
            f"{draft.name} has the state of a coordinator already",
            code="E-STORE-TAKEN",
            remedy="name another database or schema; or drop that one, if it is worth nothing",
        )
    there = draft.ask(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        " AND tablename = ANY (?) ORDER BY tablename",
        ["fedseg_store", *TABLES],
    )
    if there:
        raise StoreError(
            f"{draft.name} has other tables of the same names: {', '.join(r[0] for r in there)}",
            code="E-STORE-SCHEMA",
            remedy="let the account have a schema of its own: docs/operating.md",
        )
