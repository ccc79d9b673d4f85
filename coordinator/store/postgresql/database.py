"""The coordinator's database of PostgreSQL: what SQLite guarantees to its users, here too.

A transaction is durable when it returns, and no two go on at a time: each holds a lock of the table
`fedseg_store`, so what it read is true until it ends. Whoever only reads waits for nobody and sees
what is committed. A connection that broke is made again; a change whose commit was not answered is
asked for at the server by its number, so it is neither lost nor made twice.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from typing import Any, Final, LiteralString, TypeVar

import psycopg

from coordinator.store.content import copy, in_memory
from coordinator.store.postgresql.connection import Connection, connect
from coordinator.store.postgresql.dialect import schema_statements, statement
from coordinator.store.postgresql.errors import AWAY, UnreachableStoreError, of_statement
from coordinator.store.postgresql.place import ServerPlace
from coordinator.store.schema import MIGRATIONS
from coordinator.store.store_database import NAME
from machine.database import LostDatabaseError
from protocol.errors import StoreError

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")

#: So long the server is asked for the end of a change whose commit it did not answer: longer than
#: it takes to notice that the connection is gone.
_SETTLE_S: Final = 90.0
_PAUSE_S: Final = 0.2
#: So long after a failed connection no other is tried: callers are told at once.
_REST_S: Final = 1.0
_BEGIN: Final[LiteralString] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
MAKE_HEAD: Final[LiteralString] = (
    "CREATE TABLE fedseg_store (number BIGINT PRIMARY KEY CHECK (number = 1),"
    " version BIGINT NOT NULL, coordinator TEXT NOT NULL, in_use BOOLEAN NOT NULL)"
)


class PostgresDatabase:
    """The database of one coordinator, at the newest schema.

    Args:
        place: Where it is.
        coordinator: Id by which the database knows its coordinator, from the settings.

    Raises:
        LostDatabaseError: It has no state.
        StoreError: It cannot be opened, belongs to another coordinator (E-STORE-OTHER), or was
            written by a newer version.
    """

    def __init__(self, place: ServerPlace, *, coordinator: str) -> None:
        self._place = place
        self._coordinator = coordinator
        self._lock = RLock()
        self._open = True
        self._inside = False
        self._wipe = False
        self._failed_at = -_REST_S
        self._ending: weakref.finalize[..., PostgresDatabase] | None = None
        self._connection = self._connected()
        try:
            version, in_use = self._check_head()
            if version < len(MIGRATIONS) or not in_use:
                with self.transaction():
                    self._take_up()
        except BaseException:
            self._connection.close()
            raise

    @property
    def path(self) -> str:
        """Server and database, for people."""
        return self._place.name

    def mark(self) -> None:
        """Nothing: a server does not tell that it was written."""
        return

    def close(self) -> None:
        """Close the connection, which is not made again."""
        with self._lock:
            self._open = False
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One atomic change; durable at the end, rolled back on an exception.

        Raises:
            UnreachableStoreError: The server is away; nothing was changed.
            StoreError: E-STORE-DOUBT, whether it was changed could not be asked in time.
        """
        with self._lock:
            if self._inside:
                raise StoreError(f"{NAME}: a transaction within a transaction")
            number = self._reconnecting(self._begin)
            self._inside = True
            try:
                yield
                self._commit(number)
            except BaseException:
                self._wipe = False
                with suppress(psycopg.Error):
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._inside = False
            if self._wipe:
                self._wipe = False
                self._vacuum()

    def ask(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; outside a transaction it can only read.

        Raises:
            StoreError: The server refuses it, or is away (UnreachableStoreError).
        """
        with self._lock:
            if self._inside:
                return self._run(sql, *values)
            return self._reconnecting(lambda: self._run(sql, *values))

    def one(self, sql: LiteralString, *values: object) -> tuple[Any, ...] | None:
        """Run one statement and return its first row; None when it has none."""
        return next(iter(self.ask(sql, *values)), None)

    def wipe_at_commit(self) -> None:
        """After the commit, have the server clear what this transaction deletes, as it can."""
        self._wipe = True

    def check(self) -> None:
        """Read everything, by which a server with checksums notices damage; raises StoreError."""
        self.snapshot()

    def snapshot(self) -> bytes:
        """The content as the bytes of a SQLite file, as one moment sees it."""
        with self._lock:
            return self._reconnecting(self._snapshot)

    # --- connections ---------------------------------------------------------------------------

    def _reconnecting(self, action: Callable[[], _Found]) -> _Found:
        """Do what changes nothing yet, once more when the connection turns out to be broken."""
        if not self._connection.closed:
            with suppress(UnreachableStoreError):
                return action()
        self._reconnect()
        return action()

    def _reconnect(self) -> None:
        if not self._open:
            raise StoreError(f"{NAME}: {self.path} was closed")
        if time.monotonic() < self._failed_at + _REST_S:
            raise UnreachableStoreError(f"{self.path} was not reached a moment ago", remedy=AWAY)
        self._connection.close()
        try:
            self._connection = self._connected()
        except StoreError:
            self._failed_at = time.monotonic()
            raise
        self._check_head()

    def _connected(self) -> Connection:
        """A new connection, which ends with this object at the latest."""
        connection = connect(self._place)
        if self._ending is not None:
            self._ending.detach()
        self._ending = weakref.finalize(self, connection.close)
        return connection

    def _run(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        try:
            cursor = self._connection.execute(statement(sql), values)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise of_statement(error, self.path, broken=self._connection.closed) from error

    # --- transactions --------------------------------------------------------------------------

    def _begin(self) -> str:
        """Begin a change alone; the number by which the server knows it."""
        self._run(_BEGIN)
        try:
            self._run("LOCK TABLE fedseg_store IN EXCLUSIVE MODE")
            ((number,),) = self._run("SELECT CAST(pg_current_xact_id() AS TEXT)")
        except BaseException:
            with suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")
            raise
        return str(number)

    def _commit(self, number: str) -> None:
        try:
            ended = self._connection.execute("COMMIT")
        except psycopg.Error as error:
            failure = of_statement(error, self.path, broken=self._connection.closed)
            if not isinstance(failure, UnreachableStoreError):
                raise failure from error
        else:
            if ended.statusmessage != "COMMIT":
                raise StoreError(f"{self.path}: the change was rolled back after an error in it")
            return
        self._settle(number)

    def _settle(self, number: str) -> None:
        """Learn whether a change is kept whose commit was not answered; return if it is."""
        until = time.monotonic() + _SETTLE_S
        while time.monotonic() < until:
            try:
                self._failed_at = -_REST_S
                self._reconnect()
                ((status,),) = self._run(
                    "SELECT pg_xact_status(CAST(CAST(? AS TEXT) AS XID8))", number
                )
            except UnreachableStoreError:
                status = "in progress"
            if status == "committed":
                logger.warning("%s: a change was kept whose end was not heard", self.path)
                return
            if status == "aborted":
                raise UnreachableStoreError(
                    f"{self.path}: the connection is lost, nothing was changed", remedy=AWAY
                )
            if status != "in progress":
                break
            time.sleep(_PAUSE_S)
        raise StoreError(
            f"{self.path}: whether the last change was kept is not known",
            code="E-STORE-DOUBT",
            remedy="look whether it is there before you make it again",
        )

    def _vacuum(self) -> None:
        """Have dead rows of masked inputs cleared; they are gone for readers already."""
        try:
            self._connection.execute("VACUUM inputs")
        except psycopg.Error as error:
            logger.warning("%s: masked inputs are cleared later: %s", self.path, error.sqlstate)

    def _snapshot(self) -> bytes:
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._inside = True
        try:
            with in_memory() as database:
                with database.transaction():
                    copy(self, database)
                return database.snapshot()
        finally:
            self._inside = False
            with suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")

    # --- whose it is, and its schema -----------------------------------------------------------

    def _check_head(self) -> tuple[int, bool]:
        """Schema, and whether it is in use; raises StoreError for what may not be opened."""
        head = head_of(self._connection, self.path)
        if head is None:
            raise LostDatabaseError(
                f"{NAME}: {self.path} has none",
                remedy="see that [store] names the right database and schema; else restore a "
                "backup: fedseg-coordinator state restore",
            )
        version, coordinator, in_use = head
        if coordinator != self._coordinator:
            raise StoreError(
                f"{self.path} has the state of another coordinator",
                code="E-STORE-OTHER",
                remedy="correct [store] in coordinator.toml; a coordinator of its own needs a "
                "database or schema of its own",
            )
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{NAME} has schema {version}, this fedseg knows {len(MIGRATIONS)}",
                remedy="install the newer fedseg again",
            )
        return version, in_use

    def _take_up(self) -> None:
        """Make the schema the newest one, and note that the state is in use."""
        for sql in schema_statements(MIGRATIONS, self._check_head()[0]):
            self._run(sql)
        self._run("UPDATE fedseg_store SET version = ?, in_use = true", len(MIGRATIONS))


def head_of(connection: Connection, name: str) -> tuple[int, str, bool] | None:
    """Version, coordinator and whether it is in use, of the state in the schema; None for none."""
    try:
        if connection.execute("SELECT to_regclass('fedseg_store')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version, coordinator, in_use FROM fedseg_store").fetchone()
    except psycopg.Error as error:
        raise of_statement(error, name, broken=connection.closed) from error
    return None if row is None else (int(row[0]), str(row[1]), bool(row[2]))
