"""Days and numbers in invoice lines mean the same in every kind of source, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from partner_node.sources.day_forms import DATE_SIGNS, DayForm
from partner_node.sources.kinds import KINDS
from partner_node.sources.source import Column
from protocol.errors import SourceError
from tests import effort
from tests.partner_node.source_suite import rows
from tests.partner_node.test_consent_gate import everything_said
from tests.partner_node.test_transactions import (
    FIXED,
    Options,
    Servers,
    lines_table,
    opened,
    table_lines,
    text_lines,
)

#: The servers' fixture, found here by its name.
from tests.partner_node.test_transactions import servers as servers

#: Days that are meant, by the form in which they are written.
DAYS: Mapping[str | None, Mapping[str, str]] = {
    None: {
        "2025-02-07": "2025-02-07",
        "2024-02-29": "2024-02-29",
        "1900-01-01": "1900-01-01",
        "2025-02-07 10:30": "2025-02-07",
        "2025-02-07T10:30:59": "2025-02-07",
        "2025-02-07 10:30:59.123456": "2025-02-07",
        "2025-02-07T23:30:00Z": "2025-02-07",
        "2025-02-07 23:30:00-05": "2025-02-08",
        "2025-02-07 00:30:00+0130": "2025-02-06",
        "2025-02-07T00:30:00.5+01:00": "2025-02-06",
        "2025-02-07 00:30+1400": "2025-02-06",
    },
    "%d.%m.%Y": {"07.02.2025": "2025-02-07", "7.2.2025": "2025-02-07"},
    "%d.%m.%y": {"07.02.25": "2025-02-07", "7.2.69": "2069-02-07", "7.2.70": "1970-02-07"},
    "%Y%m%d": {"20250207": "2025-02-07"},
    "%m/%d/%Y %H:%M": {"2/7/2025 8:26": "2025-02-07", "02/07/2025 08:05": "2025-02-07"},
    "%d-%b-%Y": {"07-Feb-2025": "2025-02-07", "7-DEC-2025": "2025-12-07"},
    "%I:%M:%S %p %d.%m.%Y": {"11:59:59 PM 7.2.2025": "2025-02-07"},
    "%Y年%m月%d日": {"2025年2月7日": "2025-02-07"},
}
#: Texts that are no day in a form, whatever a database's own reader makes of them.
NO_DAYS: Mapping[str | None, tuple[str, ...]] = {
    None: (
        "31-12-25", "25-12-31", "31/12/25", "12/31/2025", "2025/02/07", "2025-2-7", "20250207",
        "2025-02-31", "2025-13-01", "0025-02-07", "12025-02-07", "9999-12-31", "1899-12-31",
        "0001-01-01", "2025-02-07 ", " 2025-02-07", "2025-02-07\n", "x\n2025-02-07",
        "2025-02-07 soon", "2025-02-07 24:00",
        "2025-02-07T10", "2025-02-07 10:30 +01:00", "2025-02-07 (BC)",
        "2025-02-07t10:30", "2025-02-07T10:30z", "2025-02-07 10:30+99", "2025-02-07 10:30+16",
        "2025-02-07 10:30+01:75", "now", "today", "infinity",
        "45000", "1735689600", "2025-W06", "2025-02", "-", "",
    ),
    "%d.%m.%Y": (
        "31.12.25", "07-02-2025", "07/02/2025", "07 02 2025", "31.02.2025", "00.02.2025",
        "07.13.2025", "07.02.2025 10:00", "07.02.2025x", "07.02.2025\n", "x07.02.2025",
        "07.02.0025",
        "07.02.9999", "2025-02-07", "07.02.", "0", "",
    ),
    "%d.%m.%y": ("07.02.2025", "7.2.5", "30.02.25"),
    "%Y%m%d": ("2025-02-07", "2025027", "202502070", "20250230", "250207"),
    "%m/%d/%Y %H:%M": ("2/7/2025", "2/7/2025 24:00", "2/7/25 8:26", "13/7/2025 8:26"),
    "%d-%b-%Y": ("07-February-2025", "07-Okt-2025", "07-02-2025", "31-Feb-2025"),
    "%Y年%m月%d日": ("2025-2-7", "2025年2月31日"),
}  # fmt: skip
NUMBERS = {
    "12": 12.0, " 12.50 ": 12.5, "-3.5": -3.5, "+3": 3.0, ".5": 0.5, "5.": 5.0, "007": 7.0,
    "1e2": 100.0, "1.5E-2": 0.015, "0": 0.0, "1e+05": 100000.0,
    "123456789012345.25": 123456789012345.25,
}  # fmt: skip
NO_NUMBERS = (
    "12,50", "1.234,50", "1,234.50", "12.50 EUR", "€12", "1_000", "0x1F", "--1", "1e", ".", "-",
    "abc", "nan", "inf", "Infinity", "1e999", "1 000", "true", "12\n", "\n12", "",
    "1e35", "1e-400", "1" * 16, "0." + "3" * 31,
)  # fmt: skip
OBSERVED = "2100-01-01"


def features(
    kind: str, folder: Path, servers: Servers, lines: list[dict[str, Any]], options: Options
) -> dict[str, list[float]]:
    folder.mkdir(exist_ok=True)
    data = text_lines(kind, folder, lines, servers)
    source = opened(folder, kind, data, FIXED | {"observation_date": OBSERVED} | options)
    return rows(source, ["recency_days", "net_spend"])


def line(
    customer: str, *, day: str | None = "2025-06-05", order: str = "1", price: str | None = "1"
) -> dict[str, Any]:
    return {"Kunde": customer, "Tag": day, "Beleg Nr.": order, "n": "1", "p": price}


def some(texts: Sequence[str], kind: str) -> Sequence[str]:
    """What one kind of source is tried with; in ``make test`` each text with two kinds or more."""
    apart = effort.count(3, 1)
    return texts[list(KINDS).index(kind) % apart :: apart]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", DAYS)
def test_a_day_is_the_same_in_every_kind_of_source(
    tmp_path: Path, servers: Servers, kind: str, form: str | None
) -> None:
    lines = [line(text, day=text) for text in DAYS[form]]
    found = features(kind, tmp_path, servers, lines, {"date_format": form})
    since = date.fromisoformat(OBSERVED)
    assert {text: values[0] for text, values in found.items()} == {
        text: (since - date.fromisoformat(day)).days for text, day in DAYS[form].items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", NO_DAYS)
def test_what_is_no_day_is_refused_by_every_kind_of_source(
    tmp_path: Path, servers: Servers, kind: str, form: str | None
) -> None:
    good = next(iter(DAYS[form]))
    for number, text in enumerate(some(NO_DAYS[form], kind)):
        lines = [line("a", day=good), line("b", day=good), line("a", day=text)]
        with pytest.raises(SourceError) as caught:
            features(kind, tmp_path / str(number), servers, lines, {"date_format": form})
        assert caught.value.code == "E-SOURCE-NULL", text


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_number_is_the_same_in_every_kind_of_source(
    tmp_path: Path, servers: Servers, kind: str
) -> None:
    lines = [line(text, price=text) for text in NUMBERS]
    lines += [line(text, price="1") for text in NUMBERS]  # who has refunds alone is left out
    found = features(kind, tmp_path, servers, lines, {})
    assert {text: values[1] - 1 for text, values in found.items()} == pytest.approx(NUMBERS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_is_refused_by_every_kind_of_source(
    tmp_path: Path, servers: Servers, kind: str
) -> None:
    for number, text in enumerate(some(NO_NUMBERS, kind)):
        lines = [line("a"), line("b"), line("a", price=text)]
        with pytest.raises(SourceError) as caught:
            features(kind, tmp_path / str(number), servers, lines, {})
        assert caught.value.code == "E-SOURCE-NULL", text


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("money", ["amount", "price"])
def test_whatever_makes_a_line_s_money_negative_is_a_refund(
    tmp_path: Path, servers: Servers, kind: str, money: str
) -> None:
    """As shops write refunds: a positive quantity at a negative price."""
    lines = [
        {"Kunde": c, "Tag": day, "Beleg Nr.": order, "n": n, "p": p, "a": str(int(n) * int(p))}
        for c, day, order, n, p in (
            ("A1", "2025-11-01", "1", "2", "10"),
            ("A1", "2025-12-20", "R1", "1", "-20"),
            ("A2", "2025-12-21", "R2", "1", "-20"),
        )
    ]
    columns = {"amount": "a", "quantity": None, "price": None} if money == "amount" else {}
    options = FIXED | {"observation_date": "2026-01-01", "cancelled": "negative"} | columns
    wanted = ("recency_days", "orders", "net_spend", "cancelled_orders")
    data = text_lines(kind, tmp_path, lines, servers)
    assert rows(opened(tmp_path, kind, data, options), wanted) == {"A1": [61, 1, 0, 1]}
    returns = rows(opened(tmp_path, kind, data, options | {"cancelled": None}), wanted)
    assert returns == {"A1": [61, 1, 0, 0]}


def test_signs_side_by_side_have_all_their_digits() -> None:
    assert DayForm.of("%d%m%Y").pattern.count("0?") == 0
    assert DayForm.of("%d.%m.%Y").pattern.count("0?") == 2
    assert DayForm.of("1%d.%m.%Y").pattern.count("0?") == 1


@pytest.mark.parametrize(
    "text",
    ["%d.%m %H", "%d.%m.%Y %d", "%d.%m.%Y %H:%M %p", "%d.%m.%b.%Y", "%Y-%m-%q", "%y%Y%m%d", "%"],
)
def test_a_form_has_year_month_and_day_once_each(text: str) -> None:
    with pytest.raises(ValueError, match=r"needs|none of its signs|belongs beside"):
        DayForm.of(text)


def test_all_signs_are_known() -> None:
    others = set(DATE_SIGNS) - {"%d", "%b", "%Y", "%m", "%y", "%H"}
    assert DayForm.of("%d %b %Y " + " ".join(others))
    assert DayForm.of("%d %m %y %H")


# --- what is said of lines that cannot be read ---------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "said", "way_out"),
    [
        ({"day": "07.02.2025"}, "'Tag' of the invoice lines: 1 line of customers has no day like",
         "date_format"),
        ({"day": None}, "'Tag' of the invoice lines: 1 line of customers has nothing", "fill it"),
        ({"order": ""}, "'Beleg Nr.' of the invoice lines: 1 line of customers has no number of an "
         "order", "fill it"),
        ({"price": "1,50"}, "'p' of the invoice lines: 1 line of customers has no number like",
         "with a point"),
        ({"price": None}, "'p' of the invoice lines: 1 line of customers has nothing", "fill it"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("observation_date", ["2025-06-15", "latest"])
def test_a_line_that_cannot_be_read_is_named_by_its_column_and_number(
    tmp_path: Path, servers: Servers, kind: str, changes: dict[str, Any], said: str, way_out: str,
    observation_date: str,
) -> None:  # fmt: skip
    lines = [
        line("a") | {"Tag": "2024-06-05", "p": "x"},  # before the window
        line("", day="soon", price="x"),  # nobody's
        line("b"),
        line("b", **changes),
    ]
    options = {"window_days": 60, "observation_date": observation_date}
    with pytest.raises(SourceError) as caught:
        features(kind, tmp_path, servers, lines, options)
    error = caught.value
    assert error.code == "E-SOURCE-NULL"
    assert said in error.message
    assert "the first is row 4 of" in error.message
    assert way_out in error.remedy
    for words in (error.message, error.remedy):
        assert "query" not in words
        assert "TRY_CAST" not in words


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes", [{"price": "12.50 EUR"}, {"day": "06/06/2025"}, {"order": None}]
)
def test_a_rule_for_missing_values_drops_no_line_that_cannot_be_read(
    tmp_path: Path, servers: Servers, kind: str, changes: dict[str, Any]
) -> None:
    """Where it is agreed what counts for a missing value, a spoilt line is no such value."""
    data = text_lines(kind, tmp_path, [line("a"), line("a", **changes), line("b")], servers)
    source = opened(tmp_path, kind, data, FIXED)
    wanted = [Column(name=name, optional=True) for name in ("recency_days", "net_spend")]
    with pytest.raises(SourceError) as caught:
        list(source.chunks(wanted, max_rows=10))
    assert caught.value.code == "E-SOURCE-NULL"
    assert "of the invoice lines: 1 line of customers" in caught.value.message
    with pytest.raises(SourceError):
        list(source.chunks((), max_rows=10))  # ids alone: nobody is judged on half a table


def test_lines_without_a_header_tell_nobody_what_stands_in_them(tmp_path: Path) -> None:
    secret = "Anna Meier-4711"
    (tmp_path / "lines.csv").write_text(f"{secret},2025-06-05,A1,1,9.90\n" * 2)
    source = opened(tmp_path, "csv", 'path = "lines.csv"', FIXED)
    for ask in (source.columns, source.describe, lambda: list(source.chunks((), max_rows=9))):
        with pytest.raises(SourceError, match="looks like values") as caught:
            ask()
        assert secret not in everything_said(caught.value)


def test_lines_with_another_delimiter_name_the_setting(tmp_path: Path) -> None:
    (tmp_path / "lines.csv").write_text("Kunde;Tag;Beleg Nr.;n;p\na;2025-06-05;1;1;9.90\n")
    with pytest.raises(SourceError) as caught:
        opened(tmp_path, "csv", 'path = "lines.csv"', FIXED).columns()
    assert "set [data] delimiter to it" in caught.value.remedy


def test_the_form_that_was_agreed_is_named(tmp_path: Path, servers: Servers) -> None:
    lines = [line("a", day="07.02.2025"), line("b", day="7/2/2025")]
    with pytest.raises(SourceError, match=r"no day in the form %d\.%m\.%Y, the first is row 2 of"):
        features("csv", tmp_path, servers, lines, {"date_format": "%d.%m.%Y"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_column_of_lines_that_is_not_there_is_named_by_its_key(
    tmp_path: Path, servers: Servers, kind: str
) -> None:
    with pytest.raises(SourceError) as caught:
        features(kind, tmp_path, servers, [line("a")], {"order": "Beleg-Nr"})
    assert caught.value.code == "E-SOURCE-COLUMN"
    assert "no column 'Beleg-Nr'; did you mean 'Beleg Nr.'?" in caught.value.message
    assert "correct order in [data.transactions]" in caught.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "csv"])
def test_customers_whose_ids_were_floats_are_refused(
    tmp_path: Path, servers: Servers, kind: str
) -> None:
    """13047.0 would match no consent and no objection, and long ids would fall together."""
    lines = [line("a"), line("b")]
    table = lines_table(lines).set_column(0, "Kunde", pa.array([13047.0, None]))
    source = opened(tmp_path, kind, table_lines(kind, tmp_path, table, servers), FIXED)
    with pytest.raises(SourceError) as caught:
        rows(source, ["orders"])
    assert caught.value.code == "E-SOURCE-TYPE"
    assert "column 'Kunde', customer in [data.transactions], has" in caught.value.message
    assert "whole numbers or as text" in caught.value.remedy
