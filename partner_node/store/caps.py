"""Caps: what a partner lets its customers spend over all agreements together, on record."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from partner_node.store.node_store import NodeStore
from protocol.log.entries import CAP
from protocol.privacy.accounting import cost_of_rho, rho_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """One decision about the cap.

    Attributes:
        at: When it was made.
        epsilon: The most that a customer may spend at `delta`; None where the cap was lifted.
        reason: Why, in the words of whoever decided; may be empty.
    """

    at: str
    epsilon: Decimal | None
    delta: Decimal
    reason: str

    @property
    def cost(self) -> int | None:
        """The most in units of 2^-60 of rho; None for no cap."""
        if self.epsilon is None:
            return None
        return cost_of_rho(rho_for(float(self.epsilon), float(self.delta)))

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "at": self.at,
            "epsilon": None if self.epsilon is None else float(self.epsilon),
            "delta": float(self.delta),
            "reason": self.reason,
        }


class Caps:
    """The decisions about the cap in a node's state database; the last one holds."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def decide(self, cap: Cap) -> None:
        """Put a decision on record, from now on in force; inside a transaction."""
        self._store.ask(
            "INSERT INTO caps (at, epsilon, delta, reason) VALUES (?, ?, ?, ?)",
            cap.at,
            "" if cap.epsilon is None else str(cap.epsilon),
            str(cap.delta),
            cap.reason,
        )
        self._store.log.append(
            CAP,
            at=cap.at,
            epsilon="" if cap.epsilon is None else str(cap.epsilon),
            delta=str(cap.delta),
        )

    def current(self) -> Cap | None:
        """The cap in force; None where none was ever set, or it was lifted."""
        decided = self.decided()
        return None if not decided or decided[-1].epsilon is None else decided[-1]

    def decided(self) -> list[Cap]:
        """Every decision, oldest first."""
        rows = self._store.ask("SELECT at, epsilon, delta, reason FROM caps ORDER BY number")
        return [
            Cap(
                at=at,
                epsilon=Decimal(epsilon) if epsilon else None,
                delta=Decimal(delta),
                reason=reason,
            )
            for at, epsilon, delta, reason in rows
        ]
