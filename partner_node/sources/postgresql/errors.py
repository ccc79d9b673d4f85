"""PostgreSQL's errors in our words: known by their codes, never by their text.

The server quotes values in its messages, in whatever language it speaks. Text is shown only of a
query that was parsed and has read no row; no error of the driver is chained to our own. Errors of
connecting are distinguished by the client library's English messages; the password is in none, and
none is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import adbc_driver_manager
import pyarrow

from protocol.errors import SourceError

#: Errors that the driver may raise; in the middle of a stream an OSError.
READ_ERRORS: Final = (adbc_driver_manager.Error, pyarrow.ArrowException, OSError)

_PARSED: Final = re.compile(r"Failed to prepare query: [^:]+:\s+(.+?)\n", re.DOTALL)
_PREPARED: Final = re.compile(r"\[libpq\][^:]*: [^:]+:\s+(.+?)\n", re.DOTALL)

#: Messages of the client library when it cannot connect, and their meaning.
_NO_CONNECTION: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "password authentication failed",
        "the server does not take this user with this password",
        "correct [data] user and the password in password_file or password_env",
    ),
    (
        "no password supplied",
        "the server asks for a password and none is configured",
        "set [data] password_file (mode 0600) or password_env",
    ),
    (
        "certificate verify failed",
        "the server's certificate is not signed by an authority that is trusted here",
        "set [data] root_certificates to the authority of the server's certificate (PEM)",
    ),
    (
        "does not match host name",
        "the server's certificate is for another name",
        "set [data] host to the name in the certificate",
    ),
    (
        "server does not support SSL",
        "the server does not speak TLS",
        'turn on TLS at the server; without it only a server on this machine is read: ssl = '
        '"disable"',
    ),
    (
        "root certificate file",
        "the file with the authority's certificate cannot be read",
        "correct [data] root_certificates",
    ),
    (
        "could not translate host name",
        "no machine of that name is known",
        "correct [data] host",
    ),
    ("Connection refused", "nothing listens there", "check [data] host and port, and the firewall"),
    ("timeout expired", "nothing answers there", "check [data] host and port, and the firewall"),
    (
        "No such file or directory",
        "there is no socket of a server in that folder",
        "correct [data] host and port, or start the server",
    ),
    (
        "does not exist",
        "the server knows no such database or user",
        "correct [data] database and user",
    ),
    (
        "pg_hba.conf",
        "the server does not let this user in from here",
        "ask the server's administrator to let the node's machine in, over TLS",
    ),
    (
        "too many connections",
        "the server takes no more connections",
        "try again, or raise its max_connections",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error of the driver, copied from its exception so that the exception can be dropped.

    Attributes:
        state: The server's code (SQLSTATE); empty in the middle of a stream.
        text: Its message; may contain customers' values.
        lost: Whether the connection is gone.
        late: Whether the time limit was exceeded.
    """

    state: str
    text: str
    lost: bool = False
    late: bool = False

    @staticmethod
    def of(error: Exception) -> Problem:
        """Copy an error."""
        return Problem(state=str(getattr(error, "sqlstate", None) or ""), text=str(error))


def no_connection(problem: Problem, *, where: str) -> SourceError:
    """E-SOURCE-CONNECT for a connection that was not made."""
    found = ((what, remedy) for words, what, remedy in _NO_CONNECTION if words in problem.text)
    what, remedy = next(
        found,
        ("the server does not let the node in", "look into the server's log for the reason"),
    )
    return SourceError(f"{where}: {what}", code="E-SOURCE-CONNECT", remedy=remedy)


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
    state = problem.state
    if problem.late or state == "57014":
        return SourceError(
            f"{where}: reading took longer than allowed",
            code="E-SOURCE-TIMEOUT",
            remedy="raise [data] timeout_s, or make the query faster, for instance by an index or "
            "a materialized view",
        )
    if problem.lost or state.startswith(("08", "57P")):
        return SourceError(
            f"{where}: the connection was lost while the data was read",
            code="E-SOURCE-CONNECT",
            remedy="see whether the server runs, and try again",
        )
    if state.startswith("53"):
        return SourceError(
            f"{where}: the server has not enough memory or disk space for this",
            code="E-SOURCE-MEMORY",
            remedy="free space at the server, or read fewer rows",
        )
    if state.startswith(("40", "55")):
        return SourceError(
            f"{where}: other work at the server was in the way",
            code="E-SOURCE-CONNECT",
            remedy="try again; at a replica, raise max_standby_streaming_delay",
        )
    if state == "42501":
        return SourceError(
            f"{where}: the account may not read {data}",
            code="E-SOURCE-RIGHTS",
            remedy="GRANT SELECT on the tables, and USAGE on their schema, to [data] user",
        )
    # In the middle of a stream there is no code; an English server's message is parsed instead.
    if state == "25006" or (not state and "in a read-only transaction" in problem.text):
        return SourceError(
            "the feature query writes, and may only read"
            if with_query
            else f"{data} writes when it is read",
            code="E-SOURCE-SQL",
            remedy="write one SELECT over the database's own tables",
        )
    if with_query and stage == "binding":
        said = _PARSED.search(problem.text) or _PREPARED.search(problem.text)
        reason = " ".join(said.group(1).split()) if said else f"SQLSTATE {state}"
        return SourceError(
            f"the feature query does not fit the data: {reason}",
            code="E-SOURCE-SQL",
            remedy="correct the query, which is in PostgreSQL's dialect, or the columns that "
            "[data.transactions] names",
        )
    if with_query and stage == "reading":
        return SourceError(
            "the feature query fails on a value" + (f" (SQLSTATE {state})" if state else ""),
            code="E-SOURCE-SQL",
            remedy="leave out with WHERE, or convert with CASE, the values that it fails on",
        )
    if stage == "reading" and (state.startswith("22") or not state):
        return SourceError(
            f"{data}: a value cannot be read as a number of 64 bits, or the view fails on one",
            code="E-SOURCE-TYPE",
            remedy="leave out such rows in a feature query, or mend the view",
        )
    return SourceError(
        f"{where}: {data} cannot be read (SQLSTATE {state or 'unknown'})",
        code="E-SOURCE-DATABASE",
        remedy="look the code up in PostgreSQL's documentation, appendix A",
    )
