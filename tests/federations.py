"""Federations for tests that do not care who the customers are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.document import Agreement
from protocol.signed_agreement import SignedAgreement
from simulations.federation import FeatureTerms, Federation


def small_federation(
    *values: float, feature: str = "visits", highest: str = "10", **terms: Any
) -> Federation:
    """Three partners, each with a customer for each of the values of one feature.

    Args:
        values: One customer has the value 1 when none are given.
        terms: Of `Federation`. There is one cluster when they name no number.
    """
    customers = np.array(values or (1.0,))[:, np.newaxis]
    features = [FeatureTerms(name=feature, min="0", max=highest)]
    return Federation([customers] * 3, features, **{"n_clusters": 1, **terms})


def unsaid(signed: SignedAgreement, keys: Iterable[Ed25519PrivateKey]) -> SignedAgreement:
    """The same agreement on exact totals as an earlier version had it signed: without the field."""
    values = signed.agreement.to_dict()
    del values["plan"]["exact_totals"]
    agreement = Agreement.from_dict(values)
    envelope = replace(signed.envelope, payload=agreement.to_bytes(), signatures={})
    for key in keys:
        envelope = envelope.signed_by(key)
    return SignedAgreement(agreement=agreement, envelope=envelope)
