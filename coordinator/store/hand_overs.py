"""The hand-overs of keys that the coordinator knows: partners' and its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from coordinator.store.times import stamp
from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import HandOvers

if TYPE_CHECKING:
    from coordinator.store.coordinator_store import CoordinatorStore

_PARSED: Final = 8


class KeptHandOvers:
    """The hand-overs in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def load(self) -> HandOvers:
        """All of them, in the order in which they came."""
        rows = self._store.ask("SELECT envelope FROM hand_overs ORDER BY number")
        return _parsed(tuple(bytes(envelope) for (envelope,) in rows))

    def take(self, found: Sequence[HandOver], *, now: datetime) -> list[HandOver]:
        """Keep more of them; those that were not known come back. Inside a transaction.

        Raises:
            AgreementError: One does not go with those that are known, and none is kept (E-KEY-…).
        """
        known, new = self.load(), []
        for one in found:
            if not known.knows(one):
                known = known.with_one(one)
                new.append(one)
        for one in new:
            self._store.ask(
                "INSERT INTO hand_overs VALUES"
                " ((SELECT coalesce(max(number), 0) + 1 FROM hand_overs), ?, ?, ?, ?)",
                one.hash,
                one.old_key,
                one.to_bytes(),
                stamp(now),
            )
        return new


@lru_cache(maxsize=_PARSED)
def _parsed(envelopes: tuple[bytes, ...]) -> HandOvers:
    """The same bytes are checked once a process: every reading of an agreement needs them."""
    return HandOvers.of(map(HandOver.from_bytes, envelopes))
