"""What several runs of `cluster` found, one by one and together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulations.results import ClusterResult


def runs_shown(results: Sequence[ClusterResult]) -> list[object]:
    """A line a run, and what all have in common."""
    from machine.tables import Table

    table = Table("seed", "k", "inertia", "rounds", "merged", "withheld")
    table.add_column("sizes of segments", overflow="fold")
    for r in results:
        table.add_row(
            str(r.seed),
            str(r.n_clusters),
            f"{r.inertia_mean:.6g}",
            f"{r.rounds}{'' if r.converged else ' (stopped)'}",
            str(r.merged),
            str(r.withheld),
            _sizes(r),
        )
    found = summary(results)
    k = ", ".join(f"{name} in {_runs(n)}" for name, n in found["n_clusters"].items())
    inertia = found["inertia_mean"]
    return [
        table,
        f"Clusters formed (k): {k}. {_left_out('Merged', found['merged'])} "
        f"{_left_out('Withheld', found['withheld'])}",
        f"Inertia: {inertia['mean']:.6g} on average, standard deviation "
        f"{inertia['standard_deviation']:.3g}, from {inertia['lowest']:.6g} to "
        f"{inertia['highest']:.6g}. It is lower with more segments, so it compares runs that "
        "release as many.",
        f"Each run: {found['bytes_up_per_partner'] / 1000:.1f} kB sent by a partner, "
        f"{found['seconds']:.2f} s. The centroids are in --format json.",
    ]


def _sizes(result: ClusterResult) -> str:
    """The released sizes, with their margin once."""
    segments = result.release.segments
    if not segments:
        return "none released"
    margin = max(segment.size_margin for segment in segments)
    sizes = " · ".join(f"{segment.size:,}" for segment in segments)
    return sizes + (f", each ± {margin:,}" if margin else "")


def summary(results: Sequence[ClusterResult]) -> dict[str, Any]:
    """What runs have in common, as JSON values."""
    inertia = [r.inertia_mean for r in results]
    return {
        "runs": len(results),
        "n_clusters": {
            str(k): n for k, n in sorted(Counter(r.n_clusters for r in results).items())
        },
        "inertia_mean": {
            "mean": fmean(inertia),
            "standard_deviation": pstdev(inertia),
            "lowest": min(inertia),
            "highest": max(inertia),
        },
        "merged": _counted([r.merged for r in results]),
        "withheld": _counted([r.withheld for r in results]),
        "bytes_up_per_partner": fmean(fmean(r.bytes_up) for r in results),
        "seconds": fmean(r.seconds for r in results),
    }


def _counted(numbers: Sequence[int]) -> dict[str, int]:
    return {"clusters": sum(numbers), "runs": sum(n > 0 for n in numbers)}


def _left_out(what: str, found: dict[str, int]) -> str:
    clusters = found["clusters"]
    if not clusters:
        return f"{what}: none."
    return f"{what}: {clusters} cluster{'s' * (clusters > 1)} in {_runs(found['runs'])}."


def _runs(n: int) -> str:
    return f"{n} run{'s' * (n > 1)}"
