"""Partners' cards, read from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from protocol.agreement.partner_card import MAX_BYTES, PartnerCard
from protocol.errors import MalformedError, UsageError


def load_card(path: Path) -> PartnerCard:
    """Read a partner's card; raises UsageError, MalformedError, which name the file."""
    try:
        with path.open("rb") as file:
            return PartnerCard.from_bytes(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            remedy="name the file partner-card.json that `fedseg-node init` wrote",
        ) from error
    except MalformedError as error:
        raise MalformedError(
            f"{path} is no partner's card: {error.message}",
            code=error.code,
            remedy="name the file partner-card.json that `fedseg-node init` wrote",
        ) from error


def load_cards(paths: Sequence[Path]) -> list[PartnerCard]:
    """Read partners' cards; refuses two of one partner."""
    cards: dict[str, tuple[Path, PartnerCard]] = {}
    for path in paths:
        card = load_card(path)
        for earlier, known in cards.values():
            if card.id == known.id or card.public_key == known.public_key:
                raise UsageError(
                    f"{earlier} and {path} are cards of the same partner, {known.id!r}",
                    remedy="name each partner's card once",
                )
        cards[card.id] = (path, card)
    return [card for _, card in cards.values()]
