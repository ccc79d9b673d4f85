"""MySQL's and MariaDB's phrases for queries over customers' rows.

Texts are compared as bytes: in a collation ``a`` may be ``A`` or ``a `` with a blank. The session
writes names in double quotes and reads a backslash as itself (`connection`).
"""

from __future__ import annotations

from typing import Final

from partner_node.sources.dialect import Dialect
from partner_node.sources.line_phrases import LinePhrases

#: Longest id in bytes: of longer ones the server would compare only the beginnings.
MAX_ID_BYTES: Final = 1_000

INTEGERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
TEXTS: Final = frozenset({"char", "varchar", "text"})
MYSQL: Final = Dialect(
    name="MySQL",
    as_text="CAST(CAST({0} AS CHAR CHARACTER SET utf8mb4) AS BINARY)",
    as_number="CAST({0} AS DOUBLE)",
    as_double="CAST({0} AS DOUBLE)",
    small_letters="CAST(lower(CAST({0} AS CHAR CHARACTER SET utf8mb4)) AS BINARY)",
    unfit_id=f"(locate(char(0), {{0}}) > 0 OR octet_length({{0}}) > {MAX_ID_BYTES})",
    unfit_words=f"missing, empty, with a NUL character or longer than {MAX_ID_BYTES:,} bytes",
    # Its doubles are always finite: others are refused on insertion.
    is_nan="FALSE",
    is_infinite="FALSE",
    id_types=INTEGERS | TEXTS,
    number_types=INTEGERS | {"float", "double", "decimal", "year"},
    level_types=INTEGERS | TEXTS | {"enum", "float", "double"},
    no_text="",
    text_cast="CAST({0} AS CHAR)",
    number_cast="CAST({0} AS DOUBLE)",
)


def _phrase(sql: str) -> str:
    """A phrase from a text with ``@`` for the expression, in which braces are literal."""
    return sql.replace("{", "{{").replace("}", "}}").replace("@", "{0}")


_CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?"
_OFFSET: Final = "[-+][0-9]{2}(:?[0-9]{2})?"
_WRITTEN: Final = f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([ T]{_CLOCK}( ?(Z|{_OFFSET}))?)?$"
#: The offset from UTC at the end, as ``-0500``; the first ten characters are the day.
_AWAY: Final = f"replace(regexp_substr(substring(CAST(@ AS CHAR), 12), '{_OFFSET}$'), ':', '')"
_MINUTES: Final = (
    f"(CASE WHEN left({_AWAY}, 1) = '-' THEN -1 ELSE 1 END * "
    f"(60 * CAST(substring({_AWAY}, 2, 2) AS SIGNED) + "
    f"CAST(concat('0', substring({_AWAY}, 4, 2)) AS SIGNED)))"
)
#: The server would read a text by its leading digits, else as 0 or a day of zeros: so a text in any
#: other format becomes NULL. Money is summed as decimals, the same in any order.
LINES: Final = LinePhrases(
    text="CAST(CAST({0} AS CHAR) AS BINARY)",
    as_id="CAST({0} AS CHAR)",
    number=_phrase(
        "CASE WHEN regexp_instr(trim(CAST(@ AS CHAR)), "
        "'^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$') = 1 "
        "THEN CAST(trim(CAST(@ AS CHAR)) AS DECIMAL(65, 30)) END"
    ),
    day=_phrase(
        f"CASE WHEN regexp_instr(CAST(@ AS CHAR), '{_WRITTEN}') <> 1 THEN NULL "
        f"WHEN {_AWAY} <> '' THEN CAST(date_sub("
        "CAST(replace(left(CAST(@ AS CHAR), 16), 'T', ' ') AS DATETIME), "
        f"INTERVAL {_MINUTES} MINUTE) AS DATE) "
        "ELSE CAST(left(CAST(@ AS CHAR), 10) AS DATE) END"
    ),
    # It accepts the 31st of February, and a cast does not.
    day_as="CAST(left(CAST(str_to_date(CAST({0} AS CHAR), {1}) AS CHAR), 10) AS DATE)",
    a_day="CAST({0} AS DATE)",
    later="date_add({0}, INTERVAL ({1}) DAY)",
    days="datediff({1}, {0})",
    double="CAST({0} AS DOUBLE)",
    written=lambda date_format: date_format.replace("%M", "%i"),
)
