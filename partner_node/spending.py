"""What one customer has spent over all agreements of a node together, and the cap on it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from machine.tables import folding_table
from machine.text import minute
from partner_node.budget import ToldExactly, exact_words, told_exactly
from partner_node.store.caps import Cap, Caps
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from protocol.errors import UsageError
from protocol.privacy.accounting import epsilon_of, epsilon_text, rho_of_cost
from protocol.privacy.terms import LARGEST_DELTA, SMALLEST_DELTA

#: At which epsilon is told where no cap says another one.
DEFAULT_DELTA: Final = Decimal("0.000001")
_LARGEST_EPSILON: Final = Decimal(1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What was charged at a node.

    Attributes:
        under: Cost under each agreement, by its id, in units of 2^-60 of rho.
        exact: What was told without noise, which no cost counts.
        decided: Every decision about the cap, oldest first.
        cap: The one in force; None for no cap.
    """

    under: dict[str, int]
    exact: list[ToldExactly]
    decided: list[Cap]
    cap: Cap | None

    @staticmethod
    def of(store: NodeStore) -> Spending:
        """As the node's state has it."""
        caps = Caps(store)
        return Spending(
            under=Ledger(store).spent_under(),
            exact=told_exactly(store.runs_answered()),
            decided=caps.decided(),
            cap=caps.current(),
        )

    @property
    def total(self) -> int:
        """Cost over all agreements."""
        return sum(self.under.values())

    @property
    def delta(self) -> float:
        """At which epsilon is told."""
        return float(DEFAULT_DELTA if self.cap is None else self.cap.delta)

    def epsilon(self, cost: int) -> str:
        """The epsilon of a cost, in text."""
        return epsilon_text(epsilon_of(cost, self.delta))

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "delta": self.delta,
            "agreements": [
                {"agreement": name, "rho": rho_of_cost(c), "epsilon": epsilon_of(c, self.delta)}
                for name, c in self.under.items()
            ],
            "together": {
                "rho": rho_of_cost(self.total),
                "epsilon": epsilon_of(self.total, self.delta),
            },
            "told_exactly": [told.to_dict() for told in self.exact],
            "cap": None if self.cap is None else self.cap.to_dict(),
            "decided": [one.to_dict() for one in self.decided],
        }

    @property
    def words(self) -> list[object]:
        """It for people."""
        table = folding_table(
            "agreement", "rho", "epsilon",
            title=f"Spent by a customer who was counted in every run, at delta {self.delta:.0e}",
        )  # fmt: skip
        for name, cost in self.under.items():
            table.add_row(name, f"{rho_of_cost(cost):.3g}", self.epsilon(cost))
        table.add_row("all together", f"{rho_of_cost(self.total):.3g}", self.epsilon(self.total))
        return [
            table if self.under else "Nothing has been charged here yet.",
            self.cap_words,
            *exact_words(self.exact),
            *(_decision(one) for one in self.decided),
        ]

    @property
    def cap_words(self) -> str:
        """What is left below the cap, or that there is none."""
        if self.cap is None or self.cap.epsilon is None:
            return "No cap: each agreement's own budget alone limits what is spent."
        return (
            f"Cap over all agreements: epsilon {self.epsilon(self.total)} of {self.cap.epsilon} at "
            f"delta {self.cap.delta} is spent. A run that would go beyond is refused before a row "
            "is read, and so is every run on exact totals."
        )


def new_cap(epsilon: str, delta: str | None, *, at: str, reason: str) -> Cap:
    """The cap that a person sets.

    Args:
        delta: None for `DEFAULT_DELTA`.

    Raises:
        UsageError: A number is out of range.
    """
    return Cap(
        at=at,
        epsilon=_number("--epsilon", epsilon, Decimal("0.001"), _LARGEST_EPSILON),
        delta=(
            DEFAULT_DELTA
            if delta is None
            else _number("--delta", delta, SMALLEST_DELTA, LARGEST_DELTA)
        ),
        reason=reason,
    )


def _number(name: str, text: str, least: Decimal, most: Decimal) -> Decimal:
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or not least <= value <= most:
        raise UsageError(
            f"{name} {text!r} is no number from {least:f} to {most:f}",
            remedy="write it like 5 or 0.000001",
        )
    return value


def _decision(cap: Cap) -> str:
    what = "lifted" if cap.epsilon is None else f"epsilon {cap.epsilon} at delta {cap.delta}"
    return f"{minute(cap.at)}: {what}" + (f" ({cap.reason})" if cap.reason else "") + "."
