"""`cluster`: files in a simulated federation, with the code of a real one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from machine.console import Format, FormatOption, diagnostics, output
from protocol import limits
from protocol.agreement.document import CHOOSING_PLAN, EXACT_PLAN
from protocol.clustering.plan import NOISED_PLANS, PLANS
from protocol.errors import RuleError, UsageError
from simulations.cli.cluster_words import shown

if TYPE_CHECKING:
    from simulations.bounds import ColumnBounds
    from simulations.cluster import ClusterResult, ClusterTask
    from simulations.datasets import Matrix

# What takes long to import is imported when it is needed: `--help` and errors stay quick.

_FEWEST_PARTNERS = 3
_FEWEST_WITH_NOISE = 2


#: The plan that runs with --epsilon where none is named, and the others that need one.
_USUAL_PLAN, *_OTHER_PLANS = NOISED_PLANS


class Sizes(StrEnum):
    """How one file is split among partners."""

    EQUAL = "equal"
    UNEVEN = "uneven"


def cluster(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Numeric CSV (plain or gzip, with or without header) or Parquet: one file a "
            "partner (3 or more), or one file that is split at random.",
            show_default=False,
        ),
    ],
    k: Annotated[
        int,
        typer.Option("--k", min=1, max=limits.MAX_CLUSTERS, help="How many clusters to look for."),
    ],
    k_min: Annotated[
        int | None,
        typer.Option(
            "--k-min",
            min=1,
            max=limits.MAX_CLUSTERS,
            help=f"{CHOOSING_PLAN} chooses from this number of clusters to --k, at no cost in "
            "privacy.",
        ),
    ] = None,
    partners: Annotated[
        int | None,
        typer.Option(
            max=limits.MAX_PARTNERS,
            help="How many partners share one file, at least 3: exact totals over fewer would "
            "give a partner's own numbers away; with --epsilon at least 2. 3 when left out; with "
            "several files their number.",
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id-column", help="Column of customers' ids: left out of the features."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            help="A column that is no feature, left out too; may be given several times.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Same seed, same split, same start and same noise."),
    ] = 0,
    plan: Annotated[
        str | None,
        typer.Option(
            click_type=click.Choice(list(PLANS)),
            help=f"How to cluster: {EXACT_PLAN} on exact totals (when --epsilon is left out), "
            f"{' or '.join([f'{_USUAL_PLAN} (with --epsilon)', *_OTHER_PLANS])} under "
            "differential privacy.",
            show_default=False,
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(help="Differential privacy of one customer: what a run costs at most."),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="The chance that the promise of epsilon fails; 1/(n ln n) when left out, which "
            "is for benchmarks only: agreements state it."
        ),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="With --epsilon: also ask from where to where customers of a cluster typically "
            "lie, for another 4 % of what the run costs.",
        ),
    ] = False,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="Run this many seeds, from --seed on, and list one result each."),
    ] = None,
    max_rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=limits.MAX_ROUNDS,
            help="The most rounds of a run; when left out "
            + ", ".join(f"{plan.USUAL_ROUNDS} with {name}" for name, plan in PLANS.items())
            + ".",
            show_default=False,
        ),
    ] = None,
    sizes: Annotated[
        Sizes, typer.Option(help="Sizes of the partners that share one file.")
    ] = Sizes.EQUAL,
    bounds: Annotated[
        Path | None,
        typer.Option(
            help='JSON file of bounds: {"column": {"min": 0, "max": 100, "transform": "none" or '
            '"log1p", "weight": 1}, …}, or a list in the order of the columns.'
        ),
    ] = None,
    bounds_from_data: Annotated[
        bool,
        typer.Option(
            "--bounds-from-data", help="Take the bounds from the data: for benchmarks, not private."
        ),
    ] = False,
    format: Format = FormatOption,
) -> None:
    """Cluster numeric files in a simulated federation, with the code of a real one.

    Without --repeats the result stands in `data`; with it, one result a seed in `data.runs`.
    Centroids are in the units of the input. Inertia is measured in the scaled cube, where bounds
    map to -1 and 1 (times the weight). Without --epsilon results are exact totals: not anonymous,
    rows of single customers can be computed.
    """
    chosen_plan = _plan(plan, epsilon, delta)
    if profile and epsilon is None:
        raise UsageError(
            "--profile needs --epsilon", remedy=f"{EXACT_PLAN} has no profile; try --epsilon 1"
        )
    fewest = _FEWEST_PARTNERS if epsilon is None else _FEWEST_WITH_NOISE
    n_partners = _check_options(files, partners, bounds, bounds_from_data, fewest)
    if k_min is not None and (chosen_plan != CHOOSING_PLAN or k_min > k):
        raise UsageError(
            f"--k-min {k_min} with --k {k} and plan {chosen_plan}",
            remedy=f"only {CHOOSING_PLAN} chooses, from --k-min up to --k",
        )
    from simulations.datasets import load_matrices

    left_out = dict.fromkeys([*([id_column] if id_column is not None else []), *(drop or [])])
    matrices = load_matrices(files, drop=tuple(left_out))
    chosen = _bounds(matrices, bounds)
    notices = []
    if bounds_from_data:
        from simulations.bounds import NOT_PRIVATE

        notices.append(NOT_PRIVATE)
    from simulations.cluster import ClusterTask
    from simulations.privacy import benchmark_terms

    n_samples = sum(matrix.values.shape[0] for matrix in matrices)
    terms = None
    if epsilon is not None:
        terms = benchmark_terms(epsilon, delta, n_samples=n_samples)
        notices.append(
            "a simulation: the noise follows from --seed, and the inertia is exact, so what is "
            "printed here is not private; a deployed run's release is"
        )
        if delta is None:
            notices.append(f"delta is 1/(n ln n) = {float(terms.delta):.3g}: for benchmarks only")
    task = ClusterTask(
        [matrix.values for matrix in matrices],
        matrices[0].columns,
        chosen,
        n_clusters=k,
        n_partners=n_partners,
        sizes=sizes.value,
        max_rounds=max_rounds or PLANS[chosen_plan].USUAL_ROUNDS,
        n_clusters_min=k_min,
        plan=chosen_plan,
        privacy=terms,
        profile=profile,
    )
    notices.extend(task.notices())
    for notice in notices:
        diagnostics.print(f"note: {notice}", soft_wrap=True)
    results = _run_all(task, range(seed, seed + (repeats or 1)))
    for notice in (notice for result in results for notice in result.notices()):
        notices.append(notice)
        diagnostics.print(f"note: {notice}", soft_wrap=True)
    data = {**task.describe(), "notices": notices}
    if repeats is None:
        data |= results[0].to_dict()
    else:
        data["runs"] = [result.to_dict() for result in results]
    output.result(data, *shown(task.describe(), results))


def _check_options(
    files: list[Path], partners: int | None, bounds: Path | None, from_data: bool, fewest: int
) -> int:
    """How many partners take part; raises UsageError, RuleError."""
    if (bounds is None) != from_data:
        raise UsageError(
            "give either --bounds or --bounds-from-data"
            if from_data
            else "no bounds: partners agree on the range of every column before they compute",
            remedy="--bounds FILE reads agreed bounds (JSON, see --help) and is how a federation "
            "works; --bounds-from-data takes the smallest and largest values, which is handy for "
            "benchmarks but not private",
        )
    if len(files) > 1 and partners not in (None, len(files)):
        raise UsageError(
            f"--partners {partners}, but there are {len(files)} files",
            remedy="leave --partners out: every file is a partner; or give one file to be split",
        )
    taking_part = partners
    if taking_part is None:
        taking_part = len(files) if len(files) > 1 else _FEWEST_PARTNERS
    if taking_part < fewest:
        why = (
            "exact totals need at least 3; whoever takes its own numbers off a total over fewer "
            "would be left with another partner's"
            if fewest == _FEWEST_PARTNERS
            else "one alone has nobody to hide its numbers among"
        )
        raise RuleError(
            f"{taking_part} partners are too few: {why}",
            code="E-PARTNERS",
            remedy=f"give --partners {fewest} or more, or one file for each of {fewest} or more "
            "partners",
        )
    if len(files) > limits.MAX_PARTNERS:
        raise UsageError(
            f"{len(files)} files, at most {limits.MAX_PARTNERS} partners can take part",
            remedy="join some files",
        )
    return taking_part


def _plan(plan: str | None, epsilon: float | None, delta: float | None) -> str:
    if epsilon is None:
        if plan not in (None, EXACT_PLAN):
            raise UsageError(
                f"--plan {plan} needs --epsilon",
                remedy="--epsilon 1 is a usual choice; see docs/privacy.md",
            )
        if delta is not None:
            raise UsageError("--delta without --epsilon", remedy="give --epsilon too")
        return EXACT_PLAN
    if plan == EXACT_PLAN:
        raise UsageError(
            f"--plan {EXACT_PLAN} works on exact totals and takes no --epsilon",
            remedy=f"--plan {_USUAL_PLAN}, or leave --epsilon out",
        )
    return plan or _USUAL_PLAN


def _bounds(matrices: list[Matrix], path: Path | None) -> tuple[ColumnBounds, ...]:
    import numpy as np

    from simulations.bounds import bounds_from_data, read_bounds

    if path is not None:
        return read_bounds(path, matrices[0].columns)
    return bounds_from_data(np.vstack([m.values for m in matrices]), matrices[0].columns)


def _run_all(task: ClusterTask, seeds: range) -> list[ClusterResult]:
    if not diagnostics.is_terminal:
        return [task.run(seed) for seed in seeds]
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
        console=diagnostics,
        transient=True,
    ) as progress:
        bar = progress.add_task("", total=len(seeds) * task.max_rounds, doing="")
        results = []
        for number, seed in enumerate(seeds):

            def update(values: dict[str, Any], number: int = number) -> None:
                progress.update(
                    bar,
                    description=f"run {number + 1} of {len(seeds)}",
                    completed=number * task.max_rounds + values["round"],
                    doing=f"round {values['round']}: {values['doing']}",
                )

            results.append(task.run(seed, on_progress=update))
        return results
