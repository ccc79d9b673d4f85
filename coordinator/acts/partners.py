"""Admitting partners' nodes, and asking them whether they are ready.

A partner is removed by `coordinator.control.standing.shut_out`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from coordinator.control.announcements import ADMITTED, CHECK, Announcements
from coordinator.control.joined import card_with_code
from coordinator.control.standing import standings
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.document import Agreement
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import AgreementError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Who may connect now.

    Attributes:
        partners: Their ids.
        replaced: The earlier node key of those that had one, by id.
    """

    partners: tuple[str, ...]
    replaced: dict[str, str]


def admit(
    store: CoordinatorStore,
    cards: Sequence[PartnerCard],
    codes: Sequence[str],
    *,
    coordinator_key: bytes,
    replace: bool = False,
) -> Admitted:
    """Let partners' nodes through the public port; `serve` notices within a second.

    Args:
        cards: Of partners whose cards came as files.
        codes: The short codes of nodes that joined.
        replace: Whether a node key may take an earlier one's place.

    Raises:
        UsageError: No node waits under a code (E-CONTROL-CODE), or another key is admitted.
        AgreementError: A card has a party's id and another signing key (E-AGR-PARTY).
    """
    from coordinator.service.superlink import node_key_bytes  # Flower takes long to import

    read = [*cards, *(card_with_code(store, one, coordinator_key=coordinator_key) for one in codes)]
    published = [signed.agreement for signed in store.agreements()]
    for card in read:
        node_key_bytes(card.node_key.encode("ascii"))
        _check_party(card, published)
    keys = {card.id: card.node_key for card in read}
    replaced = AdmittedNodes(store).admit(keys, replace=replace)
    with store.transaction():
        Announcements(store).add(ADMITTED, list(keys))
    return Admitted(partners=tuple(card.id for card in read), replaced=replaced)


def ask_to_check(
    store: CoordinatorStore, partners: Collection[str], *, coordinator_key: bytes, now: datetime
) -> dict[str, str]:
    """Ask partners' nodes to check whether they are ready, which reads their customers there.

    Args:
        partners: Ids; all that joined when empty.

    Returns:
        When each that was asked was seen last, by id.

    Raises:
        UsageError: One of them did not join by invitation, or nobody did.
    """
    found = standings(store, coordinator_key=coordinator_key, now=now)
    seen = {one.partner: one.seen_at for one in found if one.state == "admitted" and one.code}
    asked = sorted(set(partners or seen))
    strangers = [partner for partner in asked if partner not in seen]
    if strangers or not asked:
        raise UsageError(
            f"{', '.join(strangers) or 'nobody'}: no admitted node joined by invitation",
            remedy="see `fedseg-coordinator partner list`; others call `fedseg-node check`",
        )
    with store.transaction():
        Announcements(store).add(CHECK, asked)
    return {partner: seen[partner] for partner in asked}


def _check_party(card: PartnerCard, published: Sequence[Agreement]) -> None:
    """Refuse a card with a party's id and another signing key."""
    keys = {
        key
        for agreement in published
        for party, had in zip(agreement.parties, agreement.keys.of_parties, strict=True)
        if party.id == card.id
        for key in had
    }
    if keys and card.public_key not in keys:
        raise AgreementError(
            f"the card of {card.id!r} has another public key than the party {card.id!r} of a "
            "published agreement",
            code="E-AGR-PARTY",
            remedy=f"ask {card.id}, over a way that you trust. If it replaced its key, take its "
            "hand-over: `fedseg-coordinator key accept hand-over.json`. If it made its node anew, "
            "then its signing key is new too, and a new version of the agreement has to be drafted "
            "with this card, signed by every party and published before it is admitted; or it puts "
            "its folder back from a backup",
        )
