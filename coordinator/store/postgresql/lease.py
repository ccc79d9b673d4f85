"""That one process alone serves a coordinator's database, on whichever machine."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Final

import psycopg

from coordinator.store.postgresql.connection import LOCKS, Connection, connect
from coordinator.store.postgresql.errors import of_statement
from coordinator.store.postgresql.place import ServerPlace
from protocol.errors import StoreError

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 2.0
_PAUSE_S: Final = 0.1
_KEY: Final = "CAST(CAST('fedseg_store' AS regclass) AS oid)::int"


class Lease:
    """An advisory lock of the server, held by a connection of its own.

    Args:
        place: Where the database is, which has a state.
    """

    def __init__(self, place: ServerPlace) -> None:
        self._place = place
        self._connection: Connection | None = None
        self._looked_at = 0.0

    def hold(self, *, wait_s: float = 0.0) -> None:
        """Take the lock, or see that it is still ours; asked for often, it looks now and then.

        The server frees it when our connection ends, so it is taken anew after every break.

        Args:
            wait_s: How long to try; the server may notice the end of another process late.

        Raises:
            UnreachableStoreError: The server is away.
            StoreError: Another process has it (E-STORE-IN-USE).
        """
        if self._connection is not None and time.monotonic() < self._looked_at + _LOOK_EVERY_S:
            return
        if self._connection is not None and self._is_alive(self._connection):
            return
        until = time.monotonic() + wait_s
        while not self._take():
            if time.monotonic() >= until:
                raise StoreError(
                    f"another process serves the coordinator of {self._place.name} already",
                    code="E-STORE-IN-USE",
                    remedy="stop it first: one database is one coordinator; pg_stat_activity of "
                    "the server says from where it is connected",
                )
            time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Give it up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_alive(self, connection: Connection) -> bool:
        with suppress(psycopg.Error):
            connection.execute("SELECT 1")
            self._looked_at = time.monotonic()
            return True
        logger.warning("the lock of %s is lost with its connection", self._place.name)
        self.close()
        return False

    def _take(self) -> bool:
        connection = connect(self._place)
        try:
            row = connection.execute(
                f"SELECT pg_try_advisory_lock(%s, {_KEY})", (LOCKS,)
            ).fetchone()
        except psycopg.Error as error:
            connection.close()
            raise of_statement(error, self._place.name, broken=True) from error
        if row != (True,):
            connection.close()
            return False
        self._connection, self._looked_at = connection, time.monotonic()
        return True
