"""Taking a hand-over of a key, whether it came as a file or online."""

from __future__ import annotations

import logging
from datetime import datetime

from coordinator.control.announcements import HAND_OVER, Announcements
from coordinator.control.joined import joined_cards
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers, under_known
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import HandOvers
from protocol.errors import AgreementError

logger = logging.getLogger(__name__)


def keep_hand_over(
    store: CoordinatorStore, one: HandOver, *, own_key: bytes, now: datetime
) -> bool:
    """Keep a hand-over, wherever it came from, and announce it; whether it is new.

    A second one from a key is kept for people, though it is refused.

    Args:
        own_key: The coordinator's key in force, 32 bytes.

    Raises:
        AgreementError: It does not go with those that are known (E-KEY-…), with an agreement or
            with the card of a node that joined; or it is from a key that no published agreement
            and no node that joined has (E-KEY-STRANGER).
    """
    try:
        new = _keep(store, one, own_key, now)
    except AgreementError as error:
        if error.code == "E-KEY-FORK":
            with store.transaction():
                KeptHandOvers(store).note_fork(one, now=now)
        raise
    if new:
        logger.info("took %s", one.words)
    return new


def _keep(store: CoordinatorStore, one: HandOver, own_key: bytes, now: datetime) -> bool:
    with store.transaction():
        if KeptHandOvers(store).load().knows(one):
            return False  # whatever names its keys now
        concerned = check_hand_over(store, one, own_key=own_key)
        KeptHandOvers(store).take([one], now=now)
        for agreement in concerned:
            parties = [party.id for party in agreement.parties]
            Announcements(store).add(HAND_OVER, parties, agreement.hash)
    return True


def check_hand_over(store: CoordinatorStore, one: HandOver, *, own_key: bytes) -> list[Agreement]:
    """The agreements whose keys a hand-over changes that is not known yet; keeps nothing.

    Args:
        own_key: As for `keep_hand_over`.

    Raises:
        AgreementError: As `keep_hand_over`.
    """
    before = KeptHandOvers(store).load()
    known = before.with_one(one)
    concerned = [a for a in _agreements(store) if _changes(a, before, known, one)]
    others = {card.public_key: card.id for card in joined_cards(store)} | {own_key: ""}
    if others.get(one.old_key, one.partner) != one.partner:
        raise AgreementError(
            f"{one.words}: that key is {others[one.old_key] or 'the coordinator'}'s",
            code="E-KEY-PARTY",
            remedy="ask both partners whose key it is; a partner has a key of its own",
        )
    if not concerned and one.old_key not in others:
        raise AgreementError(
            f"{one.words}: no party and no node that joined has that old key",
            code="E-KEY-STRANGER",
            remedy="take the hand-overs of one party in their order, each with `key accept`: "
            "its node writes them with `fedseg-node key export FILE --number N`; those that "
            "are known here: `fedseg-coordinator key show`",
        )
    return concerned


def told_to(store: CoordinatorStore, partner: str) -> HandOvers:
    """The hand-overs that concern a partner: its own, the coordinator's, those of its agreements.

    None of partners with whom it has no agreement.
    """
    known = KeptHandOvers(store).load()
    hashes = {
        one.hash
        for agreement in _agreements(store)
        if any(party.id == partner for party in agreement.parties)
        for one in under_known(agreement, known).hand_overs
    }
    return HandOvers(tuple(o for o in known if o.partner in ("", partner) or o.hash in hashes))


def _agreements(store: CoordinatorStore) -> list[Agreement]:
    return [signed.agreement for signed in store.agreements()]


def _changes(agreement: Agreement, before: HandOvers, known: HandOvers, one: HandOver) -> bool:
    """Whether one more changes a key of an agreement.

    Raises:
        AgreementError: It does not go with the agreement, which goes with those of `before`.
    """
    try:
        agreement.with_hand_overs(before)
    except AgreementError:
        return False  # nothing runs under it, and it keeps no hand-over out
    return any(o.hash == one.hash for o in agreement.with_hand_overs(known).hand_overs)
