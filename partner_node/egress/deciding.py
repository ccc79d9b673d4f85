"""A person's decision about a message that was held for approval."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from partner_node.egress.records import APPROVED, REFUSED, Manifests, Written
from partner_node.four_eyes import People
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from partner_node.trained import check_trained
from protocol.agreement.governance import EGRESS

#: What people call each decision, in commands, pages and the log.
DECISIONS: Final[Mapping[str, str]] = {"approve": APPROVED, "refuse": REFUSED}


def decide(
    store: NodeStore, number: int, word: str, *, now: datetime, by: str, people: People
) -> Written:
    """Approve or refuse a message that waits.

    Args:
        word: Of `DECISIONS`.
        by: Who decides, as the log names them.
        people: Whose first approval counts still.

    Raises:
        UsageError: There is no such message (E-EGRESS-UNKNOWN).
        RuleError: It does not wait, or not any more (E-EGRESS-DECIDED); the same person approves
            it twice where two people have to (E-FOUR-EYES), or lacks agreed training (E-TRAINING).
    """
    with store.transaction():
        if DECISIONS[word] == APPROVED:
            _check_trained(store, number, by, now)
        return Manifests(store).decide(
            number, DECISIONS[word], now=stamp(now), by=by, account=people.account_of(by),
            counts=lambda who, account: people.may_still(who, EGRESS, account=account),
        )  # fmt: skip


def _check_trained(store: NodeStore, number: int, by: str, now: datetime) -> None:
    """Refuse an approval by whoever lacks what the message's agreement demands."""
    row = store.one(
        "SELECT agreement_hash FROM runs JOIN manifests USING (run_id) WHERE number = ?", number
    )
    kept = None if row is None else store.agreement(bytes(row[0]))
    if kept is not None:
        check_trained(store, kept.agreement, by, now)
