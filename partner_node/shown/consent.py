"""How many customers may be counted now."""

from __future__ import annotations

from datetime import datetime

from machine.shown import Shown
from partner_node.consent.count import count_now
from partner_node.consent.words import status_values, status_words, strangers
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.errors import SourceError


def consent_shown(home: NodeHome, now: datetime, agreement: Agreement | None = None) -> Shown:
    """How many customers are counted now, and which rules keep others out; reads customers.

    Args:
        home: The place of the agreement that it is about.
        agreement: The one at that place when None.

    Raises:
        FedsegError: Tables of consents or the data cannot be read, or a rule is broken.
    """
    agreement = agreement or home.signed_agreement().agreement
    party = home.party(agreement)
    home.rules(agreement, party).check(now)
    gate = home.gate(agreement, party)
    warnings = []
    try:
        count = count_now(home.customers(agreement, None), gate, agreement, now)
    except SourceError as error:
        if error.code != "E-DUPLICATE":
            raise
        warnings.append(f"this node answers nothing now: {error.message}; rows are counted here")
        everybody = home.customers(agreement, None, unique=False)
        count = count_now(everybody, gate, agreement, now)
    warnings += strangers(gate, count.standing)
    return Shown(
        values={**status_values(gate, party.legal_basis, count), "warnings": warnings},
        parts=status_words(gate, party.legal_basis, count, now),
        warnings=warnings,
    )
