"""Connections to the coordinator's database of PostgreSQL, as every session of it has to be."""

from __future__ import annotations

from typing import Any, Final, LiteralString

import psycopg
from psycopg import conninfo

from coordinator.store.postgresql.errors import of_connecting
from coordinator.store.postgresql.place import ServerPlace
from protocol.errors import StoreError

Connection = psycopg.Connection[tuple[Any, ...]]

#: Since this version a server says of a transaction whose end was not heard whether it is kept.
_OLDEST: Final = 130_000
#: The class of our advisory locks; the other half of their key is a table's number.
LOCKS: Final = 0x0FED5E6
#: Nothing but what a transaction asks may change anything; a commit is on the server's disk when it
#: returns, whatever the account's or the database's settings say; nobody waits without end, and a
#: process whose machine vanished holds nothing for long. Names are those of one schema alone.
_SESSION: Final[LiteralString] = """
    SET default_transaction_read_only = on;
    SET default_transaction_isolation = 'read committed';
    SET lock_timeout = '60s';
    SET statement_timeout = '600s';
    SET idle_in_transaction_session_timeout = '60s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') IN ('off', 'local');
    SELECT set_config('search_path', quote_ident(current_schema()), false)
        WHERE current_schema() IS NOT NULL
"""


def connect(place: ServerPlace) -> Connection:
    """A new connection, which commits each statement that is outside a transaction.

    Raises:
        StoreError: The server is not reached (UnreachableStoreError), refuses the account, is too
            old, or has texts in another encoding.
    """
    try:
        connection = psycopg.connect(
            conninfo.make_conninfo(place.url, **place.parameters()),
            autocommit=True,
            prepare_threshold=None,  # statements of a session would not pass every pooler
        )
    except psycopg.Error as error:
        raise of_connecting(error, place.name) from error
    try:
        if connection.info.server_version < _OLDEST:
            raise StoreError(
                f"{place.name} is of version {connection.info.server_version // 10_000}",
                code="E-STORE-SERVER",
                remedy="PostgreSQL 13 or later is needed",
            )
        if connection.info.parameter_status("server_encoding") != "UTF8":
            raise StoreError(
                f"{place.name} has texts in another encoding than UTF-8",
                code="E-STORE-SERVER",
                remedy="make the database with ENCODING 'UTF8'",
            )
        connection.execute(_SESSION)
    except psycopg.Error as error:
        connection.close()
        raise of_connecting(error, place.name) from error
    except BaseException:
        connection.close()
        raise
    return connection
