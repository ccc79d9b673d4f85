"""What the coordinator's store asks of the database under it, and how one in a file is opened."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, LiteralString, Protocol

from coordinator.store.schema import MIGRATIONS
from machine.database import Database

#: What the database is, for messages.
NAME: Final = "coordinator state"


class StoreDatabase(Protocol):
    """A database at the newest schema, shared by several processes and threads.

    Statements are those of SQLite that PostgreSQL has too, with ``?`` for values; they are written
    once for both. What changes anything is asked inside `transaction` alone.
    """

    @property
    def path(self) -> str:
        """Where it is, for people: a file, or a server's address without a password."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """One atomic change, durable when it returns; no two go on at a time."""
        ...

    def ask(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; raises StoreError."""
        ...

    def one(self, sql: LiteralString, *values: object) -> tuple[Any, ...] | None:
        """Run one statement and return its first row; None when it has none."""
        ...

    def wipe_at_commit(self) -> None:
        """At commit, erase what this transaction deletes, as far as the database can."""
        ...

    def mark(self) -> object | None:
        """What differs once it was written, by whomever; None where nothing tells that."""
        ...

    def check(self) -> None:
        """Raise StoreError when it is damaged."""
        ...

    def snapshot(self) -> bytes:
        """The content as the bytes of a SQLite file, as one moment sees it."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def open_file(path: Path | str) -> Database:
    """The database in a file, made where it is missing; or ``:memory:``."""
    return Database(
        path,
        name=NAME,
        migrations=MIGRATIONS,
        remedy="see that the disk has room and the folder is ours; restore a damaged file "
        "from a backup",
    )
