"""``[data.transactions]`` of ``node.toml``, read and checked."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from partner_node.config_section import ConfigSection
from partner_node.sources.day_forms import DATE_SIGNS, DayForm
from partner_node.sources.transactions import Transactions

LATEST: Final = "latest"
TRANSACTION_KEYS: Final = (
    "customer", "date", "order", "amount", "quantity", "price", "cancelled", "no_customer",
    "observation_date", "window_days", "date_format",
)  # fmt: skip


def read_transactions(section: ConfigSection) -> Transactions:
    """Read and check the section.

    Raises:
        ConfigError: E-CONFIG, naming the key, its value and the way out.
    """
    for key in ("quantity", "price"):
        section.at_most_one_of("amount", key)
    has_amount = section.sets("amount")
    return Transactions(
        customer=section.text("customer"),
        date=section.text("date"),
        order=section.text("order"),
        amount=section.text("amount") if has_amount else None,
        quantity=None if has_amount else section.text("quantity"),
        price=None if has_amount else section.text("price"),
        cancelled=section.text("cancelled", max_length=20) if section.sets("cancelled") else None,
        no_customer=section.optional("no_customer"),
        observed=_observed(section),
        window_days=section.integer("window_days", lowest=1, highest=36_525, default=1)
        if section.sets("window_days")
        else None,
        date_format=_date_format(section),
    )


def _observed(section: ConfigSection) -> date | None:
    text = section.text("observation_date")
    if text == LATEST:
        return None
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise section.problem(
        "observation_date",
        f"is {text!r}",
        'write a date like "2026-01-01", the same at every partner, or "latest"',
    )


def _date_format(section: ConfigSection) -> DayForm | None:
    text = section.optional("date_format")
    if text is None:
        return None
    if any(c in "\\\"'^[]" or not c.isprintable() for c in text):
        raise section.problem(
            "date_format", f"is {text!r}", "leave out quotes, backslashes, brackets and carets"
        )
    try:
        return DayForm.of(text)
    except ValueError as error:
        raise section.problem(
            "date_format",
            f"is {text!r}: {error}",
            'write a day like "%d.%m.%Y" or "%m/%d/%Y %H:%M"; there are ' + " ".join(DATE_SIGNS),
        ) from None
