"""PostgreSQL's phrases for queries over customers' rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from partner_node.sources.dialect import Dialect
from partner_node.sources.line_phrases import LinePhrases

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


#: PostgreSQL's equivalents of `transactions.DATE_SIGNS`.
_SIGNS: Final[Mapping[str, str]] = {
    "%Y": "YYYY",
    "%y": "YY",
    "%m": "MM",
    "%d": "DD",
    "%b": "Mon",
    "%H": "HH24",
    "%I": "HH12",
    "%M": "MI",
    "%S": "SS",
    "%p": "AM",
}


def _written(date_format: str) -> str:
    """A format in PostgreSQL's signs; all other characters are quoted."""
    return "".join(
        _SIGNS.get(part) or (f'"{part}"' if any(map(str.isalpha, part)) else part)
        for part in re.findall(r"%.|[^%]+", date_format)
    )


#: Money is summed as PostgreSQL's numeric, the same in any order.
LINES: Final = LinePhrases(
    text="CAST({0} AS text)",
    number="CAST({0} AS numeric)",
    day="CASE WHEN CAST({0} AS text) ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}' THEN "
    "CAST(CAST(CAST({0} AS text) AS timestamptz) AT TIME ZONE 'UTC' AS date) END",
    day_as="to_date(CAST({0} AS text), {1})",
    a_day="CAST({0} AS date)",
    later="({0} + CAST({1} AS integer))",
    days="({1} - {0})",
    double="CAST({0} AS double precision)",
    written=_written,
)
