"""Agreements of tests: what most of them do not care for is said here, or by a simulation's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from simulations.agreement import agreement_values, changed, feature_values, party_values

_TERMS: Final[dict[str, Any]] = {
    "purpose": {"text": "Form shared customer segments.", "notice_version": "1"},
    "coordinator": {"legal_name": "Operator Ltd", "contact": "ops@operator.example"},
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
}


def agreed_values(
    *,
    parties: Sequence[Mapping[str, Any]],
    features: Sequence[Mapping[str, Any]],
    coordinator_key: bytes,
    **terms: Any,
) -> dict[str, Any]:
    """The JSON of an agreement; `terms` as in `agreement_values`."""
    return agreement_values(
        parties=parties,
        features=features,
        coordinator_key=coordinator_key,
        **changed(_TERMS, terms),
    )


def agreed_party(name: str, public_key: bytes, **terms: Any) -> dict[str, Any]:
    """A party."""
    values = party_values(
        name,
        public_key,
        legal_name=f"Partner {name}",
        contact=f"privacy@{name}.example",
        dpo="dpo@partner.example",
        jurisdictions=["DE"],
        legal_basis={"reference": "as the notice says"},
    )
    return changed(values, terms)


def agreed_feature(name: str, **terms: Any) -> dict[str, Any]:
    """A feature, of numbers from 0 to 10 where `terms` say nothing else."""
    return feature_values(name, **{"necessity": "It tells customers apart.", **terms})
