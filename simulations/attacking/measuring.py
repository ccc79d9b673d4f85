"""Attacks counted over many runs: on customers inside and outside the data, and without noise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from partner_node.customers.answers import answer
from protocol.clustering.noised import known
from protocol.clustering.plane import GRID
from protocol.masking import apply_mask
from protocol.queries import customer_vectors
from protocol.ring import UNIT, IntVector, from_ring, to_ring
from protocol.scaling import FloatMatrix
from simulations.attacking.customers import drawn
from simulations.attacking.described import DESCRIBED
from simulations.attacking.guesses import (
    CANDIDATES,
    NEAR,
    box_width,
    differenced,
    in_box_alone,
    inferred,
    linked,
    singled_out,
)
from simulations.attacking.seen import FloatVector, Seen, Setting, watch
from simulations.attacks import membership_scores


@dataclass(slots=True)
class Counts:
    """Of one attack.

    Attributes:
        attacks: How many of each of the four.
        successes: On customers in the data.
        control: On customers outside of them.
        baseline: Of the naive guess.
        unprotected: On customers in the data, with noise or mask switched off.
    """

    attacks: int = 0
    successes: int = 0
    control: int = 0
    baseline: int = 0
    unprotected: int = 0

    def add(self, success: bool, control: bool, baseline: bool, unprotected: bool) -> None:
        """One run more."""
        self.attacks += 1
        self.successes += success
        self.control += control
        self.baseline += baseline
        self.unprotected += unprotected


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What one run gives to the attacks on it."""

    target: FloatVector
    others: FloatMatrix
    stranger: FloatVector
    strangers: FloatMatrix
    inside: Seen
    outside: Seen
    unprotected: Seen
    chance: np.random.Generator = field(repr=False)


def measure(
    names: Iterable[str],
    setting: Setting,
    *,
    runs: int,
    seed: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Counts]:
    """Run attacks by name.

    Args:
        runs: Runs that each attack sees; one customer is attacked in each, so that successes are
            independent.
        seed: Decides all: customers, starts, noise, masks.
    """
    found = {name: Counts() for name in names}
    if "membership" in found:
        _membership(found["membership"], setting, runs, seed)
    others = [name for name in found if name != "membership"]
    for run in range(runs if others else 0):
        case = _case(setting, seed, run)
        for name in others:
            found[name].add(*_attack(name, case, f"{seed}/{run}"))
        on_progress(run + 1)
    return found


def _case(setting: Setting, seed: int, run: int) -> _Case:
    data = drawn(
        seed, run,
        customers=setting.customers, n_features=setting.n_features, n_clusters=setting.n_clusters,
    )  # fmt: skip
    others, target, stranger = data.inside[1:], data.inside[0], data.outside[0]

    def seen(who: FloatVector, part: str, *, present: bool, noise: bool) -> Seen:
        start = hashlib.sha256(f"start {seed}/{run}".encode()).digest()
        return watch(
            others, who, setting,
            present=present, noise=noise, name=f"{seed}/{run}/{part}/", seed=start,
        )  # fmt: skip

    return _Case(
        target=target, others=others, stranger=stranger, strangers=data.outside[1:],
        inside=seen(target, "inside", present=True, noise=True),
        outside=seen(stranger, "outside", present=False, noise=True),
        unprotected=seen(target, "unprotected", present=True, noise=False),
        chance=np.random.default_rng([seed, run, 1]),
    )  # fmt: skip


def _attack(name: str, case: _Case, mark: str) -> tuple[bool, bool, bool, bool]:
    match name:
        case "masked-answers":
            return _masked(case, mark)
        case "exact-totals":
            right = len(case.others) + 1
            told = (round(one.count) for one in (case.inside, case.outside, case.unprotected))
            inside, outside, plain = told
            return (
                inside == right,
                outside == right,
                bool(case.chance.integers(100) == 0),
                plain == right,
            )
        case "differencing":
            naive = case.inside.centres.mean(axis=0)
            return (
                differenced(case.inside, case.target),
                differenced(case.outside, case.stranger),
                bool(np.abs(naive - case.target).max() <= NEAR * GRID),
                differenced(case.unprotected, case.target),
            )
        case "linkability":
            near = case.strangers[: CANDIDATES - 1]
            return (
                linked(case.inside, case.target, near),
                linked(case.outside, case.stranger, near),
                bool(case.chance.integers(CANDIDATES) == 0),
                linked(case.unprotected, case.target, near),
            )
        case "inference":
            naive = case.inside.centres.mean(axis=0)[-1]
            return (
                inferred(case.inside, case.target),
                inferred(case.outside, case.stranger),
                bool(abs(naive - case.target[-1]) <= NEAR * GRID),
                inferred(case.unprotected, case.target),
            )
    features = 1 if name == "singling-out-univariate" else len(case.target)
    width = box_width(case.inside, len(case.others) + 1, features)
    anywhere = case.chance.uniform(-GRID, GRID, features)
    return (
        singled_out(case.inside, case.target, case.others, features),
        singled_out(case.outside, case.stranger, case.others, features),
        in_box_alone(anywhere, width, case.target, case.others),
        singled_out(case.unprotected, case.target, case.others, features),
    )


def _masked(case: _Case, mark: str) -> tuple[bool, bool, bool, bool]:
    """Tell which of two totals a masked answer holds, by which it is nearer to."""
    great, small = np.full(1, len(case.others) * UNIT, dtype=np.int64), np.zeros(1, dtype=np.int64)
    bound = great * 2

    def taken_for_great(value: IntVector, key: str | None) -> bool:
        vector = to_ring(value, low=-bound, high=bound)
        if key is not None:
            apply_mask(vector, hashlib.sha256(f"{mark}/{key}".encode()).digest(), subtract=False)
        sent = float(from_ring(vector)[0])
        return abs(sent - float(great[0])) < abs(sent - float(small[0]))

    return (
        taken_for_great(great, "great"), taken_for_great(small, "small"),
        bool(case.chance.integers(2)), taken_for_great(great, None),
    )  # fmt: skip


def _membership(counts: Counts, setting: Setting, runs: int, seed: int) -> None:
    generator = np.random.default_rng([seed, 0])
    normal = generator.normal(-0.5, 0.1, (setting.customers, setting.n_features))
    others = np.rint(np.clip(normal, -1.0, 1.0) * GRID)
    victim = np.full((1, setting.n_features), float(GRID))
    coin = np.random.default_rng([seed, 1]).integers(0, 2, runs)
    if setting.exact:
        _exact_membership(counts, setting, others, victim, coin)
        return
    terms = setting.terms(hashlib.sha256(f"membership {seed}".encode()).digest())
    said = [
        membership_scores(
            others, victim, terms, runs=runs, noise=noise,
            partners=setting.partners, colluding=setting.colluding, seed=seed,
        )
        for noise in (True, False)
    ]  # fmt: skip
    for run in range(runs):
        counts.add(
            bool(said[0].within[run] > 0.0), bool(said[0].without[run] > 0.0),
            bool(coin[run]), bool(said[1].within[run] > 0.0),
        )  # fmt: skip


def _exact_membership(
    counts: Counts, setting: Setting, others: FloatMatrix, victim: FloatMatrix, coin: IntVector
) -> None:
    """Compare the first total of each run with the sum of everybody else."""
    for run, thrown in enumerate(coin):
        query = known(setting.plan(hashlib.sha256(f"exact {run}".encode()).digest()).query)
        rest, own = (
            answer(query, [customer_vectors(one)], threads=1)[0] for one in (others, victim)
        )
        said = [bool((total != rest).any()) for total in (rest + own, rest)]
        counts.add(said[0], said[1], bool(thrown), said[0])


def every_attack() -> tuple[str, ...]:
    """Names of all attacks, in the order of the page."""
    return tuple(DESCRIBED)
