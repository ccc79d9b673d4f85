"""Every duty of the operator, made to stand in each state that it can have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator.config import BACKUP_NOTE
from coordinator.control.standing import NOT_READY
from coordinator.duties import agreements
from coordinator.duties.all import duties_of
from coordinator.store.diligence import Diligence
from coordinator.store.hand_overs import KeptHandOvers
from coordinator.store.scheduled_runs import ScheduledRuns
from coordinator.store.times import stamp
from machine.backups import note_backup
from machine.duties.duty import Duty, State
from tests.control.commands import operator
from tests.coordinator.consoles import World, fresh, world
from tests.coordinator.test_coordinator_cli import shell
from tests.shell import Shell

__all__ = ["fresh", "shell", "world"]

DAY = timedelta(days=1)


class Lab:
    """A coordinator's folder, and its duties at whatever time."""

    def __init__(self, world: World, patch: pytest.MonkeyPatch) -> None:
        self.world, self.patch, self.now = world, patch, datetime.now(UTC)
        (self.agreement,) = [
            one.agreement for one in world.store.agreements() if one.agreement.id == "ours"
        ][:1]

    def duties(self, *, days: float = 0, at: datetime | None = None) -> dict[str, Duty]:
        now = (at or self.now) + days * DAY
        found = duties_of(self.world.config, self.world.store, now, under="ours")
        assert len({one.key for one in found}) == len(found)
        return {one.name: one for one in found}

    def state(self, name: str, **when: Any) -> State:
        return self.duties(**when)[name].state


@pytest.fixture
def lab(fresh: World, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(fresh, monkeypatch)


def _agreement(lab: Lab) -> None:
    end = lab.agreement.expires
    assert [lab.state("agreement", at=end, days=d) for d in (-31, -5)] == [State.OK, State.SOON]
    stop = SimpleNamespace(partner="north", at="2026-12-01T09:00:00Z")
    lab.patch.setattr(lab.world.store, "stops_of", lambda _: [b"x"])
    lab.patch.setattr(agreements.SignedStop, "from_bytes", staticmethod(lambda _: stop))
    found = lab.duties()["agreement"]
    assert (found.state, found.since) == (State.OVERDUE, datetime(2026, 12, 1, 9, tzinfo=UTC))


def _review(lab: Lab) -> None:
    end = lab.agreement.review_by
    assert [lab.state("review", at=end, days=d) for d in (-31, -5, 0.1)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip


def _diligence(lab: Lab) -> None:
    asks = SimpleNamespace(
        **{name: getattr(lab.agreement, name) for name in ("id", "version", "parties")},
        diligence=True,
    )

    def stands(records: dict[str, Any], days: float = 0) -> Duty:
        lab.patch.setattr(Diligence, "newest", lambda _: records)
        return agreements._diligence(lab.world.store, asks, lab.now + days * DAY)  # type: ignore[arg-type]

    plain = SimpleNamespace(**{**vars(asks), "diligence": False})
    assert agreements._diligence(lab.world.store, plain, lab.now).state is State.NOT_ASKED  # type: ignore[arg-type]
    ids = [one.id for one in lab.agreement.parties]
    record = SimpleNamespace(expires=lab.now + 100 * DAY, is_of=lambda *_, **__: True)
    strange = SimpleNamespace(expires=lab.now + 100 * DAY, is_of=lambda *_, **__: False)
    lacking = stands(dict.fromkeys(ids[1:], record))
    assert (lacking.state, ids[0] in lacking.found) == (State.OVERDUE, True)
    assert stands(dict.fromkeys(ids, strange)).state is State.OVERDUE
    whole = dict.fromkeys(ids, record)
    assert [stands(whole, d).state for d in (0, 80, 101)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip


def _schedule(lab: Lab) -> None:
    before = lab.state("scheduled-runs")
    if lab.agreement.schedule is None:
        assert before is State.NOT_ASKED
        scheduled = SimpleNamespace(
            **{name: getattr(lab.agreement, name) for name in ("id", "version")}, schedule=object()
        )
    else:
        scheduled = lab.agreement  # type: ignore[assignment]
    moment = SimpleNamespace(words="the 1st", until=lab.now - DAY, at=lab.now + DAY)

    def stands(state: str | None) -> Duty:
        last = [] if state is None else [SimpleNamespace(state=state, moment=moment, code="E-X")]
        lab.patch.setattr(agreements, "past", lambda *_, **__: last)
        lab.patch.setattr(agreements, "ahead", lambda *_, **__: [SimpleNamespace(moment=moment)])
        return agreements._schedule(lab.world.store, scheduled, lab.now)  # type: ignore[arg-type]

    assert [stands(one).state for one in (None, "started", "missed")] == [
        State.OK, State.OK, State.OVERDUE
    ]  # fmt: skip
    assert (stands("missed").since, stands("missed").next) == (moment.until, moment.at)
    lab.patch.setattr(ScheduledRuns, "paused", lambda *_: True)
    assert stands("started").state is State.SOON


def _readiness(lab: Lab) -> None:
    for state, stands in ((NOT_READY, State.SOON), ("ready", State.OK)):
        told = [SimpleNamespace(partner="north", state=state)]
        lab.patch.setattr(agreements, "parties_readiness", lambda *_, told=told, **__: told)
        assert lab.state("readiness") is stands


def _backup(lab: Lab) -> None:
    note = lab.world.config.directory / BACKUP_NOTE
    note.unlink(missing_ok=True)
    assert lab.state("backup") is State.OVERDUE
    note_backup(note, stamp(lab.now))
    assert [lab.state("backup", days=d) for d in (1, 3)] == [State.OK, State.OVERDUE]


def _certificate(lab: Lab) -> None:
    end = lab.duties()["certificate"].next
    assert end is not None
    assert [lab.state("certificate", at=end, days=d) for d in (-31, -5, 1)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip
    lab.world.config.certificate.write_text("no certificate")
    assert lab.state("certificate") is State.UNKNOWN


def _authority(lab: Lab) -> None:
    if lab.world.config.control is None:
        assert "authority" not in lab.duties()
        return
    end = lab.duties()["authority"].next
    assert end is not None
    assert lab.state("authority", at=end, days=1) is State.OVERDUE


def _keys(lab: Lab) -> None:
    assert lab.state("keys") is State.OK
    fork = (SimpleNamespace(whose="north"), "2026-12-01T09:00:00Z")
    lab.patch.setattr(KeptHandOvers, "forks", lambda _: [fork])
    found = lab.duties()["keys"]
    assert (found.state, found.found) == (State.OVERDUE, "handed over twice: north")


EACH: dict[str, Callable[[Lab], None]] = {
    "agreement": _agreement, "review": _review, "due-diligence": _diligence,
    "scheduled-runs": _schedule, "readiness": _readiness, "backup": _backup,
    "certificate": _certificate, "authority": _authority, "keys": _keys,
}  # fmt: skip


@pytest.mark.parametrize("name", EACH)
def test_a_duty_stands_as_the_facts_are(lab: Lab, name: str) -> None:
    EACH[name](lab)


def test_no_duty_is_told_that_is_not_made_to_stand_in_its_states(lab: Lab) -> None:
    text = (Path(__file__).parents[2] / "docs" / "duties.md").read_text(encoding="utf-8")
    for name in lab.duties():
        assert name in EACH
        assert f"`{name}`" in text


def test_the_exit_status_is_for_a_machine(shell: Shell, lab: Lab) -> None:
    directory = lab.world.config.directory
    note_backup(directory / BACKUP_NOTE, stamp(lab.now))
    run, words = operator(shell), ("compliance", "status", "--dir", directory)
    done = run(*words, "--format", "json")
    found = done.envelope
    overdue = found["data"]["states"]["overdue"]
    assert (done.code, found["status"]) == ((3, "refused") if overdue else (0, "ok"))
    refused = run.refused(*words, "--agreement", "theirs", status=2)
    assert "ours" in refused["remedy"]
