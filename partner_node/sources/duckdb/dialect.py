"""DuckDB's phrases for queries over customers' rows; also for CSV and Parquet files."""

from __future__ import annotations

from typing import Final

from partner_node.sources.dialect import Dialect
from partner_node.sources.line_phrases import LinePhrases

_DUCKDB_INTEGERS: Final = frozenset(
    f"{unsigned}{size}"
    for unsigned in ("", "u")
    for size in ("tinyint", "smallint", "integer", "bigint", "hugeint")
)
DUCKDB: Final = Dialect(
    name="DuckDB",
    as_text="CAST({0} AS VARCHAR)",
    as_number="CAST({0} AS DOUBLE)",
    as_double="CAST({0} AS DOUBLE)",
    unfit_id="contains({0}, chr(0))",
    # DuckDB answers isnan() from a Parquet file's ranges, which ignore NaN.
    is_nan="(NOT isfinite({0}) AND NOT isinf({0}))",
    is_infinite="isinf({0})",
    id_types=_DUCKDB_INTEGERS | {"varchar", "uuid"},
    number_types=_DUCKDB_INTEGERS | {"float", "double", "decimal"},
    level_types=_DUCKDB_INTEGERS | {"varchar", "enum", "boolean", "float", "double"},
    no_text="",
    text_cast="CAST({0} AS VARCHAR)",
    number_cast="CAST({0} AS DOUBLE)",
)

LINES: Final = LinePhrases(
    text="CAST({0} AS VARCHAR)",
    number="CAST({0} AS DOUBLE)",
    day="CAST(CAST({0} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS DATE)",
    day_as="CAST(strptime(CAST({0} AS VARCHAR), {1}) AS DATE)",
    a_day="CAST({0} AS DATE)",
    later="({0} + CAST({1} AS INTEGER))",
    days="date_diff('day', {0}, {1})",
    double="CAST({0} AS DOUBLE)",
)
