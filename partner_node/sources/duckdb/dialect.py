"""DuckDB's phrases for queries over customers' rows; also for CSV and Parquet files."""

from __future__ import annotations

from typing import Final

from partner_node.sources.day_forms import ISO, DayForm
from partner_node.sources.dialect import Dialect, literal
from partner_node.sources.line_phrases import NUMBER, LinePhrases, phrase

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


def _day_as(value: str, form: DayForm) -> str:
    """A value as its day by a form; NULL when it is in no calendar."""
    text, pattern = f"CAST({value} AS VARCHAR)", literal(form.pattern)
    year, month, day = form.parts(
        lambda number: f"regexp_extract({text}, {pattern}, {number})",
        "TRY_CAST({} AS INTEGER)".format,
    )
    return (
        f"CASE WHEN regexp_full_match({text}, {pattern}) "
        f"THEN TRY_CAST(concat_ws('-', {year}, {month}, {day}) AS DATE) END"
    )


_TEXT: Final = "CAST(@ AS VARCHAR)"
#: DuckDB reads a text as a number with underscores in it, and takes one digit for a year.
LINES: Final = LinePhrases(
    text=phrase(_TEXT),
    number=phrase(
        f"CASE WHEN typeof(@) = 'VARCHAR' AND NOT regexp_full_match({_TEXT}, {literal(NUMBER)}) "
        "THEN NULL WHEN isfinite(TRY_CAST(@ AS DOUBLE)) THEN TRY_CAST(@ AS DOUBLE) END"
    ),
    day=phrase(
        f"CASE WHEN regexp_full_match({_TEXT}, {literal(ISO)}) "
        f"THEN CAST(TRY_CAST({_TEXT} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS DATE) END"
    ),
    day_as=_day_as,
    a_day="CAST({0} AS DATE)",
    later="({0} + CAST({1} AS INTEGER))",
    days="date_diff('day', {0}, {1})",
    double="CAST({0} AS DOUBLE)",
)
