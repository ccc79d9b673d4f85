"""Attacks in the sense of WP29 05/2014: each works with the protection off, and not with it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from math import exp
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import MalformedError, UsageError
from protocol.evidence.attack_rates import Rate, risk
from protocol.evidence.attack_results import NAMES, Results
from simulations.attacking import agreed
from simulations.attacking.described import DESCRIBED
from simulations.attacking.results import attack_results
from simulations.attacking.seen import Setting
from simulations.cli.attack import attack
from tests import effort

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
NOISED = replace(agreed.NOISED, customers=200, n_clusters=3)
EXACT = replace(agreed.EXACT, customers=200, n_clusters=3)


def run(setting: Setting, runs: int, *, seed: int = 0) -> Results:
    return attack_results(NAMES, setting, runs=runs, seed=seed, now=NOW)


@pytest.fixture(scope="module")
def noised() -> Results:
    return run(NOISED, effort.count(24, 1_000))


def test_every_attack_is_described_and_named_once() -> None:
    assert tuple(DESCRIBED) == NAMES


def test_each_attack_succeeds_with_the_protection_off(noised: Results) -> None:
    assert [one.name for one in noised.attacks if not one.worked] == []


def test_no_attack_does_better_than_epsilon_allows(noised: Results) -> None:
    for one in noised.attacks:
        allowed = exp(1.0) * Rate.of(one.control, one.attacks).high + 1e-5
        assert one.rate.low <= allowed, one.name
        assert one.within(1.0, 1e-5)
        assert one.risk.low < 0.25, one.name


def test_attacks_on_exact_totals_succeed_and_masks_still_hide_a_partner() -> None:
    for one in run(EXACT, 12).attacks:
        if one.name == "masked-answers":
            assert one.successes < one.attacks
        else:
            assert one.successes >= one.attacks - 1, one.name
            assert one.risk.low > 0.25, one.name


def test_the_same_seed_gives_the_same_results_to_the_bit() -> None:
    assert run(NOISED, 2) == run(NOISED, 2)
    assert run(NOISED, 6).attacks != run(NOISED, 6, seed=1).attacks


@pytest.mark.parametrize(
    ("successes", "of", "low", "high"),
    [  # Newcombe 1998, table I, method 3: the score interval
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_wilsons(successes: int, of: int, low: float, high: float) -> None:
    found = Rate.of(successes, of)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_risk_is_what_lies_above_the_control() -> None:
    assert risk(50, 50, 100).value == 0.0
    assert risk(100, 0, 100).value > 0.95
    assert risk(10, 60, 100).value == 0.0
    # (r - c) / (1 - c), r and c the middles of Wilson's intervals: by hand 0.782244, 0.237002.
    assert risk(79, 23, 100).value == pytest.approx((0.779269 - 0.239988) / 0.760012, abs=1e-4)


def test_a_file_of_results_is_read_as_it_was_written(noised: Results) -> None:
    assert Results.read(json.loads(json.dumps(noised.to_dict()))) == noised


@pytest.mark.parametrize("field", ["successes", "control", "baseline", "unprotected"])
def test_counts_that_do_not_give_the_rates_are_refused(noised: Results, field: str) -> None:
    values: dict[str, Any] = json.loads(json.dumps(noised.to_dict()))
    one = values["attacks"][4]
    one[field] = one[field] - 1 if one[field] else 1
    with pytest.raises(MalformedError):
        Results.read(values)


def test_the_command_writes_a_file_and_never_over_another(tmp_path: Path) -> None:
    file = tmp_path / "attacks.json"
    attack(out=file, plan="lloyd-exact", runs=2)
    assert not Results.read(json.loads(file.read_text("utf-8"))).missing
    before = file.read_bytes()
    with pytest.raises(UsageError):
        attack(out=file, plan="lloyd-exact", runs=2)
    assert file.read_bytes() == before
