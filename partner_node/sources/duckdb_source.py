"""CSV and Parquet files as a `Source`, read through DuckDB.

DuckDB runs in memory, in a sandbox closed before the feature query is seen: it can open the named
files and its own temporary folder, nothing else; it loads no extension, sees no network, and its
configuration is locked. What does not fit into its memory limit goes to a temporary folder that
is removed after each pass.
"""
# Names and paths go into SQL only through `_name` and `_literal`:
# ruff: noqa: S608

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import duckdb
import numpy as np

from partner_node.sources.duckdb_errors import READ_ERRORS, Problem, explain, reads_text_as_number
from partner_node.sources.feature_query import INPUT, check_feature_query
from partner_node.sources.files import (
    DataFile,
    find_files,
    read_csv_header,
    refuse_duplicate_names,
)
from partner_node.sources.source import Chunk, Description
from protocol.errors import SourceError

Kind = Literal["csv", "parquet"]

DEFAULT_MEMORY_BYTES: Final = 512 << 20
DEFAULT_THREADS: Final = 2
DEFAULT_TEMP_BYTES: Final = 20 * 10**9

_FEATURES: Final = "_features"
_INTEGER_TYPES: Final = frozenset(
    f"{unsigned}{size}"
    for unsigned in ("", "u")
    for size in ("tinyint", "smallint", "integer", "bigint", "hugeint")
)
_ID_TYPES: Final = _INTEGER_TYPES | {"varchar", "uuid"}
_NUMBER_TYPES: Final = _INTEGER_TYPES | {"float", "double", "decimal"}


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: duckdb.DuckDBPyConnection
    names: tuple[str, ...]
    types: tuple[str, ...]
    relation: str
    files: tuple[DataFile, ...]


class DuckDBSource:
    """Customers in CSV or Parquet files, one row each, or made so by a feature query.

    Columns of a CSV file are text until they are asked for as features, so that an id such as
    ``00123`` stays what it is. A feature query therefore casts what it computes with:
    ``SUM(CAST(Quantity AS DOUBLE))``. It runs on one thread, so that sums of fractions come out
    the same in every round.

    Args:
        kind: ``csv`` (header line, UTF-8, may be gzip-compressed as ``.gz``) or ``parquet``.
        path: A file or a glob. All files must have the same columns.
        id_column: Column with the customers' ids: text, integer or UUID.
        query: One SELECT over the view ``input`` that gives one row a customer, or None.
        delimiter: One character between the values of a CSV file.
        memory_bytes: DuckDB's memory limit.
        threads: Threads that DuckDB reads with when there is no query.
        temp_folder: Where DuckDB may put what does not fit into memory; None for the system's.
        temp_bytes: The most it may put there.

    Raises:
        SourceError: E-SOURCE-SQL, the feature query is not one repeatable SELECT.
    """

    def __init__(
        self,
        *,
        kind: Kind,
        path: str | Path,
        id_column: str,
        query: str | None = None,
        delimiter: str = ",",
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        threads: int = DEFAULT_THREADS,
        temp_folder: Path | None = None,
        temp_bytes: int = DEFAULT_TEMP_BYTES,
    ) -> None:
        if query is not None:
            check_feature_query(query)
        self._kind = kind
        self._path = str(path)
        self._id_column = id_column
        self._query = query
        self._delimiter = delimiter
        self._memory_bytes = memory_bytes
        self._threads = threads if query is None else 1
        self._temp_folder = temp_folder
        self._temp_bytes = temp_bytes
        self._checked: tuple[tuple[DataFile, ...], tuple[str, ...]] | None = None

    def columns(self) -> tuple[str, ...]:
        """Names of the columns that can be asked for, the id column included."""
        with self._open(find_files(self._path)) as opened:
            return opened.names

    def describe(self) -> Description:
        """What this source is, for the person at this machine."""
        files = find_files(self._path)
        with self._open(files) as opened:
            return Description(
                kind=self._kind,
                files=tuple(file.path for file in files),
                n_bytes=sum(file.size for file in files),
                id_column=self._id_column,
                columns=opened.names,
                query=self._query is not None,
            )

    def chunks(self, columns: Sequence[str], *, max_rows: int) -> Iterator[Chunk]:
        """Stream all customers with the named feature columns; see `Source.chunks`."""
        if max_rows < 1:
            raise ValueError(f"max_rows is {max_rows}, at least 1 is needed")
        files = find_files(self._path)
        wanted = tuple(columns)
        if self._checked != (files, wanted):
            with self._open(files) as opened:
                self._check_columns(opened, wanted)
                if self._checked is None or self._checked[0] != files:
                    self._check_ids(opened, files)
            self._checked = (files, wanted)
        return self._stream(files, wanted, max_rows)

    def _stream(
        self, files: tuple[DataFile, ...], wanted: tuple[str, ...], max_rows: int
    ) -> Iterator[Chunk]:
        selected = ", ".join(
            [f"CAST({_name(self._id_column)} AS VARCHAR)"]
            + [f"CAST({_name(column)} AS DOUBLE) AS f{i}" for i, column in enumerate(wanted)]
        )
        with self._open(files, numbers=wanted) as opened:
            rows_before = 0
            sql = f"SELECT {selected} FROM {opened.relation}"
            for batch in self._batches(opened, sql, files, wanted, max_rows):
                for start in range(0, batch.num_rows, max_rows):
                    chunk = _to_chunk(batch.slice(start, max_rows), len(wanted))
                    if not np.isfinite(chunk.values).all():
                        raise self._not_finite(files, wanted, chunk, rows_before)
                    rows_before += chunk.n_rows
                    yield chunk
        if find_files(self._path) != files:
            raise SourceError(
                f"{self._path} changed while it was read",
                code="E-SOURCE-FILE",
                remedy="write new data under another name and rename it when it is complete",
            )

    def _batches(
        self,
        opened: _Opened,
        sql: str,
        files: tuple[DataFile, ...],
        wanted: tuple[str, ...],
        max_rows: int,
    ) -> Iterator[Any]:
        """Arrow record batches of a query, with every error in our words."""
        problem: Problem | None = None
        reader: Iterator[Any] = iter(())
        try:
            reader = iter(opened.connection.sql(sql).to_arrow_reader(max_rows))
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
        raise self._explain(problem, files, wanted)

    # --- opening -----------------------------------------------------------------------------

    @contextmanager
    def _open(
        self,
        files: tuple[DataFile, ...],
        *,
        numbers: Sequence[str] = (),
        query: bool = True,
    ) -> Iterator[_Opened]:
        """A sandboxed connection with the files as `input`.

        Args:
            numbers: Columns that the CSV reader itself reads as numbers.
            query: False to see the files without the feature query.
        """
        text = self._query if query else None
        scan = self._scan(files, () if text is not None else numbers)
        temporary = tempfile.mkdtemp(prefix="fedseg-", dir=self._make_temp_folder())
        problem: Problem | None = None
        try:
            with ExitStack() as stack:
                try:
                    connection = stack.enter_context(
                        duckdb.connect(":memory:", config=self._settings(temporary))
                    )
                    _close_sandbox(connection, files)
                    connection.execute(f"CREATE TEMP VIEW {INPUT} AS SELECT * FROM {scan}")
                    connection.execute("SET lock_configuration = true")
                    relation = INPUT
                    if text is not None:
                        connection.execute(f"CREATE TEMP VIEW {_FEATURES} AS {text}")
                        relation = _FEATURES
                    names, types = self._columns_of(connection, text or f"FROM {INPUT}")
                except READ_ERRORS as error:
                    problem = Problem.of(error)
                if problem is None:
                    yield _Opened(connection, names, types, relation, files)
            if problem is not None:
                raise self._explained(problem, files, binding=True)
        finally:
            with suppress(OSError):
                shutil.rmtree(temporary)

    def _columns_of(
        self, connection: duckdb.DuckDBPyConnection, select: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = connection.sql(select)
        names = tuple(found.columns)
        refuse_duplicate_names(names, "the feature query" if self._query else self._path)
        return names, tuple(str(kind.id) for kind in found.types)

    def _make_temp_folder(self) -> Path | None:
        if self._temp_folder is not None:
            try:
                self._temp_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise SourceError(
                    f"{self._temp_folder}: the temporary folder cannot be made: {error.strerror}",
                    code="E-SOURCE-FILE",
                    remedy="correct [data] temp_folder, or its owner",
                ) from error
        return self._temp_folder

    def _settings(self, temporary: str) -> dict[str, str | bool | int | float | list[str]]:
        return {
            "memory_limit": f"{self._memory_bytes}B",
            "threads": str(self._threads),
            "temp_directory": temporary,
            "max_temp_directory_size": f"{self._temp_bytes}B",
            "preserve_insertion_order": "true",
            "enable_external_file_cache": "false",
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
        }

    def _scan(self, files: tuple[DataFile, ...], numbers: Sequence[str]) -> str:
        paths = "[" + ", ".join(_literal(file.path) for file in files) + "]"
        if self._kind == "parquet":
            return f"read_parquet({paths}, hive_partitioning = false, union_by_name = false)"
        names = self._csv_columns(files)
        types = ", ".join(
            f"{_literal(name)}: '{'DOUBLE' if name in numbers else 'VARCHAR'}'" for name in names
        )
        return (
            f"read_csv({paths}, auto_detect = false, header = true, columns = {{{types}}}, "
            f"delim = {_literal(self._delimiter)}, quote = '\"', escape = '\"', nullstr = '', "
            "strict_mode = true, hive_partitioning = false, union_by_name = false)"
        )

    def _csv_columns(self, files: tuple[DataFile, ...]) -> tuple[str, ...]:
        first, *others = files
        names = read_csv_header(first.path, self._delimiter)
        for other in others:
            found = read_csv_header(other.path, self._delimiter)
            if found != names:
                difference = _first_difference(names, found)
                raise SourceError(
                    f"{other.path} has other columns than {first.path} ({difference})",
                    code="E-SOURCE-COLUMN",
                    remedy="give all files the same header, or narrow the glob",
                )
        return names

    # --- checks ------------------------------------------------------------------------------

    def _check_columns(self, opened: _Opened, wanted: tuple[str, ...]) -> None:
        types = dict(zip(opened.names, opened.types, strict=True))
        for column in (self._id_column, *wanted):
            if column not in types:
                raise self._no_column(column, opened.names)
        if self._id_column in wanted:
            raise SourceError(
                f"column {self._id_column!r} holds the ids and cannot be a feature too",
                code="E-SOURCE-COLUMN",
                remedy="map the feature to another column in [data.columns]",
            )
        if types[self._id_column] not in _ID_TYPES:
            raise SourceError(
                f"id column {self._id_column!r} of {self._where} has type "
                f"{types[self._id_column].upper()}, ids must be text, integers or UUIDs",
                code="E-SOURCE-TYPE",
                remedy=f"cast it in a feature query: CAST({_name(self._id_column)} AS VARCHAR)",
            )
        if self._kind == "csv" and self._query is None:
            return  # text until read; `_stream` reports what is not a number
        for column in wanted:
            if types[column] not in _NUMBER_TYPES:
                raise SourceError(
                    f"column {column!r} of {self._where} has type {types[column].upper()}, "
                    "a feature must be numeric",
                    code="E-SOURCE-TYPE",
                    remedy=f"cast it in a feature query: CAST({_name(column)} AS DOUBLE)",
                )

    def _no_column(self, column: str, names: tuple[str, ...]) -> SourceError:
        close = difflib.get_close_matches(column.casefold(), [n.casefold() for n in names], n=1)
        nearest = next((n for n in names if close and n.casefold() == close[0]), None)
        remedy = f"there are: {', '.join(names[:20])}" + (", …" if len(names) > 20 else "")
        remedy += (
            "; name the right one as [data] id_column"
            if column == self._id_column
            else f'; name the one to read in [data.columns]: FEATURE = "{nearest or names[-1]}"'
        )
        if self._kind == "csv" and len(names) == 1:
            other = next((c for c in ";\t|," if c in names[0] and c != self._delimiter), None)
            if other is not None:
                remedy = f"the header looks separated by {other!r}: set [data] delimiter to it"
        return SourceError(
            f"{self._where} has no column {column!r}"
            + (f"; did you mean {nearest!r}?" if nearest is not None else ""),
            code="E-SOURCE-COLUMN",
            remedy=remedy,
        )

    def _check_ids(self, opened: _Opened, files: tuple[DataFile, ...]) -> None:
        column = f"CAST({_name(self._id_column)} AS VARCHAR)"
        found = self._row(
            opened,
            "SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (bad), 0), "
            "count(*) FILTER (NOT bad AND n > 1), "
            "coalesce(sum(n) FILTER (NOT bad AND n > 1), 0) "
            f"FROM (SELECT count(*) AS n, {_bad_id('id')} AS bad "
            f"FROM (SELECT {column} AS id FROM {opened.relation}) GROUP BY id)",
        )
        n_rows, n_bad, n_twice, n_twice_rows = (int(value) for value in found)
        if n_rows == 0:
            raise SourceError(
                f"{self._where} gives no rows",
                code="E-SOURCE-EMPTY",
                remedy="check the file, or the conditions of the feature query",
            )
        if n_bad:
            place = self._first_place(files, _bad_id(column))
            raise SourceError(
                f"id column {self._id_column!r}: {n_bad} of {n_rows} rows have no usable id "
                f"(missing, empty or with a NUL character), the first is {place}",
                code="E-SOURCE-ID",
                remedy="give every customer an id, or leave these rows out",
            )
        if n_twice:
            places = self._first_duplicate(opened, column)
            raise SourceError(
                f"id column {self._id_column!r}: {n_twice} customer ids occur more than once "
                f"({n_twice_rows} of {n_rows} rows), first in rows {places} of {self._where}",
                code="E-DUPLICATE",
                remedy="keep one row a customer, or combine them in a feature query with GROUP BY",
            )

    def _first_duplicate(self, opened: _Opened, column: str) -> str:
        first, second = self._row(
            opened,
            "SELECT min(r), min(r) FILTER (r > first) FROM (SELECT r, min(r) OVER () AS first "
            f"FROM (SELECT row_number() OVER () AS r, {column} AS id FROM {opened.relation}) "
            f"WHERE id = (SELECT {column} FROM {opened.relation} "
            f"GROUP BY {column} HAVING count(*) > 1 LIMIT 1))",
        )
        return f"{first} and {second}"

    def _not_finite(
        self,
        files: tuple[DataFile, ...],
        wanted: tuple[str, ...],
        chunk: Chunk,
        rows_before: int,
    ) -> SourceError:
        row, index = (int(i) for i in np.argwhere(~np.isfinite(chunk.values))[0])
        column = f"CAST({_name(wanted[index])} AS DOUBLE)"
        counts: tuple[Any, ...] = ()
        place = f"row {rows_before + row + 1}"
        with suppress(SourceError), self._open(files, numbers=wanted) as opened:
            counts = self._row(
                opened,
                f"SELECT count(*) FILTER ({column} IS NULL), "
                f"count(*) FILTER (isnan({column})), count(*) FILTER (isinf({column})) "
                f"FROM {opened.relation}",
            )
            place = self._first_place(files, _not_finite(column), numbers=wanted)
        found = ", ".join(
            f"{count} {what}"
            for count, what in zip(counts, ("missing", "NaN", "infinite"), strict=False)
            if count
        )
        return SourceError(
            f"column {wanted[index]!r}: values that are not finite numbers ({found or 'some'}), "
            f"the first is {place}",
            code="E-SOURCE-NULL",
            remedy="fill or leave out these rows, for instance in a feature query with "
            "COALESCE or WHERE",
        )

    def _first_place(
        self, files: tuple[DataFile, ...], condition: str, *, numbers: Sequence[str] = ()
    ) -> str:
        """Where the first row that meets a condition is: file and row, counted from 1."""
        groups = [files] if self._query is not None else [(file,) for file in files]
        for group in groups:
            with self._open(group, numbers=numbers) as opened:
                (row,) = self._row(
                    opened,
                    "SELECT min(r) FILTER (bad) FROM (SELECT row_number() OVER () AS r, "
                    f"({condition}) AS bad FROM {opened.relation})",
                )
            if row is not None:
                where = "the feature query's result" if self._query is not None else group[0].path
                return f"row {row} of {where}"
        return "unknown"

    def _row(self, opened: _Opened, sql: str) -> tuple[Any, ...]:
        """The single row that an aggregate gives."""
        try:
            return opened.connection.execute(sql).fetchone() or ()
        except READ_ERRORS as error:
            problem = Problem.of(error)
        raise self._explained(problem, opened.files)

    # --- explaining --------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return "the feature query's result" if self._query is not None else self._path

    def _explain(
        self, problem: Problem, files: tuple[DataFile, ...], wanted: tuple[str, ...]
    ) -> SourceError:
        if self._query is None and self._kind == "csv" and reads_text_as_number(problem):
            with suppress(StopIteration):
                return self._text_in_numbers(files, wanted)
        return self._explained(problem, files)

    def _explained(
        self, problem: Problem, files: tuple[DataFile, ...], *, binding: bool = False
    ) -> SourceError:
        columns: tuple[str, ...] = ()
        if not binding:
            with suppress(SourceError), self._open(files, query=False) as opened:
                columns = opened.names
        return explain(
            problem,
            path=self._path,
            with_query=self._query is not None,
            binding=binding,
            files=[file.path for file in files],
            columns=columns,
        )

    def _text_in_numbers(self, files: tuple[DataFile, ...], wanted: tuple[str, ...]) -> SourceError:
        with self._open(files) as opened:
            counts = self._row(
                opened,
                "SELECT "
                + ", ".join(f"count(*) FILTER ({_not_a_number(column)})" for column in wanted)
                + f" FROM {opened.relation}",
            )
        column, count = next((c, n) for c, n in zip(wanted, counts, strict=True) if n)
        place = self._first_place(files, _not_a_number(column))
        return SourceError(
            f"column {column!r}: {count} values are not numbers, the first is {place}",
            code="E-SOURCE-TYPE",
            remedy="write numbers like 1234.5 (point, no thousands separator, no unit), or "
            "convert them in a feature query",
        )


def _close_sandbox(connection: duckdb.DuckDBPyConnection, files: tuple[DataFile, ...]) -> None:
    paths = ", ".join(_literal(file.path) for file in files)
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET TimeZone = 'UTC'")


def _to_chunk(batch: Any, n_features: int) -> Chunk:
    ids = batch.column(0).to_numpy(zero_copy_only=False)
    values = np.empty((batch.num_rows, n_features), dtype=np.float64)
    for i in range(n_features):
        values[:, i] = batch.column(i + 1).to_numpy(zero_copy_only=False)  # missing becomes NaN
    return Chunk(ids=ids, values=values)


def _bad_id(column: str) -> str:
    return f"({column} IS NULL OR {column} = '' OR contains({column}, chr(0)))"


def _not_finite(column: str) -> str:
    return f"({column} IS NULL OR NOT isfinite({column}))"


def _not_a_number(column: str) -> str:
    return f"{_name(column)} IS NOT NULL AND TRY_CAST({_name(column)} AS DOUBLE) IS NULL"


def _first_difference(expected: tuple[str, ...], found: tuple[str, ...]) -> str:
    for position, (a, b) in enumerate(zip(expected, found, strict=False), start=1):
        if a != b:
            return f"column {position} is {b!r} instead of {a!r}"
    return f"{len(found)} columns instead of {len(expected)}"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
