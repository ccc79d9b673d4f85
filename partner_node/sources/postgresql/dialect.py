"""PostgreSQL's phrases for queries over customers' rows."""

from __future__ import annotations

from typing import Final

from partner_node.sources.day_forms import ISO, DayForm
from partner_node.sources.dialect import Dialect, literal
from partner_node.sources.line_phrases import NUMBER, LinePhrases, phrase

_POSTGRESQL_INTEGERS: Final = frozenset({"int2", "int4", "int8"})
_POSTGRESQL_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name", "citext"})
#: PostgreSQL's texts cannot contain a NUL character.
POSTGRESQL: Final = Dialect(
    name="PostgreSQL",
    as_text='CAST({0} AS text) COLLATE "C"',
    as_number="CAST({0} AS double precision)",
    as_double="CAST({0} AS double precision)",
    unfit_id="FALSE",
    is_nan="{0} = CAST('NaN' AS double precision)",
    is_infinite="abs({0}) = CAST('Infinity' AS double precision)",
    id_types=_POSTGRESQL_INTEGERS | _POSTGRESQL_TEXTS | {"uuid"},
    number_types=_POSTGRESQL_INTEGERS | {"float4", "float8", "numeric"},
    level_types=_POSTGRESQL_INTEGERS | _POSTGRESQL_TEXTS | {"bool", "float4", "float8"},
    no_text="",
    text_cast="CAST({0} AS text)",
    number_cast="CAST({0} AS double precision)",
)


def _in_calendar(year: str, month: str, day: str) -> str:
    """The day, NULL when the month is not so long: a cast of such a day ends the query."""
    found = f"(make_date({year}, {month}, 1) + ({day} - 1))"
    return f"CASE WHEN extract(month FROM {found}) = {month} THEN {found} END"


def _day_as(value: str, form: DayForm) -> str:
    """A value as its day by a form; NULL when it is in no calendar."""
    text, pattern = f"CAST({value} AS text)", literal(form.pattern)
    parts = form.parts(
        lambda number: f"(regexp_match({text}, {pattern}))[{number}]",
        "CAST({} AS integer)".format,
    )
    return f"CASE WHEN {text} ~ {pattern} THEN {_in_calendar(*parts)} END"


_TEXT: Final = "CAST(@ AS text)"
_ISO_PARTS: Final = [
    f"CAST(substr({_TEXT}, {at}, {n}) AS integer)" for at, n in ((1, 4), (6, 2), (9, 2))
]
#: Money is summed as PostgreSQL's numeric, which comes out the same in any order.
LINES: Final = LinePhrases(
    text=phrase(_TEXT),
    number=phrase(f"CASE WHEN {_TEXT} ~ {literal(NUMBER)} THEN CAST({_TEXT} AS numeric) END"),
    day=phrase(
        f"CASE WHEN {_TEXT} ~ {literal(ISO)} THEN CASE WHEN {_in_calendar(*_ISO_PARTS)} "
        f"IS NOT NULL THEN CAST(CAST({_TEXT} AS timestamptz) AT TIME ZONE 'UTC' AS date) END END"
    ),
    day_as=_day_as,
    a_day="CAST({0} AS date)",
    later="({0} + CAST({1} AS integer))",
    days="({1} - {0})",
    double="CAST({0} AS double precision)",
)
