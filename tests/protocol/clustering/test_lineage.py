"""Ids that last: what is kept, new, split, merged or retired, from releases alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.agreement.document import Agreement
from protocol.errors import LocalProtocolError
from protocol.release.document import EXACT_STATEMENT, Release, Segment
from protocol.release.lineage import Gone, Step, became, lineage, step_of
from tests.protocol import counterparties

ONE = 1 << 20
CORNERS = [(-0.8, -0.8), (0.8, -0.8), (-0.8, 0.8), (0.8, 0.8)]


def agreed(*names: str, maximum: str = "10", version: int = 1, identity: str = "test") -> Agreement:
    values = counterparties.agreement_values(3)
    feature = values["features"][0] | {"min": "0", "max": maximum, "transform": "none"}
    values["features"] = [
        feature | {"name": name, "unit": "visits", "weight": "1"} for name in names
    ]
    later = {"supersedes": "00" * 32} if version > 1 else {}
    return Agreement.from_dict(values | {"id": identity, "version": version} | later)


AGREEMENT = agreed("a", "b")


def release(
    centres: Sequence[tuple[float, ...]], sizes: Sequence[int] | None = None,
    agreement: Agreement = AGREEMENT, *, sigma: float = 0.0,
) -> tuple[Release, Agreement]:  # fmt: skip
    """A release with centres in the scaled cube."""
    return Release(
        agreement_id=agreement.id, agreement_hash=agreement.hash, run_hash=bytes(32),
        plan="lloyd-exact", rounds=1, converged=True, participants=("p",), fraction_bits=20,
        statement=EXACT_STATEMENT, withheld=None,
        segments=tuple(
            Segment(segment=number, size=size, centre=tuple(round(v * ONE) for v in centre),
                    spread=0, centre_sigma=round(sigma * ONE))
            for number, (centre, size) in enumerate(
                zip(centres, sizes or [100] * len(centres), strict=True), start=1
            )
        ),
    ), agreement  # fmt: skip


def statuses(step: Step) -> dict[str, str]:
    return {living.id: living.status for living in step.living}


def test_the_first_release_numbers_its_segments_in_its_order() -> None:
    (step,) = lineage([release(CORNERS)])
    assert step.ids == ("S1", "S2", "S3", "S4")
    assert set(statuses(step).values()) == {"new"}
    assert [living.segment for living in step.living] == [1, 2, 3, 4]
    assert step.gone == ()


def test_a_segment_keeps_its_id_whatever_number_it_gets() -> None:
    _, after = lineage([release(CORNERS), release(CORNERS[::-1])])
    assert after.ids == ("S4", "S3", "S2", "S1")
    assert set(statuses(after).values()) == {"kept"}
    assert {living.moved for living in after.living} == {0.0}


def test_how_far_a_kept_segment_moved_is_told_in_the_cube() -> None:
    _, after = lineage([release(CORNERS), release([*CORNERS[:3], (0.77, 0.76)])])
    assert after.living[3].moved == pytest.approx(0.05, abs=1e-5)


def test_a_segment_far_from_all_is_new_and_one_that_nothing_is_near_retires() -> None:
    _, after = lineage([release(CORNERS[:3]), release([*CORNERS[:2], CORNERS[3]])])
    assert statuses(after) == {"S1": "kept", "S2": "kept", "S4": "new"}
    assert after.gone == (Gone(id="S3", status="retired"),)


def test_parts_of_a_segment_are_told_from_new_segments() -> None:
    """The larger part keeps the id; the centre of both is where the segment was."""
    parts = [(0.8, 0.7), (0.8, 1.0)]
    _, after = lineage([release(CORNERS), release([*CORNERS[:3], *parts], [9, 9, 9, 20, 10])])
    assert after.living[3].id == "S4"
    assert (after.living[4].id, after.living[4].status) == ("S5", "split")
    assert after.living[4].parent == "S4"
    # The same place for the second part, but the first has not made room for it.
    _, other = lineage([release(CORNERS), release([*CORNERS, (0.8, 0.5)], [9, 9, 9, 20, 10])])
    assert (other.living[4].status, other.living[4].parent) == ("new", "")


def test_a_part_that_explains_too_little_is_no_part() -> None:
    """With it the common centre is nearer to where the segment was, but not twice as near."""
    after = [*CORNERS[:3], (0.8, 0.7), (0.8, 1.0)]
    for size, status in ((3, "new"), (6, "split")):
        _, step = lineage([release(CORNERS), release(after, [9, 9, 9, 20, size])])
        assert step.living[4].status == status


def test_a_segment_that_another_took_in_is_merged_not_retired() -> None:
    parts = [(0.8, 0.7), (0.8, 1.0)]
    before = release([*CORNERS[:3], *parts], [9, 9, 9, 20, 10])
    _, after = lineage([before, release(CORNERS)])
    assert after.ids == ("S1", "S2", "S3", "S4")
    assert after.living[3].absorbed == ("S5",)
    assert after.gone == (Gone(id="S5", status="merged", into="S4"),)


def test_pairs_are_chosen_as_a_whole() -> None:
    """The nearest pair alone would leave the other segment without a partner."""
    before = release([(0.0, 0.0), (0.5, 0.0)])
    after = release([(0.24, 0.0), (0.74, 0.0)])
    assert lineage([before, after])[1].ids == ("S1", "S2")
    assert set(statuses(lineage([before, after])[1]).values()) == {"kept"}


def test_what_noise_explains_is_no_change_and_more_than_it_explains_is() -> None:
    close = [(0.0, 0.0), (0.1, 0.0)]
    moved = [(0.0, 0.09), (0.1, 0.09)]
    assert statuses(lineage([release(close), release(moved)])[1]) == {"S3": "new", "S4": "new"}
    noised = [release(close, sigma=0.03), release(moved, sigma=0.03)]
    assert statuses(lineage(noised)[1]) == {"S1": "kept", "S2": "kept"}


def test_a_lone_segment_is_kept_within_a_quarter_of_the_half_range_only() -> None:
    for moved, status in ((0.24, "kept"), (0.26, "new")):
        _, after = lineage([release([(0.0, 0.0)]), release([(moved, moved)])])
        assert [living.status for living in after.living] == [status]


def test_ids_are_never_given_again() -> None:
    steps = lineage([release(CORNERS), release(CORNERS[:1]), release(CORNERS)])
    assert steps[1].ids == ("S1",)
    assert steps[2].ids == ("S1", "S5", "S6", "S7")


def test_a_release_without_segments_changes_nothing() -> None:
    steps = lineage([release(CORNERS), release([]), release(CORNERS)])
    assert (steps[1].ids, steps[1].gone) == ((), ())
    assert steps[2].ids == steps[0].ids


def test_other_bounds_and_one_more_feature_do_not_end_a_segment() -> None:
    wider = agreed("new", "b", "a", maximum="20", version=2)
    before = release([(-1.0, 0.0), (1.0, 0.0)])  # a is 0 and 10 visits, b is 5
    after = release([(0.3, -0.5, 0.0), (0.3, -0.5, -1.0)], agreement=wider)
    assert lineage([before, after])[1].ids == ("S2", "S1")


def test_without_a_common_feature_every_segment_is_new() -> None:
    other = agreed("c", version=2)
    _, after = lineage([release(CORNERS), release([(0.0,)], agreement=other)])
    assert statuses(after) == {"S5": "new"}
    assert {gone.status for gone in after.gone} == {"retired"}


def test_releases_of_two_agreements_have_no_common_history() -> None:
    other = agreed("a", "b", identity="other")
    with pytest.raises(LocalProtocolError, match="one agreement"):
        lineage([release(CORNERS), release(CORNERS, agreement=other)])


def test_what_became_of_segments_is_told_over_several_releases() -> None:
    parts = [(0.8, 0.7), (0.8, 1.0)]
    steps = lineage(
        [
            release([*CORNERS[:3], *parts], [9, 9, 9, 20, 10]),
            release(CORNERS),
            release([*CORNERS[1:], (0.0, 0.0)]),
        ]
    )
    assert list(became(steps, 0, 2)) == [
        ("S1", "retired", ""),
        ("S2", "kept", ""),
        ("S3", "kept", ""),
        ("S4", "kept", ""),
        ("S5", "merged", "S4"),
        ("S6", "new", ""),
    ]
    assert list(became(steps, 1, 1)) == [(i, "kept", "") for i in steps[1].ids]


def test_a_segment_merged_into_one_that_retired_is_retired() -> None:
    parts = [(0.8, 0.7), (0.8, 1.0)]
    steps = lineage(
        [
            release([*CORNERS[:3], *parts], [9, 9, 9, 20, 10]),
            release(CORNERS),
            release(CORNERS[:3]),
        ]
    )
    assert {i: s for i, s, _ in became(steps, 0, 2)} == {
        "S1": "kept", "S2": "kept", "S3": "kept", "S4": "retired", "S5": "retired",
    }  # fmt: skip


def test_a_step_is_found_by_its_release() -> None:
    history = [release(CORNERS), release(CORNERS[:2])]
    steps = lineage(history)
    assert step_of(steps, history[1][0].hash) == (1, steps[1])
    with pytest.raises(LocalProtocolError):
        step_of(steps, bytes(32))


PLACE = st.tuples(*[st.integers(-8, 8).map(lambda v: v / 8)] * 2)
PLACES = st.lists(PLACE, min_size=1, max_size=7, unique=True)


@given(PLACES, st.data())
def test_tiny_moves_in_any_order_keep_every_id(
    places: list[tuple[float, float]], data: st.DataObject
) -> None:
    before = release(places)
    order = data.draw(st.permutations(range(len(places))))
    step = st.integers(-20, 20).map(lambda v: v / 1000)  # at most a quarter of the least distance
    after = release(
        [tuple(v + data.draw(step) for v in places[i]) for i in order]  # type: ignore[misc]
    )
    assert lineage([before, after])[1].ids == tuple(f"S{i + 1}" for i in order)


@given(st.lists(PLACES, min_size=1, max_size=5))
def test_ids_are_distinct_accounted_for_and_never_come_back(
    history: list[list[tuple[float, float]]],
) -> None:
    steps = lineage([release(places) for places in history])
    assert steps == lineage([release(places) for places in history])
    assert steps[:-1] == lineage([release(places) for places in history[:-1]])
    given_up: set[str] = set()
    before: tuple[str, ...] = ()
    highest = 0
    for step in steps:
        assert len(set(step.ids)) == len(step.ids)
        assert not given_up & set(step.ids)
        for living in step.living:
            assert (living.status == "kept") == (living.id in before)
            if living.status != "kept":
                assert int(living.id[1:]) > highest
            assert (living.status == "split") == bool(living.parent)
            assert not living.parent or living.parent in step.ids
        assert {gone.id for gone in step.gone} == set(before) - set(step.ids)
        assert all((g.status == "merged") == (g.into in step.ids) for g in step.gone)
        absorbed = [i for living in step.living for i in living.absorbed]
        assert sorted(absorbed) == sorted(g.id for g in step.gone if g.status == "merged")
        highest += sum(living.status != "kept" for living in step.living)
        given_up |= {gone.id for gone in step.gone}
        before = step.ids
