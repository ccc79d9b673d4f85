"""MySQL's and MariaDB's errors in our words: known by their numbers, never by their text.

The server quotes values in its messages. Text is shown only of a query that was parsed and has
read no row; no error of the driver is chained to our own. The password is in none.
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Final, Literal

import pymysql

from protocol.errors import SourceError


class RowTooLongError(Exception):
    """A row is longer than any row of customers' features or consents."""


#: Errors that reading may raise, also on bytes that are not from such a server.
READ_ERRORS: Final = (
    RowTooLongError, pymysql.MySQLError, OSError, RuntimeError, ValueError, LookupError, TypeError,
    AttributeError, NameError, ArithmeticError, AssertionError, struct.error,
)  # fmt: skip

#: Error numbers of the driver itself.
_NO_TLS: Final = 2026
_NO_PLUGIN: Final = 2059
_CLOSED: Final = 2006
#: OpenSSL's codes for a certificate with another name or address.
_OTHER_NAME: Final = (62, 64)

_LATE: Final = frozenset({1969, 3024})
_LOST: Final = frozenset({1053, 1080, 1152, 1153, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161,
                          1184, 1317, 1927, 2006, 2013, 2055, 4031})  # fmt: skip
_FULL: Final = frozenset({3, 28, 1021, 1037, 1038, 1041, 1114, 1135, 1206})
_IN_THE_WAY: Final = frozenset({1020, 1205, 1213, 1412, 3572})
_NO_RIGHTS: Final = frozenset({1044, 1142, 1143, 1227, 1345, 1356, 1370})
_WRITES: Final = frozenset({1223, 1290, 1792, 1836})
_NO_SUCH_TABLE: Final = frozenset({1049, 1146})
#: Errors in a query's text alone: names, numbers of columns, grouping, grammar.
_BINDING: Final = frozenset({1049, 1051, 1052, 1054, 1055, 1056, 1060, 1064, 1066, 1109, 1111, 1140,
                             1146, 1149, 1222, 1241, 1247, 1248, 1305, 1318, 1327, 1582, 1583, 1630,
                             1734, 4015, 4016, 4017, 4018, 4019, 4078})  # fmt: skip
#: Warnings that a value was converted to another, after which a query must fail.
GARBLED: Final = frozenset({1260, 1264, 1265, 1292, 1300, 1366, 1411, 1441, 1916, 1918, 3854})

#: Reasons for which the server refuses a connection, by the error's number.
_REFUSED: Final[tuple[tuple[frozenset[int], str, str], ...]] = (
    (
        frozenset({1045, 1698}),
        "the server does not take this user with this password",
        "correct [data] user and the password in password_file or password_env",
    ),
    (
        frozenset({1044, 1049}),
        "the server knows no such database, or this user may not use it",
        "correct [data] database, or GRANT SELECT on its tables to [data] user",
    ),
    (
        frozenset({1129, 1130}),
        "the server does not let this user in from here",
        "ask the server's administrator to let the node's machine in, over TLS",
    ),
    (
        frozenset({1040, 1203, 1226}),
        "the server takes no more connections",
        "try again, or raise its max_connections",
    ),
    (
        frozenset({2006, 2013}),
        "the server ends the connection, or says nothing",
        "see whether it is a server of MySQL or MariaDB that listens at [data] host and port",
    ),
    (
        frozenset({1251, 1275, 1524, _NO_PLUGIN, 2061}),
        "the user signs in by a method that is not supported here",
        "have it identified by caching_sha2_password or mysql_native_password",
    ),
    (
        frozenset({3159, 3118, 4151, 1820, 1862}),
        "the server asks for TLS, or the account is locked or its password has expired",
        'write ssl = "verify-full", or ask the server\'s administrator',
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error of the driver, copied from its exception so that the exception can be dropped.

    Attributes:
        number: The server's or the driver's number; 0 when it has none.
        text: Its message; may contain customers' values.
        cause: The error of the network or TLS.
        too_long: Whether a row was too long.
        late: Whether the time limit was exceeded.
    """

    number: int
    text: str
    cause: OSError | None = None
    too_long: bool = False
    late: bool = False

    @staticmethod
    def of(error: BaseException) -> Problem:
        """Copy an error."""
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if isinstance(error, pymysql.InterfaceError):  # the connection was closed before
            number = _CLOSED
        cause = getattr(error, "original_exception", error)
        return Problem(
            number=number if isinstance(error, pymysql.MySQLError) else 0,
            text=str(error.args[1]) if len(error.args) > 1 else str(error),
            cause=cause if isinstance(cause, OSError) else None,
            too_long=isinstance(error, RowTooLongError),
        )


def no_connection(problem: Problem, *, where: str, with_password: bool) -> SourceError:
    """E-SOURCE-CONNECT for a connection that was not made."""
    what, remedy = _why(problem)
    if problem.number in (1045, 1698) and not with_password:
        what = "the server asks for a password and none is configured"
        remedy = "set [data] password_file (mode 0600) or password_env"
    return SourceError(f"{where}: {what}", code="E-SOURCE-CONNECT", remedy=remedy)


def _why(problem: Problem) -> tuple[str, str]:
    cause = problem.cause
    if isinstance(cause, ssl.SSLCertVerificationError):
        if cause.verify_code in _OTHER_NAME:
            return (
                "the server's certificate is for another name",
                "set [data] host to the name in the certificate",
            )
        return (
            "the server's certificate is not signed by an authority that is trusted here",
            "set [data] root_certificates to the authority of the server's certificate (PEM)",
        )
    if problem.number == _NO_TLS:
        return (
            "the server does not speak TLS",
            "turn on TLS at the server; without it only a server on this machine is read: "
            'ssl = "disable"',
        )
    if isinstance(cause, socket.gaierror):
        return "no machine of that name is known", "correct [data] host"
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there", "check [data] host and port, and the firewall"
    if isinstance(cause, TimeoutError):
        return "nothing answers there", "check [data] host and port, and the firewall"
    if isinstance(cause, FileNotFoundError):
        return (
            "there is no socket of a server",
            "correct [data] host, which names the socket itself, or start the server",
        )
    for numbers, what, remedy in _REFUSED:
        if problem.number in numbers:
            return what, remedy
    if isinstance(cause, ssl.SSLError):
        return "no connection over TLS came about", "look into the server's log for the reason"
    return "the server does not let the node in", "look into the server's log for the reason"


def explain(
    problem: Problem,
    *,
    where: str,
    data: str,
    with_query: bool,
    stage: Literal["own", "binding", "reading"],
) -> SourceError:
    """Translate `problem` into the error to raise.

    Args:
        where: The database in messages.
        data: The table or the query's result in messages.
        with_query: Whether there is a feature query.
        stage: Whether it was a query of our own, the query was only being parsed (no row was
            read yet), or customers were read.
    """
    number = problem.number
    if problem.late or number in _LATE:
        return SourceError(
            f"{where}: reading took longer than allowed",
            code="E-SOURCE-TIMEOUT",
            remedy="raise [data] timeout_s, or make the query faster, for instance by an index",
        )
    if problem.too_long:
        return SourceError(
            f"{data} has a row that is longer than 16 MB",
            code="E-SOURCE-TYPE",
            remedy="leave long texts out of what is read, in a view or a feature query",
        )
    if number in _LOST or problem.cause is not None:
        return SourceError(
            f"{where}: the connection was lost while the data was read",
            code="E-SOURCE-CONNECT",
            remedy="see whether the server runs, and try again",
        )
    if number in _FULL:
        return SourceError(
            f"{where}: the server has not enough memory or disk space for this",
            code="E-SOURCE-MEMORY",
            remedy="free space at the server, or read fewer rows",
        )
    if number in _IN_THE_WAY:
        return SourceError(
            f"{where}: other work at the server was in the way",
            code="E-SOURCE-CONNECT",
            remedy="try again",
        )
    if number in _NO_RIGHTS:
        return SourceError(
            f"{where}: the account may not read {data}",
            code="E-SOURCE-RIGHTS",
            remedy="GRANT SELECT on the tables to [data] user, and EXECUTE on functions",
        )
    if number in _WRITES:
        return SourceError(
            "the feature query writes, and may only read"
            if with_query
            else f"{data} writes when it is read",
            code="E-SOURCE-SQL",
            remedy="write one SELECT over the database's own tables",
        )
    if with_query and stage == "binding":
        # While planning, the server may compute constant expressions, and quotes them in errors.
        reason = " ".join(problem.text.split()) if number in _BINDING else f"error {number}"
        return SourceError(
            f"the feature query does not fit the data: {reason}",
            code="E-SOURCE-SQL",
            remedy="correct the query, which is in MySQL's dialect, or the columns that "
            "[data.transactions] names",
        )
    if number in _NO_SUCH_TABLE and not with_query:
        return SourceError(
            f"{where} has no such table",
            code="E-SOURCE-MISSING",
            remedy="correct [data] table",
        )
    if with_query and stage == "reading":
        return SourceError(
            "the feature query fails on a value" + (f" (error {number})" if number else ""),
            code="E-SOURCE-SQL",
            remedy="leave out with WHERE, or convert with CASE, the values that it fails on",
        )
    if stage == "reading" and number:
        return SourceError(
            f"{data} fails on a value (error {number})",
            code="E-SOURCE-TYPE",
            remedy="leave out such rows in a feature query, or mend the view",
        )
    if number:
        return SourceError(
            f"{where}: {data} cannot be read (error {number})",
            code="E-SOURCE-DATABASE",
            remedy="look the number up in the server's documentation",
        )
    return SourceError(
        f"{where} does not answer as a server of MySQL or MariaDB does",
        code="E-SOURCE-DATABASE",
        remedy="see what listens at [data] host and port",
    )


def garbled(numbers: frozenset[int], *, data: str, with_query: bool) -> SourceError:
    """The error for values that the server converted to others with a warning."""
    told = ", ".join(map(str, sorted(numbers)))
    return SourceError(
        f"{'the feature query' if with_query else data} does not convert a value: the server "
        f"went on with another, and warned of it (warning {told})",
        code="E-SOURCE-SQL" if with_query else "E-SOURCE-TYPE",
        remedy="convert with CASE only what is written as it should be, and leave out the rest",
    )
