"""What `cluster` found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from machine.console import people
from simulations.cli.runs_words import runs_shown

if TYPE_CHECKING:
    from simulations.results import ClusterResult

_MOST_SHOWN_COLUMNS: Final = 12


def shown(common: dict[str, Any], results: list[ClusterResult]) -> list[object]:
    """Tables and lines of one result, or a line a result when there are several.

    Args:
        common: What all of them have in common, as JSON values.
    """
    from coordinator.report.tables import centre_tables, feature_tables, range_cells
    from protocol.clustering.plan import PLANS
    from protocol.release.document import HIDDEN_WORDS, TYPICAL_WORDS

    heading = (
        f"{common['n_samples']:,} customers of {common['n_partners']} partners, "
        f"{common['n_features']} features: {common['privacy']}"
    )
    if "epsilon" in common:
        heading += (
            f", epsilon {common['epsilon']:g} at delta {common['delta']:.3g} for {common['unit']}"
        )
    if len(results) > 1:
        return [heading, *runs_shown(results)]
    result = results[0]
    columns = common["columns"][:_MOST_SHOWN_COLUMNS]
    tables = centre_tables(
        [],
        ["cluster", "customers"],
        [(name, "") for name in columns],
        [[str(i + 1), _size(result, i)] for i in range(len(result.counts))],
        [centre[:_MOST_SHOWN_COLUMNS] for centre in result.centroids.tolist()],
        width=people.width,
    )
    typical = feature_tables(
        ["Their typical ranges"],
        ["cluster"],
        [(name, "") for name in columns],
        [[str(i + 1)] for i, ranges in enumerate(result.typical) if ranges is not None],
        range_cells(
            [ranges[:_MOST_SHOWN_COLUMNS] for ranges in result.typical if ranges is not None]
        ),
        width=people.width,
    )
    parts: list[object] = [heading, *tables]
    if result.typical and not any(span for found in result.typical for span in found or ()):
        parts.append(f"{HIDDEN_WORDS}.")
    elif result.typical:
        parts += [*typical, f"{TYPICAL_WORDS}."]
    if result.choice is not None:
        parts.append(f"{result.choice.words} All scores: --format json.")
    if len(columns) < common["n_features"]:
        parts.append(
            f"Shown: {len(columns)} of {common['n_features']} columns; all with --format json."
        )
    stopped = "" if result.converged else PLANS[common["plan"]].STOPPED_WORDS
    parts.append(
        f"Inertia {result.inertia_mean:.6g} of {_whose(result)}, lower with more of them; "
        f"{result.rounds} rounds"
        f"{stopped and f' ({stopped})'}, "
        f"{sum(result.bytes_up) / len(result.bytes_up) / 1000:.1f} kB sent by a partner, "
        f"{result.seconds:.2f} s."
    )
    return parts


def _whose(result: ClusterResult) -> str:
    """What the inertia is measured to."""
    segments = len(result.release.segments)
    if not segments:
        return f"the {result.n_clusters} clusters formed"
    return "the segment released" if segments == 1 else f"the {segments} segments released"


def _size(result: ClusterResult, number: int) -> str:
    """A cluster's customers; that it is too small to be released, where it is."""
    size = result.counts[number] if result.sizes is None else result.sizes[number]
    if size is None:
        return "merged" if any(result.sizes or ()) else "too small"
    margin = f" ± {1.96 * result.size_sigma:,.0f}" if result.size_sigma else ""
    empty = not size and result.sizes is None
    return f"{size:,}{margin}" + " (withheld)" * (size < result.least_size and not empty)
