"""The features of the retail demonstration: one SQL query and the bounds that partners agree on.

The query runs at each node, on its own transactions only (DuckDB, view ``input``), and makes one
row a customer. Cancelled invoices start with ``C``: they lower the net spend and are no orders, and
neither are other negative quantities. Customers without an order before the observation date are
left out, and so are rows without a customer. Invoice numbers such as ``536365`` and ``C536379``
share a column: read CSV files with every column as text or with a full sample (``sample_size=-1``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

OBSERVATION_DATE: Final = date(2026, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionColumns:
    """SQL expressions for the columns of a transaction table.

    Attributes:
        invoice: Invoice number; cancellations start with ``C``.
        date: Day or time of the invoice.
        customer_id: Who bought; rows without it are left out.
        quantity: Items; negative in a cancellation.
        unit_price: Price of one item.
    """

    invoice: str = "invoice"
    date: str = "date"
    customer_id: str = "customer_id"
    quantity: str = "quantity"
    unit_price: str = "unit_price"


#: The invoices of UCI's "Online Retail": dates are M/D/YYYY H:MM, or already timestamps.
ONLINE_RETAIL_COLUMNS: Final = TransactionColumns(
    invoice="InvoiceNo",
    date=(
        "COALESCE(TRY_CAST(InvoiceDate AS TIMESTAMP), "
        "strptime(CAST(InvoiceDate AS VARCHAR), '%m/%d/%Y %H:%M'))"
    ),
    customer_id="NULLIF(CAST(CustomerID AS VARCHAR), '(blank)')",
    quantity="Quantity",
    unit_price="UnitPrice",
)
ONLINE_RETAIL_OBSERVATION_DATE: Final = date(2011, 12, 10)


def feature_query(
    observed: date, columns: TransactionColumns | None = None, *, table: str = "input"
) -> str:
    """A DuckDB query that makes one row of features a customer.

    Args:
        observed: The day on which customers are looked at; later rows do not count.
        columns: Where the transaction table holds what; by default as `simulations.retail` writes.
        table: The table or view to read.

    Returns:
        SQL with the columns ``customer_id`` and, in the order of `FEATURES`, ``recency_days``,
        ``orders``, ``net_spend``, ``items_per_order`` and ``tenure_days``.
    """
    names = columns or TransactionColumns()
    return f"""\
WITH lines AS (
    SELECT
        CAST({names.customer_id} AS VARCHAR) AS customer_id,
        CAST({names.invoice} AS VARCHAR) AS invoice,
        CAST({names.date} AS DATE) AS day,
        CAST({names.quantity} AS DOUBLE) AS items,
        CAST({names.quantity} AS DOUBLE) * CAST({names.unit_price} AS DOUBLE) AS amount,
        CAST({names.quantity} AS DOUBLE) > 0
            AND NOT starts_with(upper(CAST({names.invoice} AS VARCHAR)), 'C') AS is_order
    FROM {table}
    WHERE {names.customer_id} IS NOT NULL
)
SELECT
    customer_id,
    date_diff('day', max(day) FILTER (WHERE is_order), DATE '{observed:%Y-%m-%d}')
        AS recency_days,
    count(DISTINCT invoice) FILTER (WHERE is_order) AS orders,
    round(sum(amount), 2) AS net_spend,
    sum(items) FILTER (WHERE is_order)
        / count(DISTINCT invoice) FILTER (WHERE is_order) AS items_per_order,
    date_diff('day', min(day) FILTER (WHERE is_order), DATE '{observed:%Y-%m-%d}')
        AS tenure_days
FROM lines
WHERE day < DATE '{observed:%Y-%m-%d}'
GROUP BY customer_id
HAVING bool_or(is_order)
"""  # noqa: S608 - names come from this file or from the person who owns the data


FEATURE_QUERY: Final = feature_query(OBSERVATION_DATE)
ONLINE_RETAIL_QUERY: Final = feature_query(ONLINE_RETAIL_OBSERVATION_DATE, ONLINE_RETAIL_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedFeature:
    """A feature with the bounds that partners agree on, as an agreement writes them.

    Attributes:
        minimum, maximum: Decimal text in `unit`; values beyond are clipped at the node.
        transform: ``none`` or ``log1p``.
        weight: Decimal text in (0, 1]: how much the feature counts in distances.
        words: What the feature says, for people who sign.
    """

    name: str
    unit: str
    minimum: str
    maximum: str
    transform: str
    weight: str
    words: str

    def to_dict(self) -> dict[str, Any]:
        """The feature as an entry of an agreement's ``features``."""
        return {
            "name": self.name,
            "type": "numeric",
            "unit": self.unit,
            "min": self.minimum,
            "max": self.maximum,
            "transform": self.transform,
            "weight": self.weight,
            "necessity": self.words,
        }


def _features(unit_of_money: str, max_spend: str, max_items: str) -> tuple[AgreedFeature, ...]:
    return (
        AgreedFeature(
            name="recency_days", unit="days", minimum="0", maximum="365", transform="log1p",
            weight="1", words="days between the last order and the observation date",
        ),
        AgreedFeature(
            name="orders", unit="orders", minimum="1", maximum="100", transform="log1p",
            weight="1", words="orders in the year; cancellations are not orders",
        ),
        AgreedFeature(
            name="net_spend", unit=unit_of_money, minimum="0", maximum=max_spend,
            transform="log1p", weight="1", words="amount paid in the year, less what was cancelled",
        ),
        AgreedFeature(
            name="items_per_order", unit="items", minimum="1", maximum=max_items,
            transform="log1p", weight="0.5", words="mean number of items in an order",
        ),
        AgreedFeature(
            name="tenure_days", unit="days", minimum="0", maximum="365", transform="none",
            weight="0.5", words="days between the first order seen and the observation date",
        ),
    )  # fmt: skip


FEATURES: Final = _features("EUR", "20000", "100")
ONLINE_RETAIL_FEATURES: Final = _features("GBP", "50000", "1000")
