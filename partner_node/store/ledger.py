"""The ledger: what a node's answers have cost, each charged before a row is read for it."""

from __future__ import annotations

from typing import Final, LiteralString

from partner_node.store.caps import Caps
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.errors import RuleError, StoreError
from protocol.log.entries import QUESTION
from protocol.privacy.accounting import epsilon_of, epsilon_text
from protocol.privacy.ledger import CARRIED, Charge, check_affordable, spent_of

_SELECT_CHARGES: Final[LiteralString] = (
    "SELECT run_id, round, context, asked, sensitivity_squared, group_size, share_variance,"
    " honest, cost, colluding FROM ledger WHERE "
)


class Ledger:
    """The charges in a node's state database; none is ever forgotten."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def charges(self, agreement_id: str | None = None) -> list[Charge]:
        """Every charge, oldest first; under all versions of one agreement when it is named."""
        return self._charges("?1 IS NULL OR agreement_id = ?1 ORDER BY number", agreement_id)

    def carried(self, agreement_id: str) -> list[tuple[str, int]]:
        """When a person charged runs of an earlier node, and how many each time; oldest first."""
        return self._store.ask(
            "SELECT at, count(*) FROM ledger WHERE agreement_id = ? AND asked = ?"
            " GROUP BY at ORDER BY min(number)",
            agreement_id,
            CARRIED,
        )

    def charge_of(self, context: bytes) -> Charge | None:
        """What was charged for the answer that a context names; None when nothing was."""
        return next(iter(self._charges("context = ?1", context)), None)

    def _charges(self, where: LiteralString, value: object) -> list[Charge]:
        rows = self._store.ask(_SELECT_CHARGES + where, value)
        return [
            Charge(
                run_id=row[0],
                round=row[1],
                context=row[2],
                asked=row[3],
                sensitivity_squared=int(row[4]),
                group=row[5],
                share_variance=int(row[6]),
                honest=row[7],
                cost=int(row[8]),
                colluding=row[9],
            )
            for row in rows
        ]

    def charge(self, charge: Charge, agreement: Agreement, *, now: str) -> None:
        """Take a charge when the budget holds it; inside a transaction.

        The same context is charged once: it gets the same bytes again.

        Raises:
            RuleError: The budget does not hold it (E-BUDGET-SPENT), or the node's cap over all
                agreements (E-BUDGET-CAP); nothing is charged.
        """
        if agreement.privacy is None:
            raise StoreError("an agreement on exact totals has no budget")
        if self._store.one("SELECT 1 FROM ledger WHERE context = ?", charge.context) is not None:
            return
        check_affordable(agreement.privacy, spent=self.spent(agreement), more=charge.cost)
        self.check_cap(more=charge.cost)
        self.record(charge, agreement, now=now)

    def charged_under(self) -> dict[str, int]:
        """What was charged under each agreement, by its id, in units of 2^-60 of rho."""
        found: dict[str, int] = {}
        for identity, cost in self._store.ask(
            "SELECT agreement_id, cost FROM ledger ORDER BY number"
        ):
            found[identity] = found.get(identity, 0) + int(cost)
        return found

    def spent(self, agreement: Agreement) -> int:
        """What was charged under all versions of an agreement, for what is promised now."""
        if agreement.privacy is None:
            return 0
        return spent_of(
            self.charges(agreement.id),
            agreement.privacy,
            colluding=agreement.secure_sum.max_colluding,
        )

    def spent_under(self) -> dict[str, int]:
        """What was charged under each agreement, by its id, for what its last version promises."""
        found = {}
        for identity, charged in self.charged_under().items():
            kept = self._store.latest_agreement(identity)
            promised = 0 if kept is None else self.spent(kept.agreement)
            found[identity] = max(charged, promised)
        return found

    def check_cap(self, *, more: int) -> None:
        """Refuse a charge that goes beyond what the node's cap leaves, over all agreements.

        Args:
            more: Cost about to be charged, in units of 2^-60 of rho.

        Raises:
            RuleError: E-BUDGET-CAP.
        """
        cap = Caps(self._store).current()
        if cap is None or cap.cost is None or cap.epsilon is None:
            return
        spent = sum(self.spent_under().values())
        if spent + more > cap.cost:
            charged = epsilon_text(epsilon_of(spent, float(cap.delta)))
            raise RuleError(
                f"this node's cap is reached: epsilon {charged} of {cap.epsilon} at delta "
                f"{cap.delta} is charged over all its agreements, and this would go beyond",
                code="E-BUDGET-CAP",
                remedy="`fedseg-node budget cap` lists what was charged under each; with a higher "
                "--epsilon it raises the cap",
            )

    def refuse_exact(self, agreement: Agreement) -> None:
        """Refuse an agreement on exact totals, which no cap can count; raises RuleError.

        Raises:
            RuleError: A cap is in force (E-BUDGET-CAP).
        """
        if agreement.privacy is None and Caps(self._store).current() is not None:
            raise RuleError(
                f"agreement {agreement.id} is about exact totals, which no epsilon counts, and "
                "this node has a cap",
                code="E-BUDGET-CAP",
                remedy="agree on an epsilon; `fedseg-node budget cap --lift` lifts the cap",
            )

    def record(self, charge: Charge, agreement: Agreement, *, now: str) -> None:
        """Write down what has been spent, whether the budget holds it or not; in a transaction."""
        self._store.ask(
            "INSERT INTO ledger (at, agreement_id, run_id, round, context, asked,"
            " sensitivity_squared, group_size, share_variance, honest, cost, colluding)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            now,
            agreement.id,
            charge.run_id,
            charge.round,
            charge.context,
            charge.asked,
            str(charge.sensitivity_squared),
            charge.group,
            str(charge.share_variance),
            charge.honest,
            str(charge.cost),
            charge.colluding,
        )
        self._store.log.append(
            QUESTION,
            at=now,
            agreement=agreement.id,
            run=charge.run_id.hex(),
            round=charge.round,
            asked=charge.asked,
            cost=str(charge.cost),
            context=charge.context.hex(),
        )
