"""SQLite's errors in our words: known by their names alone, never by their text.

SQLite's functions quote the values they fail on. Text is shown only of a query that was compiled
and has read no row; no error of SQLite is chained to our own.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from protocol.errors import SourceError

#: Errors that reading from SQLite may raise; for a text that is not UTF-8 a ValueError.
READ_ERRORS = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error of SQLite, copied from its exception so that the exception can be dropped.

    Attributes:
        name: SQLite's name for it, such as ``SQLITE_BUSY``; empty when it has none.
        text: Its message; may contain customers' values.
    """

    name: str
    text: str

    @staticmethod
    def of(error: Exception) -> Problem:
        """Copy an error."""
        if isinstance(error, UnicodeDecodeError):
            return Problem(name="UTF8", text="")
        return Problem(name=str(getattr(error, "sqlite_errorname", "")), text=str(error))


def explain(problem: Problem, *, path: str, with_query: bool, binding: bool = False) -> SourceError:
    """Translate `problem` into the error to raise.

    Args:
        path: The database's file.
        with_query: Whether a feature query was running.
        binding: Whether the query was only being compiled: no row was read yet.
    """
    name = problem.name
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return SourceError(
            f"{path} is locked by another program",
            code="E-SOURCE-FILE",
            remedy="try again when that program has written its changes",
        )
    if name.startswith(("SQLITE_NOMEM", "SQLITE_FULL")):
        return SourceError(
            f"{path}: reading needs more memory or temporary space than there is",
            code="E-SOURCE-MEMORY",
            remedy="free space in the folder that SQLITE_TMPDIR or TMPDIR names",
        )
    if name == "UTF8":
        return SourceError(
            f"{path}: a customer's id, or another text, is not UTF-8",
            code="E-SOURCE-ENCODING",
            remedy="write texts into the database as UTF-8",
        )
    if name in ("SQLITE_READONLY_ROLLBACK", "SQLITE_READONLY_RECOVERY", "SQLITE_READONLY_CANTINIT"):
        return SourceError(
            f"{path} was left in the midst of a change",
            code="E-SOURCE-FILE",
            remedy="open it once with the program that writes it, which mends it",
        )
    forbidden = problem.text.startswith("not authorized") or "prohibited" in problem.text
    if with_query and (forbidden or name.startswith(("SQLITE_AUTH", "SQLITE_READONLY"))):
        return SourceError(
            "the feature query reaches for something other than the database's tables",
            code="E-SOURCE-SQL",
            remedy="write one SELECT over the database's own tables",
        )
    if with_query and binding and name == "SQLITE_ERROR":
        return SourceError(
            f"the feature query does not fit the data: {' '.join(problem.text.split())}",
            code="E-SOURCE-SQL",
            remedy="correct the query, which is in SQLite's dialect, or the columns that "
            "[data.transactions] names",
        )
    if with_query and name in ("SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_TOOBIG", ""):
        return SourceError(
            "the feature query fails on a value",
            code="E-SOURCE-SQL",
            remedy="leave out with WHERE, or convert with CASE, the values that it fails on",
        )
    return SourceError(
        f"{path} cannot be read ({name or 'sqlite3'})",
        code="E-SOURCE-FILE",
        remedy="check that it is a complete SQLite database that this account may read",
    )
