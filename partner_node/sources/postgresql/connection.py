"""A connection to PostgreSQL in a read-only transaction, over ADBC.

Rows come as Arrow batches from the server's COPY, a few hundred kilobytes at a time. Every setting
of the server that could change the result is set for the transaction itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any, Final, Literal, Protocol

import adbc_driver_manager.dbapi
import adbc_driver_postgresql.dbapi
from adbc_driver_postgresql import StatementOptions

from partner_node.sources.dialect import literal
from partner_node.sources.postgresql.errors import READ_ERRORS, Problem, no_connection
from partner_node.sources.servers import VERIFYING, Server, is_socket
from protocol.errors import SourceError

_CONNECT_TIMEOUT_S: Final = 10
_BATCH_BYTES: Final = 1 << 20
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
#: One order of rows, one core, and the same meaning of every literal at every server.
_SETTINGS: Final[dict[str, str]] = {
    "standard_conforming_strings": "on",
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
}


class Explain(Protocol):
    """Translates an error of the driver; see `errors.explain`."""

    def __call__(
        self, problem: Problem, *, stage: Literal["own", "binding", "reading"]
    ) -> SourceError: ...


class Transaction:
    """One read-only transaction. Its errors are translated, and never chained to the driver's."""

    def __init__(
        self,
        connection: adbc_driver_manager.dbapi.Connection,
        server: Server,
        explain: Explain,
    ) -> None:
        self._connection = connection
        self._server = server
        self._explain = explain

    def begin(self, settings: Mapping[str, str]) -> None:
        """Begin the transaction, with `settings` besides our own."""
        problem = self._run(_BEGIN)
        if problem is not None:
            raise self._explain(problem, stage="own")
        known = {**_SETTINGS, "statement_timeout": f"{self._server.timeout_s}s", **settings}
        self.ask_server(
            "SELECT "
            + ", ".join(
                f"set_config({literal(name)}, {literal(value)}, true)"
                for name, value in known.items()
            )
        )

    def columns(self, sql: str) -> list[tuple[str, str]]:
        """Name and type of each column of a query's result; the query is parsed and not run."""
        with closing(self._connection.cursor()) as cursor:
            try:
                schema = cursor.adbc_execute_schema(sql)
                return [(f.name, _type_of(f)) for f in schema]
            except READ_ERRORS as error:
                problem = Problem.of(error)
        raise self._explain(replace(problem, lost=not problem.state), stage="binding")

    def ask_server(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query of our own, which reads no customers."""
        return _rows(self._batches(sql, stage="own"))

    def row(self, sql: str) -> tuple[Any, ...]:
        """The single row of an aggregate over the customers."""
        return _rows(self._batches(sql, stage="reading"))[0]

    def batches(self, sql: str) -> Generator[Any, None, None]:
        """The Arrow batches of a query over the customers, as they come."""
        return self._batches(sql, stage="reading")

    def _batches(self, sql: str, *, stage: Literal["own", "reading"]) -> Generator[Any, None, None]:
        since = time.monotonic()
        problem: Problem | None = None
        with closing(self._connection.cursor()) as cursor:
            try:
                cursor.adbc_statement.set_options(
                    **{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)}
                )
                cursor.execute(sql)
                reader = cursor.fetch_record_batch()
            except READ_ERRORS as error:
                problem = Problem.of(error)
            while problem is None:
                try:
                    batch = next(reader)
                except StopIteration:
                    return
                except READ_ERRORS as error:
                    problem = Problem.of(error)
                else:
                    yield batch
        late = time.monotonic() - since >= self._server.timeout_s
        lost = not late and self._run("ROLLBACK") is not None
        raise self._explain(replace(problem, late=late, lost=lost), stage=stage)

    def _run(self, sql: str) -> Problem | None:
        """Run a statement without a result; returns its error, if any."""
        with closing(self._connection.cursor()) as cursor:
            try:
                cursor.execute(sql)
            except READ_ERRORS as error:
                problem = Problem.of(error)
                return replace(problem, lost=not problem.state)
        return None


@contextmanager
def connected(server: Server, explain: Explain) -> Iterator[Transaction]:
    """Yield a connection, always closed at the end; its transaction has not begun.

    Raises:
        SourceError: E-SOURCE-CONNECT, or E-SOURCE-PASSWORD when the password cannot be read.
    """
    address = _address(server, os.environ)
    problem: Problem | None = None
    connection: adbc_driver_manager.dbapi.Connection | None = None
    try:
        connection = adbc_driver_postgresql.dbapi.connect(address, autocommit=True)
    except READ_ERRORS as error:
        problem = Problem.of(error)
    if connection is None:
        raise no_connection(problem or Problem(state="", text=""), where=server.name)
    try:
        yield Transaction(connection, server, explain)
    finally:
        with suppress(*READ_ERRORS):
            connection.close()


def _address(server: Server, environment: Mapping[str, str]) -> str:
    """The connection string of the client library. Contains the password: never shown or logged."""
    words = {
        "host": server.host,
        "port": str(server.port),
        "dbname": server.database,
        "user": server.user,
        "application_name": "fedseg-node",
        "connect_timeout": str(_CONNECT_TIMEOUT_S),
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "gssencmode": "disable",
    }
    password = server.password(environment)
    if password:
        words["password"] = password
    if not is_socket(server.host):
        words["sslmode"] = server.ssl
        if server.ssl in VERIFYING:
            words["sslrootcert"] = str(server.authorities())
    return " ".join(f"{name}={_quoted(value)}" for name, value in words.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _rows(batches: Iterator[Any]) -> list[tuple[Any, ...]]:
    return [
        row
        for batch in batches
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    ]


def _type_of(field: Any) -> str:
    """The server's own name of a column's type."""
    found = (field.metadata or {}).get(b"POSTGRESQL:type", str(field.type).encode())
    return bytes(found).decode("utf-8", "replace")
