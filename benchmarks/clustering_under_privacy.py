"""Clustering under differential privacy beside its peers: ``make bench-privacy``.

Nine development sets, scaled to the cube by their own ranges (which is for comparison only and not
private), delta = 1/(n ln n), unit: one record, added or removed. Our plans run as a whole
federation in one process: five partners, noise shares that provide for one colluder, a private
count, zCDP. FastLloyd is our own rewrite with a trusted curator and a public number of records.
NICV is the mean squared distance to the nearest centre, computed on the records themselves.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from protocol.agreement.document import PlanTerms
from protocol.scaling import FloatMatrix
from simulations.agreement import numbered_agreement
from simulations.baselines import diffprivlib_kmeans, kmeans, nicv, one_cluster
from simulations.bounds import bounds_from_data
from simulations.cluster import ClusterTask
from simulations.datasets import load_matrices
from simulations.fast_lloyd import fast_lloyd
from simulations.privacy import benchmark_terms

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data" / "dp_kmeans"
OUT: Final = Path(__file__).resolve().parents[1] / "docs" / "privacy"
SETS: Final = {
    "iris": 3,
    "yeast": 10,
    "synth_4_4": 4,
    "synth_16_4": 16,
    "synth_16_16": 16,
    "blobs_16_16": 16,
    "g2_16": 2,
    "g2_64": 2,
    "letter": 26,
}
EPSILONS: Final = (0.1, 0.5, 1.0, 2.0)
PARTNERS: Final = 5
HYBRID: Final = "hybrid-dp"
LLOYD: Final = "lloyd-dp"
FAST_LLOYD: Final = "FastLloyd (trusted curator)"
DIFFPRIVLIB: Final = "diffprivlib (trusted curator)"
K_MEANS: Final = "k-means, no privacy"
ONE_CLUSTER: Final = "one cluster, no privacy"
#: Seeds of FastLloyd for each of ours: its means vary more, and it is quick.
_PEER_SEEDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One method on one set: mean NICV over the seeds, and its standard error."""

    dataset: str
    n: int
    d: int
    k: int
    method: str
    epsilon: float | None
    seeds: int
    mean: float
    error: float

    @staticmethod
    def of(
        name: str, points: FloatMatrix, k: int, method: str, epsilon: float | None,
        values: Iterable[float],
    ) -> Line:  # fmt: skip
        """The line for measured values."""
        found = np.array(list(values))
        error = float(found.std(ddof=1) / math.sqrt(found.size)) if found.size > 1 else 0.0
        n, d = points.shape
        return Line(
            dataset=name, n=n, d=d, k=k, method=method, epsilon=epsilon, seeds=int(found.size),
            mean=float(found.mean()), error=error,
        )  # fmt: skip


def measure(
    name: str, epsilons: Sequence[float], seeds: int, say: Callable[[str], None]
) -> list[Line]:
    """All methods on one set."""
    (matrix,) = load_matrices([DATA / f"{name}.csv.gz"])
    k, n = SETS[name], matrix.values.shape[0]
    low, high = matrix.values.min(axis=0), matrix.values.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    points = np.clip(2.0 * (matrix.values - low) / width - 1.0, -1.0, 1.0)
    points[:, high <= low] = 0.0
    bounds = bounds_from_data(matrix.values, matrix.columns)
    features = [b.feature(f"x{i}") for i, b in enumerate(bounds, start=1)]
    lines = [
        Line.of(name, points, k, K_MEANS, None, [nicv(points, kmeans(points, k, 0))]),
        Line.of(name, points, k, ONE_CLUSTER, None, [nicv(points, one_cluster(points))]),
    ]
    for epsilon in epsilons:
        terms = benchmark_terms(epsilon, None, n_samples=n)
        delta = 1.0 / (n * math.log(n))
        for plan, rounds in ((HYBRID, 11), (LLOYD, 6)):
            began = time.monotonic()
            agreement = numbered_agreement(
                [n // PARTNERS] * PARTNERS,
                features,
                plan=PlanTerms(
                    name=plan, n_clusters=k, n_clusters_min=k, max_rounds=rounds
                ).to_dict(),
                privacy=terms.to_dict(),
            )
            task = ClusterTask(agreement, [matrix.values])
            values = [task.run(seed).inertia_formed for seed in range(seeds)]
            lines.append(Line.of(name, points, k, plan, epsilon, values))
            say(f"{name} epsilon {epsilon:g} {plan}: {lines[-1].mean:.4g} "
                f"({time.monotonic() - began:.0f} s)")  # fmt: skip
        values = [
            nicv(points, fast_lloyd(points, k, epsilon=epsilon, delta=delta,
                                    rng=np.random.default_rng(seed)))
            for seed in range(_PEER_SEEDS * seeds)
        ]  # fmt: skip
        lines.append(Line.of(name, points, k, FAST_LLOYD, epsilon, values))
        values = [
            nicv(points, diffprivlib_kmeans(points, k, epsilon=epsilon, seed=seed))
            for seed in range(seeds)
        ]
        lines.append(Line.of(name, points, k, DIFFPRIVLIB, epsilon, values))
    return lines


def reference() -> dict[tuple[str, float], tuple[float, float]]:
    """Mean NICV and standard error that FastLloyd's authors' code gave, by set and epsilon."""
    with (DATA / "reference.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["dataset"], float(row["epsilon"])): (float(row["mean_nicv"]), float(row["se"]))
            for row in csv.DictReader(file)
            if row["method"] == "FastLloyd (authors)"
        }


def write_csv(path: Path, lines: Sequence[Line]) -> None:
    """All lines as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("dataset", "n", "d", "k", "method", "epsilon", "seeds", "mean_nicv", "se"))
        for x in lines:
            epsilon = "" if x.epsilon is None else f"{x.epsilon:g}"
            writer.writerow(
                (x.dataset, x.n, x.d, x.k, x.method, epsilon, x.seeds, f"{x.mean:.6g}",
                 f"{x.error:.3g}")
            )  # fmt: skip


def summary(lines: Sequence[Line], epsilons: Sequence[float]) -> str:
    """Ratios to FastLloyd and the excess over k-means, as Markdown."""
    found = {(x.dataset, x.method, x.epsilon): x for x in lines}
    names = [name for name in SETS if (name, K_MEANS, None) in found]
    authors = reference()
    parts = [
        "| set | " + " | ".join(f"ε = {e:g}" for e in epsilons) + " |",
        "|---" * (len(epsilons) + 1) + "|",
    ]
    ratios: dict[float, list[float]] = {e: [] for e in epsilons}
    excess: dict[float, list[float]] = {e: [] for e in epsilons}
    worse = []
    for name in names:
        cells = []
        for e in epsilons:
            ours, peer = found[name, HYBRID, e], authors[name, e]
            plain = found[name, K_MEANS, None].mean
            ratios[e].append(ours.mean / peer[0])
            excess[e].append(ours.mean / plain - 1.0)
            cells.append(f"{ratios[e][-1]:.2f} ({100 * excess[e][-1]:+.0f} %)")
            if ours.mean > peer[0] + 2.0 * math.hypot(ours.error, peer[1]):
                worse.append(f"{name} at {e:g}")
        parts.append(f"| {name} | " + " | ".join(cells) + " |")
    geometric = [f"**{math.exp(np.mean(np.log(ratios[e]))):.3f}**" for e in epsilons]
    median = [f"{100 * float(np.median(excess[e])):+.1f} %" for e in epsilons]
    parts += [
        "| geometric mean | " + " | ".join(geometric) + " |",
        "| median excess over k-means | " + " | ".join(median) + " |",
        "",
        "A cell is our NICV by that of FastLloyd's authors' code with a trusted curator and a "
        "public number of records (in brackets: what it is above k-means without privacy). Worse "
        "than FastLloyd by more than two standard errors: " + (", ".join(worse) or "none") + ".",
    ]
    return "\n".join(parts) + "\n"


def draw(path: Path, lines: Sequence[Line], epsilons: Sequence[float]) -> None:
    """NICV by epsilon, a panel a set."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(x.dataset for x in lines))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4.2 * columns, 3.2 * rows), squeeze=False, layout="constrained"
    )
    styles = {
        HYBRID: ("#0b6e4f", "o", "-"), LLOYD: ("#7a9e9f", "s", "-"),
        FAST_LLOYD: ("#c1440e", "^", "--"), DIFFPRIVLIB: ("#6a4c93", "v", "--"),
        K_MEANS: ("#222222", "", ":"), ONE_CLUSTER: ("#999999", "", ":"),
    }  # fmt: skip
    for panel, name in zip(axes.flat, names, strict=False):
        for method, (colour, marker, style) in styles.items():
            own = [x for x in lines if x.dataset == name and x.method == method]
            if own and own[0].epsilon is None:
                panel.axhline(own[0].mean, color=colour, linestyle=style, label=method)
            elif own:
                panel.errorbar(
                    [x.epsilon for x in own], [x.mean for x in own],
                    yerr=[2.0 * x.error for x in own], color=colour, marker=marker,
                    linestyle=style, label=method, markersize=4, capsize=2,
                )  # fmt: skip
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xticks(list(epsilons), [f"{e:g}" for e in epsilons])
        panel.minorticks_off()
        first = next(x for x in lines if x.dataset == name)
        panel.set_title(f"{name}: n = {first.n:,}, d = {first.d}, k = {first.k}", fontsize=9)
        panel.set_xlabel("epsilon", fontsize=8)
        panel.set_ylabel("NICV", fontsize=8)
        panel.tick_params(labelsize=7)
    for panel in list(axes.flat)[len(names) :]:
        panel.axis("off")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
                  fontsize=8)  # fmt: skip
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write ``nicv.csv``, ``nicv.md`` and ``nicv.svg``."""
    parser = argparse.ArgumentParser(prog="make bench-privacy", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--epsilons", nargs="*", type=float, default=list(EPSILONS))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        print(f"the development sets are not there: {DATA}", file=sys.stderr)
        return 2
    lines: list[Line] = []
    for name in options.sets:
        lines += measure(
            name, options.epsilons, options.seeds, lambda text: print(text, file=sys.stderr)
        )
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(options.out / "nicv.csv", lines)
    text = summary(lines, options.epsilons)
    (options.out / "nicv.md").write_text(text, encoding="utf-8")
    draw(options.out / "nicv.svg", lines, options.epsilons)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
