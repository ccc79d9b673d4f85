"""`run schedule` and `run list`: what comes next, what was missed and why, pauses."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coordinator.config import CoordinatorConfig
from coordinator.store.times import stamp
from protocol.agreement.schedule import ScheduleTerms
from tests.coordinator.test_coordinator_cli import (
    cards,
    copies,
    draft,
    home,
    load_signed,
    publish,
    published,
    shell,
)
from tests.shell import Shell

__all__ = ["cards", "copies", "draft", "home", "published", "shell"]

NOW = datetime.now(UTC)
#: Open for five more hours at least, unless the test takes as long.
DAILY = ScheduleTerms(
    every=1, unit="days", first_day=NOW.date() - timedelta(days=3),
    at=f"{NOW - timedelta(hours=1):%H:%M}", window_hours=6,
)  # fmt: skip


@pytest.fixture
def scheduled(shell: Shell, published: Path, draft: Path) -> Path:
    """A coordinator with an agreement that has a schedule, published for three days."""
    first = load_signed(draft).agreement
    agreement = dataclasses.replace(
        first, version=2, supersedes=first.hash, schedule=DAILY,
        effective=NOW - timedelta(days=3), review_by=NOW + timedelta(days=30),
        expires=NOW + timedelta(days=31),
    )  # fmt: skip
    publish(shell, published, agreement)
    store = CoordinatorConfig.load(published).open_store()
    store.ask("UPDATE agreements SET added_at = ?", stamp(NOW - timedelta(days=3)))
    return published


def test_next_and_past_moments_are_shown_with_what_became_of_them(
    shell: Shell, scheduled: Path
) -> None:
    (one,) = shell.json("run", "schedule", "--count", 2, "--dir", scheduled)["schedules"]
    assert one["schedule"] == DAILY.to_dict()
    assert [due["state"] for due in one["next"]] == ["ahead", "ahead"]
    assert [due["state"] for due in one["past"]] == ["due", "missed"]
    said = shell("run", "schedule", "--dir", scheduled).out
    assert "every day from" in said
    assert "missed: E-NOT-SERVED no process served this coordinator" in " ".join(said.split())


def test_missed_runs_are_said_beside_those_that_were(shell: Shell, scheduled: Path) -> None:
    found = shell.json("run", "list", "--dir", scheduled)["missed"]
    assert {due["code"] for due in found} == {"E-NOT-SERVED"}
    said = shell("run", "list", "--dir", scheduled).out
    assert said.count("it is not made up") == len(found) > 1


def test_a_pause_and_its_end_are_on_record_with_their_reasons(
    shell: Shell, scheduled: Path
) -> None:
    early = shell.json("run", "schedule", "--resume", "--reason", "x", "--dir", scheduled)
    assert (early["changed"], early["reason"]) == (False, "")
    missing = shell.refused("run", "schedule", "--pause", "--dir", scheduled, status=2)
    assert "--reason" in missing["message"]
    done = shell.json("run", "schedule", "--pause", "--reason", "audit", "--dir", scheduled)
    assert (done["paused"], done["changed"]) == (True, True)
    again = shell.json("run", "schedule", "--pause", "--reason", "x", "--dir", scheduled)
    assert (again["changed"], again["reason"]) == (False, "audit"), "as on record"
    assert "PAUSED since" in shell("run", "schedule", "--dir", scheduled).out
    shell.json("run", "schedule", "--resume", "--reason", "done", "--dir", scheduled)
    (one,) = shell.json("run", "schedule", "--dir", scheduled)["schedules"]
    assert not one["paused"]
    assert [(c["paused"], c["reason"]) for c in one["pauses"]] == [
        (True, "audit"),
        (False, "done"),
    ]


def test_what_is_no_pause_of_a_schedule_is_refused(shell: Shell, scheduled: Path) -> None:
    why = ("--reason", "x")
    for words, code in (
        (("--pause", "--resume", *why), "E-USAGE"),
        (why, "E-USAGE"),
        (("--pause", "--reason", "two\nlines"), "E-MALFORMED"),
        (("--agreement", "unknown"), "E-AGR-UNKNOWN"),
    ):
        done = shell("run", "schedule", *words, "--dir", scheduled, "--format", "json")
        assert done.envelope["data"]["code"] == code


def test_one_of_several_schedules_is_named(shell: Shell, scheduled: Path, draft: Path) -> None:
    first = load_signed(draft).agreement
    publish(shell, scheduled, dataclasses.replace(first, id="plain"))
    error = shell.refused("run", "schedule", "--agreement", "plain", "--dir", scheduled, status=2)
    assert error["code"] == "E-SCHEDULE"
    publish(shell, scheduled, dataclasses.replace(first, id="other", schedule=DAILY))
    error = shell.refused(
        "run", "schedule", "--pause", "--reason", "x", "--dir", scheduled, status=2
    )
    assert error["code"] == "E-AGR-WHICH"
    shell.json(
        "run", "schedule", "--pause", "--reason", "x", "--agreement", "other", "--dir", scheduled
    )  # fmt: skip
    found = shell.json("run", "schedule", "--dir", scheduled)["schedules"]
    assert {one["agreement"]: one["paused"] for one in found}["other"]
    assert sum(one["paused"] for one in found) == 1


def test_without_a_schedule_there_is_nothing_to_pause(shell: Shell, published: Path) -> None:
    assert shell.json("run", "schedule", "--dir", published) == {"schedules": []}
    error = shell.refused(
        "run", "schedule", "--pause", "--reason", "x", "--dir", published, status=2
    )
    assert error["code"] == "E-SCHEDULE"
