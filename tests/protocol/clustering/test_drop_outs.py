"""A partner drops out before each question in turn: what is stated is true, or it is not stated.

Every statement names by whom it was answered: the participants, and those who left after it. Noise
is left out, so what is stated must be what these partners' customers give.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from partner_node.customers.answers import answer
from protocol.agreement.document import Agreement
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.clustering.choice import Choice
from protocol.clustering.hybrid_dp import FINE, HybridDP, Shares
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.plan import after_total, restore_plan, start_plan
from protocol.clustering.relocation import Search
from protocol.clustering.result import CHANGE, CHOICE, DISTANCE, SCORES, SIZES, STATED
from protocol.noised_queries import DistanceQuery, LocalSumsQuery, ScoresQuery, VotesQuery
from protocol.participants import Members
from protocol.queries import customer_vectors, with_scores
from protocol.release.document import Release, make_release
from protocol.release.last import begins_at
from protocol.release.lineage import lineage
from protocol.release.view import ReleaseView, release_view
from protocol.scaling import FeatureScale
from simulations.federation import FeatureTerms, Federation
from simulations.privacy import benchmark_terms

ALL = frozenset(range(4))
EACH = 1_500
#: Groups of customers: the partner that drops out first has most in two that nobody else has.
MIDDLES = [(2, 2), (8, 2), (5, 8), (2, 8), (8, 8)]
OWN = {0: (3, 4), 1: (0, 1, 2), 2: (0, 1, 2), 3: (0, 1, 2)}
#: Their scores differ, too.
SCORES_OF = {0: 1.0, 1: 4.0, 2: 4.0, 3: 4.5}
PLANS = ("lloyd-exact", "lloyd-dp", "hybrid-dp", "hybrid-dp of many features", "follow-up")
#: Who drops out, one after the other: one, two in the same question, two in a row.
LEAVE = ([{0}], [{0, 1}], [{0}, {1}])


@dataclass(frozen=True)
class Case:
    """A plan of an agreement, and each partner's customers."""

    agreement: Agreement
    grids: tuple[np.ndarray, ...]
    follows: Release | None = None

    def vectors(self, members: Members, *, scored: bool = False) -> list[np.ndarray]:
        found = []
        for i in sorted(members):
            vectors = customer_vectors(self.grids[i])
            if scored:
                terms = self.agreement.plan.satisfaction
                assert terms is not None
                scores = np.where(np.arange(len(vectors)) % 2, SCORES_OF[i], np.nan)
                vectors = with_scores(vectors, terms.in_units(scores))
            found.append(vectors)
        return found


@cache
def case(name: str) -> Case:
    plan = {"follow-up": "hybrid-dp", "hybrid-dp of many features": "hybrid-dp"}.get(name, name)
    d = 5 if "many" in name else 2
    rng = np.random.default_rng(4)
    data = []
    for i in sorted(ALL):
        groups = np.array(MIDDLES)[rng.choice(OWN[i] if name != "follow-up" else range(5), EACH)]
        rest = np.repeat(groups[:, :1], d - 2, axis=1)
        data.append(np.hstack([groups, rest]) + rng.normal(0, 0.4, (EACH, d)))
    exact = plan == "lloyd-exact"
    fed = Federation(
        data,
        [FeatureTerms(name=f"f{i}", min="0", max="10") for i in range(d)],
        n_clusters=6,
        max_rounds=30 if exact else 14,
        seed=1,
        min_segment_size=20,
        plan=plan,
        privacy=None if exact else benchmark_terms(8.0, 0.00001, n_samples=4 * EACH),
    )
    agreement = fed.agreement
    if not exact:
        satisfaction = SatisfactionTerms(question="Are you content?", lowest=1, highest=5)
        least = 2 if plan == "hybrid-dp" else 6
        terms = replace(
            agreement.plan, profile=True, satisfaction=satisfaction, n_clusters_min=least
        )
        agreement = replace(agreement, plan=terms)
    scale = FeatureScale.of(agreement.coordinates)
    own = Case(agreement=agreement, grids=tuple(scale.to_grid(values) for values in data))
    if name != "follow-up":
        return own
    return replace(own, follows=released(own, undisturbed(own)[-1]))


def going_on(own: Case, plan: Any, members: Members) -> Any:
    """The state after one question that `members` answer; no noise, its variance is as agreed."""
    scored = isinstance(plan.query, ScoresQuery)
    total, _ = answer(plan.query, own.vectors(members, scored=scored))
    restored = restore_plan(json.loads(json.dumps(plan.to_dict())))
    return after_total(restored, own.agreement, total, members=members)


def undisturbed(own: Case) -> list[Any]:
    """All states of a run in which nobody drops out, the one with the result last."""
    followed = begins_at(own.agreement, own.follows)
    states: list[Any] = [start_plan(own.agreement, seed=bytes(32), followed=followed)]
    while states[-1].query is not None:
        states.append(going_on(own, states[-1], ALL))
    return states


@cache
def states_of(name: str) -> list[Any]:
    return undisturbed(case(name))


def released(own: Case, plan: Any, *, leave: Sequence[Collection[int]] = ()) -> Release:
    """The release of a run in which partners drop out from the question on that `plan` asks.

    The approval counts as a question, the last one.
    """
    members, sets = ALL, [ALL]
    going = iter(leave)
    while True:
        gone = next(going, ())
        if gone:
            members -= frozenset(gone)
            sets.append(members)
        if plan.query is None:
            break
        plan = going_on(own, plan, members)
    release = make_release(
        own.agreement, plan.result, run_hash=bytes(32), members=members, sets=sets
    )
    assert Release.from_bytes(release.to_bytes()) == release
    ids = [own.agreement.parties[i].id for i in sorted(members)]
    assert list(release.participants) == ids
    return release


def named(own: Case, release: Release, what: str) -> list[int]:
    """Whose customers a statement is about, as the release says."""
    ids = {party.id: i for i, party in enumerate(own.agreement.parties)}
    later = STATED[STATED.index(what) :]
    return sorted(ids[p] for p in release.participants) + sorted(
        ids[left.id] for left in release.left if left.after in later
    )


def nearest(own: Case, release: Release, who: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets from the nearest segment's centre, in the scaled cube, and which segment it is."""
    grid = np.vstack([own.grids[i] for i in who]) / (1 << release.fraction_bits)
    centres = release.centres / (1 << release.fraction_bits)
    offsets = grid[:, None, :] - centres[None]
    place = (offsets**2).sum(axis=2).argmin(axis=1)
    return offsets[np.arange(len(grid)), place], place


def untrue(own: Case, release: Release) -> Iterator[str]:
    """Statements of a release that are not so of those whom it names."""
    unit = float(1 << release.fraction_bits)
    offsets, place = nearest(own, release, named(own, release, SIZES))
    counts = np.bincount(place, minlength=len(release.segments))
    left_out = 0 if release.withheld is None else 20 * release.withheld.clusters
    if np.abs(counts - [s.size for s in release.segments]).max() > left_out:
        yield f"sizes: {[s.size for s in release.segments]} for {counts}"
    for row, segment in enumerate(release.segments):
        inside = offsets[place == row]
        spreads = (inside**2).mean(axis=0) * unit
        if segment.spreads is not None and (np.array(segment.spreads) > 1.02 * spreads + 50).any():
            yield f"ranges: {segment.spreads} for {spreads}"
        if segment.satisfaction is not None:
            terms = own.agreement.plan.satisfaction
            assert terms is not None
            who = named(own, release, SCORES)
            _, scored = nearest(own, release, who)
            gave = np.concatenate([np.where(np.arange(EACH) % 2, SCORES_OF[i], 0) for i in who])
            gave = gave[scored == row]
            if abs(segment.satisfaction.answered - (gave > 0).sum()) > left_out + 1:
                yield f"answered: {segment.satisfaction.answered} for {(gave > 0).sum()}"
            if abs(segment.satisfaction.score(terms) - gave[gave > 0].mean()) > 0.05:
                yield f"score: {segment.satisfaction.score(terms)} for {gave[gave > 0].mean()}"
    if release.distance is not None:
        offsets, _ = nearest(own, release, named(own, release, DISTANCE))
        square = (release.distance.radius / unit) ** 2
        mean = np.minimum((offsets**2).sum(axis=1), square).mean()
        if abs(release.distance.mean / unit - mean) > 0.02 * mean + 1e-4:
            yield f"inertia: {release.distance.mean / unit} for {mean}"
    if isinstance(release.choice, Choice) and release.choice.told:
        groups = {group for i in named(own, release, CHOICE) for group in OWN[i]}
        if release.choice.seen != len(groups):
            yield f"choice: {release.choice.seen} for {len(groups)}"
    if release.start is not None and release.start.changed:
        yield f"change: nobody of {named(own, release, CHANGE)} changed"


def view(own: Case, release: Release) -> ReleaseView:
    return release_view(release, own.agreement, lineage([(release, own.agreement)])[0])


@pytest.mark.parametrize("leave", LEAVE, ids=["one", "two", "one after the other"])
@pytest.mark.parametrize("name", PLANS)
def test_what_a_release_states_is_true_of_those_whom_it_names_whenever_partners_drop_out(
    name: str, leave: list[set[int]]
) -> None:
    own, states = case(name), states_of(name)
    whole = released(own, states[-1])
    assert not list(untrue(own, whole))
    assert (whole.left, view(own, whole).left_words) == ((), "")
    for at, state in enumerate(states):
        release = released(own, state, leave=leave)
        assert not list(untrue(own, release)), at
        words = view(own, release)
        assert {*release.participants, *words.absent, *release.counted} == {
            party.id for party in own.agreement.parties
        }
        assert not set(words.absent) & set(release.counted)
        if release.privacy is not None:
            assert release.privacy.asked_again == min(len(leave), len(states) - at)
            # Nothing is left out that can be stated.
            between = at in (len(states) - 3, len(states) - 2 - len(leave))
            assert (release.distance is None) == between
            assert ("Inertia is not stated" in words.distance_words) == between


def test_who_left_is_said_with_what_counts_its_customers() -> None:
    own, states = case("hybrid-dp"), states_of("hybrid-dp")
    said = [view(own, released(own, state, leave=[{0}])) for state in states[-4:]]
    left = own.agreement.parties[0].id
    after = [(one.id, one.after) for each in said for one in each.release.left]
    assert after == [(left, CHOICE), (left, SIZES), (left, DISTANCE), (left, SCORES)]
    assert said[0].left_words == ""
    assert said[0].absent == (left,)
    assert f"Customers of {left} were counted for that before it dropped out." in said[0].choice
    for at, words in (
        (1, "sizes and typical ranges count its customers, satisfaction does not."),
        (2, "sizes, typical ranges and inertia count its customers, satisfaction does not."),
        (3, "sizes, typical ranges, inertia and satisfaction count its customers."),
    ):
        assert said[at].left_words.endswith(words)
        assert said[at].absent == ()
        assert f"Customers of {left} were counted" in said[at].choice


def test_no_number_of_groups_is_told_from_distances_of_fewer_partners_than_the_counts() -> None:
    own, states = case("hybrid-dp"), states_of("hybrid-dp")
    at = next(i for i, state in enumerate(states) if isinstance(state.query, DistanceQuery))
    release = released(own, states[at], leave=[{0}])
    assert isinstance(release.choice, Choice)
    assert (release.choice.told, release.choice.dropped, release.choice.used) == (False, True, 6)
    assert "a partner dropped out between the two questions" in view(own, release).choice
    before = released(own, states[at - 1], leave=[{0}])
    assert isinstance(before.choice, Choice)
    assert (before.choice.told, before.choice.seen) == (True, 3)


def test_all_customers_are_counted_anew_once_a_partner_dropped_out() -> None:
    own, states = case("hybrid-dp"), states_of("hybrid-dp")
    last = max(i for i, state in enumerate(states) if isinstance(state.query, LocalSumsQuery))
    for at in range(1, last + 1):
        plan = states[at]
        while plan.plan.result is None:
            counts = isinstance(plan.query, VotesQuery) or plan.plan.step == FINE
            plan = going_on(own, plan, ALL - {0})
            inner = plan.plan
            assert isinstance(inner, HybridDP)
            if counts:
                assert inner.n == pytest.approx(3 * EACH, rel=0.001)
            # Shares follow from the first count: of another one they would not add up to one.
            first = float(4 * EACH)
            assert inner.shares == Shares.of(inner.terms, first, inner.multiplier, inner.tuning)
        assert inner.n == pytest.approx(3 * EACH, rel=0.001)


def test_counts_of_more_partners_are_not_fused_with_those_of_fewer() -> None:
    own, states = case("hybrid-dp"), states_of("hybrid-dp")
    fine = max(i for i, state in enumerate(states) if isinstance(state.query, LocalSumsQuery))
    query = states[fine].query
    grid = np.vstack([own.grids[i] for i in (1, 2, 3)])
    place = ((grid[:, None, :] - query.centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    counts = np.bincount(place, minlength=query.n_clusters)
    inner = going_on(own, states[fine], ALL - {0}).plan
    assert np.allclose(inner.counts, counts, rtol=1e-9)


def test_inertia_of_fewer_partners_customers_is_not_taken_for_a_better_one() -> None:
    """In the midst of a trial the search goes back to the best, and starts anew from there."""
    own, seen = case("lloyd-exact"), 0
    for plan in states_of("lloyd-exact")[:-1]:
        assert isinstance(plan, LloydExact)
        best = plan.search.best
        if best is None or (best.centroids == plan.centroids).all():
            continue
        after = going_on(own, plan, ALL - {0})
        assert np.array_equal(after.centroids, best.centroids)
        assert after.search == Search(over=plan.round >= plan.max_rounds // 2)
        seen += 1
    assert seen
