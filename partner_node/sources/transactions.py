"""Recency, frequency and monetary value from a partner's transactions, without SQL of its own.

``[data.transactions]`` names the columns of invoice lines, and this makes the feature query for
the database that holds them. The exact definition of each feature is in docs/sources.md and the
same in every database.
"""
# Names and texts go into SQL only through `quoted` and `literal`:
# ruff: noqa: S608

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

from partner_node.sources.day_forms import DayForm
from partner_node.sources.dialect import literal, quoted
from partner_node.sources.kinds import KINDS

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
#: The value of `Transactions.cancelled` if negative rows are cancellations.
NEGATIVE: Final = "negative"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactions:
    """``[data.transactions]``: which column of the invoice lines holds what.

    Attributes:
        customer: The buyer's id.
        date: Day or time.
        order: Invoice number; the lines of an order share it.
        amount: Money; None with quantity and price.
        quantity: Items; None with `amount`.
        price: Money for one item; None with `amount`.
        cancelled: What begins the number of a cancellation, or `NEGATIVE`, or None.
        no_customer: A text that stands for no customer, or None.
        observed: The day on which customers are looked at; None for the day after the latest.
        window_days: How many days before that count; None for all.
        date_format: How a day is written; None for ISO 8601.
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
    date_format: DayForm | None


def transactions_query(transactions: Transactions, kind: str, relation: str) -> str:
    """The feature query that computes `FEATURES` from invoice lines, one row per customer.

    Args:
        kind: Kind of source, by its name in the table of kinds.
        relation: The table or view with the lines, as SQL.
    """
    t, say = transactions, KINDS[kind].lines
    customer = say.text.format(quoted(t.customer))
    there = f"{customer} <> ''"
    if t.no_customer is not None:
        there += f" AND {customer} <> {literal(t.no_customer)}"
    if t.date_format is None:
        day = say.day.format(quoted(t.date))
    else:
        day = say.day_as(quoted(t.date), t.date_format)
    if t.amount is not None:
        amount = measure = say.number.format(quoted(t.amount))
    else:
        measure = say.number.format(quoted(t.quantity or ""))
        amount = f"({measure}) * ({say.number.format(quoted(t.price or ''))})"
    if t.cancelled is None:
        cancelled = "1 = 0"
    elif t.cancelled == NEGATIVE:
        cancelled = "measure < 0 OR amount < 0"
    else:
        begins = literal(t.cancelled)
        cancelled = f"substr(number, 1, length({begins})) = {begins}"
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
        NOT cancelled AND measure >= 0 AND amount >= 0 AS is_order
    FROM _fedseg_seen
    WHERE day IS NULL OR ({counts})
)
SELECT
    {say.as_id.format(ID_COLUMN)} AS {ID_COLUMN},
    {columns}
FROM _fedseg_counted
GROUP BY _fedseg_counted.{ID_COLUMN}
HAVING {orders} > 0 OR NOT ({whole})
"""
