"""What a run will cost and how precise it will be, before anybody is asked: public numbers alone.

The agreement, the releases so far and how runs ended are all that is used. The noise is that of the
plan's own questions (`protocol.clustering.expected`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING
from math import sqrt
from typing import Any, Final

import numpy as np

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, FINISHED, RunRow
from protocol.agreement.document import Agreement
from protocol.clustering.expected import Crowd, ExpectedNoise, even_deviation
from protocol.clustering.finish import Finishing
from protocol.clustering.plan import most_cost, start_plan
from protocol.clustering.plane import GRID
from protocol.privacy.accounting import RHO_ONE, rho_of_cost
from protocol.privacy.ledger import runs_left
from protocol.release.document import Release, SignedRelease
from protocol.release.last import begins_at
from protocol.scaling import FeatureScale

#: Where the number of customers is from.
SAID, RELEASED, AGREED = "option", "last release", "max_customers of the agreement"
#: Where it is from how far customers lie from their centre.
EVEN: Final = "customers who fill the agreed ranges evenly"
_LAST_RUNS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What runs cost of the budget; None for exact totals, which have none.

    Attributes:
        rho_anew, rho_follows: What a run costs at most when nothing is asked again; the latter is
            None where every run is agreed to start anew.
        left_anew, left_follows: Runs that are left, at least and at most: what failed runs asked
            is not known to the last question. Each node's own ledger decides.
        epsilon_run: Of a run that starts anew, at the agreed delta.
        epsilon_spent: The most that may have been spent.
        epsilon_budget: In all.
    """

    rho_anew: float
    rho_follows: float | None
    left_anew: tuple[int, int]
    left_follows: tuple[int, int] | None
    epsilon_run: float
    epsilon_spent: float
    epsilon_budget: float
    delta: float

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "rho_anew": self.rho_anew,
            "rho_follows": self.rho_follows,
            "runs_left_anew": list(self.left_anew),
            "runs_left_follows": None if self.left_follows is None else list(self.left_follows),
            "epsilon_run": self.epsilon_run,
            "epsilon_spent_at_most": self.epsilon_spent,
            "epsilon_budget": self.epsilon_budget,
            "delta": self.delta,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreError:
    """Half the 95 % interval of a segment's mean of one feature, in its unit."""

    feature: str
    unit: str
    margin: float

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"feature": self.feature, "unit": self.unit, "margin": self.margin}


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How precise a run's release will be.

    Attributes:
        customers, customers_from: For how many, and who says so.
        deviation_from: Who says how far customers lie from their centre.
    """

    customers: int
    customers_from: str
    deviation_from: str
    n_segments: int
    noise: ExpectedNoise
    centres: tuple[CentreError, ...]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values, apart by what is exact and what is estimated."""
        return {
            "exact": {
                "size_margin": self.noise.size_margin,
                "least_size": self.noise.least,
            },
            "estimated": {
                "customers": self.customers,
                "customers_from": self.customers_from,
                "segments": self.n_segments,
                "segment_size": self.noise.segment,
                "told_size": self.noise.told,
                "questions": self.noise.questions,
                "deviation_from": self.deviation_from,
                "centres": [centre.to_dict() for centre in self.centres],
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """How long a finished run took."""

    run_id: bytes
    questions: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "run_id": self.run_id.hex(),
            "questions": self.questions,
            "seconds": self.seconds,
        }


def last_release(store: CoordinatorStore, agreement: Agreement) -> Release | None:
    """The release that the next run under an agreement may start from."""
    envelope = store.last_release(b"", agreement)
    return SignedRelease.from_bytes(envelope).release if envelope else None


def budget(store: CoordinatorStore, agreement: Agreement) -> Budget | None:
    """What runs cost of the budget, and how many are left, by what the coordinator knows."""
    terms = agreement.privacy
    if terms is None:
        return None
    least, most = _spent(store, agreement)

    def left(cost: int) -> tuple[int, int]:
        fewest, greatest = (runs_left(terms, spent=spent, cost=cost) for spent in (most, least))
        return fewest, greatest

    anew = most_cost(agreement, follows=False)
    follows = None if agreement.plan.start else most_cost(agreement, follows=True)
    return Budget(
        rho_anew=rho_of_cost(anew),
        rho_follows=None if follows is None else rho_of_cost(follows),
        left_anew=left(anew),
        left_follows=None if follows is None else left(follows),
        epsilon_run=float(terms.epsilon),
        epsilon_spent=terms.epsilon_of(min(most, terms.budget)),
        epsilon_budget=terms.epsilon_of(terms.budget),
        delta=float(terms.delta),
    )


def _spent(store: CoordinatorStore, agreement: Agreement) -> tuple[int, int]:
    """What was spent under all versions of an agreement, at least and at most."""
    least = most = 0
    versions = {
        one.agreement.hash: one.agreement
        for one in store.agreements()
        if one.agreement.id == agreement.id and one.agreement.privacy is not None
    }
    rows = [(version, row) for key, version in versions.items() for row in store.runs_of(key)]
    for version, row in rows:
        if version.privacy is None:
            continue
        if row.state == FINISHED:
            privacy = SignedRelease.from_bytes(store.release(row.run_id)).release.privacy
            if privacy is not None:
                stated = int((privacy.rho * RHO_ONE).to_integral_value(ROUND_CEILING))
                least, most = least + stated, most + stated
        elif row.state == FAILED and row.progress.get("round", 0):
            most += version.privacy.reserve_for(most_cost(version, follows=False))
    return least, most


def precision(
    agreement: Agreement,
    release: Release | None,
    *,
    without: Collection[str] = (),
    customers: int | None = None,
) -> Precision | None:
    """How precise the next run's release will be.

    None for exact totals, and where so few partners take part that there is no release.

    Args:
        release: The last one, from which a run may start.
        without: Ids of partners that are left out.
        customers: How many there are; from the last release, or else at most as agreed, when None.
    """
    members = [i for i, party in enumerate(agreement.parties) if party.id not in without]
    if agreement.privacy is None or len(members) < agreement.smallest_set:
        return None
    followed = begins_at(agreement, release)
    start = start_plan(agreement, seed=bytes(32), followed=followed)
    if not isinstance(start, Finishing):
        raise TypeError("a plan with noise is finished by the last questions")
    known = None if release is None or not release.segments else release
    source = SAID
    if customers is None and known is not None:
        source, customers = RELEASED, sum(max(s.size, 0) for s in known.segments)
    if customers is None:
        source, customers = AGREED, agreement.most_customers(members)
    scale = FeatureScale.of(agreement.coordinates)
    deviation, deviation_from = (
        even_deviation(
            start.plan.terms.reach,
            n_clusters=agreement.plan.n_clusters,
            n_coordinates=agreement.n_coordinates,
        ),
        EVEN,
    )
    if known is not None and known.distance is not None:
        deviation, deviation_from = sqrt(known.distance.mean / GRID), RELEASED
    noise = start.expected(
        Crowd(
            customers=customers,
            deviation=deviation,
            partners=len(members),
            colluding=agreement.secure_sum.max_colluding,
        )
    )
    return Precision(
        customers=customers,
        customers_from=source,
        deviation_from=deviation_from,
        n_segments=agreement.plan.n_clusters if followed is None else followed.sizes.shape[0],
        noise=noise,
        centres=_centres(agreement, scale, noise),
    )


def _centres(
    agreement: Agreement, scale: FeatureScale, noise: ExpectedNoise
) -> tuple[CentreError, ...]:
    """The error of each coordinate about the middle of its range."""
    margin = np.minimum(np.full(scale.limit.shape, round(noise.centre_margin)), scale.limit)
    low, high = scale.from_grid(np.array([-margin, margin], dtype=np.int64))
    return tuple(
        CentreError(feature=one.name, unit=one.unit, margin=float(half))
        for one, half in zip(agreement.coordinates, (high - low) / 2, strict=True)
    )


def last_runs(rows: Sequence[RunRow]) -> list[LastRun]:
    """How long the last finished runs took, newest first.

    Args:
        rows: Runs under one agreement, newest first.
    """
    finished = [row for row in rows if row.state == FINISHED and "elapsed_s" in row.progress]
    return [
        LastRun(
            run_id=row.run_id,
            questions=row.progress["round"],
            seconds=float(row.progress["elapsed_s"]),
        )
        for row in finished[:_LAST_RUNS]
    ]
