"""What a table says of a customer: every rule by hand, and all together against plain Python."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_node.consent.settings import EVENTS
from partner_node.consent.verdicts import (
    GRANTS,
    NO_FLAG,
    Reason,
    Wanted,
    judge_consents,
    judge_objections,
)
from tests import effort

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
PURPOSE = "fedseg:CustomerSegmentation"
WANTED = Wanted(purpose=PURPOSE, notices=("1", "2"), now=NOW, least_age=16)
COLUMNS = ("subject", "event", "time", "purpose", "notice", "until")
Row = tuple[str | None, ...]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as found:
        found.execute("SET TimeZone = 'UTC'")
        yield found


def event(
    event: str | None = "ConsentGiven",
    time: str | None = "2026-01-01T10:00:00Z",
    *,
    purpose: str | None = PURPOSE,
    notice: str | None = "1",
    until: str | None = None,
    subject: str | None = "c",
) -> Row:
    """One row of a consent table; as it stands it permits."""
    return (subject, event, time, purpose, notice, until)


def judged(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[Row], wanted: Wanted = WANTED
) -> dict[str, Reason | None]:
    columns = {
        name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(COLUMNS)
    }
    connection.register("events", pa.table(columns))
    judge_consents(connection, "events", "verdicts", wanted)
    found = connection.execute("SELECT subject, reason FROM verdicts").fetchall()
    connection.unregister("events")
    assert len(found) == len({subject for subject, _ in found})
    return {subject: Reason(reason) if reason else None for subject, reason in found}


def verdict(connection: duckdb.DuckDBPyConnection, *rows: Row) -> Reason | None:
    """What the table says of the one customer in it, in whatever order its rows stand."""
    found = judged(connection, rows)
    assert judged(connection, rows[::-1]) == found
    return found["c"]


# --- by hand -------------------------------------------------------------------------------------


def test_a_consent_for_the_purpose_under_a_notice_that_covers_it_permits(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert verdict(connection, event()) is None
    assert verdict(connection, event(notice="2")) is None


@pytest.mark.parametrize("word", EVENTS)
def test_only_a_given_and_a_renewed_consent_permit(
    connection: duckdb.DuckDBPyConnection, word: str
) -> None:
    permits = word in ("ConsentGiven", "RenewedConsentGiven")
    for written in (word, f"dpv:{word}", word.upper(), word.lower(), f" DPV:{word} "):
        expected = None if permits else Reason.WITHDRAWN
        assert verdict(connection, event(written)) is expected, written


@pytest.mark.parametrize(
    "word",
    [
        "yes",
        "",
        None,
        "ConsentGiven!",
        "NotConsentGiven",
        "dpv:dpv:ConsentGiven",
        "dpv:",
        "Consentdpv:Given",
    ],
)
def test_an_unknown_event_permits_nothing(
    connection: duckdb.DuckDBPyConnection, word: str | None
) -> None:
    assert verdict(connection, event(word)) is Reason.WITHDRAWN
    later = event(word, "2026-01-02T10:00:00Z")
    assert verdict(connection, event(), later) is Reason.WITHDRAWN


def test_the_latest_event_decides(connection: duckdb.DuckDBPyConnection) -> None:
    given = event("ConsentGiven", "2026-01-01T10:00:00Z")
    withdrawn = event("ConsentWithdrawn", "2026-01-02T10:00:00Z")
    again = event("RenewedConsentGiven", "2026-01-03T10:00:00Z")
    assert verdict(connection, given, withdrawn) is Reason.WITHDRAWN
    assert verdict(connection, given, withdrawn, again) is None
    assert verdict(connection, withdrawn, event(notice="9", time="2026-01-03T10:00:00Z")) is (
        Reason.OTHER_NOTICE
    )


def test_at_the_same_moment_the_withdrawal_wins(connection: duckdb.DuckDBPyConnection) -> None:
    given = event("ConsentGiven", "2026-01-01T10:00:00Z")
    for time in ("2026-01-01T10:00:00Z", "2026-01-01 10:00Z", "2026-01-01T12:00:00.000+02:00"):
        assert verdict(connection, given, event("ConsentWithdrawn", time)) is Reason.WITHDRAWN


def test_at_the_same_moment_the_more_restrictive_of_two_consents_counts(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    ended = event(until="2026-02-01T00:00:00Z")
    assert verdict(connection, event(), event(notice="9")) is Reason.OTHER_NOTICE
    assert verdict(connection, event(notice="9"), ended) is Reason.EXPIRED
    assert verdict(connection, ended, event(until="soon")) is Reason.UNREADABLE_END


def test_a_fraction_of_a_second_later_is_later(connection: duckdb.DuckDBPyConnection) -> None:
    given = event("ConsentGiven", "2026-01-01T10:00:00.000001Z")
    assert verdict(connection, given, event("ConsentWithdrawn", "2026-01-01T10:00:00Z")) is None
    later = event("ConsentWithdrawn", "2026-01-01T10:00:00.000002Z")
    assert verdict(connection, given, later) is Reason.WITHDRAWN


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-01T10:00:00", "2026-01-01", "2026-01-01 10:00", "", None, "yesterday",
        "2026-02-30T10:00:00Z", "2026-13-01T10:00:00Z", "2026-01-01T25:00:00Z",
        "2026-01-01T10:00:61Z", "2026-01-01T10:00:00+99:00", "2026-01-01T10:00:00+02:60",
        "2026-01-01T10:00:00 Europe/Berlin", "2026-01-01T10:00:00 CET", "1767261600", "infinity",
        "epoch", "01.01.2026 10:00 +01:00", "2026-1-1T10:00:00Z", "2026-01-01T10:00:00Z.",
        "20260101T100000Z", "2026-01-01T10:00:00.Z", "12026-01-01T10:00:00Z", "now",
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_read_or_has_no_zone_denies(
    connection: duckdb.DuckDBPyConnection, time: str | None
) -> None:
    unreadable = Reason.UNREADABLE_TIME
    assert verdict(connection, event(time=time)) is unreadable
    assert verdict(connection, event("ConsentWithdrawn", time), event()) is unreadable
    assert verdict(connection, event(time="2026-02-01T00:00:00Z"), event(time=time)) is unreadable


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-01T10:00:00Z", "2026-01-01t10:00:00z", " 2026-01-01 10:00:00+00 ",
        "2026-01-01T10:00Z", "2026-01-01T12:00:00+0200", "2026-01-01T15:30:00+05:30",
        "2026-01-01T10:00:00.123456789Z", "1960-02-29T10:00:00Z", "0001-01-02T00:00:00Z",
    ],
)  # fmt: skip
def test_a_time_with_a_zone_is_read_however_it_is_written(
    connection: duckdb.DuckDBPyConnection, time: str
) -> None:
    assert verdict(connection, event(time=time)) is None


def test_offsets_of_summer_and_winter_time_are_told_apart(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """The hour that comes twice in the night of 26 October 2025: first +02:00, then +01:00."""
    first = "2025-10-26T02:30:00+02:00"
    second = "2025-10-26T02:15:00+01:00"
    given, withdrawn = "ConsentGiven", "ConsentWithdrawn"
    assert verdict(connection, event(given, first), event(withdrawn, second)) is Reason.WITHDRAWN
    assert verdict(connection, event(withdrawn, first), event(given, second)) is None


def test_events_before_1970_are_in_order(connection: duckdb.DuckDBPyConnection) -> None:
    given = event("ConsentGiven", "1960-01-01T00:00:00.000001Z")
    withdrawn = event("ConsentWithdrawn", "1960-01-01T00:00:00.000002Z")
    assert verdict(connection, given, withdrawn) is Reason.WITHDRAWN
    assert verdict(connection, withdrawn, event("ConsentGiven", "1960-01-01T00:00:01Z")) is None
    assert verdict(connection, withdrawn, event("ConsentGiven", "1960-01-01T00:00Z")) is (
        Reason.WITHDRAWN
    )


def test_an_event_in_the_future_denies_whatever_else_there_is(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    soon = "2026-03-01T12:00:00.500001Z"
    assert verdict(connection, event(time=soon)) is Reason.FUTURE_TIME
    assert verdict(connection, event("ConsentWithdrawn", soon), event()) is Reason.FUTURE_TIME
    assert verdict(connection, event(time="2026-03-01T12:00:00.5Z")) is None, "now is not later"


def test_a_consent_for_another_purpose_says_nothing_of_this_one(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for purpose in ("dpv:Marketing", PURPOSE.lower(), PURPOSE + "X", f"{PURPOSE};dpv:Marketing"):
        other = event(purpose=purpose, time="2026-02-01T00:00:00Z")
        assert verdict(connection, other) is Reason.OTHER_PURPOSE
        assert verdict(connection, event("ConsentWithdrawn"), other) is Reason.WITHDRAWN
        assert verdict(connection, event(), other) is None
    assert verdict(connection, event(purpose=f" {PURPOSE} ")) is None, "blanks around it are none"


def test_what_is_wrong_with_events_of_other_purposes_does_not_matter(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for other in (
        event("ConsentWithdrawn", "2026-02-01T00:00:00Z", purpose="dpv:Marketing"),
        event("ConsentGiven", "whenever", purpose="dpv:Marketing"),
        event("ConsentGiven", "2099-01-01T00:00:00Z", purpose="dpv:Marketing"),
    ):
        assert verdict(connection, event(), other) is None
        assert verdict(connection, other) is Reason.OTHER_PURPOSE


@pytest.mark.parametrize(
    "purpose",
    [
        "",
        None,
        "  ",
        PURPOSE.upper(),
        f'["dpv:Marketing","{PURPOSE}"]',
        f"dpv:Marketing; {PURPOSE}",
    ],
)
def test_a_withdrawal_counts_for_all_purposes_that_it_names_and_for_all_when_it_names_none(
    connection: duckdb.DuckDBPyConnection, purpose: str | None
) -> None:
    withdrawn = event("ConsentWithdrawn", "2026-02-01T00:00:00Z", purpose=purpose)
    assert verdict(connection, event(), withdrawn) is Reason.WITHDRAWN


@pytest.mark.parametrize("purpose", ["", None, "  "])
def test_a_consent_without_a_purpose_permits_nothing(
    connection: duckdb.DuckDBPyConnection, purpose: str | None
) -> None:
    assert verdict(connection, event(purpose=purpose)) is Reason.OTHER_PURPOSE


@pytest.mark.parametrize("notice", ["3", "", None, "1.0", "01", "v1", "1;2"])
def test_a_notice_that_does_not_tell_of_the_purpose_denies(
    connection: duckdb.DuckDBPyConnection, notice: str | None
) -> None:
    assert verdict(connection, event(notice=notice)) is Reason.OTHER_NOTICE
    assert verdict(connection, event(), event(notice=notice, time="2026-02-01T00:00:00Z")) is (
        Reason.OTHER_NOTICE
    )


def test_without_a_notice_that_tells_of_the_purpose_nobody_is_counted(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    none = Wanted(purpose=PURPOSE, notices=(), now=NOW, least_age=16)
    assert judged(connection, [event()], none) == {"c": Reason.OTHER_NOTICE}


def test_a_consent_ends_at_the_moment_that_it_names(connection: duckdb.DuckDBPyConnection) -> None:
    assert verdict(connection, event(until="2026-03-01T12:00:00.500001Z")) is None
    assert verdict(connection, event(until="2026-03-01T12:00:00.5Z")) is Reason.EXPIRED
    assert verdict(connection, event(until="2026-03-01T13:00:00+01:00")) is Reason.EXPIRED
    for never in (None, "", "  "):
        assert verdict(connection, event(until=never)) is None


@pytest.mark.parametrize("until", ["2027-01-01", "2027-01-01T00:00:00", "never", "infinity", "-"])
def test_an_end_that_cannot_be_read_denies(
    connection: duckdb.DuckDBPyConnection, until: str
) -> None:
    assert verdict(connection, event(until=until)) is Reason.UNREADABLE_END


def test_a_renewal_outlives_the_end_of_the_first_consent(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    ended = event(until="2026-02-01T00:00:00Z")
    renewed = event("RenewedConsentGiven", "2026-01-15T00:00:00Z", until="2027-01-01T00:00:00Z")
    assert verdict(connection, ended, renewed) is None


def test_no_customers_events_count_for_another(connection: duckdb.DuckDBPyConnection) -> None:
    found = judged(
        connection,
        [
            event(subject="a"),
            event("ConsentWithdrawn", "2026-02-01T00:00:00Z", subject="a "),
            event("ConsentWithdrawn", "2026-02-01T00:00:00Z", subject="A"),
            event(subject="007"),
            event("ConsentWithdrawn", "2026-02-01T00:00:00Z", subject="7"),
        ],
    )
    assert found == {
        "a": None, "a ": Reason.WITHDRAWN, "A": Reason.WITHDRAWN, "007": None,
        "7": Reason.WITHDRAWN,
    }  # fmt: skip


def test_an_empty_table_knows_nobody(connection: duckdb.DuckDBPyConnection) -> None:
    assert judged(connection, []) == {}


def test_every_reason_is_said_in_words_of_its_own() -> None:
    assert len({reason.words for reason in Reason}) == len(Reason)


# --- objections ----------------------------------------------------------------------------------


def objecting(
    connection: duckdb.DuckDBPyConnection, rows: Mapping[str, Sequence[str | None]]
) -> set[str]:
    table = {
        "subject": pa.array(list(rows), pa.string()),
        "flags": pa.array([list(flags) for flags in rows.values()], pa.list_(pa.string())),
    }
    connection.register("listed", pa.table(table))
    judge_objections(connection, "listed", "objections")
    found = connection.execute("SELECT subject, reason FROM objections").fetchall()
    connection.unregister("listed")
    assert {reason for _, reason in found} <= {int(Reason.OBJECTION)}
    return {subject for subject, _ in found}


def test_whoever_is_in_a_list_without_flags_objects(connection: duckdb.DuckDBPyConnection) -> None:
    assert objecting(connection, {"a": [], "b": []}) == {"a", "b"}


@pytest.mark.parametrize("flag", [*NO_FLAG, "No", " FALSE ", "F", "  ", None])
def test_a_flag_that_says_no_is_no_objection(
    connection: duckdb.DuckDBPyConnection, flag: str | None
) -> None:
    assert objecting(connection, {"a": [flag], "b": [flag, "1"]}) == {"b"}


@pytest.mark.parametrize(
    "flag", ["1", "true", "Y", "yes", "opt-out", "2026-01-01", "00", "-", "null", "nein", "\t0"]
)
def test_every_other_flag_is_an_objection(connection: duckdb.DuckDBPyConnection, flag: str) -> None:
    assert objecting(connection, {"a": [flag], "b": ["0", flag], "c": ["0", "no"]}) == {"a", "b"}


# --- against plain Python ------------------------------------------------------------------------

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r"(?:([Zz])|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)"
)


def read_time(text: str | None) -> datetime | None:
    """The moment, in microseconds as times have them here; None when there is none."""
    found = _TIME.fullmatch((text or "").strip(" "))
    if found is None:
        return None
    *numbers, fraction, _, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    zone = timezone(-offset if sign == "-" else offset)
    try:
        year, month, day, hour, minute, second = (int(n or 0) for n in numbers)
        micro = int(((fraction or "") + "000000")[:6])
        return datetime(year, month, day, hour, minute, second, micro, tzinfo=zone)
    except ValueError:
        return None


def slowly(rows: Sequence[Row], wanted: Wanted) -> dict[str | None, Reason | None]:
    """The same verdicts, customer by customer and rule by rule."""
    by_subject: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for subject, word, time, purpose, notice, until in rows:
        named = (word or "").strip(" ").lower().removeprefix("dpv:")
        by_subject[subject].append(
            {
                "grants": named in GRANTS,
                "time": read_time(time),
                "purpose": (purpose or "").strip(" "),
                "notice": (notice or "").strip(" "),
                "ends": bool((until or "").strip(" ")),
                "until": read_time(until),
            }
        )
    return {subject: _slowly_one(events, wanted) for subject, events in by_subject.items()}


def _slowly_one(events: list[dict[str, Any]], wanted: Wanted) -> Reason | None:
    about = []
    for e in events:
        names_it = wanted.purpose.lower() in e["purpose"].lower()
        if e["purpose"] == wanted.purpose or (not e["grants"] and (names_it or not e["purpose"])):
            about.append(e)
    if not about:
        return Reason.OTHER_PURPOSE
    if any(e["time"] is None for e in about):
        return Reason.UNREADABLE_TIME
    if any(e["time"] > wanted.now for e in about):
        return Reason.FUTURE_TIME
    last = max(e["time"] for e in about)
    deciding = [e for e in about if e["time"] == last]
    if not all(e["grants"] for e in deciding):
        return Reason.WITHDRAWN
    if any(e["ends"] and e["until"] is None for e in deciding):
        return Reason.UNREADABLE_END
    if any(e["ends"] and e["until"] <= wanted.now for e in deciding):
        return Reason.EXPIRED
    if any(e["notice"] not in wanted.notices for e in deciding):
        return Reason.OTHER_NOTICE
    return None


def _written(moment: datetime, offset: str, separator: str, digits: int) -> str:
    sign, hours, minutes = offset[:1], offset[1:3], offset[-2:] if len(offset) > 3 else "00"
    shift = timedelta()
    if sign in "+-":
        shift = timedelta(hours=int(hours), minutes=int(minutes))
        shift = -shift if sign == "-" else shift
    local = moment + shift
    fraction = f"{local.microsecond:06}000"[:digits]
    return f"{local:%Y-%m-%d}{separator}{local:%H:%M:%S}{'.' if digits else ''}{fraction}{offset}"


#: So few that events often fall on the same moment, written in another way.
_MOMENTS = [
    datetime(1960, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2025, 10, 26, 0, 30, tzinfo=UTC),
    datetime(2025, 10, 26, 1, 30, tzinfo=UTC),
    NOW - timedelta(microseconds=1),
    NOW,
    NOW + timedelta(microseconds=1),
]
_NO_TIMES = [
    None, "", "2026-01-01", "2026-01-01T10:00:00", "2026-02-30T10:00:00Z", "1767261600",
    "2026-01-01T10:00:00+24:00", "soon",
]  # fmt: skip
written_times = st.builds(
    _written,
    st.sampled_from(_MOMENTS),
    st.sampled_from(["Z", "z", "+00:00", "+02:00", "+01", "-0530", "+14:00"]),
    st.sampled_from(["T", " ", "t"]),
    st.sampled_from([0, 1, 6, 9]),
)
times = st.one_of(written_times, written_times, written_times, st.sampled_from(_NO_TIMES))
rows_of_tables = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(
        ["ConsentGiven", "ConsentGiven", "dpv:RenewedConsentGiven", " consentgiven", "yes", None,
         "ConsentWithdrawn", "dpv:ConsentRefused", ""]
    ),
    times,
    st.sampled_from(
        [PURPOSE, PURPOSE, PURPOSE, f" {PURPOSE}", "", None, "dpv:Marketing", PURPOSE.lower(),
         f"dpv:Marketing;{PURPOSE}"]
    ),
    st.sampled_from(["1", "1", "2", " 1", "3", "", None]),
    st.one_of(st.just(""), st.none(), times),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=effort.count(80, 800), deadline=None)
@given(rows=st.lists(rows_of_tables, max_size=9))
def test_the_query_says_the_same_as_rules_applied_one_by_one(
    connection: duckdb.DuckDBPyConnection, rows: list[Row]
) -> None:
    assert judged(connection, rows) == slowly(rows, WANTED)


@pytest.mark.slow
@settings(max_examples=effort.count(25, 400), deadline=None)
@given(rows=st.lists(rows_of_tables, min_size=1, max_size=6), text=st.text(max_size=8))
def test_an_event_that_makes_no_sense_never_lets_anybody_in(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], text: str
) -> None:
    clean = text.replace("\0", "")
    before = judged(connection, rows)
    for place in (1, 2, 4, 5):
        more = list(event(subject="a"))
        more[place] = clean + "?"
        after = judged(connection, [*rows, tuple(more)])
        assert after["a"] is not None or before.get("a", Reason.UNKNOWN) is None
