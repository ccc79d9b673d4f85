"""DuckDB's errors in our words: the place and the way out, never a customer's value.

DuckDB's messages quote the offending line of the file, and functions quote the values they fail on.
They are parsed here, and neither shown nor chained to our own error, so that no value gets into a
log or a traceback. A value may itself look like a part of a message: files and columns found in
one are shown only when we know them, line numbers only where DuckDB itself writes them. Whole
messages are shown only of errors raised before a row is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow

from protocol.errors import SourceError

_LINE: Final = re.compile(r"[A-Z][A-Za-z ]* Error: CSV Error on Line: (\d+)$", re.MULTILINE)
_FILE: Final = re.compile(r"^\s*file = (.+)$", re.MULTILINE)
#: A file that is no whole Parquet file is named in the midst of a sentence.
_NAMED: Final = re.compile(r"file ['\"]([^'\"\n]+)['\"]")
_JSON: Final = re.compile(
    r'Invalid Input Error: (Malformed JSON|JSON transform error) in file "([^"\n]*)", '
    r"(?:at byte \d+ )?in line (\d+): (invalid UTF-8)?"
)
_COUNTS: Final = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_SOURCE_COLUMN: Final = re.compile(r"when casting from source column (.+?)(?=\n|$)")
_CONVERTED: Final = re.compile(r'Error when converting column "([^"\n]*)"')
_SQL_ERRORS: Final = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.SyntaxException,
    duckdb.NotImplementedException,
)

#: Errors that reading from DuckDB may raise.
READ_ERRORS: Final = (duckdb.Error, pyarrow.ArrowException, OSError)
_STREAMED: Final[dict[str, type[duckdb.Error]]] = {
    "Conversion Error": duckdb.ConversionException,
    "Out of Range Error": duckdb.OutOfRangeException,
    "Invalid Input Error": duckdb.InvalidInputException,
    "Out of Memory Error": duckdb.OutOfMemoryException,
    "IO Error": duckdb.IOException,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error of DuckDB, copied from its exception so that the exception can be dropped.

    Attributes:
        kind: The exception's class.
        text: Its message; may contain customers' values.
    """

    kind: type[duckdb.Error]
    text: str

    @staticmethod
    def of(error: Exception) -> Problem:
        """Copy an error of DuckDB, raised by itself or in the middle of an Arrow stream.

        In a stream it is an OSError whose message begins with DuckDB's name of the error.
        """
        text = str(error)
        if isinstance(error, duckdb.Error):
            return Problem(kind=type(error), text=text)
        named = (kind for name, kind in _STREAMED.items() if text.startswith(name))
        return Problem(kind=next(named, duckdb.OperationalError), text=text)


def reads_text_as_number(problem: Problem) -> bool:
    """Whether a CSV file has text in a column that was to be read as numbers."""
    return "Error when converting column" in problem.text


def explain(
    problem: Problem,
    *,
    path: str,
    with_query: bool,
    binding: bool = False,
    files: Collection[str] = (),
    columns: Collection[str] = (),
) -> SourceError:
    """Translate `problem` into the error to raise.

    Args:
        path: The source's path or glob.
        with_query: Whether a feature query was running.
        binding: Whether the query was only being bound to the columns: no row was read yet.
        files: The files that the message may name.
        columns: The columns that the message may name.
    """
    text = problem.text
    where = _known(_FILE, text, files) or _known(_NAMED, text, files) or path
    line = _LINE.match(text)
    if line:
        where += f", line {line.group(1)}"
    if issubclass(problem.kind, duckdb.OutOfMemoryException):
        return SourceError(
            f"{path}: reading needs more memory or temporary space than allowed",
            code="E-SOURCE-MEMORY",
            remedy="raise [data] memory_limit, or free space in [data] temp_folder",
        )
    if with_query and reads_text_as_number(problem):
        # DuckDB pushes a cast of the query down into its CSV reader.
        column = _known(_CONVERTED, text, columns)
        of_column = f" of column {column!r}" if column else ""
        return _failing_value(
            f"{where}: a value{of_column} does not convert as the feature query asks"
        )
    if json := _JSON.match(text):
        return _explain_json(json, path, files)
    if line or "CSV Error" in text or "CSV Parser" in text or "not utf-8" in text:
        return _explain_csv(text, where, n_columns=len(columns))
    if with_query and binding and issubclass(problem.kind, _SQL_ERRORS):
        return SourceError(
            f"the feature query does not fit the data: {' '.join(_head(text).split())}",
            code="E-SOURCE-SQL",
            remedy="correct the query, or the columns that [data.transactions] names; columns of a "
            "CSV file are text: CAST(x AS DOUBLE)",
        )
    if issubclass(problem.kind, duckdb.PermissionException):
        return SourceError(
            "the feature query reaches for something outside the data files",
            code="E-SOURCE-SQL",
            remedy="read from input, or from the database's own tables, only",
        )
    if "Could not set lock on file" in text:
        return SourceError(
            f"{path} is open for writing in another program",
            code="E-SOURCE-FILE",
            remedy="close it there, or let that program export a copy",
        )
    damaged = "Failed to read file" in text or "parquet" in text.casefold()
    if (
        with_query
        and not damaged
        and issubclass(
            problem.kind, duckdb.DataError | duckdb.ProgrammingError | duckdb.NotSupportedError
        )
    ):
        column = _known(_SOURCE_COLUMN, text, columns)
        of_column = f" of column {column!r}" if column else ""
        return _failing_value(
            f"the feature query fails on a value{of_column} ({problem.kind.__name__})"
        )
    return SourceError(
        f"{where} cannot be read ({problem.kind.__name__})",
        code="E-SOURCE-FILE",
        remedy="check that the file is complete and of the kind that node.toml names",
    )


def _known(pattern: re.Pattern[str], text: str, known: Collection[str]) -> str | None:
    """The last match of `pattern` that is one of `known`; anything else may be a value."""
    found = [match.strip() for match in pattern.findall(text)]
    return next((match for match in reversed(found) if match in known), None)


def _failing_value(message: str) -> SourceError:
    return SourceError(
        message,
        code="E-SOURCE-SQL",
        remedy="use TRY_CAST, TRY_STRPTIME or WHERE for values that do not convert",
    )


def _explain_csv(text: str, where: str, *, n_columns: int) -> SourceError:
    if "utf-8" in text.lower():
        return SourceError(
            f"{where} is not UTF-8",
            code="E-SOURCE-ENCODING",
            remedy="save the file as UTF-8, for instance: iconv -f WINDOWS-1252 -t UTF-8",
        )
    counts = _COUNTS.findall(text)
    if counts and int(counts[-1][0]) == n_columns:
        reason = f"{counts[-1][1]} values where the header has {n_columns} columns"
    elif counts:
        reason = "another number of values than the header has columns"
    elif "unterminated quote" in text:
        reason = "a quote is opened and not closed"
    elif "Maximum line size" in text:
        reason = "the line is longer than 2 MB"
    else:
        reason = "not the usual form of CSV (RFC 4180), for instance mixed line ends or quotes"
    return SourceError(
        f"{where}: {reason}",
        code="E-SOURCE-CSV",
        remedy="correct the file, or export it again",
    )


def _explain_json(found: re.Match[str], path: str, files: Collection[str]) -> SourceError:
    kind, file, line, not_utf8 = found.groups()
    # DuckDB's line number includes a line that it cannot parse, but not one that is not an object.
    number = int(line) - (kind == "Malformed JSON")
    reason = "is not UTF-8" if not_utf8 else "is no JSON object, or has a key twice"
    return SourceError(
        f"{file if file in files else path}, line {number}: {reason}",
        code="E-SOURCE-JSON",
        remedy="write one JSON object a line, in UTF-8",
    )


def _head(text: str) -> str:
    return text.split("\n\n", 1)[0].split("\nLINE ", 1)[0]
