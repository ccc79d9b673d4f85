"""What a plan is: a pure state machine from totals to the next query or the result. SPEC.md, 10.

Coordinator and nodes run the same plan. Every node derives each query itself from the transcript,
so the coordinator has no free input.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

from protocol.agreement import Agreement
from protocol.canonical import tagged_hash, u32
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.result import Clustering
from protocol.errors import LocalProtocolError, MalformedError
from protocol.queries import ClusterSumsQuery
from protocol.ring import IntVector
from protocol.scaling import FeatureScale


class Plan(Protocol):
    """One state of a plan; immutable."""

    @property
    def query(self) -> ClusterSumsQuery | None:
        """The sum query to ask now; None when the plan has ended."""
        ...

    @property
    def result(self) -> Clustering | None:
        """The result; None before the plan has ended."""
        ...

    def advance(self, total: IntVector, *, customers: int) -> Self:
        """The state after the query's total.

        Args:
            total: Shape ``(query.length,)``.
            customers: The most customers that can be in it (the members' row caps added up).

        Raises:
            RemoteProtocolError: The total cannot be true (E-TOTAL-RANGE).
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON values, for a node's store."""
        ...


def plan_seed(run_hash: bytes) -> bytes:
    """The seed of a plan's random choices: nobody chooses it, everybody can derive it."""
    return tagged_hash("plan-seed", run_hash)


def step_hash(plan: Plan) -> bytes:
    """Names what the plan's state asks for: its query, or its result when it has ended; 32 bytes.

    A result is hashed without the participants, who may change until everyone has signed.
    """
    if plan.query is not None:
        return plan.query.hash
    if plan.result is None:
        raise LocalProtocolError("a plan has neither query nor result")
    result = plan.result
    return tagged_hash(
        "result",
        result.centroids.astype("<i8").tobytes(),
        result.counts.astype("<i8").tobytes(),
        result.spread.astype("<i8").tobytes(),
        u32(result.rounds),
        u32(int(result.converged)),
    )


def start_plan(agreement: Agreement, *, seed: bytes) -> Plan:
    """The first state of the agreed plan.

    Args:
        seed: 32 bytes, `plan_seed` of the run.
    """
    return LloydExact.start(
        n_clusters=agreement.plan.n_clusters,
        limit=FeatureScale.of(agreement.features).limit,
        max_rounds=agreement.plan.max_rounds,
        seed=seed,
    )


def restore_plan(values: dict[str, Any]) -> Plan:
    """The state that `Plan.to_dict` gave; raises MalformedError on an unknown plan."""
    if values.get("plan") != LloydExact.NAME:
        raise MalformedError(f"stored plan {values.get('plan')!r} is not known")
    return LloydExact.from_dict(values)
