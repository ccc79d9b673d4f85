"""Rules by which a table of consents, objections or births permits each customer, one query each.

Default deny: what is unknown, unreadable or of another purpose never permits. Times need a zone;
a time that cannot be read, or that lies in the future, denies its customer. The latest event
decides; of two at the same time the more restrictive one. A consent applies to the purpose that it
names, compared exactly; any other event applies to every purpose that it names among others, in
upper or lower case, and to all when it names none. If only the year of a birth is known, the last
day of that year is used, and of several births the latest.
"""
# Only names made here go into SQL; values are parameters.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import Final

import duckdb

#: The only events that permit (W3C Data Privacy Vocabulary, with or without its prefix).
GRANTS: Final = ("consentgiven", "renewedconsentgiven")
#: Texts that mean an unset flag.
NO_FLAG: Final = ("", "0", "0.0", "false", "f", "no", "n")
#: DuckDB itself would accept offsets of 99 hours.
_WITH_ZONE: Final = (
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)?"
    r"(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
)

#: The time zone furthest behind UTC.
_WESTERNMOST: Final = timedelta(hours=12)
#: A date, with or without a time of day after it.
_DATE: Final = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?"


class Reason(IntEnum):
    """Why a customer is not eligible; the first that applies, from the top."""

    OBJECTION = 1
    UNREADABLE_TIME = 2
    FUTURE_TIME = 3
    WITHDRAWN = 4
    UNREADABLE_END = 5
    EXPIRED = 6
    OTHER_NOTICE = 7
    OTHER_PURPOSE = 8
    UNKNOWN = 9
    TOO_YOUNG = 10
    UNREADABLE_BIRTH = 11
    AGE_UNKNOWN = 12

    @property
    def words(self) -> str:
        """The rule in words."""
        return _WORDS[self]


_WORDS: Final[Mapping[Reason, str]] = {
    Reason.OBJECTION: "objection, GPC or limit flag",
    Reason.UNREADABLE_TIME: "a time that cannot be read, or has no zone",
    Reason.FUTURE_TIME: "a time in the future",
    Reason.WITHDRAWN: "the latest event permits nothing",
    Reason.UNREADABLE_END: "the consent's end cannot be read",
    Reason.EXPIRED: "the consent has ended",
    Reason.OTHER_NOTICE: "given under a notice that does not cover the purpose",
    Reason.OTHER_PURPOSE: "given for other purposes only",
    Reason.UNKNOWN: "no consent on record",
    Reason.TOO_YOUNG: "younger than agreed",
    Reason.UNREADABLE_BIRTH: "a birth that cannot be read, or lies in the future",
    Reason.AGE_UNKNOWN: "no birth on record",
}
#: Reasons of one event, from the least to the most restrictive; they fit three bits.
_OF_EVENT: Final = (
    None, Reason.OTHER_NOTICE, Reason.EXPIRED, Reason.UNREADABLE_END, Reason.WITHDRAWN,
)  # fmt: skip


#: The greatest of the ranks of a customer's events decides. A rank is 0 where the event does not
#: apply, else the microseconds since the year 0, then three bits for how restrictive the event is;
#: what is unreadable or in the future ranks above every time before the year 10000.
_FUTURE: Final = 1 << 62
_UNREADABLE: Final = _FUTURE + 1
#: Microseconds from the year 0 to 1970, and some more.
_YEAR_0: Final = 10**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Conditions that a customer's rows are judged by.

    Attributes:
        purpose: The agreed purpose, as a prefixed name.
        notices: Versions of the notice that inform customers of it.
        now: The present time, with time zone.
        least_age: Customers younger than this, in years, are not eligible.
    """

    purpose: str
    notices: tuple[str, ...]
    now: datetime
    least_age: int


def judge_consents(
    connection: duckdb.DuckDBPyConnection, relation: str, into: str, wanted: Wanted
) -> None:
    """Make the table `into` of ``subject, reason, changes``; the reason is NULL where it permits.

    ``changes`` is when the first of the customer's times that lie ahead arrives, in microseconds
    since 1970: until then the same rows are judged alike. NULL where none lies ahead.

    Args:
        relation: Has the text columns ``event, time, purpose, notice, until``, and ``subject``,
            like all relations here, as text or hashed.
    """
    codes = " ".join(
        f"WHEN {code} THEN {int(reason)}" for code, reason in enumerate(_OF_EVENT) if reason
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {into} AS
        WITH events AS (
            SELECT
                subject,
                coalesce(list_contains($grants, lower(trim(event))), false) AS grants,
                {moment_of("time")} AS moment,
                trim(coalesce(purpose, '')) AS purpose,
                trim(coalesce(notice, '')) AS notice,
                trim(coalesce(until, '')) AS until_text,
                {moment_of("until")} AS until
            FROM {relation}
        ), ranked AS (
            SELECT subject, CASE
                WHEN NOT (purpose = $purpose OR (NOT grants AND (
                    purpose = '' OR contains(lower(purpose), lower($purpose))
                ))) THEN 0
                WHEN moment IS NULL THEN {_UNREADABLE}
                WHEN moment > $now THEN {_FUTURE}
                ELSE (epoch_us(moment) + {_YEAR_0}) * 8 + CASE
                    WHEN NOT grants THEN 4
                    WHEN until_text <> '' AND until IS NULL THEN 3
                    WHEN until <= $now THEN 2
                    WHEN NOT list_contains($notices, notice) THEN 1
                    ELSE 0
                END
            END AS rank, epoch_us(least(
                CASE WHEN moment > $now THEN moment END, CASE WHEN until > $now THEN until END
            )) AS ahead
            FROM events
        ), latest AS (
            SELECT subject, max(rank) AS rank, min(ahead) AS changes FROM ranked GROUP BY subject
        )
        SELECT subject, CAST(CASE
            WHEN rank = 0 THEN {int(Reason.OTHER_PURPOSE)}
            WHEN rank = {_UNREADABLE} THEN {int(Reason.UNREADABLE_TIME)}
            WHEN rank = {_FUTURE} THEN {int(Reason.FUTURE_TIME)}
            ELSE CASE rank & 7 {codes} END
        END AS TINYINT) AS reason, changes
        FROM latest
        """,
        {
            "grants": [prefix + event for prefix in ("", "dpv:") for event in GRANTS],
            "purpose": wanted.purpose,
            "notices": list(wanted.notices),
            "now": wanted.now,
        },
    )


def judge_objections(connection: duckdb.DuckDBPyConnection, relation: str, into: str) -> None:
    """Make the table `into` of ``subject, reason``, with only those who object.

    Args:
        relation: Has the text column ``subject``, and ``flags``, a list of texts; with an empty
            list everybody in the table objects.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {into} AS
        SELECT DISTINCT subject, CAST({int(Reason.OBJECTION)} AS TINYINT) AS reason
        FROM {relation}
        WHERE len(flags) = 0
            OR len(list_filter(
                flags, lambda f: NOT list_contains($none, lower(trim(coalesce(f, ''))))
            )) > 0
        """,
        {"none": list(NO_FLAG)},
    )


def judge_births(
    connection: duckdb.DuckDBPyConnection, relation: str, into: str, wanted: Wanted
) -> None:
    """Make the table `into` of ``subject, reason``; the reason is NULL for whoever is old enough.

    Args:
        relation: Has the text columns ``subject, born``: a date, a date and time, or a year.
    """
    today = _last_date(wanted.now)
    year = today.year - wanted.least_age
    try:
        latest = today.replace(year=year)
    except ValueError:  # the 29th of February: the birthday is the 1st of March
        latest = today.replace(year=year, day=28)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {into} AS
        WITH births AS (
            SELECT subject, CASE
                WHEN regexp_full_match(trim(born), '\\d{{4}}')
                    THEN TRY_CAST(trim(born) || '-12-31' AS DATE)
                WHEN regexp_full_match(trim(born), '{_DATE}')
                    THEN TRY_CAST(trim(born)[:10] AS DATE)
            END AS born
            FROM {relation}
        )
        SELECT subject, CAST(CASE
            WHEN bool_or(born IS NULL OR born > $today) THEN {int(Reason.UNREADABLE_BIRTH)}
            WHEN max(born) > $latest THEN {int(Reason.TOO_YOUNG)}
        END AS TINYINT) AS reason
        FROM births GROUP BY subject
        """,
        {"today": today, "latest": latest},
    )


def births_hold_until(now: datetime) -> datetime:
    """When births that are judged now may be judged differently: at the next date."""
    tomorrow = _last_date(now) + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC) + _WESTERNMOST


def _last_date(now: datetime) -> date:
    """The date in the last time zone."""
    return (now - _WESTERNMOST).astimezone(UTC).date()


def moment_of(column: str) -> str:
    """SQL: the point in time in a text column; NULL where the text is none, or has no zone."""
    text = f"upper(trim({column}))"
    return (
        f"CASE WHEN regexp_full_match({text}, '{_WITH_ZONE}') "
        f"THEN TRY_CAST({text} AS TIMESTAMPTZ) END"
    )
