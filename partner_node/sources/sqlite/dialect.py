"""SQLite's phrases for queries over customers' rows."""

from __future__ import annotations

from typing import Final

from partner_node.sources.dialect import Dialect, literal
from partner_node.sources.line_phrases import LinePhrases

#: Each value in SQLite has its own type, whatever its column declares; NaN is stored as NULL. A
#: cast of a text that is not a number gives 0, so only values of a numeric type are used, and any
#: other becomes infinite, which is refused.
SQLITE: Final = Dialect(
    name="SQLite",
    as_text="CAST({0} AS TEXT) COLLATE BINARY",
    as_number="CASE WHEN typeof({0}) IN ('integer', 'real') THEN CAST({0} AS REAL) "
    "WHEN {0} IS NOT NULL THEN 9e999 END",
    as_double="CAST({0} AS REAL)",
    unfit_id="instr({0}, char(0)) > 0",
    is_nan="FALSE",
    is_infinite="abs({0}) = 9e999",
    id_types=frozenset(),
    number_types=frozenset(),
    level_types=frozenset(),
    no_text="typeof({0}) = 'blob'",
    text_cast="CAST({0} AS TEXT)",
    number_cast="CAST({0} AS REAL)",
)

#: SQLite takes any text for a number, and some for the moment: what is neither is NULL. It has no
#: regular expressions; `source` gives it these functions.
LINES: Final = LinePhrases(
    text="CAST({0} AS TEXT)",
    number="CASE WHEN typeof({0}) IN ('integer', 'real') THEN CAST({0} AS REAL) "
    "WHEN typeof({0}) = 'text' THEN fedseg_number({0}) END",
    day="CASE WHEN typeof({0}) = 'text' THEN fedseg_day({0}, NULL) END",
    day_as=lambda value, form: f"fedseg_day({value}, {literal(form.text)})",
    a_day="{0}",
    later="strftime('%Y-%m-%d', {0}, ({1}) || ' days')",
    days="(julianday({1}) - julianday({0}))",
    double="CAST({0} AS REAL)",
)
