"""Whole agreements: the one place that writes every field of one, for simulations and for tests.

A field that an agreement must have gets its value here, and all that is built on it has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.document import EXACT_TOTALS, SCHEMA, Agreement
from protocol.agreement.duties import Duties
from protocol.agreement.governance import CONSENT, SEGMENTATION
from protocol.agreement.plan_names import EXACT_PLAN
from protocol.agreement.software import Software
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes

#: What simulated nodes say that they run.
SOFTWARE: Final = Software(version="0.0.0+simulation", sha256=bytes(32))
_NONE: Final = "none: a simulation"


def agreement_values(
    *,
    parties: Sequence[Mapping[str, Any]],
    features: Sequence[Mapping[str, Any]],
    coordinator_key: bytes,
    **terms: Any,
) -> dict[str, Any]:
    """The JSON of an agreement, of a simulation with exact totals where `terms` say nothing else.

    It is the caller's own and shares nothing with what it is made of.

    Args:
        parties: As `party_values` makes them.
        features: As `feature_values` makes them.
        coordinator_key: The public key of the coordinator; 32 bytes.
        terms: Fields of the agreement, in the way of `changed`. It is reviewed when it expires
            where they name no `review_by`.
    """
    exact = terms.get("privacy", "none") == "none"
    expires = terms.get("expires", "2100-01-15T00:00:00Z")
    values = {
        "schema": SCHEMA,
        "id": "simulation",
        "version": 1,
        "supersedes": "none",
        "purpose": {
            "term": SEGMENTATION,
            "text": "Simulation on one machine; nothing leaves it.",
            "notice_version": "none",
        },
        "effective": "2000-01-15T00:00:00Z",
        "review_by": expires,
        "expires": expires,
        "parties": list(parties),
        "coordinator": {
            "legal_name": "Simulated coordinator",
            "contact": "none",
            "public_key": coordinator_key.hex(),
        },
        "population": {
            "subject": "simulated customers",
            "inclusion": "every row of the data",
            "dedupe_key": "a row is a customer",
        },
        "features": list(features),
        "excluded": {"special": [], "children_under": 16, "proxies": []},
        "consent": {"max_age_hours": 24},
        "plan": {"name": EXACT_PLAN, "n_clusters": 2, "max_rounds": 100}
        | ({"exact_totals": EXACT_TOTALS} if exact else {}),
        "privacy": "none",
        "secure_sum": {
            "min_partners": 3 if exact else 2,
            "max_colluding": 1,
            "min_atom": 3 if exact else 1,
            "max_set_changes": 8,
        },
        "min_customers_per_partner": 0,
        "min_segment_size": 1,
        "results_use": {
            "allowed": ["evaluation"],
            "forbidden": [],
            "recipients": ["whoever simulates"],
        },
        "retention": {"assignments_days": 1, "records_days": 1},
        "duties": dict.fromkeys(Duties.__slots__, _NONE),
        "documents": [],
        "software": SOFTWARE.to_dict(),
    }
    return deepcopy(changed(values, terms))


def party_values(name: str, public_key: bytes, **terms: Any) -> dict[str, Any]:
    """A party with this id and public key."""
    values = {
        "id": name,
        "legal_name": f"Simulated {name}",
        "role": "joint-controller",
        "contact": "none",
        "dpo": "none",
        "public_key": public_key.hex(),
        "jurisdictions": ["EU"],
        "max_customers": 10_000,
        "legal_basis": {"basis": CONSENT, "reference": _NONE},
    }
    return changed(values, terms)


def feature_values(name: str, **terms: Any) -> dict[str, Any]:
    """A feature, of numbers from 0 to 10 where `terms` say nothing else."""
    values = {"name": name, "type": "numeric", "unit": "units", "weight": "1"}
    if terms.get("type", "numeric") == "numeric":
        values |= {"min": "0", "max": "10", "transform": "none"}
    return changed(values | {"necessity": "simulation"}, terms)


def numbered_agreement(
    row_caps: Sequence[int], features: Sequence[Mapping[str, Any]], **terms: Any
) -> Agreement:
    """An agreement between simulated partners, whose ids are numbers from 0; its keys are nobody's.

    Args:
        row_caps: The most customers of each partner.
        features, terms: As for `agreement_values`.
    """
    parties = [
        party_values(
            f"partner-{number}",
            number.to_bytes(32, "big"),
            legal_name=f"Simulated partner {number}",
            max_customers=max(1, cap),
        )
        for number, cap in enumerate(row_caps)
    ]
    return Agreement.from_dict(
        agreement_values(parties=parties, features=features, coordinator_key=b"\xff" * 32, **terms)
    )


def with_keys(
    agreement: Agreement, parties: Sequence[Ed25519PrivateKey], coordinator: Ed25519PrivateKey
) -> Agreement:
    """The same agreement between holders of these keys, for the software of simulated nodes."""
    return replace(
        agreement,
        parties=tuple(
            replace(party, public_key=public_bytes(key))
            for party, key in zip(agreement.parties, parties, strict=True)
        ),
        coordinator=replace(agreement.coordinator, public_key=public_bytes(coordinator)),
        software=SOFTWARE,
    )


def changed(values: Mapping[str, Any], terms: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with some that are otherwise; of an object only the fields that `terms` name.

    >>> changed({"id": "a", "plan": {"name": "x", "rounds": 1}}, {"plan": {"rounds": 2}})
    {'id': 'a', 'plan': {'name': 'x', 'rounds': 2}}
    """
    merged = {
        name: {**values[name], **value}
        for name, value in terms.items()
        if isinstance(value, Mapping) and isinstance(values.get(name), Mapping)
    }
    return {**values, **terms, **merged}


def signed_with(agreement: Agreement, keys: Iterable[Ed25519PrivateKey]) -> SignedAgreement:
    """An agreement that `keys` have signed; AgreementError names the first problem that it has."""
    envelope = SignedAgreement.draft(agreement).envelope
    for key in keys:
        envelope = envelope.signed_by(key)
    return SignedAgreement(agreement=agreement, envelope=envelope)
