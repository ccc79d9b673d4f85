"""`run watch` and `run list` say who is missing, since when, and what comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coordinator.cli import progress as shown
from coordinator.config import CoordinatorConfig
from coordinator.runs.life import serve_lock
from coordinator.shown.progress_words import next_words, since_words, standing_words
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp
from tests.coordinator.test_coordinator_cli import cards, copies, draft, home, published, shell
from tests.shell import Shell

__all__ = ["cards", "copies", "draft", "home", "published", "shell"]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
COMES: dict[str, Any] = {
    "at": stamp(NOW + timedelta(seconds=48)), "goes_on": True, "without": ["shop-2"], "code": "",
    "reason": "",
}  # fmt: skip
ENDS = COMES | {"goes_on": False, "code": "E-SET-QUORUM"}


def standing(**changes: Any) -> dict[str, Any]:
    """A run that has waited for shop-2 for twelve seconds, of sixty."""
    return {
        "phase": "answers", "doing": "adding masked answers", "round": 2, "max_rounds": 5,
        "participants": ["shop-0", "shop-1", "shop-2"], "waiting_for": ["shop-2"],
        "left_out": [], "refusals": {}, "since": stamp(NOW - timedelta(seconds=12)),
        "heard": {"shop-2": stamp(NOW - timedelta(seconds=30))}, "next": COMES,
    } | changes  # fmt: skip


def test_who_is_missing_since_when_and_what_comes_next_is_said() -> None:
    assert standing_words(standing(), NOW) == [
        "adding masked answers, round 2 of at most 5, 2 of 3 partners have answered, waiting for "
        "shop-2.",
        "It has waited for 12 s, since 03:03:53 UTC.",
        "shop-2 was heard last at 03:03:35 UTC.",
        "In 48 s, at 03:04:53 UTC: the run goes on without shop-2.",
    ]


def test_an_end_is_said_with_its_code() -> None:
    assert next_words(standing(next=ENDS), NOW).endswith(
        "the run ends with E-SET-QUORUM unless shop-2 answers"
    )


def test_several_answer_and_get_where_one_answers_and_gets() -> None:
    both = ["shop-1", "shop-2"]
    ends, comes = ENDS | {"without": both}, COMES | {"without": both}
    assert next_words(standing(next=ends), NOW).endswith("unless shop-1, shop-2 answer")
    assert "shop-1, shop-2 get the" in next_words(standing(phase="acks", next=comes), NOW)


def test_the_last_wait_takes_no_release_from_anybody() -> None:
    assert next_words(standing(phase="acks"), NOW).endswith(
        "the run ends, and shop-2 gets the release later"
    )


def test_a_moment_that_has_passed_is_any_moment() -> None:
    assert next_words(standing(), NOW + timedelta(seconds=49)).startswith("any moment: ")


def test_a_run_of_an_earlier_version_is_told_as_far_as_it_is_known() -> None:
    """It wrote down neither since when nor what comes next."""
    earlier = {k: v for k, v in standing().items() if k not in ("since", "heard", "next")}
    assert (since_words(earlier, NOW), next_words(earlier, NOW)) == ("", "")
    assert len(standing_words(earlier, NOW)) == 1
    assert len(standing_words({}, NOW)) == 1


def running(shell: Shell, published: Path) -> tuple[CoordinatorStore, bytes]:
    run_id = bytes.fromhex(shell.json("run", "start", "--dir", published)["run_id"])
    store = CoordinatorConfig.load(published).open_store()
    store.begin_attempt(run_id)
    now = datetime.now(UTC)
    comes = COMES | {"at": stamp(now + timedelta(seconds=48))}
    store.report_progress(run_id, standing(since=stamp(now), next=comes))
    return store, run_id


def test_a_run_is_looked_at_once(shell: Shell, published: Path) -> None:
    store, run_id = running(shell, published)
    with serve_lock(published):
        data = shell.json("run", "watch", "--once", "--dir", published)
        out = " ".join(shell("run", "watch", "--once", "--dir", published).out.split())
    assert (data["run_id"], data["state"], data["served"]) == (run_id.hex(), "running", True)
    assert data["progress"]["next"]["without"] == ["shop-2"]
    assert data["progress"]["waiting_for"] == ["shop-2"]
    assert "the run goes on without shop-2" in out
    assert shell.json("run", "watch", "--once", "--dir", published)["served"] is False
    assert "no process serves" in shell("run", "watch", "--once", "--dir", published).out
    store.fail(run_id, "E-SET-QUORUM", "shop-2 did not answer", "bring it back")
    error = shell.refused("run", "watch", "--once", "--dir", published, status=1)
    assert error["code"] == "E-SET-QUORUM"
    store.close()


def test_the_list_says_what_a_run_waits_for(shell: Shell, published: Path) -> None:
    shell.json("run", "start", "--dir", published)
    assert "waits for a driver" in " ".join(shell("run", "list", "--dir", published).out.split())
    shell.json("run", "stop", "--dir", published)
    store, run_id = running(shell, published)
    listed = " ".join(shell("run", "list", "--dir", published).out.split())
    for words in ("waits for shop-2", "the run goes on without shop-2"):
        assert words in listed
    store.fail(run_id, "E-STOPPED", "stopped by the operator")
    listed = " ".join(shell("run", "list", "--dir", published).out.split())
    assert "E-STOPPED stopped by the operator" in listed
    assert "waits for" not in listed
    store.close()


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_when_partners_were_heard_is_a_column_where_it_is_known_or_comes(
    shell: Shell, published: Path, ended: bool, missing: bool
) -> None:
    store, run_id = running(shell, published)
    if not missing:
        store.report_progress(run_id, standing(waiting_for=[], heard={}))
    if ended:
        store.fail(run_id, "E-SET-QUORUM", "too few", "bring them back")
    out = shell("run", "show", "--dir", published).out
    assert ("heard last" in out) is (missing or not ended)
    assert ("03:03 UTC" in out) is missing
    assert ("missing at the end" in out) is (missing and ended)
    assert "answered" in out
    store.close()


def test_a_log_says_once_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = {"now": 0.0}
    monkeypatch.setattr(shown.time, "monotonic", lambda: clock["now"])
    monkeypatch.setattr(shown, "now_utc", lambda: NOW)
    lines = shown._Lines()
    for tenth in range(200):
        clock["now"] = tenth / 10
        lines.show(standing() if tenth > 5 else standing(next=None))
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("waiting for shop-2") == 2
    assert told.count("the run goes on without shop-2") == 1
