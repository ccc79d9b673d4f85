"""`cluster`: files in a simulated federation, with the code of a real one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from coordinator import new_draft
from machine.console import Format, FormatOption, diagnostics, output
from protocol import limits
from protocol.agreement.plan_names import (
    CHOOSING_PLAN,
    EXACT_PLAN,
    PLAN_NAMES,
    USUAL_ROUNDS,
)
from protocol.errors import UsageError
from simulations.cli.cluster_words import shown
from simulations.cli.follow_ups_words import follow_ups_shown
from simulations.cli.runs_words import summary
from simulations.cli.tasks import Sizes, Tables, agreed_task, asked_task
from simulations.cli.terms import OTHER_PLANS, USUAL_PLAN, Asked
from simulations.cli.tried_words import tried_shown

if TYPE_CHECKING:
    from simulations.cluster import ClusterTask
    from simulations.results import ClusterResult


# What takes long to import is imported when it is needed: `--help` and errors stay quick.


def cluster(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Numeric CSV (plain or gzip, with or without header) or Parquet: one file a "
            "partner (3 or more), or one file that is split at random.",
            show_default=False,
        ),
    ],
    agreement: Annotated[
        Path | None,
        typer.Option(
            help="An agreement, in YAML or as the file that is signed: it is simulated whole, and "
            "the files are read as a node reads them. --id-column is needed.",
            show_default=False,
        ),
    ] = None,
    feedback: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --agreement that asks how satisfied customers are: their answers, as "
            "`fedseg-node feedback import` takes them; once for each file of customers.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "--k",
            min=1,
            max=limits.MAX_CLUSTERS,
            help="How many clusters to look for; needed without --agreement.",
        ),
    ] = None,
    k_min: Annotated[
        int | None,
        typer.Option(
            "--k-min",
            min=1,
            max=limits.MAX_CLUSTERS,
            help=f"{CHOOSING_PLAN} chooses from this number of clusters to --k, at no cost in "
            f"privacy; {EXACT_PLAN} tries each, prints a table, and shows one by a stated rule.",
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
            click_type=click.Choice(PLAN_NAMES),
            help=f"How to cluster: {EXACT_PLAN} on exact totals (when --epsilon is left out), "
            f"{' or '.join([f'{USUAL_PLAN} (with --epsilon)', *OTHER_PLANS])} under "
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
            help="The chance that the promise of epsilon fails; when left out what a new agreement "
            "between so many customers says."
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
        typer.Option(
            min=1, help="Run this many seeds, from --seed on: a line each, and a summary."
        ),
    ] = None,
    n_follow_ups: Annotated[
        int,
        typer.Option(
            "--follow-ups",
            min=0,
            max=limits.MAX_RUNS,
            help="So many runs more on the same customers, each from the last release and with "
            "noise of its own: how many customers keep their segment, and what that costs.",
        ),
    ] = 0,
    max_rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=limits.MAX_ROUNDS,
            help="The most rounds of a run; when left out "
            + ", ".join(f"{rounds} with {name}" for name, rounds in USUAL_ROUNDS.items())
            + ".",
            show_default=False,
        ),
    ] = None,
    min_segment_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Smaller clusters are merged or withheld, as in a deployed run; "
            f"{new_draft.MIN_SEGMENT_SIZE} when left out, as in a new agreement.",
        ),
    ] = None,
    min_customers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=limits.MAX_CUSTOMERS_PER_PARTNER,
            help="A partner with fewer customers answers nothing; "
            f"{new_draft.MIN_CUSTOMERS_PER_PARTNER} when left out.",
        ),
    ] = None,
    spare_rounds: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=limits.MAX_SPARE_ROUNDS,
            help="With --epsilon: questions that the budget lets be asked again; "
            f"{new_draft.SPARE_ROUNDS} when left out.",
        ),
    ] = None,
    partners_per_customer: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=limits.MAX_PARTNERS_PER_CUSTOMER,
            help="With --epsilon: at how many partners one customer may be, and is protected; "
            f"{new_draft.MAX_PARTNERS_PER_CUSTOMER} when left out.",
        ),
    ] = None,
    colluding: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=limits.MAX_PARTNERS,
            help="How many partners may collude with the coordinator: the others add the noise; "
            f"{new_draft.MAX_COLLUDING} when left out.",
        ),
    ] = None,
    sizes: Annotated[
        Sizes, typer.Option(help="Sizes of the partners that share one file.")
    ] = Sizes.EQUAL,
    bounds: Annotated[
        Path | None,
        typer.Option(
            help='JSON file of bounds: {"column": {"min": 0, "max": 100, "transform": "none" or '
            '"log1p", "weight": 1}, …}, or a list in the order of the columns. An entry with '
            '"type", "levels", "other" or "missing" is a feature as an agreement has it.'
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

    What no option says is as in a new agreement (`fedseg-coordinator agreement draft`), or as in
    the one that --agreement names: clusters that a deployed run would merge or withhold are merged
    or withheld here.

    Without --repeats the result stands in `data`; with it, one result a seed in `data.runs`, and
    `data.summary` says how often which number of clusters came out, the mean and the spread of the
    inertia, and how many clusters were merged or withheld. With --follow-ups each result has
    `follow_ups`, one object a run.
    Centroids are in the units of the input. Inertia is measured in the scaled cube, where bounds
    map to -1 and 1 (times the weight). Without --epsilon results are exact totals: not anonymous,
    rows of single customers can be computed.
    """
    asked = Asked(
        partners=partners,
        k=k,
        k_min=k_min,
        plan=plan,
        epsilon=epsilon,
        delta=delta,
        profile=profile,
        max_rounds=max_rounds,
        min_segment_size=min_segment_size,
        min_customers=min_customers,
        spare_rounds=spare_rounds,
        partners_per_customer=partners_per_customer,
        colluding=colluding,
    )
    taken = Tables(
        files=files,
        id_column=id_column,
        drop=tuple(drop or ()),
        bounds=bounds,
        bounds_from_data=bounds_from_data,
        sizes=sizes,
        feedback=tuple(feedback or ()),
    )
    if agreement is None:
        task, notices = asked_task(asked, taken)
    else:
        task, notices = agreed_task(asked, taken, agreement)
    if task.agreement.privacy is not None:
        notices.append(
            "a simulation: the noise follows from --seed, and the inertia is exact, so what is "
            "printed here is not private, as a deployed run's release is"
        )
    notices.extend(task.notices())
    for notice in notices:
        diagnostics.print(f"note: {notice}", soft_wrap=True)
    # An agreement on exact totals has one number of clusters, so none that is given has a range.
    tasks = [task.over(n) for n in asked.tried] if agreement is None else []
    if n_follow_ups:
        _check_follow_ups(n_follow_ups, asked, task, agreement)
    results = _run_all(tasks or [task], range(seed, seed + (repeats or 1)), n_follow_ups)
    from simulations.results import notices_of

    for notice in notices_of(results):
        notices.append(notice)
        diagnostics.print(f"note: {notice}", soft_wrap=True)
    common = task.describe()
    if tasks:
        common["n_clusters_min"] = tasks[0].agreement.plan.n_clusters
    data = {**common, "notices": notices}
    if repeats is None:
        data |= results[0].to_dict()
    else:
        data["summary"] = summary(results)
        data["runs"] = [result.to_dict() for result in results]
    more = [] if repeats else [*results[0].satisfaction, *tried_shown(results[0])]
    output.result(data, *shown(common, results), *more, *follow_ups_shown(results))


def _check_follow_ups(n: int, asked: Asked, task: ClusterTask, agreement: Path | None) -> None:
    """Refuse runs that follow where none can."""
    if asked.tried:
        raise UsageError(
            f"--follow-ups {n} with --k-min {asked.k_min}: each number of clusters is tried in a "
            "run of its own, and none of them is the last release",
            remedy=f"choose a number first, then --k alone; or --epsilon, where {CHOOSING_PLAN} "
            "chooses in one run",
        )
    if task.agreement.plan.start:
        raise UsageError(
            f"--follow-ups {n}, but {agreement} says start: {task.agreement.plan.start}, so no run "
            "follows a release",
            remedy="leave --follow-ups out, or start out of the agreement's plan",
        )


def _run_all(tasks: Sequence[ClusterTask], seeds: range, n_follow_ups: int) -> list[ClusterResult]:
    """A result a seed: of the only task, or the best of several; a bar shows where it stands."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from simulations.tried import best_of

    n_runs, each = len(seeds) * len(tasks), max(task.max_rounds for task in tasks)
    whole = each * (1 + n_follow_ups)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
        console=diagnostics,
        disable=not diagnostics.is_terminal,
        transient=True,
    ) as progress:
        bar = progress.add_task("", total=n_runs * whole, doing="")
        runs = itertools.count()

        def run(task: ClusterTask, seed: int) -> ClusterResult:
            number = next(runs)
            words = f"run {number + 1} of {n_runs}"
            progress.update(bar, description=words, completed=number * whole, doing="preparing")

            def update(values: dict[str, Any]) -> None:
                progress.update(
                    bar,
                    completed=number * whole + values["run"] * each + values["round"],
                    doing=("" if not values["run"] else f"follow-up {values['run']}, ")
                    + f"round {max(1, values['round'])}: {values['doing']}",
                )

            return task.run(seed, n_follow_ups=n_follow_ups, on_progress=update)

        return [best_of(tasks, [run(task, seed) for task in tasks]) for seed in seeds]
