"""The hand-overs of keys that the coordinator knows: partners' and its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from coordinator.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import NONE, HandOvers
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import AgreementError
from protocol.log import entries as kinds

if TYPE_CHECKING:
    from coordinator.store.coordinator_store import CoordinatorStore

logger = logging.getLogger(__name__)

_PARSED: Final = 8
_WARNED: Final = 64
#: What was read last, and what it says; replaced at once, as several threads read.
_last: tuple[tuple[bytes, ...], HandOvers] = ((), NONE)


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
            self._store.log.append(
                kinds.HAND_OVER, at=stamp(now), old_key=one.old_key.hex(), new_key=one.new_key.hex()
            )
        return new

    def note_fork(self, one: HandOver, *, now: datetime) -> None:
        """Keep for people a second hand-over from one key: one for each key, the first.

        Inside a transaction.
        """
        row = self._store.one("SELECT 1 FROM refused_hand_overs WHERE old_key = ?", one.old_key)
        if row is not None:
            return
        self._store.ask(
            "INSERT INTO refused_hand_overs VALUES (?, ?, ?)",
            one.old_key,
            one.to_bytes(),
            stamp(now),
        )
        self._store.log.append(
            kinds.KEY_FORKED, at=stamp(now), old_key=one.old_key.hex(), new_key=one.new_key.hex()
        )

    def forks(self) -> list[tuple[HandOver, str]]:
        """Those that `note_fork` kept, with when they came."""
        rows = self._store.ask(
            "SELECT envelope, refused_at FROM refused_hand_overs ORDER BY refused_at"
        )
        return [(HandOver.from_bytes(bytes(envelope)), at) for envelope, at in rows]


def under_known(agreement: Agreement, known: HandOvers) -> Agreement:
    """An agreement under the keys in force, to be listed with others.

    One that does not go with the hand-overs is as it was signed, and the log names it: it keeps no
    other from being read. Nothing runs under it, as `CoordinatorStore.agreement` refuses it.
    """
    try:
        return agreement.with_hand_overs(known)
    except AgreementError as error:
        warn_once(f"agreement {agreement.id}, version {agreement.version}: {error}")
        return agreement


def key_in_force(card: PartnerCard, known: HandOvers) -> bytes:
    """The key in force of a card's partner; as the card has it where it does not go with them."""
    try:
        return known.latest_of(card.public_key, partner=card.id)
    except AgreementError as error:
        warn_once(f"the card of {card.id}: {error}")
        return card.public_key


@lru_cache(maxsize=_WARNED)
def warn_once(text: str) -> None:
    """Warn once a process: what does not fit is read every few seconds."""
    logger.warning("%s", text)


@lru_cache(maxsize=_PARSED)
def _parsed(envelopes: tuple[bytes, ...]) -> HandOvers:
    """The same bytes are checked once a process: every reading of an agreement needs them.

    Where more came since, those alone are.
    """
    global _last
    before, known = _last
    if envelopes[: len(before)] != before:
        before, known = (), NONE
    for envelope in envelopes[len(before) :]:
        known = known.with_one(HandOver.from_bytes(envelope))
    _last = envelopes, known
    return known
