"""What a node measures of itself, read back by Prometheus' own parsers."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import hashlib
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from partner_node import serving
from partner_node.control.checking import NoChecking
from partner_node.home import NodeHome
from partner_node.link.flower_link import LinkEvent
from partner_node.metrics import table
from partner_node.metrics.health import LinkState
from partner_node.metrics.measuring import measure_node
from partner_node.register.requests import RightsRegister
from partner_node.segments.export_records import ExportRecord, ExportRecords
from partner_node.spending import new_cap
from partner_node.store.caps import Caps
from partner_node.store.heard import CONTROL, HeardRecords
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.privacy.accounting import epsilon_of
from tests.partner_node.nodes import installed, node, shell  # noqa: F401 - fixtures
from tests.scraping import Samples, address_in, samples_at, scraped, switch_on
from tests.shell import Shell

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def opened(folder: Path) -> tuple[NodeHome, closing[NodeStore]]:
    home = NodeHome.load(folder)
    return home, closing(home.store(home.keystore()))


def measured(home: NodeHome, link: LinkState | None = None) -> Samples:
    link = link or LinkState()
    return scraped(lambda: measure_node(home, link), dict)


def test_a_new_node_tells_its_agreement_and_that_it_never_was_backed_up(installed: Path) -> None:
    found = measured(NodeHome.load(installed))
    assert found[(table.IN_FORCE.name, "ours", "1")] == 1
    assert found[("fedseg_state_sound",)] == 1
    assert found[("fedseg_ready", "agreement")] == 1
    assert found[("fedseg_ready", "link")] == 0
    assert found[("fedseg_last_backup_timestamp_seconds",)] == 0
    assert found[(table.HELD.name,)] == 0
    assert found[(table.OVERDUE.name,)] == 0
    assert not any(name == table.LAST_RUN.name for name, *_ in found)


def test_a_budget_is_told_by_agreement_and_only_where_there_is_noise(installed: Path) -> None:
    home = NodeHome.load(installed)
    agreement = home.signed_agreement().agreement
    found = measured(home)
    if agreement.privacy is None:
        assert not any(name.startswith("fedseg_node_budget") for name, *_ in found)
    else:
        budget = agreement.privacy.epsilon_of(agreement.privacy.budget)
        assert found[(table.EPSILON.name, "ours")] == pytest.approx(budget)
        assert found[(table.EPSILON_LEFT.name, "ours")] == pytest.approx(budget)
        assert found[(table.RUNS_LEFT.name, "ours")] > 0


def test_what_is_spent_over_all_agreements_is_told_beside_the_cap(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, state = opened(installed)
    found = measured(home)
    assert found[(table.SPENT.name,)] == 0
    assert (table.CAP.name,) not in found
    with state as store, store.transaction():
        Caps(store).decide(new_cap("5", "0.00001", at=stamp(NOW), reason=""))
    monkeypatch.setattr(Ledger, "spent_under", lambda _: {"ours": 1 << 58, "theirs": 1 << 59})
    found = measured(home)
    assert found[(table.SPENT.name,)] == pytest.approx(epsilon_of(3 << 58, 0.00001))
    assert found[(table.CAP.name,)] == 5


def test_refusals_are_told_by_code_and_a_code_that_is_none_is_not_repeated(
    installed: Path,
) -> None:
    home, store = opened(installed)
    with store as state, state.transaction():
        for run in (b"a" * 16, b"b" * 16):
            Refusals(state).add("E-QUERY", run, now=stamp(NOW))
        Refusals(state).add("customer Anna Müller", b"", now=stamp(NOW))
    found = measured(home)
    assert {key: value for key, value in found.items() if key[0] == table.REFUSALS.name} == {
        (table.REFUSALS.name, "E-QUERY"): 2,
        (table.REFUSALS.name, "other"): 1,
    }


def test_runs_are_told_by_state_and_code_and_the_newest_decides_whether_it_failed(
    installed: Path,
) -> None:
    home, _ = opened(installed)
    agreement = home.signed_agreement().agreement.hash
    rows = [
        (b"a", agreement, "aborted", "E-STOPPED", 3), (b"b", agreement, "done", "", 2),
        (b"c", b"earlier", "aborted", "words of an operator", 1),
    ]  # fmt: skip
    with closing(sqlite3.connect(home.state_file)) as state, state:
        for run, under, phase, reason, days in rows:
            at = stamp(NOW - days * DAY)
            state.execute(
                "INSERT INTO runs (run_id, run_hash, agreement_hash, phase, round, reason,"
                " started_at, updated_at, sealed) VALUES (?, ?, ?, ?, 0, ?, ?, ?, x'00')",
                (run * 16, run * 32, under, phase, reason, at, at),
            )
    found = measured(home)
    assert {key[1:]: value for key, value in found.items() if key[0] == table.RUNS.name} == {
        ("ours", "E-STOPPED", "aborted"): 1,
        ("ours", "", "done"): 1,
        ("", "other", "aborted"): 1,
    }
    assert found[(table.LAST_FAILED.name, "ours")] == 0
    last = (NOW - 2 * DAY).timestamp()
    assert found[(table.LAST_RUN.name, "ours")] == pytest.approx(last, abs=0.01)
    with closing(sqlite3.connect(home.state_file)) as state, state:
        state.execute("UPDATE runs SET phase = 'aborted' WHERE run_id = ?", (b"b" * 16,))
    assert measured(home)[(table.LAST_FAILED.name, "ours")] == 1


def test_of_customers_requests_only_whether_one_is_overdue_is_told(installed: Path) -> None:
    home, store = opened(installed)
    with store as state:
        register = RightsRegister(state)
        for days in (60, 50, 40):
            with state.transaction():
                register.receive("access", f"pseudonym-{days}", (NOW - days * DAY).date(), now=NOW)
    found = measured(home)
    assert found[(table.OVERDUE.name,)] == found[(table.DUE_SOON.name,)] == 1
    assert not any("pseudonym" in part for key in found for part in key)
    assert len([key for key in found if "request" in key[0]]) == 2


def test_a_request_that_is_due_within_a_week_is_told_before_it_is_overdue(
    installed: Path,
) -> None:
    home, store = opened(installed)
    with store as state, state.transaction():
        RightsRegister(state).receive("access", "p", (NOW - 26 * DAY).date(), now=NOW)
    found = measured(home)
    assert (found[(table.OVERDUE.name,)], found[(table.DUE_SOON.name,)]) == (0, 1)


def test_files_past_their_retention_are_counted(installed: Path) -> None:
    home, store = opened(installed)
    with store as state, state.transaction():
        for number, days in enumerate((-1, -2, 1)):
            ExportRecords(state).add(
                ExportRecord(
                    at=stamp(NOW - 9 * DAY), release=b"r" * 32, use="own-marketing",
                    path=f"/segments/{number}.csv", n_rows=77_123,
                    sha256=hashlib.sha256(b"").hexdigest(), delete_by=stamp(NOW + days * DAY),
                )
            )  # fmt: skip
    found = measured(home)
    assert found[(table.RETENTION.name,)] == 2
    assert 77_123 not in found.values(), "how many customers are in a file is not told"


def test_the_link_is_as_this_process_sees_it_and_not_as_a_killed_one_left_it(
    installed: Path,
) -> None:
    home, store = opened(installed)
    with store as state:
        for channel in ("link", CONTROL):
            HeardRecords(state).note(channel, reached=True, now=stamp(NOW))
    link = LinkState()
    found = measured(home, link)
    assert found[(table.LINK_UP.name, "link")] == 0
    assert found[(table.LINK_UP.name, CONTROL)] == 1
    assert found[(table.HEARD.name, "link")] == pytest.approx(NOW.timestamp(), abs=0.01)
    serving._note(home, link, LinkEvent(kind="connected"), NoChecking())
    assert measured(home, link)[("fedseg_ready", "link")] == 1
    serving._note(home, link, LinkEvent(kind="lost", code="E-LINK"), NoChecking())
    assert measured(home, link)[(table.LINK_UP.name, "link")] == 0


def test_a_state_that_cannot_be_read_is_said_and_the_rest_is_told(installed: Path) -> None:
    home = NodeHome.load(installed)
    home.state_file.write_bytes(b"no database" * 1_000)
    found = measured(home)
    assert found[("fedseg_state_sound",)] == 0
    assert found[("fedseg_ready", "state")] == 0
    assert ("fedseg_disk_free_bytes", "state") in found


def test_a_backup_is_told_once_it_was_written_and_is_in_no_backup(
    installed: Path, shell: Shell, tmp_path: Path
) -> None:
    shell.json("state", "backup", tmp_path / "b.tar", "--dir", installed)
    found = measured(NodeHome.load(installed))
    assert found[("fedseg_last_backup_timestamp_seconds",)] >= NOW.timestamp() - 1
    installed.rename(tmp_path / "before")
    shell.json("state", "restore", tmp_path / "b.tar", "--elsewhere", "--dir", tmp_path / "again")
    found = measured(NodeHome.load(tmp_path / "again"))
    assert found[("fedseg_last_backup_timestamp_seconds",)] == 0


def test_a_serving_node_tells_how_it_stands_where_it_is_switched_on(
    installed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also before it has reached its coordinator: ready is said by the status."""
    switch_on(installed / "node.toml")
    seen: list[httpx.Response] = []

    def link(*_: object, stop: threading.Event, on_event: object, **__: object) -> None:
        address = address_in(caplog.text)
        seen.append(httpx.get(f"http://{address}/health/ready"))
        on_event(LinkEvent(kind="connected"))  # type: ignore[operator]
        assert samples_at(address)[(table.LINK_UP.name, "link")] == 1

    monkeypatch.setattr(serving, "serve_link", link)
    caplog.set_level("INFO")
    serving.serve_node(installed, threading.Event())
    assert (seen[0].status_code, seen[0].json()["checks"]) == (
        503,
        {"link": False, "agreement": True, "state": True},
    )


def test_a_node_listens_nowhere_unless_it_is_switched_on(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    monkeypatch.setattr(
        serving, "serve_link",
        lambda *_, **__: names.extend(thread.name for thread in threading.enumerate()),
    )  # fmt: skip
    serving.serve_node(installed, threading.Event())
    assert names
    assert "metrics" not in names
