"""The parties of a draft: partners that joined by invitation, and those that still wait."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from typing import Final, NoReturn

from coordinator.config import CoordinatorConfig
from coordinator.control.joined import joined_cards, waiting_partners
from machine.console import output
from protocol.agreement.document import Agreement
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import UsageError

_ADMIT: Final = "fedseg-coordinator partner admit --code"


def admitted_cards(config: CoordinatorConfig, *, besides: Collection[str]) -> list[PartnerCard]:
    """The cards of admitted partners that joined by invitation, but of those named."""
    with closing(config.open_store()) as store:
        return [card for card in joined_cards(store) if card.id not in besides]


def are_joined(config: CoordinatorConfig, agreement: Agreement) -> bool:
    """Whether every party of `agreement` joined by invitation, so that it is proposed online."""
    with closing(config.open_store()) as store:
        joined = {card.id for card in joined_cards(store)}
    return joined >= {party.id for party in agreement.parties}


def refuse_nobody(config: CoordinatorConfig) -> NoReturn:
    """Refuse a draft without a party; raises UsageError, which names who waits."""
    waiting = _waiting(config)
    raise UsageError(
        "no partner that joined is admitted"
        + (f"; joined, but not admitted yet: {', '.join(waiting)}" if waiting else ""),
        remedy=f"{_ADMIT}, then draft again" if waiting else "fedseg-coordinator partner invite",
    )


def refuse_few(config: CoordinatorConfig, cards: Sequence[PartnerCard], needed: int) -> NoReturn:
    """Refuse a draft of fewer parties than a run needs; raises UsageError, which names them."""
    waiting = _waiting(config)
    raise UsageError(
        f"an agreement needs {needed} partners at least; admitted: "
        f"{', '.join(card.id for card in cards)}; joined, but not admitted yet: "
        f"{', '.join(waiting) or 'nobody'}",
        remedy=f"{_ADMIT if waiting else 'fedseg-coordinator partner invite'}, then draft again",
    )


def warn_of_waiting(config: CoordinatorConfig) -> list[str]:
    """Name, and return, the partners that joined and are in no draft, as nobody admitted them."""
    waiting = _waiting(config)
    if waiting:
        names = ", ".join(waiting)
        output.warn([f"joined, but not admitted yet, and so in no draft: {names}; {_ADMIT}"])
    return waiting


def _waiting(config: CoordinatorConfig) -> list[str]:
    with closing(config.open_store()) as store:
        return waiting_partners(store)
