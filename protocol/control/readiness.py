"""Which codes of a preflight a node may tell its coordinator. SPEC.md, section 17.4.

A text, a number or a name has no place here, so none can leave by accident.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: Stands for whatever is in none of the lists.
OTHER: Final = "E-OTHER"
#: With noise, stands for everything that may hang on a single customer.
ABOUT_CUSTOMERS: Final = "E-SOURCE"
#: Follow from settings, documents, keys and the ledger, whoever the customers are.
OF_ITSELF: Final = frozenset({
    "E-AGR-CLOCK", "E-AGR-DUPKEY", "E-AGR-EXPIRED", "E-AGR-MISSING", "E-AGR-OTHER", "E-AGR-PARTY",
    "E-AGR-REVIEW", "E-AGR-SCHEMA", "E-AGR-SIGNATURE", "E-AGR-SIZE", "E-AGR-TWICE",
    "E-AGR-UNSIGNED", "E-BASIS", "E-BUDGET", "E-BUDGET-CAP", "E-BUDGET-SPENT", "E-BUILD",
    "E-BUILD-UNSIGNED", "E-CALLER", "E-CHILD", "E-CODE",
    "E-CONFIG", "E-CONSENT-STALE", "E-DP-NOISE",
    "E-FEATURE-BOUNDS", "E-FEATURE-UNIT", "E-FEATURE-UNLISTED", "E-INSTALLATION", "E-KEY-DAMAGED",
    "E-KEY-MISSING", "E-KEY-MODE", "E-KEY-PASSPHRASE", "E-KEY-SEAL", "E-KEYSTORE", "E-LEDGER",
    "E-LINK-CLOCK", "E-LINK-NOT-ADMITTED", "E-LINT", "E-NO-CONTROL", "E-NOTICE", "E-PARTNERS",
    "E-PLAN", "E-PROXY", "E-PROXY-AWAY", "E-PROXY-LOGIN", "E-PROXY-REFUSED", "E-PROXY-TLS",
    "E-PURPOSE", "E-RETENTION", "E-SPECIAL",
    "E-STATE-LOST", "E-STORE", "E-TLS", "E-TRANSPORT", "E-USE", "E-WITHDRAWN",
})  # fmt: skip
#: Found while customers are read: with noise `ABOUT_CUSTOMERS` is told instead.
_OF_CUSTOMERS: Final = frozenset({
    "E-CONSENT-SOURCE", "E-DUPLICATE", "E-NO-CONSENT", "E-RANGE", "E-ROW-CAP", "E-SOURCE",
    "E-SOURCE-COLUMN", "E-SOURCE-CONNECT", "E-SOURCE-CSV", "E-SOURCE-DATABASE", "E-SOURCE-EMPTY",
    "E-SOURCE-ENCODING", "E-SOURCE-FILE", "E-SOURCE-ID", "E-SOURCE-JSON", "E-SOURCE-LEVEL",
    "E-SOURCE-MEMORY", "E-SOURCE-MISSING", "E-SOURCE-NULL", "E-SOURCE-PASSWORD", "E-SOURCE-RIGHTS",
    "E-SOURCE-SQL", "E-SOURCE-TIMEOUT", "E-SOURCE-TYPE", "E-TOO-FEW",
})  # fmt: skip
#: Found while the coordinator is called, and over once it is reached again.
OF_THE_WAY: Final = frozenset({
    "E-LINK-CLOCK", "E-LINK-NOT-ADMITTED", "E-PROXY-AWAY", "E-PROXY-LOGIN", "E-PROXY-REFUSED",
    "E-PROXY-TLS", "E-TLS", "E-TRANSPORT",
})  # fmt: skip
CODES: Final = OF_ITSELF | _OF_CUSTOMERS | {OTHER}


def told_codes(
    codes: Iterable[str], *, about_customers: Iterable[str], noised: bool
) -> tuple[str, ...]:
    """What a node tells of the codes that its preflight gave; each once, in order of letters.

    Args:
        codes: Of checks that read no customer.
        about_customers: Of checks that read customers, or what customers said.
        noised: Whether the agreement has noise.

    >>> told_codes(["E-BUDGET-SPENT"], about_customers=["E-TOO-FEW"], noised=True)
    ('E-BUDGET-SPENT', 'E-SOURCE')
    >>> told_codes(["E-NOBODY-KNOWS"], about_customers=["E-TOO-FEW"], noised=False)
    ('E-OTHER', 'E-TOO-FEW')
    """
    found = set(map(known, codes))
    for code in about_customers:
        found.add(ABOUT_CUSTOMERS if noised and code not in OF_ITSELF else known(code))
    return tuple(sorted(found))


def known(code: str) -> str:
    """A code of the lists; for every other text `OTHER`.

    >>> known("customer 4711 has no birthday")
    'E-OTHER'
    """
    return code if code in CODES else OTHER
