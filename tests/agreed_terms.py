"""The terms about law and duties that agreements in tests have in common."""

from __future__ import annotations

from typing import Any

from protocol.agreement.governance import CONSENT
from protocol.agreement.software import Software


def agreed_terms(software: Software, *, review_by: str) -> dict[str, Any]:
    """Top-level fields of an agreement that most tests do not care for."""
    return {
        "supersedes": "none",
        "review_by": review_by,
        "population": {
            "subject": "customers",
            "inclusion": "everybody in the data",
            "dedupe_key": "customer number",
        },
        "excluded": {"special": ["health"], "children_under": 16, "proxies": ["postcode"]},
        "min_customers_per_partner": 1,
        "results_use": {
            "allowed": ["own-marketing", "assortment"],
            "forbidden": ["credit-decisions"],
            "recipients": ["the partners"],
        },
        "retention": {"assignments_days": 90, "records_days": 730},
        "duties": {
            "withdrawal": "By word to all others.",
            "audit": "Once a year.",
            "breach": "Within 24 hours.",
            "responsibilities": "Each for its own customers.",
        },
        "documents": [{"title": "Contract", "sha256": "ab" * 32}],
        "software": software.to_dict(),
    }


def agreed_party() -> dict[str, Any]:
    """Fields of a party that most tests do not care for."""
    return {
        "role": "joint-controller",
        "dpo": "dpo@partner.example",
        "jurisdictions": ["DE"],
        "legal_basis": {"basis": CONSENT, "reference": "as the notice says"},
    }


def agreed_feature() -> dict[str, Any]:
    """Fields of a feature that most tests do not care for."""
    return {"necessity": "It tells customers apart."}
