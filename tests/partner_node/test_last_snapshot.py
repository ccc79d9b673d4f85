"""Tables of consents that have not changed are not parsed again; whatever matters is noticed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from partner_node.consent import tables as tables_module
from partner_node.consent.gate import ConsentGate
from partner_node.consent.last_snapshot import LastSnapshot, TablesState
from partner_node.consent.verdicts import judge_births, judge_consents
from partner_node.kept_room import KeptRoom
from protocol.agreement.governance import SEGMENTATION
from protocol.errors import FedsegError
from tests.partner_node import consents as c

HEADER = [*c.HEADER, "until"]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that were judged, in order."""
    found: list[str] = []

    def noting(judge: Callable[..., None], name: str) -> Callable[..., None]:
        def noted(*arguments: Any) -> None:
            found.append(name)
            judge(*arguments)

        return noted

    monkeypatch.setattr(tables_module, "judge_consents", noting(judge_consents, "consents"))
    monkeypatch.setattr(tables_module, "judge_births", noting(judge_births, "births"))
    return found


def permitted(gate: ConsentGate, *ids: str, now: datetime = c.NOW) -> list[str]:
    return [
        i for i, yes in zip(ids, gate.snapshot(now).allowed(c.ids_of(*ids)), strict=True) if yes
    ]


def overwritten(path: Path, old: str, new: str) -> None:
    """Write other bytes of the same number into a file, and set its time back."""
    assert len(old) == len(new)
    before = path.stat()
    with path.open("r+b") as file:
        content = file.read()
        assert content.count(old.encode()) == 1
        file.seek(0)
        file.write(content.replace(old.encode(), new.encode()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size, before.st_mtime_ns, before.st_ino,
    )  # fmt: skip


def test_tables_that_have_not_changed_are_judged_once(tmp_path: Path, judged: list[str]) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.withdrawn("b")])
    gate = c.gate_of(c.consents(table))
    first = gate.snapshot(c.NOW)
    assert gate.snapshot(c.NOW + timedelta(hours=1)) is first
    assert judged == ["consents"]
    gate.forget()
    assert permitted(gate, "a", "b") == ["a"]
    assert judged == ["consents"] * 2


def test_a_withdrawal_is_noticed_in_a_file_of_the_same_size_and_time(
    tmp_path: Path, judged: list[str]
) -> None:
    rows = [c.given("a"), c.given("b", event="RenewedConsentGiven"), c.given("d", notice="1")]
    table = c.write_csv(tmp_path / "crm.csv", rows)
    gate = c.gate_of(c.consents(table))
    assert permitted(gate, "a", "b", "d") == ["a", "b", "d"]
    overwritten(table, "RenewedConsentGiven", "ConsentWithdrawn   ")
    assert permitted(gate, "a", "b", "d") == ["a", "d"]
    assert judged == ["consents"] * 2


def test_a_wish_told_to_this_node_counts_though_no_table_changed(
    tmp_path: Path, judged: list[str]
) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.given("b")])
    wishes: list[str] = []
    gate = c.gate_of(c.consents(table), left_out=lambda: frozenset(wishes))
    assert permitted(gate, "a", "b") == ["a", "b"]
    wishes.append("b")
    assert permitted(gate, "a", "b") == ["a"]
    wishes[:] = ["a"]
    assert permitted(gate, "a", "b") == ["b"], "as many wishes, of somebody else"
    wishes.clear()
    assert permitted(gate, "a", "b") == ["a", "b"]


def test_a_consent_that_ends_is_out_at_that_moment(tmp_path: Path, judged: list[str]) -> None:
    ends = c.NOW + timedelta(hours=2)
    rows = [c.given("a"), c.given("b", until=ends.isoformat())]
    gate = c.gate_of(c.consents(c.write_csv(tmp_path / "crm.csv", rows, header=HEADER)))
    assert permitted(gate, "a", "b") == ["a", "b"]
    before = ends - timedelta(microseconds=1)
    assert permitted(gate, "a", "b", now=before) == ["a", "b"]
    assert judged == ["consents"]
    assert permitted(gate, "a", "b", now=ends) == ["a"]
    assert judged == ["consents"] * 2


@pytest.mark.parametrize("purpose", [SEGMENTATION, "dpv:Marketing"])
def test_an_event_of_the_future_counts_once_its_time_has_come(
    tmp_path: Path, judged: list[str], purpose: str
) -> None:
    comes = c.NOW + timedelta(hours=1)
    rows = [c.given("a"), c.given("b"), c.given("b", comes.isoformat(), purpose=purpose)]
    gate = c.gate_of(c.consents(c.write_csv(tmp_path / "crm.csv", rows)))
    early = ["a", "b"] if purpose != SEGMENTATION else ["a"]
    assert permitted(gate, "a", "b") == early
    assert permitted(gate, "a", "b", now=comes - timedelta(microseconds=1)) == early
    assert judged == ["consents"]
    assert permitted(gate, "a", "b", now=comes) == ["a", "b"]
    assert judged == ["consents"] * 2


def test_whoever_comes_of_age_is_in_on_that_day(tmp_path: Path, judged: list[str]) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.given("b")])
    born = c.write_csv(
        tmp_path / "born.csv",
        [{"subject": "a", "born": "1990-01-01"}, {"subject": "b", "born": "2010-03-02"}],
        header=["subject", "born"],
    )
    gate = c.gate_of(c.consents(table), c.births(born), youngest_customer=None)
    # The 2nd of March begins at 12:00 UTC in the last time zone.
    assert permitted(gate, "a", "b", now=c.NOW) == ["a"]
    assert permitted(gate, "a", "b", now=c.NOW + timedelta(hours=23, minutes=59)) == ["a"]
    assert judged == ["consents", "births"]
    assert permitted(gate, "a", "b", now=c.NOW + timedelta(days=1)) == ["a", "b"]
    assert judged == ["consents", "births"] * 2


def test_with_a_clock_set_back_tables_are_judged_anew(tmp_path: Path, judged: list[str]) -> None:
    half_an_hour_ago = (c.NOW - timedelta(minutes=30)).isoformat()
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.given("b", half_an_hour_ago)])
    c.changed(table, ago=timedelta(hours=5))
    gate = c.gate_of(c.consents(table))
    assert permitted(gate, "a", "b") == ["a", "b"]
    assert permitted(gate, "a", "b", now=c.NOW - timedelta(hours=1)) == ["a"]


def test_a_time_beyond_the_calendar_is_never(tmp_path: Path, judged: list[str]) -> None:
    rows = [c.given("a", until="9999-12-31T23:59:59-12:00")]
    gate = c.gate_of(c.consents(c.write_csv(tmp_path / "crm.csv", rows, header=HEADER)))
    assert permitted(gate, "a") == ["a"]
    assert permitted(gate, "a", now=c.NOW + timedelta(hours=1)) == ["a"]
    assert judged == ["consents"]


def test_a_table_that_has_become_too_old_is_refused_though_it_has_not_changed(
    tmp_path: Path,
) -> None:
    gate = c.gate_of(c.consents(c.write_csv(tmp_path / "crm.csv", [c.given("a")])))
    gate.snapshot(c.NOW)
    with pytest.raises(FedsegError) as refusal:
        gate.snapshot(c.NOW + timedelta(hours=48))
    assert refusal.value.code == "E-CONSENT-STALE"


def test_a_table_in_a_database_is_asked_every_time(tmp_path: Path, judged: list[str]) -> None:
    path = tmp_path / "crm.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE events (subject, event, time, purpose, notice, seen)")
        row = [*c.given("a").values(), c.NOW.isoformat()]
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
    database.close()
    gate = c.gate_of(
        c.consents(path, kind="sqlite", table=("events",), columns={"updated": "seen"})
    )
    assert permitted(gate, "a") == permitted(gate, "a") == ["a"]
    assert judged == ["consents"] * 2


def test_what_was_judged_while_a_file_changed_does_not_stand_for_the_file_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.withdrawn("b")])
    changes = [("ConsentWithdrawn", "ConsentGiven    ")]

    def judge_and_change(*arguments: Any) -> None:
        if changes:
            overwritten(table, *changes.pop())
        judge_consents(*arguments)

    monkeypatch.setattr(tables_module, "judge_consents", judge_and_change)
    gate = c.gate_of(c.consents(table))
    files = gate.tables[0].files()  # what a memory map writes changes no time
    monkeypatch.setattr(type(gate.tables[0]), "files", lambda _: files)
    before = table.stat()
    assert permitted(gate, "a", "b") == ["a", "b"]
    overwritten(table, "ConsentGiven    ", "ConsentWithdrawn")
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert permitted(gate, "a", "b") == ["a"]


def test_a_file_that_was_another_only_while_it_was_judged_is_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.withdrawn("b")])
    changes = ("ConsentWithdrawn", "ConsentGiven    ")

    def change_and_judge(*arguments: Any) -> None:
        overwritten(table, *changes)
        judge_consents(*arguments)
        overwritten(table, *changes[::-1])

    gate = c.gate_of(c.consents(table))
    with monkeypatch.context() as once:
        once.setattr(tables_module, "judge_consents", change_and_judge)
        assert permitted(gate, "a", "b") == ["a", "b"]
    assert permitted(gate, "a", "b") == ["a"]


def test_a_large_snapshot_is_not_kept(tmp_path: Path) -> None:
    gate = c.gate_of(c.consents(c.write_csv(tmp_path / "crm.csv", [c.given("a")])))
    state = TablesState.of(gate.tables, [])
    snapshot = gate.snapshot(c.NOW)
    until = c.NOW + timedelta(hours=1)
    for room, found in ((snapshot.named.n_bytes, snapshot), (snapshot.named.n_bytes - 1, None)):
        last = LastSnapshot(KeptRoom(room))
        last.keep(state, snapshot, until=until)
        assert last.again(state, c.NOW) is found
