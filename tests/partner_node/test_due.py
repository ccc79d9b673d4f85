"""Agreed moments at a node: what comes next, and that a run did not come."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from machine.files import write_file
from partner_node import serving
from partner_node.due import CAME, NONE_CAME, REFUSED, Expected, expected
from partner_node.home import NodeHome
from partner_node.keystore import Keystore
from partner_node.serving import awaiting_runs, runs_not_come
from partner_node.store.node_store import NodeStore
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.schedule import ScheduleTerms
from protocol.signed_agreement import SignedAgreement
from simulations.federation import EphemeralSealer
from tests.federations import small_federation
from tests.partner_node.nodes import complete, node, shell
from tests.shell import Shell

__all__ = ["node", "shell"]

FIRST = datetime(2026, 3, 1, 3, tzinfo=UTC)
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
DAILY = ScheduleTerms(every=1, unit="days", first_day=date(2026, 3, 1), at="03:00", window_hours=6)


class Lab:
    def __init__(self, kept_at: datetime) -> None:
        federation = small_federation()
        values = federation.agreement.to_dict() | {
            "schedule": DAILY.to_dict(), "retention": {"assignments_days": 1, "records_days": 30},
        }  # fmt: skip
        self.agreement = Agreement.from_dict(values)
        self.store = NodeStore(":memory:", EphemeralSealer())
        with self.store.transaction():
            self.store.keep_agreement(SignedAgreement.draft(self.agreement), now=stamp(kept_at))

    def expected(self, now: datetime) -> Expected:
        found = expected(self.agreement, self.store, now)
        assert found is not None
        return found

    def note_run(self, at: datetime, agreement_hash: bytes | None = None) -> None:
        self.store.ask(
            "INSERT INTO runs (run_id, run_hash, agreement_hash, phase, round, reason, started_at,"
            " updated_at, sealed) VALUES (?, ?, ?, 'hello', 0, '', ?, ?, ?)",
            stamp(at).encode()[:16].ljust(16, b"."),
            b"",
            agreement_hash or self.agreement.hash,
            stamp(at),
            stamp(at),
            b"",
        )


@pytest.fixture
def lab() -> Lab:
    return Lab(FIRST - DAY)


def test_the_next_moments_are_those_of_the_agreement(lab: Lab) -> None:
    found = lab.expected(FIRST)
    assert [f"{m.at:%m-%d %H:%M}" for m in found.following] == [
        "03-02 03:00", "03-03 03:00", "03-04 03:00",
    ]  # fmt: skip
    assert found.last is None
    assert found.trouble == []
    assert expected(small_federation().agreement, lab.store, FIRST) is None


def test_a_window_is_judged_when_it_is_over_also_by_a_slow_clock(lab: Lab) -> None:
    end = FIRST + 6 * HOUR
    assert lab.expected(end + 4 * MINUTE).last is None
    found = lab.expected(end + 5 * MINUTE)
    assert (found.last, found.seen) == (next(lab.agreement.moments(FIRST, FIRST)), NONE_CAME)
    assert "No request came here for the run" in found.trouble[0]


@pytest.mark.parametrize("at", [FIRST - 4 * MINUTE, FIRST, FIRST + 6 * HOUR + 4 * MINUTE])
def test_a_run_in_the_window_came(lab: Lab, at: datetime) -> None:
    lab.note_run(at)
    found = lab.expected(FIRST + 7 * HOUR)
    assert found.seen == CAME
    assert found.trouble == []


def test_runs_at_other_times_or_of_another_agreement_are_none_of_it(lab: Lab) -> None:
    lab.note_run(FIRST - 6 * MINUTE)
    lab.note_run(FIRST + 6 * HOUR + 6 * MINUTE)
    lab.note_run(FIRST + HOUR, b"\1" * 32)
    with lab.store.transaction():
        Refusals(lab.store).add("E-CODE", stamp(FIRST + HOUR).encode()[:16].ljust(16, b"."),
                                now=stamp(FIRST + HOUR))  # fmt: skip
    assert lab.expected(FIRST + 7 * HOUR).seen == NONE_CAME


def test_a_run_that_this_node_refused_is_told_as_that(lab: Lab) -> None:
    with lab.store.transaction():
        Refusals(lab.store).add("E-CODE", b"\2" * 16, now=stamp(FIRST + HOUR))
    found = lab.expected(FIRST + 7 * HOUR)
    assert found.seen == REFUSED
    assert "only requests came that this node refused" in found.trouble[0]


def test_a_window_before_the_agreement_was_here_or_without_records_is_not_judged(lab: Lab) -> None:
    assert Lab(FIRST + MINUTE).expected(FIRST + 7 * HOUR).last is None
    ended = lab.agreement.review_by
    assert lab.expected(ended + 29 * DAY).seen == NONE_CAME
    assert lab.expected(ended + 32 * DAY).last is None


def test_since_when_an_agreement_is_kept_does_not_change_with_a_release() -> None:
    federation = small_federation()
    store = federation.nodes[0].store
    with store.transaction():
        store.keep_agreement(federation.signed, now=stamp(FIRST))
        store.keep_agreement(federation.signed, now=stamp(FIRST + DAY))
    assert store.kept_since(federation.agreement.hash) == FIRST
    assert store.kept_since(b"\0" * 32) is None


def due_node(shell: Shell, node: Path) -> Path:
    """A node whose agreement had a moment the day before yesterday, and nothing came."""
    now = datetime.now(UTC)
    terms = DAILY.to_dict() | {
        "first_day": f"{now - timedelta(days=1):%Y-%m-%d}", "window_hours": 1, "every": 5,
        "at": "00:00",
    }  # fmt: skip
    (node / "signed.json").write_bytes(complete(node, schedule=terms))
    shell.json("agreement", "install", node / "signed.json", "--dir", node)
    home = NodeHome.load(node)
    store = home.store(home.keystore())
    store.ask("UPDATE agreements SET kept_at = ?", stamp(now - timedelta(days=3)))
    store.close()
    return node


def test_a_node_shows_and_logs_that_a_run_did_not_come(
    shell: Shell, node: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_node(shell, node)
    (one,) = shell.json("status", "--dir", node)["schedules"]
    assert one["last"]["seen"] == NONE_CAME
    shown = shell.json("agreement", "show", "--dir", node)["schedule"]
    assert shown == one
    for command in (("status",), ("agreement", "show")):
        said = " ".join(shell(*command, "--dir", node).out.split())
        assert "Next runs of agreement ours by its schedule" in said or "none by this" in said
        assert "No request came here" in said
    assert "A run begins by itself every 5 days" in " ".join(
        shell("agreement", "show", "--dir", node).out.split()
    )
    looked = threading.Semaphore(0)
    inner = serving.runs_not_come

    def counted(home: NodeHome, now: datetime) -> list[str]:
        found = inner(home, now)
        looked.release()
        return found

    monkeypatch.setattr(serving, "runs_not_come", counted)
    with awaiting_runs(NodeHome.load(node), every_s=0.01):
        for _ in range(3):
            assert looked.acquire(timeout=60)
    assert caplog.text.count("No request came here") == 1


def test_what_keeps_a_node_from_knowing_is_said(shell: Shell, node: Path) -> None:
    due_node(shell, node)
    home = NodeHome.load(node)
    (node / "state" / "node.db").unlink()
    (words,) = runs_not_come(home, datetime.now(UTC))
    assert "E-STATE-LOST" in words


def test_a_node_that_looks_every_minute_opens_its_keys_once_and_again_when_they_were_replaced(
    shell: Shell, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening them takes half a second of a processor, on purpose."""
    due_node(shell, node)
    opened: list[Path] = []
    inner = Keystore.open

    def counted(path: Path, passphrase: bytes) -> Keystore:
        opened.append(path)
        return inner(path, passphrase)

    monkeypatch.setattr(Keystore, "open", counted)
    home = NodeHome.load(node)
    home.keystore()
    for _ in range(3):
        assert runs_not_come(home, datetime.now(UTC))
    assert len(opened) == 1
    (path,) = opened
    write_file(path, path.read_bytes(), mode=0o600)
    runs_not_come(home, datetime.now(UTC))
    assert len(opened) == 2
