"""`cluster`: files in a simulated federation, with the code of a real one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from coordinator import new_draft
from machine.console import Format, FormatOption, diagnostics, output
from protocol import limits
from protocol.agreement.document import CHOOSING_PLAN, EXACT_PLAN
from protocol.clustering.plan import PLANS
from protocol.errors import RuleError, UsageError
from protocol.privacy.terms import MAX_GROUP, MAX_SPARE_ROUNDS
from simulations.cli.cluster_words import shown
from simulations.cli.runs_words import summary
from simulations.cli.terms import (
    OTHER_PLANS,
    USUAL_PLAN,
    Asked,
    asked_agreement,
    refuse_contradictions,
)
from simulations.cli.tried_words import tried_shown

if TYPE_CHECKING:
    from protocol.scaling import FloatMatrix
    from simulations.agreed_files import AgreedTable
    from simulations.cluster import ClusterResult, ClusterTask

    #: Features as an agreement has them, a table for each file, and the names that people see.
    _Read = tuple[list[dict[str, Any]], list[FloatMatrix], Sequence[str]]

# What takes long to import is imported when it is needed: `--help` and errors stay quick.

_FEWEST_PARTNERS = 3
_FEWEST_WITH_NOISE = 2


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
        typer.Option("--k", min=1, max=limits.MAX_CLUSTERS, help="How many clusters to look for."),
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
            click_type=click.Choice(list(PLANS)),
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
            max=MAX_SPARE_ROUNDS,
            help="With --epsilon: questions that the budget lets be asked again; "
            f"{new_draft.SPARE_ROUNDS} when left out.",
        ),
    ] = None,
    partners_per_customer: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_GROUP,
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
    inertia, and how many clusters were merged or withheld.
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
    taken = _Tables(
        files=files,
        id_column=id_column,
        drop=tuple(drop or ()),
        bounds=bounds,
        bounds_from_data=bounds_from_data,
        sizes=sizes,
        feedback=tuple(feedback or ()),
    )
    if agreement is None:
        task, notices = _asked_task(asked, taken)
    else:
        task, notices = _agreed_task(asked, taken, agreement)
    if task.agreement.privacy is not None:
        notices.append(
            "a simulation: the noise follows from --seed, and the inertia is exact, so what is "
            "printed here is not private; a deployed run's release is"
        )
    notices.extend(task.notices())
    for notice in notices:
        diagnostics.print(f"note: {notice}", soft_wrap=True)
    # An agreement on exact totals has one number of clusters, so none that is given has a range.
    tasks = [task.over(n) for n in asked.tried] if agreement is None else []
    results = _run_all(tasks or [task], range(seed, seed + (repeats or 1)))
    from simulations.cluster import notices_of

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
    output.result(data, *shown(common, results), *more)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """The options that say what the tables are."""

    files: list[Path]
    id_column: str | None
    drop: tuple[str, ...]
    bounds: Path | None
    bounds_from_data: bool
    sizes: Sizes
    feedback: tuple[Path, ...]


def _asked_task(asked: Asked, taken: _Tables) -> tuple[ClusterTask, list[str]]:
    """Files of numbers under an agreement made of options, and what is to be said of it."""
    plan = asked.plan_terms()
    fewest = _FEWEST_PARTNERS if asked.epsilon is None else _FEWEST_WITH_NOISE
    n_partners = _check_options(taken, asked.partners, fewest)
    from simulations.cluster import ClusterTask

    notices = []
    if taken.bounds_from_data:
        from simulations.bounds import NOT_PRIVATE

        notices.append(NOT_PRIVATE)
    found = _features(taken, notices)
    features, tables, columns = _numbers(taken) if found is None else found
    agreement = asked_agreement(
        asked,
        plan,
        features,
        n_samples=sum(table.shape[0] for table in tables),
        n_partners=n_partners,
    )
    if agreement.privacy is not None and asked.delta is None:
        notices.append(
            f"delta is {agreement.privacy.delta.normalize():f}, as a new agreement between so "
            "many customers says"
        )
    task = ClusterTask(agreement, tables, columns=columns, sizes=taken.sizes.value)
    return task, notices


def _numbers(taken: _Tables) -> _Read:
    """Files of numbers, with the bounds of their columns."""
    import numpy as np

    from simulations.bounds import bounds_from_data, read_bounds
    from simulations.datasets import load_matrices

    left_out = dict.fromkeys(name for name in (taken.id_column, *taken.drop) if name is not None)
    matrices = load_matrices(taken.files, drop=tuple(left_out))
    tables, columns = [matrix.values for matrix in matrices], matrices[0].columns
    bounds = (
        bounds_from_data(np.vstack(tables), columns)
        if taken.bounds is None
        else read_bounds(taken.bounds, columns)
    )
    # A column may have any name, a feature not.
    return [b.feature(f"x{i}") for i, b in enumerate(bounds, start=1)], tables, columns


def _features(taken: _Tables, notices: list[str]) -> _Read | None:
    """Files read as at a node, where the bounds have levels or rules for missing values."""
    from simulations.agreed_files import read_tables
    from simulations.bounds import read_features

    features = None if taken.bounds is None else read_features(taken.bounds)
    if features is None:
        return None
    if taken.id_column is None:
        raise UsageError(
            f"{taken.bounds} has levels, or says what is done about missing values, and there is "
            "no --id-column",
            remedy="such columns are read as at a node, which reads customers by their ids: name "
            "their column",
        )
    for name in taken.drop:
        if name in [feature.name for feature in features]:
            raise UsageError(
                f"--drop {name}, but {taken.bounds} has it as a feature",
                remedy="leave it out of one of them",
            )
    tables = read_tables(taken.files, features, id_column=taken.id_column)
    notices.extend(_left_out(taken.files, tables))
    columns = [coordinate.name for feature in features for coordinate in feature.coordinates]
    return [feature.to_dict() for feature in features], [table.values for table in tables], columns


def _agreed_task(asked: Asked, taken: _Tables, file: Path) -> tuple[ClusterTask, list[str]]:
    """Files of customers under an agreement that is given, and what is to be said of them."""
    from coordinator.agreement_file import load_agreement

    agreement = load_agreement(file)
    refuse_contradictions(asked, agreement, file)
    for option, given in (
        ("--bounds", taken.bounds is not None),
        ("--bounds-from-data", taken.bounds_from_data),
        ("--drop", bool(taken.drop)),
    ):
        if given:
            raise UsageError(
                f"{option}, but {file} says which columns are read, and their bounds: "
                f"{', '.join(f.name for f in agreement.features)}",
                remedy=f"leave {option} out; other columns are not read",
            )
    if taken.id_column is None:
        raise UsageError(
            f"--agreement {file} without --id-column",
            remedy="a node reads customers by their ids: name their column",
        )
    if len(taken.files) not in (1, agreement.n_partners):
        raise UsageError(
            f"{len(taken.files)} files, but {file} is between {agreement.n_partners} parties: "
            f"{', '.join(party.id for party in agreement.parties)}",
            remedy="give one file for each, in this order, or one file that is split among them",
        )
    from simulations.agreed_files import read_agreed, read_scores
    from simulations.cluster import ClusterTask

    question = agreement.plan.satisfaction
    if taken.feedback and (question is None or len(taken.feedback) != len(taken.files)):
        raise UsageError(
            f"--feedback is given {len(taken.feedback)} times for {len(taken.files)} files of "
            f"customers, and {file} {'does not ask' if question is None else 'asks'} how satisfied "
            "they are",
            remedy="give it once for each file of customers, in the same order"
            if question
            else "leave it out, or agree on plan.satisfaction",
        )
    tables = read_agreed(taken.files, agreement, id_column=taken.id_column)
    notices = []
    if len(tables) > 1:
        pairs = zip(agreement.parties, taken.files, strict=True)
        notices.append(
            "in the agreement's order: " + ", ".join(f"{p.id} has {f.name}" for p, f in pairs)
        )
    notices.extend(_left_out(taken.files, tables))
    scores = None
    if question is not None and taken.feedback:
        scores = [
            read_scores(path, question, table.ids)
            for path, table in zip(taken.feedback, tables, strict=True)
        ]
    elif question is not None:
        notices.append(
            "the agreement asks how satisfied customers are, and nobody's answers are given: see "
            "--feedback"
        )
    task = ClusterTask(
        agreement,
        [table.values for table in tables],
        sizes=taken.sizes.value,
        scores=scores,
        row_caps=True,
    )
    return task, notices


def _left_out(files: Sequence[Path], tables: Sequence[AgreedTable]) -> list[str]:
    """Whom the rules for missing values leave out, in words."""
    return [
        f"{path}: {table.left_out:,} customers are left out for a missing value, as agreed"
        for path, table in zip(files, tables, strict=True)
        if table.left_out
    ]


def _check_options(taken: _Tables, partners: int | None, fewest: int) -> int:
    """How many partners take part; raises UsageError, RuleError."""
    files = taken.files
    if taken.feedback:
        raise UsageError(
            "--feedback without --agreement",
            remedy="an agreement has the question that customers answered: --agreement FILE",
        )
    if (taken.bounds is None) != taken.bounds_from_data:
        raise UsageError(
            "give either --bounds or --bounds-from-data"
            if taken.bounds_from_data
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


def _run_all(tasks: Sequence[ClusterTask], seeds: range) -> list[ClusterResult]:
    """A result a seed: of the only task, or the best of several; a bar shows where it stands."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from simulations.tried import best_of

    n_runs, each = len(seeds) * len(tasks), max(task.max_rounds for task in tasks)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
        console=diagnostics,
        disable=not diagnostics.is_terminal,
        transient=True,
    ) as progress:
        bar = progress.add_task("", total=n_runs * each, doing="")
        runs = itertools.count()

        def run(task: ClusterTask, seed: int) -> ClusterResult:
            number = next(runs)
            words = f"run {number + 1} of {n_runs}"
            progress.update(bar, description=words, completed=number * each, doing="preparing")

            def update(values: dict[str, Any]) -> None:
                progress.update(
                    bar,
                    completed=number * each + values["round"],
                    doing=f"round {values['round']}: {values['doing']}",
                )

            return task.run(seed, on_progress=update)

        return [best_of(tasks, [run(task, seed) for task in tasks]) for seed in seeds]
