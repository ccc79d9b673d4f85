"""MySQL's and MariaDB's phrases for queries over customers' rows.

Texts are compared as bytes: in a collation ``a`` may be ``A`` or ``a `` with a blank. The session
writes names in double quotes and reads a backslash as itself (`connection`).
"""

from __future__ import annotations

from typing import Final

from partner_node.sources.day_forms import ISO, OFFSET, DayForm
from partner_node.sources.dialect import Dialect, literal
from partner_node.sources.line_phrases import NUMBER, LinePhrases, phrase

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


def _whole(pattern: str) -> str:
    """A pattern in SQL, whatever collation and settings say of letters and lines.

    ``$`` also matches before a line feed that ends the text.
    """
    return literal(r"(?-ims)\A" + pattern.removeprefix("^").removesuffix("$") + r"\z")


#: The offset from UTC at the end, as ``-0500``; what stands before it is a day in ten letters.
_AWAY: Final = f"replace(regexp_substr(substring(CAST(@ AS CHAR), 12), '{OFFSET}$'), ':', '')"
_MINUTES: Final = (
    f"(CASE WHEN left({_AWAY}, 1) = '-' THEN -1 ELSE 1 END * "
    f"(60 * CAST(substring({_AWAY}, 2, 2) AS SIGNED) + "
    f"CAST(concat('0', substring({_AWAY}, 4, 2)) AS SIGNED)))"
)


def _day_as(value: str, form: DayForm) -> str:
    """A value as its day by a form; NULL when it is in no calendar.

    The server takes the 31st of February for a day, and a cast does not.
    """
    text, written = f"CAST({value} AS CHAR)", literal(form.text.replace("%M", "%i"))
    return (
        f"CASE WHEN regexp_instr({text}, {_whole(form.pattern)}) = 1 "
        f"THEN CAST(left(CAST(str_to_date({text}, {written}) AS CHAR), 10) AS DATE) END"
    )


#: Text that begins like a number is one to the server, and what is none is 0, or a day of zeros:
#: what is not written as it should be is NULL. Money is summed as decimals, in any order the same.
LINES: Final = LinePhrases(
    text="CAST(CAST({0} AS CHAR) AS BINARY)",
    as_id="CAST({0} AS CHAR)",
    number=phrase(
        f"CASE WHEN regexp_instr(CAST(@ AS CHAR), {_whole(NUMBER)}) = 1 "
        "THEN CAST(trim(CAST(@ AS CHAR)) AS DECIMAL(65, 30)) END"
    ),
    day=phrase(
        f"CASE WHEN regexp_instr(CAST(@ AS CHAR), {_whole(ISO)}) <> 1 THEN NULL "
        f"WHEN {_AWAY} <> '' THEN CAST(date_sub("
        "CAST(replace(left(CAST(@ AS CHAR), 16), 'T', ' ') AS DATETIME), "
        f"INTERVAL {_MINUTES} MINUTE) AS DATE) "
        "ELSE CAST(left(CAST(@ AS CHAR), 10) AS DATE) END"
    ),
    day_as=_day_as,
    a_day="CAST({0} AS DATE)",
    later="date_add({0}, INTERVAL ({1}) DAY)",
    days="datediff({1}, {0})",
    double="CAST({0} AS DOUBLE)",
)
