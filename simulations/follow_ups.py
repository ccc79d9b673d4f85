"""Runs that follow the first one of a simulated federation, on the same customers.

Each starts from the last release under the same agreement, as a deployed one does, and draws noise
of its own; nodes charge it in the ledgers in which they charged the runs before. Segments are
matched by their lasting ids, as nodes name them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from partner_node.segments.assignments import placed
from partner_node.store.ledger import Ledger
from protocol.agreement.document import Agreement
from protocol.clustering.plan import most_cost
from protocol.errors import RuleError
from protocol.privacy.ledger import runs_left
from protocol.release.document import Release
from protocol.release.last import begins_at
from protocol.release.lineage import lineage
from protocol.scaling import FloatMatrix
from simulations.federation import AgreedFederation


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterRun:
    """One run after the first.

    Attributes:
        segments: How many it released.
        kept: The part of customers who are in the segment that they were in after the run before.
        kept_since_first: The same since the first run.
        starts_anew: Whether it started anew: the run before said that customers changed, or there
            was nothing to follow.
        changed: Whether it says that customers changed since the release that it followed.
        rounds: How many questions it asked.
        epsilon_spent: What it cost a customer by its nodes' ledgers, at the agreed delta; None for
            exact totals.
        epsilon_in_all: The same of all runs up to it.
    """

    segments: int
    kept: float
    kept_since_first: float
    starts_anew: bool
    changed: bool
    rounds: int
    epsilon_spent: float | None = None
    epsilon_in_all: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def follow_ups(
    federation: AgreedFederation,
    first: Release,
    vectors: FloatMatrix,
    n: int,
    *,
    on_progress: Callable[[int, dict[str, Any]], None] = lambda number, values: None,
) -> tuple[LaterRun, ...]:
    """Run a federation `n` times more.

    Args:
        first: The release of its first run.
        vectors: The customers whose segments are compared, shape ``(n_samples, n_features + 2)``.
        on_progress: Called with the number of the run, from 1, and its progress.

    Raises:
        RuleError: The agreed budget holds fewer runs (E-BUDGET-SPENT).
        RunFailedError: A run failed.
    """
    releases, spent = [first], [_spent(federation)]
    for number in range(1, n + 1):
        if not _affordable(federation.agreement, releases[-1], spent[-1]):
            raise RuleError(
                f"the agreed budget holds the first run and {number - 1} more on these customers, "
                f"and {n} are asked for",
                code="E-BUDGET-SPENT",
                remedy=f"--follow-ups {number - 1}, or simulate an agreement with more runs "
                "(privacy.runs)",
            )
        run = federation.run(on_progress=partial(on_progress, number))
        releases.append(run.release.release)
        spent.append(_spent(federation))
    return tuple(_compared(federation, releases, spent, vectors))


def _compared(
    federation: AgreedFederation,
    releases: Sequence[Release],
    spent: Sequence[int],
    vectors: FloatMatrix,
) -> list[LaterRun]:
    agreement, terms = federation.agreement, federation.agreement.privacy
    steps = lineage([(release, agreement) for release in releases])
    ids = [
        np.array(step.ids)[placed(vectors, release, agreement)[0]] if step.ids else None
        for step, release in zip(steps, releases, strict=True)
    ]

    def kept(one: int, other: int) -> float:
        before, after = ids[one], ids[other]
        return 0.0 if before is None or after is None else float((before == after).mean())

    return [
        LaterRun(
            segments=len(release.segments),
            kept=kept(number - 1, number),
            kept_since_first=kept(0, number),
            starts_anew=release.start is None,
            changed=release.start is not None and release.start.changed,
            rounds=release.rounds,
            epsilon_spent=None
            if terms is None
            else terms.epsilon_of(spent[number] - spent[number - 1]),
            epsilon_in_all=None if terms is None else terms.epsilon_of(spent[number]),
        )
        for number, release in enumerate(releases[1:], start=1)
    ]


def _affordable(agreement: Agreement, last: Release, spent: int) -> bool:
    """Whether nodes would begin one run more."""
    if agreement.privacy is None:
        return True
    cost = most_cost(agreement, follows=begins_at(agreement, last) is not None)
    return runs_left(agreement.privacy, spent=spent, cost=cost) > 0


def _spent(federation: AgreedFederation) -> int:
    """What the node that was charged most has spent, in units of ``2^-60`` of rho."""
    return max(Ledger(node.store).spent(federation.agreement) for node in federation.nodes.values())
