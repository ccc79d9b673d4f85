"""Plans: pure state machines from totals to the next query or the result. SPEC.md, 10.

Coordinator and nodes run the same plan. Every node derives each query itself from the transcript,
so the coordinator has no free input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol, Self, TypeVar

from protocol.agreement.document import Agreement, PlanTerms
from protocol.agreement.plan_names import EXACT_PLAN
from protocol.canonical import tagged_hash, u32
from protocol.clustering.finish import LARGEST_SHARE, Finishing, last_costs
from protocol.clustering.follow_up import FollowUp
from protocol.clustering.followed import Followed
from protocol.clustering.hybrid_dp import HybridDP
from protocol.clustering.lloyd_dp import LloydDP
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.noised import Noised
from protocol.clustering.result import Clustering
from protocol.clustering.terms import SMALLEST_SHARE, Terms
from protocol.errors import LocalProtocolError, MalformedError
from protocol.noised_queries import noise_margin
from protocol.participants import Members
from protocol.privacy.mechanisms import total_variance
from protocol.queries import EXTRA_ENTRIES
from protocol.ring import EXACT_FRACTION_BITS, IntVector
from protocol.scaling import FeatureScale
from protocol.sum_query import SumQuery


class Plan(Protocol):
    """One state of a plan; immutable."""

    @property
    def query(self) -> SumQuery | None:
        """The sum query to ask now; None when the plan has ended."""
        ...

    @property
    def result(self) -> Clustering | None:
        """The result; None before the plan has ended."""
        ...

    def advance(self, total: IntVector, *, customers: int, variance: int) -> Self:
        """The state after the query's total.

        Args:
            total: Shape ``(query.length,)``.
            customers: The most customers that can be in it (the members' row caps added up).
            variance: Variance of the noise in each entry; 0 for an exact total.

        Raises:
            RemoteProtocolError: The total cannot be true (E-TOTAL-RANGE).
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON values, for a node's store."""
        ...


P = TypeVar("P", bound=Plan)


#: The plans with noise; the first is the one to take where nobody says.
_WITH_NOISE: Final[tuple[type[Noised], ...]] = (
    HybridDP,
    LloydDP,
)
NOISED_PLANS: Final = {plan.NAME: plan for plan in _WITH_NOISE}
#: All plans, by the name that an agreement has for each (`PLAN_NAMES`).
PLANS: Final[Mapping[str, type[LloydExact] | type[Noised]]] = {
    LloydExact.NAME: LloydExact,
    **NOISED_PLANS,
}


def plan_seed(run_hash: bytes) -> bytes:
    """The seed of a plan's random choices, 32 bytes: nobody chooses it, everybody can derive it."""
    return tagged_hash("plan-seed", run_hash)


def step_hash(plan: Plan) -> bytes:
    """The hash of what the plan's state asks for: its query, or its result at the end; 32 bytes.

    A result is hashed without the participants, who may change until everyone has signed.
    """
    if plan.query is not None:
        return plan.query.hash
    if plan.result is None:
        raise LocalProtocolError("a plan has neither query nor result")
    result = plan.result
    noise = () if result.noise is None else (result.noise.to_bytes(),)
    sizes = () if result.sizes is None else (result.sizes.to_bytes(),)
    distance = () if result.distance is None else (result.distance.to_bytes(),)
    profile = () if result.profile is None else (result.profile.to_bytes(),)
    begun = () if result.beginning is None else (result.beginning.to_bytes(),)
    said = () if result.satisfaction is None else (result.satisfaction.to_bytes(),)
    return tagged_hash(
        "result",
        result.centroids.astype("<i8").tobytes(),
        result.counts.astype("<i8").tobytes(),
        result.spread.astype("<i8").tobytes(),
        u32(result.rounds),
        u32(int(result.converged)),
        *noise,
        *sizes,
        *distance,
        *profile,
        *said,
        *begun,
    )


def query_of(plan: Plan | None) -> SumQuery:
    """The query that a plan asks now; raises LocalProtocolError when there is none."""
    if plan is None or plan.query is None:
        raise LocalProtocolError("the plan asks nothing now")
    return plan.query


def after_total(plan: P, agreement: Agreement, total: IntVector, *, members: Members) -> P:
    """The state after a total over `members`; see `Plan.advance`.

    Coordinator and nodes share this rule, so they derive the same next question.
    """
    return plan.advance(
        total,
        customers=agreement.most_customers(members),
        variance=total_variance(
            query_of(plan).variance,
            partners=len(members),
            colluding=agreement.secure_sum.max_colluding,
        ),
    )


def start_plan(agreement: Agreement, *, seed: bytes, followed: Followed | None = None) -> Plan:
    """The first state of the agreed plan.

    Args:
        seed: 32 bytes, `plan_seed` of the run.
        followed: The release to start from; None to start anew.
    """
    plan = agreement.plan
    if agreement.privacy is None:
        return LloydExact.start(
            n_clusters=plan.n_clusters,
            limit=FeatureScale.of(agreement.coordinates).limit,
            max_rounds=plan.max_rounds,
            seed=seed,
            followed=followed,
        )
    kind = NOISED_PLANS[plan.name] if followed is None else FollowUp
    return Finishing.start(
        replace(_terms(agreement, seed=seed), followed=followed),
        lambda rest: kind.start(rest, rounds=plan.max_rounds - last_questions(plan)),
        min_segment_size=agreement.min_segment_size,
        profile=plan.profile,
        satisfaction=plan.satisfaction is not None,
    )


def least_rounds(plan: PlanTerms) -> int:
    """The fewest questions that a run of a plan with noise needs."""
    chosen = int(plan.n_clusters_min < plan.n_clusters)
    return NOISED_PLANS[plan.name].LEAST_ROUNDS + chosen + last_questions(plan)


def last_questions(plan: PlanTerms) -> int:
    """The most questions that a plan with noise asks once its clusters are formed."""
    return 2 if plan.satisfaction is None else 3


def most_cost(agreement: Agreement, *, follows: bool) -> int:
    """What a run costs at most when no question is asked again, in units of ``2^-60`` of rho.

    Args:
        follows: Whether it follows a release.
    """
    if agreement.privacy is None:
        return 0
    whole, plan = agreement.privacy.run_cost, agreement.plan
    if not follows:
        return whole
    last = sum(last_costs(whole, profile=plan.profile, satisfaction=plan.satisfaction is not None))
    return FollowUp.most_cost(whole - last) + last


def _terms(agreement: Agreement, *, seed: bytes) -> Terms:
    privacy = agreement.privacy
    if privacy is None:
        raise LocalProtocolError("an agreement on exact totals has no budget")
    return Terms(
        n_clusters=agreement.plan.n_clusters,
        n_clusters_min=agreement.plan.n_clusters_min,
        n_clusters_agreed=agreement.plan.n_clusters_agreed,
        limit=FeatureScale.of(agreement.coordinates).limit,
        cost=privacy.run_cost,
        group=privacy.max_partners_per_customer,
        seed=seed,
    )


def longest_vector(agreement: Agreement) -> int:
    """Entries of the longest answer that the agreed plan asks for, at most."""
    plan, d = agreement.plan, agreement.n_coordinates
    if plan.name == EXACT_PLAN:
        return plan.n_clusters * (d + EXTRA_ENTRIES)
    return NOISED_PLANS[plan.name].longest_vector(plan.n_clusters, d)


def largest_total(agreement: Agreement) -> int:
    """The largest magnitude of any entry of any total under the agreed plan, noise included."""
    customers = agreement.most_customers(range(agreement.n_partners))
    if agreement.privacy is None:
        return (customers * agreement.n_coordinates) << EXACT_FRACTION_BITS
    terms = _terms(agreement, seed=bytes(32))
    largest = terms.largest_entry
    share = min(SMALLEST_SHARE, (1.0 - LARGEST_SHARE) / agreement.plan.max_rounds)
    variance = terms.variance(share, largest * largest)
    n, t = agreement.n_partners, agreement.secure_sum.max_colluding
    if t >= n:
        return customers * largest  # refused for other reasons
    noise = noise_margin(total_variance(variance, partners=n, colluding=t))
    return customers * largest + noise


def restore_plan(values: dict[str, Any]) -> Plan:
    """Restore the state that `Plan.to_dict` returned; raises MalformedError on an unknown plan."""
    if values.get("plan") == Finishing.NAME:
        return Finishing.from_dict(values, _restore_noised(values["inner"]))
    if values.get("plan") == LloydExact.NAME:
        return LloydExact.from_dict(values)
    return _restore_noised(values)


def _restore_noised(values: dict[str, Any]) -> Noised:
    kinds: dict[str, type[Noised]] = {**NOISED_PLANS, FollowUp.NAME: FollowUp}
    kind = kinds.get(str(values.get("plan")))
    if kind is None:
        raise MalformedError(f"stored plan {values.get('plan')!r} is none with noise")
    return kind.from_dict(values)
