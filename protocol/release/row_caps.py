"""How much room the agreed row caps leave beside the customers that a release counts.

A partner's sums are bounded by its row cap and by nothing else that others see: within the room it
can answer for customers that it does not have, and weigh more than it is. docs/adr/0022.
"""

from __future__ import annotations

from typing import Final

from protocol.agreement.document import Agreement
from protocol.release.document import Release

#: A party's row cap above so many times all customers counted is far above what is known.
_FAR: Final = 2


def counted_customers(release: Release) -> int:
    """Customers of the released segments together, as far as the noise lets us tell."""
    return max(0, sum(segment.size for segment in release.segments))


def row_cap_words(release: Release, agreement: Agreement) -> str:
    """What the row cap of each partner counted is beside all customers counted, largest first."""
    counted = counted_customers(release)
    parties = [party for party in agreement.parties if party.id in release.counted]
    caps = ", ".join(
        f"{party.id} {party.max_customers:,} ({_share(party.max_customers, counted)})"
        for party in sorted(parties, key=lambda party: -party.max_customers)
    )
    together = sum(party.max_customers for party in parties)
    words = (
        f"Row caps: {caps}; together {together:,}, where {counted:,} customers are in released "
        "segments"
    )
    if together <= counted:
        return f"{words}: they leave no room"
    return (
        f"{words}. Nobody sees whether a partner fills the room of {together - counted:,} with "
        "customers that it does not have"
    )


def wide_row_caps(agreement: Agreement, release: Release) -> list[str]:
    """Warnings about parties whose row cap is far above all customers that a release counted.

    A party whose customers it does not count may have as many as it likes.
    """
    counted = counted_customers(release)
    absent = [party.id for party in agreement.parties if party.id not in release.counted]
    whose = f"of all partners but {', '.join(absent)}" if absent else "of all partners"
    return [
        f"max_customers of {party.id} is {party.max_customers:,}, the last release counts "
        f"{counted:,} customers {whose}: within its cap a partner can answer for customers "
        "that it does not have, and nobody sees it; agree on what it has, with some room"
        for party in agreement.parties
        if counted and party.id in release.counted and party.max_customers > _FAR * counted
    ]


def _share(cap: int, counted: int) -> str:
    if not counted:
        return "nobody is counted"
    if cap > _FAR * counted:
        return f"{cap / counted:,.0f} times those counted"
    return f"{100 * cap / counted:.0f} % of those counted"
