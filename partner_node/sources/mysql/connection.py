"""A connection to MySQL or MariaDB in a read-only transaction, over PyMySQL.

Rows are streamed, and never more of them are held than requested. Every setting of the server or
the account that could change the session's behaviour is set for the session itself.
"""

# Only names of settings and relations made from `quoted` go into SQL:
# ruff: noqa: S608

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CR, FIELD_TYPE
from pymysql.cursors import SSCursor

from partner_node.sources.dialect import literal
from partner_node.sources.mysql.errors import (
    GARBLED,
    READ_ERRORS,
    Problem,
    RowTooLongError,
    no_connection,
)
from partner_node.sources.servers import VERIFYING, Server, is_socket
from protocol.errors import SourceError

Row = tuple[Any, ...]
Stage = Literal["own", "binding", "reading"]

_CONNECT_TIMEOUT_S: Final = 10
#: Extra wait for a server that does not end a query by itself at its time limit.
_GRACE_S: Final = 5
#: Longest wait for a lock on a table.
_LOCK_WAIT_S: Final = 30
#: Bytes of rows that are held at once, unless a single row has more.
_BATCH_BYTES: Final = 16 << 20
#: A packet of this length is continued in the next one.
_LONGEST_PACKET: Final = (1 << 24) - 1
#: Most rows in the result of a query of our own.
_OWN_ROWS: Final = 100_000
#: The oldest supported versions, by whether it is MariaDB.
_OLDEST: Final = {False: (8, 0, 17), True: (10, 5, 0)}
#: The same everywhere: names in double quotes, literal backslashes, no dates of zeros.
_SQL_MODE: Final = (
    "ANSI_QUOTES,ERROR_FOR_DIVISION_BY_ZERO,NO_BACKSLASH_ESCAPES,NO_ENGINE_SUBSTITUTION,"
    "NO_ZERO_DATE,NO_ZERO_IN_DATE,ONLY_FULL_GROUP_BY,PIPES_AS_CONCAT,STRICT_ALL_TABLES,"
    "STRICT_TRANS_TABLES"
)
_BEGIN: Final = (
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
#: Authentication methods that send the password itself, or nearly.
_OPEN_SIGN_INS: Final = ("mysql_clear_password", "dialog", "mysql_old_password")
_BINARY: Final = 63
_ENUM: Final = 0x100
_SET: Final = 0x800
_TYPES: Final[dict[int, str]] = {
    FIELD_TYPE.TINY: "tinyint",
    FIELD_TYPE.SHORT: "smallint",
    FIELD_TYPE.INT24: "mediumint",
    FIELD_TYPE.LONG: "int",
    FIELD_TYPE.LONGLONG: "bigint",
    FIELD_TYPE.FLOAT: "float",
    FIELD_TYPE.DOUBLE: "double",
    FIELD_TYPE.DECIMAL: "decimal",
    FIELD_TYPE.NEWDECIMAL: "decimal",
    FIELD_TYPE.TIMESTAMP: "timestamp",
    FIELD_TYPE.DATE: "date",
    FIELD_TYPE.NEWDATE: "date",
    FIELD_TYPE.TIME: "time",
    FIELD_TYPE.DATETIME: "datetime",
    FIELD_TYPE.YEAR: "year",
    FIELD_TYPE.BIT: "bit",
    FIELD_TYPE.JSON: "json",
    FIELD_TYPE.GEOMETRY: "geometry",
    FIELD_TYPE.NULL: "null",
}
#: Names of text types: as text, and as bytes.
_TEXTS: Final[dict[int, tuple[str, str]]] = {
    FIELD_TYPE.STRING: ("char", "binary"),
    FIELD_TYPE.VARCHAR: ("varchar", "varbinary"),
    FIELD_TYPE.VAR_STRING: ("varchar", "varbinary"),
    FIELD_TYPE.TINY_BLOB: ("text", "blob"),
    FIELD_TYPE.MEDIUM_BLOB: ("text", "blob"),
    FIELD_TYPE.LONG_BLOB: ("text", "blob"),
    FIELD_TYPE.BLOB: ("text", "blob"),
}


class Explain(Protocol):
    """Translates an error of the driver; see `errors.explain`."""

    def __call__(self, problem: Problem, *, stage: Stage) -> SourceError: ...


if TYPE_CHECKING:
    _Driver = Connection[SSCursor]
else:
    _Driver = Connection


class _Connection(_Driver):
    """The driver's connection, which refuses rows that continue in a second packet."""

    _read_timeout: float | None

    def wait(self, seconds: float) -> None:
        """Set the longest wait for the server's next bytes."""
        self._read_timeout = seconds

    def _read_bytes(self, num_bytes: int) -> bytes:
        if num_bytes >= _LONGEST_PACKET:
            raise RowTooLongError
        return bytes(super()._read_bytes(num_bytes))  # type: ignore[misc]  # not in its stubs


class _SignsInOpenly:
    """Replaces an authentication method that would send the password itself: refuses it."""

    def __init__(self, connection: Connection[Any]) -> None:
        pass

    def authenticate(self, packet: object) -> None:
        """Refuse; raises OperationalError."""
        raise pymysql.OperationalError(CR.CR_AUTH_PLUGIN_CANNOT_LOAD, "not taken")


class Transaction:
    """One read-only transaction. Its errors are translated, and never chained to the driver's."""

    def __init__(self, connection: _Connection, server: Server, explain: Explain) -> None:
        self._connection = connection
        self._server = server
        self._explain = explain

    def begin(self) -> None:
        """Begin it; raises SourceError."""
        maria = self._check_version()
        timeout = self._server.timeout_s
        settings = {
            "sql_mode": literal(_SQL_MODE),
            "time_zone": "'+00:00'",
            "lc_time_names": "'en_US'",
            "sql_select_limit": "18446744073709551615",
            "sql_big_selects": "1",
            "sql_auto_is_null": "0",
            "max_error_count": "64",
            "lock_wait_timeout": str(_LOCK_WAIT_S),
            "net_write_timeout": str(timeout),
        }
        if maria:
            settings["max_statement_time"] = str(timeout)
        else:
            settings["max_execution_time"] = str(timeout * 1000)
        told = ", ".join(f"SESSION {name} = {value}" for name, value in settings.items())
        for sql in (f"SET {told}", *_BEGIN):
            self.ask_server(sql)

    def columns(self, relation: str) -> list[tuple[str, str]]:
        """Name and type of each column of a relation; reads no row."""
        since = time.monotonic()
        problem: Problem | None = None
        with closing(_Reading(self._connection)) as reading:
            try:
                reading.begin(f"SELECT * FROM {relation} LIMIT 0")
                found = reading.columns()
                reading.some(1)
            except READ_ERRORS as error:
                problem = Problem.of(error)
            if problem is None:
                return found
        raise self._explain(replace(problem, late=self._is_late(since)), stage="binding")

    def ask_server(self, sql: str) -> list[Row]:
        """The rows of a query of our own, which reads no customers; texts are bytes."""
        with closing(self._read(sql, _OWN_ROWS, stage="own")) as batches:
            return list(islice((row for rows in batches for row in rows), _OWN_ROWS))

    def row(self, sql: str) -> Row:
        """The single row of an aggregate over the customers, of whole numbers."""
        with closing(self._read(sql, 1, stage="reading")) as batches:
            rows = [row for found in batches for row in found]
        try:
            (row,) = rows
            return tuple(None if value is None else int(value) for value in row)
        except ValueError:
            pass  # its message quotes the value
        raise self._explain(Problem(number=0, text=""), stage="own")

    def rows(self, sql: str, max_rows: int) -> Generator[list[Row], None, None]:
        """The rows of a query over the customers as they come, texts and numbers as bytes.

        Closing it before its end closes the connection: the server would send all other rows.
        """
        return self._read(sql, max_rows, stage="reading")

    def warnings(self) -> frozenset[int]:
        """Numbers of warnings that values of the last query were converted to others."""
        found = self.ask_server("SHOW WARNINGS")
        return frozenset(int(number) for _, number, _ in found) & GARBLED

    def _read(self, sql: str, max_rows: int, *, stage: Stage) -> Generator[list[Row], None, None]:
        since = time.monotonic()
        problem: Problem | None = None
        with closing(_Reading(self._connection)) as reading:
            try:
                reading.begin(sql)
            except READ_ERRORS as error:
                problem = Problem.of(error)
            while problem is None:
                try:
                    found = reading.some(max_rows)
                except READ_ERRORS as error:
                    problem = Problem.of(error)
                else:
                    if not found:
                        return
                    yield found
                    if self._is_late(since):
                        problem = Problem(number=0, text="")
        raise self._explain(replace(problem, late=self._is_late(since)), stage=stage)

    def _is_late(self, since: float) -> bool:
        return time.monotonic() - since >= self._server.timeout_s

    def _check_version(self) -> bool:
        """Whether it is MariaDB; raises SourceError where it is too old."""
        ((version,),) = self.ask_server("SELECT CAST(version() AS CHAR)")
        said = bytes(version).decode("utf-8", "replace")
        maria = "mariadb" in said.casefold()
        numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", said)
        if numbers is None or tuple(map(int, numbers.groups())) < _OLDEST[maria]:
            raise SourceError(
                f"{self._server.name} is of version {said[:40]!r}",
                code="E-SOURCE-DATABASE",
                remedy="MySQL 8.0.17 or MariaDB 10.5 is needed, or newer; let an older one export "
                "CSV",
            )
        return maria


class _Reading:
    """One query whose rows are streamed.

    The driver would read all remaining rows, however many, before the connection is used again or
    discarded: so the connection is closed instead. That needs names internal to the driver, used
    here and nowhere else; its version is pinned.
    """

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._cursor: Any = connection.cursor(SSCursor)

    def begin(self, sql: str) -> None:
        """Start the query; raises `READ_ERRORS`."""
        self._cursor.execute(sql)

    def columns(self) -> list[tuple[str, str]]:
        """Name and type of each column."""
        return [(field.name, _type_of(field)) for field in self._cursor._result.fields]

    def some(self, max_rows: int) -> list[Row]:
        """The next rows, at least one if there is one; raises `READ_ERRORS`."""
        if self._cursor.description is None:
            return []
        found: list[Row] = []
        n_bytes = 0
        while len(found) < max_rows and n_bytes < _BATCH_BYTES:
            row = self._cursor.fetchone()
            if row is None:
                if self._cursor._result.has_next:  # one query has one result
                    raise pymysql.InternalError(0, "")
                break
            found.append(row)
            n_bytes += sum(len(value) for value in row if value is not None)
        return found

    def close(self) -> None:
        """End the query, whether or not all rows were read."""
        result, self._cursor._result = self._cursor._result, None
        if result is not None and result.unbuffered_active:
            result.unbuffered_active = False
            with suppress(pymysql.Error):
                self._connection.close()
        self._cursor.connection = None


@contextmanager
def connected(server: Server, explain: Explain) -> Iterator[Transaction]:
    """Yield a connection, always closed at the end; its transaction has not begun.

    Raises:
        SourceError: E-SOURCE-CONNECT, or E-SOURCE-PASSWORD when the password cannot be read.
    """
    password = server.password(os.environ)
    tls = _tls(server)
    problem: Problem | None = None
    connection: _Connection | None = None
    try:
        connection = _Connection(
            host=server.host,  # the name that a certificate must have
            port=server.port,
            user=server.user,
            password=password.encode("utf-8"),
            database=server.database,
            charset="utf8mb4",
            use_unicode=False,
            conv={},
            autocommit=None,
            local_infile=False,
            defer_connect=True,
            read_timeout=_CONNECT_TIMEOUT_S,
            write_timeout=_CONNECT_TIMEOUT_S,
            program_name="fedseg-node",
            auth_plugin_map=dict.fromkeys(_OPEN_SIGN_INS, _SignsInOpenly),
            ssl=tls,
            ssl_disabled=tls is None,
        )
        connection.connect(_line_to(server))
    except READ_ERRORS as error:
        problem = Problem.of(error)
    if connection is None or problem is not None:
        raise no_connection(
            problem or Problem(number=0, text=""),
            where=server.name,
            with_password=bool(password),
        )
    connection.wait(server.timeout_s + _GRACE_S)
    try:
        yield Transaction(connection, server, explain)
    finally:
        with suppress(pymysql.Error):  # closed already
            connection.close()


def _line_to(server: Server) -> socket.socket:
    """An open line to the server, which says nothing yet; raises OSError."""
    if is_socket(server.host):
        line = socket.socket(socket.AF_UNIX)
        try:
            line.settimeout(_CONNECT_TIMEOUT_S)
            line.connect(server.host)
        except OSError:
            line.close()
            raise
        return line
    line = socket.create_connection((server.host, server.port), _CONNECT_TIMEOUT_S)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return line


def _tls(server: Server) -> ssl.SSLContext | None:
    """The TLS settings; None where the connection cannot leave this machine.

    Raises:
        SourceError: E-SOURCE-CONNECT, the authority's certificate cannot be read.
    """
    if is_socket(server.host) or server.ssl == "disable":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = server.ssl == "verify-full"
    if server.ssl not in VERIFYING:
        context.verify_mode = ssl.CERT_NONE
        return context
    file = server.authorities()
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:  # also if it is not a certificate
        raise SourceError(
            f"{server.name}: the file with the authority's certificate cannot be read",
            code="E-SOURCE-CONNECT",
            remedy="correct [data] root_certificates",
        ) from error
    return context


def _type_of(field: Any) -> str:
    """The server's own name of a column's type, in lower case."""
    if field.type_code in _TEXTS:
        as_text, as_bytes = _TEXTS[field.type_code]
        if field.flags & _ENUM:
            return "enum"
        if field.flags & _SET:
            return "set"
        if field.charsetnr == _BINARY:
            return as_bytes if field.length else "null"
        return as_text
    return _TYPES.get(field.type_code, f"type {field.type_code}")
