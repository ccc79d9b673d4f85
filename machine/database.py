"""A SQLite file shared by several processes and threads: opening, transactions, migrations.

A commit is durable before `transaction` returns (write-ahead log, ``synchronous = FULL``), and
deleted data is overwritten (``secure_delete``). A process killed at any moment leaves the state
before a transaction or the state after it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Final, LiteralString
from urllib.parse import quote

from machine.files import mark_of, new_for_owner
from protocol.errors import StoreError

#: The longest wait for a lock of the database file, and the pause where SQLite does not wait.
_LOCK_WAIT_S: Final = 60.0
_LOCK_PAUSE_S: Final = 0.05
#: The schema's number in a file whose content was moved elsewhere.
_RETIRED: Final = 1_000_000
#: Held while a new file is made, before SQLite opens it.
_MAKING: Final = Lock()


class LostDatabaseError(StoreError):
    """A database that must be there is missing, or has no schema."""

    default_code = "E-STATE-LOST"


class Database:
    """One database file, at the newest schema.

    Args:
        path: The file, or ``:memory:``.
        name: What the file is, for messages.
        migrations: Scripts that make the schema, oldest first; each ends with setting
            ``user_version`` to its number. A script that was ever released is never changed.
        remedy: The way out that errors about the file state.
        made_before: Whether the file must be there with a schema; it is never made then.

    Raises:
        LostDatabaseError: It was made before, and is missing or empty.
        StoreError: It cannot be opened, or was written by a newer version.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        name: str,
        migrations: Sequence[LiteralString],
        remedy: str,
        made_before: bool = False,
    ) -> None:
        self._path = str(path)
        self._name = name
        self._remedy = remedy
        self._lock = RLock()
        self._wipe = False
        if made_before:
            self._refuse_missing(Path(path))
        elif self._path != ":memory:":
            _make(Path(path))
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(str(Path(path).absolute()))}?mode=rw" if made_before else path,
                uri=made_before,
                isolation_level=None,
                timeout=_LOCK_WAIT_S,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self._error(error) from error
        try:
            if made_before and self._version() == 0:
                raise self._lost("empty")
            self._write_ahead()
            self.ask("PRAGMA synchronous = FULL")
            self.ask("PRAGMA foreign_keys = ON")
            self.ask("PRAGMA secure_delete = ON")
            self._migrate(migrations)
        except BaseException:
            self._connection.close()
            raise

    @property
    def path(self) -> str:
        """The database file, or ``:memory:``."""
        return self._path

    @property
    def in_transaction(self) -> bool:
        """Whether one is open."""
        return self._connection.in_transaction

    def define(self, name: str, function: Callable[[str], None]) -> None:
        """Let SQL of this process call a function of one text; what it raises fails a statement."""
        self._connection.create_function(name, 1, function)

    def mark(self) -> tuple[tuple[int, ...], ...] | None:
        """The marks of its files, which differ once it was written; None for ``:memory:``.

        Two writings within some milliseconds may leave the same ones.
        """
        if self._path == ":memory:":
            return None
        # The log goes when the last one closes the file.
        return mark_of(Path(self._path)), mark_of(Path(f"{self._path}-wal"))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One atomic change; committed and synced at the end, rolled back on an exception."""
        with self._lock:
            self.ask("BEGIN IMMEDIATE")
            try:
                self._refuse_retired(self._version())
                yield
                self.ask("COMMIT")
            except BaseException:
                self._wipe = False
                if self._connection.in_transaction:
                    self.ask("ROLLBACK")
                raise
            if self._wipe:
                # The log holds old pages until it is checkpointed and truncated.
                self.ask("PRAGMA wal_checkpoint(TRUNCATE)")
                self._wipe = False

    def ask(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows.

        Raises:
            StoreError: SQLite refuses it.
        """
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def one(self, sql: LiteralString, *values: object) -> tuple[Any, ...] | None:
        """Run one statement and return its first row; None when it has none."""
        return next(iter(self.ask(sql, *values)), None)

    def wipe_at_commit(self) -> None:
        """At commit, erase what this transaction deletes or replaces from the log too."""
        self._wipe = True

    def retire(self) -> None:
        """At the commit of this transaction, have every process refuse to change the file."""
        self.ask(f"PRAGMA user_version = {_RETIRED}")

    def check(self) -> None:
        """Raise StoreError when the file is damaged."""
        row = self.one("PRAGMA integrity_check")
        if row is None or row[0] != "ok":
            raise StoreError(f"{self._name} is damaged: {row and row[0]}")

    def snapshot(self) -> bytes:
        """The database as a file's bytes, as this moment sees it, whoever else uses it.

        Raises:
            StoreError: It is damaged, or cannot be read.
        """
        with self._lock, closing(sqlite3.connect(":memory:")) as copy:
            try:
                self._connection.backup(copy)
                (found,) = copy.execute("PRAGMA integrity_check").fetchone()
                data = copy.serialize()
            except sqlite3.Error as error:
                raise self._error(error) from error
        if found != "ok":
            raise StoreError(f"{self._name} is damaged: {found}", remedy=self._remedy)
        return data

    def _refuse_missing(self, path: Path) -> None:
        with suppress(OSError):  # SQLite says what is wrong
            if not path.exists():
                raise self._lost("missing")
            if path.stat().st_size == 0:
                raise self._lost("empty")  # whatever the log beside it holds: SQLite deletes it

    def _lost(self, how: str) -> LostDatabaseError:
        return LostDatabaseError(f"{self._name} {self._path!r} is {how}", remedy=self._remedy)

    def _write_ahead(self) -> None:
        """Switch to the write-ahead log.

        SQLite waits for other locks by itself, but not for this one, which every process needs
        that opens a new file at the same moment.
        """
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.Error as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise self._error(error) from error
                time.sleep(_LOCK_PAUSE_S)

    def _refuse_retired(self, version: int) -> None:
        if version == _RETIRED:
            raise StoreError(
                f"{self._name} {self._path!r} was moved elsewhere", remedy="call the command again"
            )

    def _migrate(self, migrations: Sequence[LiteralString]) -> None:
        if self._version() == len(migrations):
            return  # without a lock: another process may hold it for long
        with self.transaction():
            version = self._version()
            if version > len(migrations):
                raise StoreError(
                    f"{self._name} has schema {version}, this fedseg knows {len(migrations)}",
                    remedy="install the newer fedseg again",
                )
            for script in migrations[version:]:
                for statement in script.split(";"):
                    self.ask(statement)

    def _version(self) -> int:
        (version,) = self.ask("PRAGMA user_version")[0]
        return int(version)

    def _error(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"{self._name} {self._path!r}: {error}", remedy=self._remedy)


def _make(path: Path) -> None:
    """Make an empty file that is closed to others; SQLite would let everybody read it.

    Its logs are made with the mode of the file. A file that is there is not opened: a process that
    closes a file which it opened by itself loses all locks that its SQLite holds on that file
    (POSIX), and others may write where it reads. https://www.sqlite.org/howtocorrupt.html, 2.2.

    Where root makes it, it belongs to whoever has the folder; SQLite does the same with its logs.
    """
    with _MAKING, suppress(OSError):  # SQLite says what is wrong
        os.close(new_for_owner(Path(os.path.realpath(path))))
