"""Loading numeric files for simulations: CSV (plain or gzip, with or without header) and Parquet.

What a file is, is told from its content, not from its name. A header is a first row without any
number; a column that it does not name is called as at a node. The delimiter is a tab, a semicolon
or a comma; with a semicolon, numbers may have a decimal comma.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import math
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from partner_node.sources.files import column_names
from protocol.errors import SourceError
from protocol.strict import near

FloatMatrix = npt.NDArray[np.float64]

_GZIP_MAGIC: Final = b"\x1f\x8b"
_PARQUET_MAGIC: Final = b"PAR1"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_DELIMITERS: Final = ("\t", ";", ",")
_TEXT_REMEDY: Final = (
    "leave customers' ids out with --id-column NAME and other columns with --drop NAME; a column "
    "of levels gets its type and levels in the file of --bounds, as an agreement has them; what "
    "has texts or dates, such as transactions, is made into features first: `fedseg-simulate "
    "generate` writes a query that does it, features.sql, and what it makes, "
    "features-<partner>.csv"
)
_FILLED_LINE: Final = re.compile(rb"[^\r\n]*[^\s][^\r\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A numeric table.

    Attributes:
        values: Shape ``(n_samples, n_features)``, finite, C-contiguous, in the file's units.
        columns: Names from the header, or ``x1``, ``x2``, …
    """

    values: FloatMatrix
    columns: tuple[str, ...]


def load_matrix(path: Path, *, drop: Collection[str] = ()) -> Matrix:
    """Read a numeric CSV or Parquet file.

    Args:
        drop: Names of columns to leave out: customers' ids, and what else is not a feature. They
            may hold anything.

    Raises:
        SourceError: The file cannot be read (E-SOURCE-FILE), is empty (E-SOURCE-EMPTY), has a
            text or an empty cell (E-SOURCE-TEXT), a NaN or an infinity (E-SOURCE-NOT-FINITE),
            rows of different lengths (E-SOURCE-RAGGED), columns without distinct names, no column
            of a name in `drop`, or no column but those (E-SOURCE-COLUMNS). The
            message names file, line and column.
    """
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"{path} cannot be read: {reason}",
            code="E-SOURCE-FILE",
            remedy="check the path, the permissions and that the file is complete",
        ) from error
    read = _parquet if data.startswith(_PARQUET_MAGIC) else _csv
    matrix = read(data, path, drop)
    if len(set(matrix.columns)) < len(matrix.columns):
        twice = next(name for name in matrix.columns if matrix.columns.count(name) > 1)
        raise SourceError(
            f"{path}: column name {twice!r} stands twice in the header",
            code="E-SOURCE-COLUMNS",
            remedy="give every column a name of its own",
        )
    return matrix


def load_matrices(paths: Sequence[Path], *, drop: Collection[str] = ()) -> list[Matrix]:
    """Read one file a partner; all must have the same columns, those in `drop` included.

    Raises:
        SourceError: As `load_matrix`; or two files differ in their columns (E-SOURCE-COLUMNS).
    """
    matrices = [load_matrix(path, drop=drop) for path in paths]
    for path, matrix in zip(paths[1:], matrices[1:], strict=True):
        if matrix.columns != matrices[0].columns:
            raise SourceError(
                f"{path} has columns {_listed(matrix.columns)}, "
                f"{paths[0]} has {_listed(matrices[0].columns)}",
                code="E-SOURCE-COLUMNS",
                remedy="give all files the same columns in the same order",
            )
    return matrices


def _kept(path: Path, columns: Sequence[str], drop: Collection[str]) -> list[int]:
    """Places of the columns that are not in `drop`."""
    for name in drop:
        if name not in columns:
            raise SourceError(
                f"{path} has no column {name!r}{near(name, columns)}, only {_listed(columns)}",
                code="E-SOURCE-COLUMNS",
                remedy="name columns as the header does; without a header they are x1, x2, …",
            )
    kept = [index for index, name in enumerate(columns) if name not in drop]
    if not kept:
        raise SourceError(
            f"{path} has no column but {', '.join(drop)}, which are left out",
            code="E-SOURCE-COLUMNS",
            remedy="give a file with at least one column of numbers",
        )
    return kept


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:8])
    return f"({shown}{', …' if len(columns) > 8 else ''}; {len(columns)} in all)"


# --- Parquet -------------------------------------------------------------------------------


def _parquet(data: bytes, path: Path, drop: Collection[str]) -> Matrix:
    try:
        table = pa_parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(
            f"{path} is not a readable Parquet file: {error}",
            code="E-SOURCE-FILE",
            remedy="write the file again",
        ) from error
    if table.num_rows == 0 or table.num_columns == 0:
        raise _empty(path)
    table = table.select(_kept(path, table.column_names, drop))
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        ):
            raise SourceError(
                f"{path}: column {name!r} holds {kind}, not numbers",
                code="E-SOURCE-TEXT",
                remedy=_TEXT_REMEDY,
            )
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0]) + 1
            raise _text(path, row, name, "", line_word="row")
        columns.append(column.cast(pa.float64(), safe=False).to_numpy())
    values = np.ascontiguousarray(np.column_stack(columns), dtype=np.float64)
    for row, index in _first_not_finite(values):
        raise _not_finite(path, row + 1, table.column_names[index], values[row, index], "row")
    return Matrix(values=values, columns=tuple(table.column_names))


# --- CSV -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialect:
    delimiter: str
    decimal_comma: bool

    def number(self, cell: str) -> float | None:
        """The cell as a number, also NaN and infinities, or None."""
        text = cell.strip()
        if "_" in text:
            return None
        try:
            return float(text.replace(",", ".") if self.decimal_comma else text)
        except ValueError:
            return None


def _csv(data: bytes, path: Path, drop: Collection[str]) -> Matrix:
    data = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        head = [m.group().decode() for m in itertools.islice(_FILLED_LINE.finditer(data), 2)]
        if not head:
            raise _empty(path)
        dialect = _dialect(head)
        first = next(csv.reader([head[0]], delimiter=dialect.delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"{path} is not CSV in UTF-8: {error}",
            code="E-SOURCE-FILE",
            remedy="save the file as plain CSV in UTF-8",
        ) from error
    numbers = [dialect.number(cell) for cell in first]
    with_header = all(number is None for number in numbers)
    if with_header:
        columns = column_names([name.strip() for name in first])
    else:
        columns = tuple(f"x{index}" for index in range(1, len(first) + 1))
    kept = _kept(path, columns, drop)
    try:
        values = _parse(data, len(columns), kept, dialect, skip_first=with_header)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise _diagnose(data, path, columns, kept, dialect, with_header, str(error)) from error
    if values.shape[0] == 0:
        raise _empty(path)
    if not np.isfinite(values).all():
        raise _diagnose(data, path, columns, kept, dialect, with_header, "a value is not finite")
    return Matrix(values=values, columns=tuple(columns[index] for index in kept))


def _dialect(head: Sequence[str]) -> _Dialect:
    delimiter = next((mark for mark in _DELIMITERS if mark in head[0]), ",")
    body = head[-1]
    return _Dialect(delimiter=delimiter, decimal_comma=delimiter == ";" and "," in body)


def _parse(
    data: bytes, n_columns: int, kept: Sequence[int], dialect: _Dialect, *, skip_first: bool
) -> FloatMatrix:
    # Arrow reads a column under an internal name, so that a header's names cannot clash.
    names = [f"c{index}" for index in range(n_columns)]
    wanted = [names[index] for index in kept]
    table = pa_csv.read_csv(
        pa.BufferReader(data.lstrip(b"\r\n")),
        read_options=pa_csv.ReadOptions(
            column_names=names, skip_rows_after_names=1 if skip_first else 0
        ),
        parse_options=pa_csv.ParseOptions(delimiter=dialect.delimiter),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.float64()),
            include_columns=wanted,
            null_values=[],
            decimal_point="," if dialect.decimal_comma else ".",
        ),
    )
    values = np.empty((table.num_rows, len(wanted)), dtype=np.float64)
    for index, column in enumerate(table.columns):
        values[:, index] = column.to_numpy()
    return values


def _diagnose(
    data: bytes,
    path: Path,
    columns: Sequence[str],
    kept: Sequence[int],
    dialect: _Dialect,
    with_header: bool,
    otherwise: str,
) -> SourceError:
    """Read again, slowly, to name the line and the column of the first fault."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="replace", newline="")
    reader = csv.reader(text, delimiter=dialect.delimiter)
    header_pending = with_header
    try:
        for row in reader:
            if not row or (len(columns) > 1 and len(row) == 1 and not row[0].strip()):
                continue
            if header_pending:
                header_pending = False
                continue
            if len(row) != len(columns):
                return SourceError(
                    f"{path}, line {reader.line_num}: {len(row)} values, "
                    f"but the first line has {len(columns)}",
                    code="E-SOURCE-RAGGED",
                    remedy="give every line the same number of values",
                )
            for name, cell in ((columns[index], row[index]) for index in kept):
                number = dialect.number(cell)
                if number is None:
                    return _text(path, reader.line_num, name, cell)
                if not math.isfinite(number):
                    return _not_finite(path, reader.line_num, name, number)
    except csv.Error as error:
        otherwise = str(error)
    return SourceError(
        f"{path} cannot be read as numeric CSV: {otherwise}",
        code="E-SOURCE-FILE",
        remedy="save the file as plain CSV with a comma, semicolon or tab between numbers",
    )


# --- errors --------------------------------------------------------------------------------


def _first_not_finite(values: FloatMatrix) -> Iterator[tuple[int, int]]:
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        yield int(row), int(column)


def _empty(path: Path) -> SourceError:
    return SourceError(
        f"{path} holds no rows of numbers",
        code="E-SOURCE-EMPTY",
        remedy="give a file with at least one row",
    )


def _text(path: Path, line: int, column: str, cell: str, *, line_word: str = "line") -> SourceError:
    shown = cell if len(cell) <= 40 else cell[:40] + "…"
    filled = bool(cell.strip())
    what = f"{shown!r} is not a number" if filled else "the value is missing"
    return SourceError(
        f"{path}, {line_word} {line}, column {column!r}: {what}",
        code="E-SOURCE-TEXT",
        remedy=_TEXT_REMEDY if filled else "fill or leave out rows with missing values",
    )


def _not_finite(
    path: Path, line: int, column: str, value: float, line_word: str = "line"
) -> SourceError:
    return SourceError(
        f"{path}, {line_word} {line}, column {column!r}: {value} is not a finite number",
        code="E-SOURCE-NOT-FINITE",
        remedy="fill or leave out rows with NaN or infinite values",
    )
