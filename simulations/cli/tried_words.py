"""What `cluster` found with each number of clusters that it tried on exact totals, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulations.results import ClusterResult


def tried_shown(result: ClusterResult) -> list[object]:
    """A line for each number of clusters, and why one is shown; empty when one was asked for."""
    if not result.tried:
        return []
    from machine.tables import Table
    from simulations.tried import CAVEAT, RULE

    table = Table("", "k", "inertia", "silhouette", "smallest cluster", "withheld", "rounds")
    for one in result.tried:
        table.add_row(
            "chosen" if one.n_clusters == result.n_clusters else "",
            str(one.n_clusters),
            f"{one.inertia_mean:.6g}",
            "–" if one.silhouette is None else f"{one.silhouette:.3f}",
            f"{one.smallest:,}",
            str(one.withheld),
            str(one.rounds),
        )
    return [
        table,
        f"Chosen: {result.n_clusters} clusters, by {RULE}. {CAVEAT}, and inertia falls with every "
        "cluster more. A deployed run on exact totals has one number, plan.n_clusters: choose "
        "another with --k alone.",
    ]
