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
from partner_node.sources.line_phrases import LinePhrases

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
#: A feature that every customer has whose lines can all be read.
READ: Final = "recency_days"
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


@dataclass(frozen=True, slots=True)
class LineSQL:
    """What is asked of an invoice line, in a database's SQL."""

    of: Transactions
    say: LinePhrases

    @property
    def customer(self) -> str:
        """The customer's id as text."""
        return self.say.text.format(quoted(self.of.customer))

    @property
    def has_customer(self) -> str:
        """Whether the line is anybody's; others are left out."""
        there = f"{self.customer} <> ''"
        if self.of.no_customer is not None:
            there += f" AND {self.customer} <> {literal(self.of.no_customer)}"
        return there

    @property
    def number(self) -> str:
        """The order's number; NULL when it is missing or empty."""
        return f"nullif({self.say.text.format(quoted(self.of.order))}, '')"

    @property
    def day(self) -> str:
        """The day; NULL when it is none."""
        column, form = quoted(self.of.date), self.of.date_format
        return self.say.day.format(column) if form is None else self.say.day_as(column, form)

    @property
    def figures(self) -> tuple[str, ...]:
        """The columns with the amount, or with quantity and price."""
        if self.of.amount is not None:
            return (self.of.amount,)
        return (self.of.quantity or "", self.of.price or "")

    def figure(self, column: str) -> str:
        """The number in a column; NULL when it is none."""
        return self.say.number.format(quoted(column))

    def observed(self, latest_day: str) -> str:
        """The day on which customers are looked at.

        Args:
            latest_day: The latest day of any line, for an observation date that follows it.
        """
        if self.of.observed is None:
            return self.say.later.format(latest_day, 1)
        return self.a_day(self.of.observed)

    def a_day(self, day: datetime.date) -> str:
        """A day."""
        return self.say.a_day.format(literal(day.isoformat()))

    def counts(self, day: str, observed: str) -> str:
        """Whether a day lies in the window."""
        counts = f"{day} < {observed}"
        if self.of.window_days is not None:
            counts += f" AND {day} >= {self.say.later.format(observed, -self.of.window_days)}"
        return counts


def transactions_query(line: LineSQL, relation: str) -> str:
    """The feature query that makes `FEATURES` of invoice lines, one row a customer.

    Args:
        relation: The table or view with them, as SQL writes it.
    """
    t, say = line.of, line.say
    measure, *price = map(line.figure, line.figures)
    amount = f"({measure}) * ({price[0]})" if price else measure
    if t.cancelled is None:
        cancelled = "1 = 0"
    elif t.cancelled == NEGATIVE:
        cancelled = "measure < 0 OR amount < 0"
    else:
        begins = literal(t.cancelled)
        cancelled = f"substr(number, 1, length({begins})) = {begins}"
    observed = line.observed("(SELECT max(day) FROM _fedseg_lines)")
    counts = line.counts("day", "observed")
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
        {line.customer} AS {ID_COLUMN},
        {line.number} AS number,
        {line.day} AS day,
        {measure} AS measure,
        {amount} AS amount
    FROM {relation}
    WHERE {line.has_customer}
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
