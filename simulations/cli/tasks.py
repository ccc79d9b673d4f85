"""The task of `cluster`: files and options, or files and an agreement, made one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from machine.text import how_many
from protocol import limits
from protocol.errors import RuleError, UsageError
from simulations.cli.terms import Asked, asked_agreement, refuse_contradictions

if TYPE_CHECKING:
    from protocol.scaling import FloatMatrix
    from simulations.agreed_files import AgreedTable
    from simulations.cluster import ClusterTask

    #: Features as an agreement has them, a table for each file, and the names that people see.
    _Read = tuple[list[dict[str, Any]], list[FloatMatrix], Sequence[str]]

# What takes long to import is imported when it is needed: `--help` and errors stay quick.

_FEWEST_PARTNERS: Final = 3
_FEWEST_WITH_NOISE: Final = 2


class Sizes(StrEnum):
    """How one file is split among partners."""

    EQUAL = "equal"
    UNEVEN = "uneven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The options that say what the tables are."""

    files: list[Path]
    id_column: str | None
    drop: tuple[str, ...]
    bounds: Path | None
    bounds_from_data: bool
    sizes: Sizes
    feedback: tuple[Path, ...]


def asked_task(asked: Asked, taken: Tables) -> tuple[ClusterTask, list[str]]:
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


def _numbers(taken: Tables) -> _Read:
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


def _features(taken: Tables, notices: list[str]) -> _Read | None:
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


def agreed_task(asked: Asked, taken: Tables, file: Path) -> tuple[ClusterTask, list[str]]:
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
        f"{path}: {how_many(table.left_out, 'customer')} left out for a missing value, as agreed"
        for path, table in zip(files, tables, strict=True)
        if table.left_out
    ]


def _check_options(taken: Tables, partners: int | None, fewest: int) -> int:
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
