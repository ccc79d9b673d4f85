"""Realistic retail transactions of several partners, for demonstrations and evaluation.

A partner is a business with its own size, price level and mix of customers. A customer is of one
of seven kinds, which the generator knows and the partners do not: the kinds are written to a
ground-truth file of their own. Transactions are invoice lines, as in a till's export::

    invoice,date,customer_id,quantity,unit_price
    100001,2025-01-02,NL-000017,2,3.49
    C100002,2025-01-05,NL-000017,-2,3.49

A cancellation has an invoice number that starts with ``C`` and negative quantities. The same seed
gives the same transactions. NumPy's generator makes *data* here; noise and masks never use it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from protocol.errors import UsageError

logger = logging.getLogger(__name__)

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

FIRST_DAY: Final = date(2025, 1, 1)
LAST_DAY: Final = date(2025, 12, 31)
COLUMNS: Final = ("invoice", "date", "customer_id", "quantity", "unit_price")

KINDS: Final = (
    "one-time",
    "loyal",
    "big-spender",
    "lapsed",
    "seasonal",
    "bargain-hunter",
    "new",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindProfile:
    """How customers of one kind buy.

    Attributes:
        orders_per_year: Mean number of orders beyond the first, were the customer active all year.
        lines_per_order: Mean number of invoice lines of an order.
        items_per_line: Mean quantity of a line.
        unit_price: Median price of an item in EUR at price level 1.
        cancelled: Share of orders cancelled later, wholly or in part.
        calendar: Which days the customer prefers.
        active_from, active_until: The customer's active time as two intervals of fractions of the
            period, from each of which one day is drawn.
    """

    orders_per_year: float
    lines_per_order: float
    items_per_line: float
    unit_price: float
    cancelled: float
    calendar: Literal["usual", "christmas", "sales"]
    active_from: tuple[float, float]
    active_until: tuple[float, float]


KIND_PROFILES: Final[dict[str, KindProfile]] = {
    "one-time": KindProfile(
        orders_per_year=0.0, lines_per_order=1.8, items_per_line=1.5, unit_price=14.0,
        cancelled=0.06, calendar="usual", active_from=(0.0, 0.0), active_until=(0.85, 0.85),
    ),
    "loyal": KindProfile(
        orders_per_year=38.0, lines_per_order=4.5, items_per_line=2.2, unit_price=5.5,
        cancelled=0.02, calendar="usual", active_from=(0.0, 0.2), active_until=(0.97, 1.0),
    ),
    "big-spender": KindProfile(
        orders_per_year=11.0, lines_per_order=6.0, items_per_line=3.5, unit_price=30.0,
        cancelled=0.05, calendar="usual", active_from=(0.0, 0.25), active_until=(0.9, 1.0),
    ),
    "lapsed": KindProfile(
        orders_per_year=16.0, lines_per_order=3.0, items_per_line=2.0, unit_price=8.0,
        cancelled=0.04, calendar="usual", active_from=(0.0, 0.08), active_until=(0.2, 0.5),
    ),
    "seasonal": KindProfile(
        orders_per_year=2.5, lines_per_order=5.0, items_per_line=1.8, unit_price=18.0,
        cancelled=0.08, calendar="christmas", active_from=(0.8, 0.85), active_until=(0.98, 1.0),
    ),
    "bargain-hunter": KindProfile(
        orders_per_year=9.0, lines_per_order=7.0, items_per_line=5.0, unit_price=2.4,
        cancelled=0.10, calendar="sales", active_from=(0.0, 0.1), active_until=(0.9, 1.0),
    ),
    "new": KindProfile(
        orders_per_year=24.0, lines_per_order=2.5, items_per_line=1.7, unit_price=9.0,
        cancelled=0.03, calendar="usual", active_from=(0.84, 0.96), active_until=(1.0, 1.0),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerProfile:
    """One partner's business.

    Attributes:
        id: Short name, used in file names; letters, digits and dashes.
        name: The partner's name for people.
        prefix: Start of its customer numbers.
        share: Its number of customers relative to the others'.
        price_level: Factor on all prices.
        mix: Share of each of `KINDS` among its customers; need not add up to one.
    """

    id: str
    name: str
    prefix: str
    share: float
    price_level: float
    mix: tuple[float, ...]


#                                                    one   loyal  big  lapsed season bargain new
PARTNERS: Final = (
    PartnerProfile(
        id="supermarket", name="Northlight Supermarkets", prefix="NL", share=10.0,
        price_level=0.8, mix=(0.10, 0.40, 0.04, 0.14, 0.06, 0.18, 0.08),
    ),
    PartnerProfile(
        id="card-shop", name="Harbour Bank card shop", prefix="HB", share=5.0,
        price_level=1.6, mix=(0.30, 0.10, 0.16, 0.16, 0.14, 0.04, 0.10),
    ),
    PartnerProfile(
        id="loyalty", name="Orchard Rewards", prefix="OR", share=2.5,
        price_level=1.0, mix=(0.06, 0.30, 0.10, 0.20, 0.10, 0.14, 0.10),
    ),
    PartnerProfile(
        id="fashion", name="Linden Fashion", prefix="LF", share=4.0,
        price_level=2.2, mix=(0.28, 0.10, 0.10, 0.18, 0.12, 0.14, 0.08),
    ),
    PartnerProfile(
        id="books", name="Papermill Books", prefix="PB", share=1.5,
        price_level=0.9, mix=(0.26, 0.14, 0.03, 0.22, 0.26, 0.03, 0.06),
    ),
    PartnerProfile(
        id="diy", name="Tinker Home Stores", prefix="TH", share=3.0,
        price_level=1.4, mix=(0.24, 0.12, 0.14, 0.20, 0.05, 0.15, 0.10),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerTransactions:
    """What one partner has, and the truth about its customers.

    Attributes:
        transactions: `COLUMNS`, one row an invoice line, in order of date.
        truth: ``customer_id`` and ``kind``, one row a customer; for evaluation only.
    """

    profile: PartnerProfile
    transactions: pa.Table
    truth: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class RetailFiles:
    """Where one partner's transactions and its ground truth were written."""

    transactions: Path
    truth: Path


# --- generation ----------------------------------------------------------------------------


def partner_profiles(n_partners: int) -> tuple[PartnerProfile, ...]:
    """The first `n_partners` businesses; beyond six, branches of the same six.

    Raises:
        UsageError: `n_partners` is below 1.

    >>> [profile.id for profile in partner_profiles(7)][-2:]
    ['diy', 'supermarket-2']
    """
    if n_partners < 1:
        raise UsageError(
            f"{n_partners} partners: there must be at least one", remedy="ask for 1 or more"
        )
    profiles = []
    for index in range(n_partners):
        base = PARTNERS[index % len(PARTNERS)]
        branch = index // len(PARTNERS) + 1
        if branch == 1:
            profiles.append(base)
            continue
        profiles.append(
            PartnerProfile(
                id=f"{base.id}-{branch}",
                name=f"{base.name} {branch}",
                prefix=f"{base.prefix}{branch}",
                share=base.share / branch,
                price_level=base.price_level,
                mix=base.mix,
            )
        )
    return tuple(profiles)


def generate(
    *, n_customers: int, seed: int, profiles: Sequence[PartnerProfile] = PARTNERS[:3]
) -> list[PartnerTransactions]:
    """Make a year of transactions for each of several partners.

    Args:
        n_customers: Customers of all partners together; each partner gets its share, at least
            one. A customer has about 50 invoice lines in the year.
        seed: Same seed, same transactions. A partner's transactions depend on the seed, its
            place among `profiles`, its number of customers and its profile.
        profiles: The partners.

    Returns:
        One entry a partner, in the order of `profiles`.

    Raises:
        UsageError: Fewer customers than partners, or a negative seed.
    """
    if n_customers < len(profiles) or not profiles:
        raise UsageError(
            f"{n_customers} customers for {len(profiles)} partners: each needs at least one",
            remedy="ask for more customers or fewer partners",
        )
    if seed < 0:
        raise UsageError(f"seed {seed} is negative", remedy="give a seed of 0 or more")
    counts = _shares_to_counts([profile.share for profile in profiles], n_customers)
    streams = np.random.SeedSequence(seed).spawn(len(profiles))
    partners = []
    for profile, count, stream in zip(profiles, counts, streams, strict=True):
        partner = _generate_partner(
            profile, int(count), np.random.Generator(np.random.PCG64(stream))
        )
        logger.debug("generated %d lines for %s", partner.transactions.num_rows, profile.id)
        partners.append(partner)
    return partners


def write(
    partner: PartnerTransactions,
    directory: Path,
    *,
    file_format: Literal["csv", "parquet"] = "csv",
) -> RetailFiles:
    """Write one partner's transactions and, in ``ground-truth/``, its customers' kinds.

    Raises:
        UsageError: `file_format` is neither ``csv`` nor ``parquet``.
    """
    if file_format not in ("csv", "parquet"):
        raise UsageError(
            f"file format {file_format!r} is not known", remedy="choose csv or parquet"
        )
    name = f"{partner.profile.id}.{file_format}"
    files = RetailFiles(transactions=directory / name, truth=directory / "ground-truth" / name)
    files.truth.parent.mkdir(parents=True, exist_ok=True)
    for table, path in ((partner.transactions, files.transactions), (partner.truth, files.truth)):
        if file_format == "parquet":
            pa_parquet.write_table(table, path)
        else:
            write_csv(table, path)
    return files


def write_csv(table: pa.Table, path: Path) -> None:
    """Write a table none of whose values holds a delimiter or a quote: nothing is quoted."""
    options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file:
        file.write((",".join(table.column_names) + "\n").encode())
        pa_csv.write_csv(table, file, options)


def _shares_to_counts(shares: Sequence[float], total: int) -> IntArray:
    """Whole numbers in proportion to `shares`, each at least 1, that add up to `total`."""
    weights = np.asarray(shares, dtype=np.float64)
    spare = total - len(weights)
    edges = np.floor(np.cumsum(weights) / weights.sum() * spare + 0.5).astype(np.int64)
    edges[-1] = spare
    counts: IntArray = np.diff(edges, prepend=0) + 1
    return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Orders:
    """Orders as columns: the customer's number, the day of the period, the kind."""

    customer: IntArray
    day: IntArray
    kind: IntArray


def _generate_partner(
    profile: PartnerProfile, n_customers: int, rng: np.random.Generator
) -> PartnerTransactions:
    mix = np.asarray(profile.mix, dtype=np.float64)
    kinds = rng.choice(len(KINDS), size=n_customers, p=mix / mix.sum())
    orders = _draw_orders(kinds, rng)
    # What sets customers of one kind apart from each other: a factor on all their prices.
    taste = np.exp(rng.normal(0.0, 0.35, size=n_customers))
    lines = _draw_lines(orders, taste, profile.price_level, rng)
    width = max(6, len(str(n_customers)))
    digits = pc.utf8_lpad(pa.array(np.arange(1, n_customers + 1)).cast(pa.string()), width, "0")
    ids = pc.binary_join_element_wise(pa.scalar(f"{profile.prefix}-"), digits, "")
    truth = pa.table({"customer_id": ids, "kind": pa.array(np.asarray(KINDS, dtype=object)[kinds])})
    return PartnerTransactions(
        profile=profile, transactions=_to_table(lines, ids), truth=truth
    )  # fmt: skip


def _draw_orders(kinds: IntArray, rng: np.random.Generator) -> _Orders:
    """When every customer orders; at least once each."""
    last = (LAST_DAY - FIRST_DAY).days
    customers, days = [], []
    for number, kind in enumerate(KINDS):
        rules = KIND_PROFILES[kind]
        members = np.flatnonzero(kinds == number)
        first = np.rint(rng.uniform(*rules.active_from, size=members.size) * last).astype(np.int64)
        until = np.rint(rng.uniform(*rules.active_until, size=members.size) * last).astype(np.int64)
        until = np.maximum(until, first)
        # Gamma-distributed rates give the long tail of very frequent buyers.
        rate = rules.orders_per_year * rng.gamma(4.0, 0.25, size=members.size)
        active = (until - first + 1) / (last + 1) if rules.calendar != "christmas" else 1.0
        n_orders = 1 + rng.poisson(rate * active)
        cumulative = np.concatenate(([0.0], np.cumsum(_calendar(rules.calendar))))
        low = np.repeat(cumulative[first], n_orders)
        high = np.repeat(cumulative[until + 1], n_orders)
        point = low + rng.random(low.size) * (high - low)
        day = np.searchsorted(cumulative, point, side="right") - 1
        customers.append(np.repeat(members, n_orders))
        days.append(np.clip(day, np.repeat(first, n_orders), np.repeat(until, n_orders)))
    customer = np.concatenate(customers)
    return _Orders(customer=customer, day=np.concatenate(days), kind=kinds[customer])


def _calendar(which: str) -> FloatArray:
    """Relative weight of every day of the period for one taste in days."""
    days = [FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days + 1)]
    weekday = np.array([0.85, 0.8, 0.9, 1.0, 1.35, 1.7, 0.4])
    weight = weekday[[day.weekday() for day in days]]
    month_day = np.array([day.month * 100 + day.day for day in days])
    year = np.arange(len(days)) / 365.25
    weight *= 1.0 - 0.12 * np.cos(2 * np.pi * (year - 0.6))  # a quiet summer
    before_christmas = (month_day >= 1120) & (month_day <= 1223)
    weight[before_christmas] *= 1.7
    weight[(month_day == 1225) | (month_day == 101)] = 0.02
    if which == "christmas":
        weight = np.where(before_christmas, weight, 0.01 * weight)
    elif which == "sales":
        sale = (
            ((month_day >= 102) & (month_day <= 125))
            | ((month_day >= 701) & (month_day <= 725))
            | ((month_day >= 1121) & (month_day <= 1130))
        )
        weight = np.where(sale, 9.0 * weight, weight)
    return weight


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """Invoice lines as columns, in order of date; `cancels` marks lines of cancellations."""

    invoice: IntArray
    day: IntArray
    customer: IntArray
    quantity: IntArray
    cents: IntArray
    cancels: npt.NDArray[np.bool_]


def _draw_lines(
    orders: _Orders, taste: FloatArray, price_level: float, rng: np.random.Generator
) -> _Lines:
    rules = [KIND_PROFILES[kind] for kind in KINDS]
    mean_lines = np.array([rule.lines_per_order for rule in rules])[orders.kind]
    order = np.repeat(np.arange(orders.kind.size), 1 + rng.poisson(mean_lines - 1.0))
    kind = orders.kind[order]
    customer = orders.customer[order]
    mean_items = np.array([rule.items_per_line for rule in rules])[kind]
    quantity = rng.geometric(1.0 / mean_items)
    prices = np.array([rule.unit_price for rule in rules])[kind] * price_level * taste[customer]
    prices *= np.exp(rng.normal(0.0, 0.6, size=order.size))
    # One line in five hundred is a very dear thing: a Pareto tail, cut at 5,000 EUR.
    dear = rng.random(order.size) < 0.002
    prices[dear] *= 5.0 * (1.0 + rng.pareto(1.6, size=int(dear.sum())))
    cents = np.clip(np.rint(prices * 100), 5, 500_000).astype(np.int64)

    cancelled = (
        rng.random(orders.kind.size) < np.array([rule.cancelled for rule in rules])[orders.kind]
    )
    whole = rng.random(orders.kind.size) < 0.6
    returned = cancelled[order] & (whole[order] | (rng.random(order.size) < 0.5))
    delay = rng.integers(0, 22, size=orders.kind.size)
    back = np.flatnonzero(returned)
    day_back = orders.day[order[back]] + delay[order[back]]
    in_time = day_back <= (LAST_DAY - FIRST_DAY).days
    back, day_back = back[in_time], day_back[in_time]

    # Invoices are numbered as they come: by day, and on a day in the order drawn.
    key = np.concatenate((order, orders.kind.size + order[back]))
    day = np.concatenate((orders.day[order], day_back))
    position = np.lexsort((key, day))
    sorted_key = key[position]
    starts = np.concatenate(([True], sorted_key[1:] != sorted_key[:-1]))
    return _Lines(
        invoice=100_000 + np.cumsum(starts),
        day=day[position],
        customer=np.concatenate((customer, customer[back]))[position],
        quantity=np.concatenate((quantity, -quantity[back]))[position],
        cents=np.concatenate((cents, cents[back]))[position],
        cancels=sorted_key >= orders.kind.size,
    )


def _to_table(lines: _Lines, ids: pa.Array) -> pa.Table:
    number = pa.array(lines.invoice).cast(pa.string())
    mark = pc.if_else(pa.array(lines.cancels), pa.scalar("C"), pa.scalar(""))
    epoch = np.datetime64(FIRST_DAY, "D")
    columns = (
        pc.binary_join_element_wise(mark, number, ""),
        pa.array(epoch + lines.day.astype("timedelta64[D]")),
        ids.take(pa.array(lines.customer)),
        pa.array(lines.quantity),
        pa.array(lines.cents / 100),
    )
    return pa.table(dict(zip(COLUMNS, columns, strict=True)))
