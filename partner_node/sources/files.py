"""Finding the files of a source and reading a CSV file's header, before DuckDB sees them."""

from __future__ import annotations

import codecs
import csv
import errno
import glob
import gzip
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from partner_node.sources.data_file import DataFile
from partner_node.sources.row_rules import refuse_duplicate_names
from protocol.errors import SourceError

MAX_FILES: Final = 10_000
#: The section of node.toml that names the customers' files.
DATA_SECTION: Final = "[data]"
#: A CSV header must end within this many bytes.
MAX_HEADER_BYTES: Final = 1 << 20

#: A number, a date or an e-mail address: not the name of a column.
_VALUE: Final = re.compile(r"\s*[-+]?[\d.,:/ -]*\d[\d.,:/ TZ-]*\s*|[^@\s]+@[^@\s]+\.[^@\s]+")
#: A first line that tells a spreadsheet which character stands between values.
_EXCEL_LINE: Final = re.compile(r'"?sep=(.)"?(?=\r?\n|$)', re.IGNORECASE)
_GLOB_CHARACTERS: Final = "*?["
_FOREIGN_BOMS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def find_files(
    pattern: str, *, folder: tuple[str, ...] = (), section: str = DATA_SECTION
) -> tuple[DataFile, ...]:
    """Find the regular, readable files that a path names, sorted by name.

    Args:
        pattern: Path of a file, or a glob (``**`` matches folders), or a folder: all files of the
            kind in it, at any depth. In a folder, hidden files and names that begin with ``_`` are
            skipped, as tools use them for what is not data.
        folder: Suffixes of the files that are read from a folder; empty where a folder is not
            allowed.
        section: The section of node.toml with the path, for the way out.

    Raises:
        SourceError: E-SOURCE-MISSING, E-SOURCE-FILE (folder, unreadable, too many) or
            E-SOURCE-EMPTY (a file of 0 bytes).
    """
    if "\0" in pattern:
        raise SourceError(
            "the data path contains a NUL character",
            code="E-SOURCE-MISSING",
            remedy=f"correct path in {section} of node.toml",
        )
    literal = os.path.lexists(pattern)
    whole_folder = literal and bool(folder) and Path(pattern).is_dir()
    if whole_folder:
        names = sorted(_files_in(Path(pattern), folder))
    elif literal:
        names = [pattern]
    else:
        names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - takes absolute patterns
    if not names:
        is_glob = any(c in pattern for c in _GLOB_CHARACTERS)
        raise SourceError(
            f"{pattern}: "
            + (
                f"no file in this folder ends with {' or '.join(folder)}"
                if whole_folder
                else "no file matches"
                if is_glob
                else "no such file"
            ),
            code="E-SOURCE-MISSING",
            remedy=f"correct path in {section} of node.toml, or bring the file there",
        )
    if len(names) > MAX_FILES:
        raise SourceError(
            f"{pattern}: {len(names)} files match, at most {MAX_FILES} are allowed",
            code="E-SOURCE-FILE",
            remedy="narrow the glob, or join the files",
        )
    if not literal:
        names = [name for name in names if not Path(name).is_dir()] or names
    return tuple(_look_at(str(Path(name).absolute()), section) for name in names)


def find_log(path: str) -> tuple[DataFile, ...]:
    """A database's write-ahead log; none where it is not there, empty, or goes meanwhile."""
    try:
        return find_files(path) if Path(path).stat().st_size else ()
    except FileNotFoundError:
        return ()
    except SourceError as error:
        if error.code in ("E-SOURCE-MISSING", "E-SOURCE-EMPTY"):  # since that look at its size
            return ()
        raise


def _files_in(folder: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Files of a folder at any depth; links to folders are not followed."""

    def refuse(error: OSError) -> None:
        raise SourceError(
            f"{error.filename} cannot be read: {error.strerror}",
            code="E-SOURCE-FILE",
            remedy="give the account that runs the node the right to read it",
        ) from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in files:
            if not name.startswith((".", "_")) and name.casefold().endswith(suffixes):
                yield str(Path(place) / name)


def _look_at(path: str, section: str) -> DataFile:
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(
                f"{path} is a folder, a file is needed",
                code="E-SOURCE-FILE",
                remedy="name one file; a folder is read whole when it is [data] path itself and "
                "[data] kind is csv or parquet"
                if section == DATA_SECTION
                else f"name its files in {section}, for instance by a glob",
            )
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(
                f"{path} is not a regular file",
                code="E-SOURCE-FILE",
                remedy="write the data to a file first; it is read more than once",
            )
        _check_readable(path)
    except FileNotFoundError as error:
        raise SourceError(
            f"{path}: no such file (a broken link?)",
            code="E-SOURCE-MISSING",
            remedy=f"correct path in {section} of node.toml, or bring the file there",
        ) from error
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}",
            code="E-SOURCE-FILE",
            remedy=f"correct path in {section} of node.toml, or the link that leads to itself"
            if error.errno == errno.ELOOP
            else "give the account that runs the node the right to read it",
        ) from error
    if any(c in path for c in _GLOB_CHARACTERS):
        raise SourceError(
            f"{path}: the name contains one of the characters {_GLOB_CHARACTERS}",
            code="E-SOURCE-FILE",
            remedy="rename the file or its folder; these characters stand for globs",
        )
    if status.st_size == 0:
        raise SourceError(
            f"{path} is empty (0 bytes)",
            code="E-SOURCE-EMPTY",
            remedy="export the data again",
        )
    return DataFile(
        path=path,
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
        inode=status.st_ino,
        changed_ns=status.st_ctime_ns,
    )


def _check_readable(path: str) -> None:
    """Raise PermissionError when this account may not read a file, without opening it.

    When a process closes a file that it opened by itself, it loses all locks that its SQLite and
    its DuckDB hold on that file (POSIX): https://www.sqlite.org/howtocorrupt.html, 2.2.
    """
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def read_csv_header(path: str, delimiter: str) -> tuple[str, ...]:
    """Column names in the first line of a CSV file, plain or gzip-compressed.

    Columns are named as `column_names` does. A UTF-8 byte order mark is skipped.

    Raises:
        SourceError: E-SOURCE-ENCODING, E-SOURCE-CSV, E-SOURCE-COLUMN or E-SOURCE-FILE.
    """
    text = _decode(path, _first_bytes(path))
    if excel := _EXCEL_LINE.match(text):
        raise SourceError(
            f"{path}: the first line is {excel[0]!r}, which a spreadsheet writes for itself, and "
            "names no columns",
            code="E-SOURCE-CSV",
            remedy=f"remove the line, and set delimiter to {excel[1]!r}",
        )
    if not text.strip():
        raise SourceError(f"{path} is blank", code="E-SOURCE-EMPTY", remedy="export the data again")
    try:
        row = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise SourceError(
            f"{path}: the header line is not CSV: {error}",
            code="E-SOURCE-CSV",
            remedy="write the file with quotes only around whole values, and doubled inside",
        ) from error
    if not row:
        raise SourceError(
            f"{path}: the first line is blank, it must name the columns",
            code="E-SOURCE-CSV",
            remedy="remove the blank line or add a header line",
        )
    names = column_names(row)
    refuse_duplicate_names(names, path)
    return names


def column_names(header: Sequence[str]) -> tuple[str, ...]:
    """Names of a header's columns.

    One without a name (as some tools write for their row numbers) is called ``column1``,
    ``column2``, … by its position.
    """
    return tuple(name or f"column{i}" for i, name in enumerate(header, start=1))


def refuse_missing_header(path: str, names: Sequence[str], lacks: str) -> None:
    """Refuse a first line that is a customer's row instead of a header, without quoting it.

    Args:
        names: The values of the first line.
        lacks: The column that it does not name, in words.

    Raises:
        SourceError: E-SOURCE-COLUMN.
    """
    if any(_VALUE.fullmatch(name) for name in names):
        raise SourceError(
            f"{path} has no {lacks}, and its first line looks like values, not like names",
            code="E-SOURCE-COLUMN",
            remedy="write a first line that names the columns",
        )


def read_common_header(files: tuple[DataFile, ...], delimiter: str) -> tuple[str, ...]:
    """Column names that all files have in the same order; raises SourceError."""
    first, *others = files
    names = read_csv_header(first.path, delimiter)
    for other in others:
        found = read_csv_header(other.path, delimiter)
        if found != names:
            difference = _first_difference(names, found)
            raise SourceError(
                f"{other.path} has other columns than {first.path} ({difference})",
                code="E-SOURCE-COLUMN",
                remedy="give all files the same header, or narrow the glob",
            )
    return names


def _first_difference(expected: tuple[str, ...], found: tuple[str, ...]) -> str:
    for position, (a, b) in enumerate(zip(expected, found, strict=False), start=1):
        if a != b:
            return f"column {position} is {b!r} instead of {a!r}"
    return f"{len(found)} columns instead of {len(expected)}"


def _first_bytes(path: str) -> bytes:
    try:
        if path.lower().endswith(".gz"):
            with gzip.open(path, "rb") as packed:
                return packed.read(MAX_HEADER_BYTES)
        with Path(path).open("rb") as plain:
            return plain.read(MAX_HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        # gzip's error about a file in another format quotes its first bytes.
        plain_file = isinstance(error, gzip.BadGzipFile)
        raise SourceError(
            f"{path} cannot be read: {'it is not packed by gzip' if plain_file else error}",
            code="E-SOURCE-FILE",
            remedy="check the file with gzip -t, or export it again",
        ) from error


def _decode(path: str, data: bytes) -> str:
    for mark, name in _FOREIGN_BOMS:
        if data.startswith(mark):
            raise SourceError(
                f"{path} is written in {name}, only UTF-8 is read",
                code="E-SOURCE-ENCODING",
                remedy=f"convert it: iconv -f {name} -t UTF-8",
            )
    nul = data.find(b"\0")
    if nul >= 0:
        raise SourceError(
            f"{path}: byte {nul + 1} is NUL; this is not a text file",
            code="E-SOURCE-ENCODING",
            remedy="export the data again as CSV in UTF-8, or set kind to what the file is",
        )
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{path}: line {line} is not UTF-8",
            code="E-SOURCE-ENCODING",
            remedy="save the file as UTF-8, for instance: iconv -f WINDOWS-1252 -t UTF-8",
        ) from error
