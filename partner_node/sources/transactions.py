"""Recency, frequency and money out of a partner's transactions, without SQL of its own.

``[data.transactions]`` names the columns of invoice lines, and this makes the feature query for
the database that holds them. What each feature is, to the last case, is in docs/sources.md and is
the same in every database.
"""
# Names and texts go into SQL only through `quoted` and `literal`:
# ruff: noqa: S608

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from partner_node.sources.dialect import literal, quoted
from partner_node.sources.settings import Kind

#: What the query gives: the id's column, then the features.
ID_COLUMN: Final = "customer_id"
FEATURES: Final = (
    "recency_days",
    "orders",
    "net_spend",
    "basket_size",
    "mean_interval_days",
    "tenure_days",
    "cancelled_orders",
)
#: The value of `Transactions.cancelled` for rows below zero.
NEGATIVE: Final = "negative"
#: The signs of `Transactions.date_format`, and what PostgreSQL calls them.
DATE_SIGNS: Final[Mapping[str, str]] = {
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactions:
    """``[data.transactions]``: which column of the invoice lines holds what.

    Attributes:
        customer: Who bought.
        date: Day or time.
        order: Invoice number; the lines of an order share it.
        amount: Money; None where quantity and price say it.
        quantity: Items; None with `amount`.
        price: Money for one item; None with `amount`.
        cancelled: What begins the number of a cancellation, or `NEGATIVE`, or None.
        no_customer: A text that stands for no customer, or None.
        observed: The day on which customers are looked at; None for the day after the latest.
        window_days: How many days before that count; None for all.
        date_format: How a day is written, in the signs of `DATE_SIGNS`; None for ISO 8601.
    """

    customer: str
    date: str
    order: str
    amount: str | None
    quantity: str | None
    price: str | None
    cancelled: str | None
    no_customer: str | None
    observed: datetime.date | None
    window_days: int | None
    date_format: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phrases:
    """What the databases write differently; ``{0}`` and ``{1}`` stand for expressions.

    Attributes:
        text: A value as text.
        number: A value as a number, NULL or refused when it is none.
        day: An ISO date or time as its day, NULL or refused when it is none.
        day_as: A text as its day, by the format in ``{1}``.
        a_day: A day, written as a text.
        later: The day so many days after another.
        days: Days from the first to the second.
        double: A number as a double.
    """

    text: str
    number: str
    day: str
    day_as: str
    a_day: str
    later: str
    days: str
    double: str


_DUCKDB: Final = _Phrases(
    text="CAST({0} AS VARCHAR)",
    number="CAST({0} AS DOUBLE)",
    day="CAST(CAST({0} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS DATE)",
    day_as="CAST(strptime(CAST({0} AS VARCHAR), {1}) AS DATE)",
    a_day="CAST({0} AS DATE)",
    later="({0} + CAST({1} AS INTEGER))",
    days="date_diff('day', {0}, {1})",
    double="CAST({0} AS DOUBLE)",
)
#: SQLite takes any text for a number, and some for the moment: what is neither is NULL.
_SQLITE: Final = _Phrases(
    text="CAST({0} AS TEXT)",
    number="CASE WHEN typeof({0}) IN ('integer', 'real') THEN CAST({0} AS REAL) "
    "WHEN typeof({0}) = 'text' AND json_valid({0}) AND json_type({0}) IN ('integer', 'real') "
    "THEN CAST({0} AS REAL) END",
    day="CASE WHEN typeof({0}) = 'text' "
    "AND date(julianday(substr({0}, 1, 10))) = substr({0}, 1, 10) THEN date({0}) END",
    day_as="fedseg_day({0}, {1})",
    a_day="{0}",
    later="strftime('%Y-%m-%d', {0}, ({1}) || ' days')",
    days="(julianday({1}) - julianday({0}))",
    double="CAST({0} AS REAL)",
)
#: Money is summed as PostgreSQL's numeric, which comes out the same in any order.
_POSTGRESQL: Final = _Phrases(
    text="CAST({0} AS text)",
    number="CAST({0} AS numeric)",
    day="CASE WHEN CAST({0} AS text) ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}' THEN "
    "CAST(CAST(CAST({0} AS text) AS timestamptz) AT TIME ZONE 'UTC' AS date) END",
    day_as="to_date(CAST({0} AS text), {1})",
    a_day="CAST({0} AS date)",
    later="({0} + CAST({1} AS integer))",
    days="({1} - {0})",
    double="CAST({0} AS double precision)",
)
_PHRASES: Final[Mapping[Kind, _Phrases]] = {
    "csv": _DUCKDB,
    "parquet": _DUCKDB,
    "duckdb": _DUCKDB,
    "sqlite": _SQLITE,
    "postgresql": _POSTGRESQL,
}


def transactions_query(transactions: Transactions, kind: Kind, relation: str) -> str:
    """The feature query that makes `FEATURES` of invoice lines, one row a customer.

    Args:
        kind: What holds the lines.
        relation: The table or view with them, as SQL writes it.
    """
    t, say = transactions, _PHRASES[kind]
    customer = say.text.format(quoted(t.customer))
    there = f"{customer} <> ''"
    if t.no_customer is not None:
        there += f" AND {customer} <> {literal(t.no_customer)}"
    if t.date_format is None:
        day = say.day.format(quoted(t.date))
    else:
        written = _postgresql_format(t.date_format) if kind == "postgresql" else t.date_format
        day = say.day_as.format(quoted(t.date), literal(written))
    if t.amount is not None:
        amount = measure = say.number.format(quoted(t.amount))
    else:
        measure = say.number.format(quoted(t.quantity or ""))
        amount = f"({measure}) * ({say.number.format(quoted(t.price or ''))})"
    if t.cancelled is None:
        cancelled = "1 = 0"
    elif t.cancelled == NEGATIVE:
        cancelled = "measure < 0"
    else:
        cancelled = f"substr(number, 1, {len(t.cancelled)}) = {literal(t.cancelled)}"
    observed = (
        say.later.format("(SELECT max(day) FROM _fedseg_lines)", 1)
        if t.observed is None
        else say.a_day.format(literal(t.observed.isoformat()))
    )
    counts = "day < observed"
    if t.window_days is not None:
        counts += f" AND day >= {say.later.format('observed', -t.window_days)}"
    first, last = (f"{f}(CASE WHEN is_order THEN day END)" for f in ("min", "max"))
    orders = "count(DISTINCT CASE WHEN is_order THEN number END)"
    basket = f"{say.double.format('sum(CASE WHEN is_order THEN measure END)')} / {orders}"
    tenure = say.days.format(first, "max(observed)")
    features = {
        "recency_days": say.days.format(last, "max(observed)"),
        "orders": orders,
        "net_spend": say.double.format("sum(amount)"),
        "basket_size": basket,
        "mean_interval_days": f"CASE WHEN {orders} > 1 THEN "
        f"{say.double.format(say.days.format(first, last))} / ({orders} - 1) "
        f"ELSE {tenure} END",
        "tenure_days": tenure,
        "cancelled_orders": "count(DISTINCT CASE WHEN cancelled THEN number END)",
    }
    whole = "count(*) = count(day) AND count(*) = count(number) AND count(*) = count(amount)"
    columns = ",\n    ".join(
        f"CASE WHEN {whole} THEN {features[name]} END AS {name}" for name in FEATURES
    )
    return f"""\
WITH _fedseg_lines AS (
    SELECT
        {customer} AS {ID_COLUMN},
        nullif({say.text.format(quoted(t.order))}, '') AS number,
        {day} AS day,
        {measure} AS measure,
        {amount} AS amount
    FROM {relation}
    WHERE {there}
), _fedseg_seen AS (
    SELECT {ID_COLUMN}, number, day, measure, amount, {observed} AS observed,
        {cancelled} AS cancelled
    FROM _fedseg_lines
), _fedseg_counted AS (
    SELECT {ID_COLUMN}, number, day, measure, amount, observed, cancelled,
        NOT cancelled AND measure >= 0 AS is_order
    FROM _fedseg_seen
    WHERE day IS NULL OR ({counts})
)
SELECT
    {ID_COLUMN},
    {columns}
FROM _fedseg_counted
GROUP BY {ID_COLUMN}
HAVING {orders} > 0 OR NOT ({whole})
"""


def _postgresql_format(text: str) -> str:
    """A format in PostgreSQL's words; every other letter in it stands for itself."""
    return "".join(
        DATE_SIGNS.get(part) or (f'"{part}"' if any(map(str.isalpha, part)) else part)
        for part in re.findall(r"%.|[^%]+", text)
    )
