"""The coordinator's audit log: what is stored is in it, or is not stored; in either database."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coordinator.store.acting import acting
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.audit_log import AuditLog
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.owing import OWING, owed_by
from coordinator.store.scheduled_runs import ScheduledRuns
from coordinator.store.schema import MIGRATIONS, TABLES
from protocol.agreement.schedule import Moment
from protocol.errors import FedsegError, StoreError
from protocol.log.checking import check_log
from protocol.log.entries import KINDS, Entry
from protocol.participants import Link
from simulations.federation import Federation
from tests.coordinator.test_coordinator_store import RUN, earlier
from tests.federations import small_federation
from tests.store_servers import StorePlace

ROOT = Path(__file__).parents[2]
AT = "2026-12-01T09:00:00.000000Z"
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
NODE = "ecdsa-sha2-nistp384 AAAA north"
#: Statements that change tables of which the log has nothing, and why.
NOT_LOGGED = {
    "announcements": "what a node that joined is still to fetch",
    "readiness": "what nodes said last",
    "listening": "who listens now",
    "certified": "until when a node's certificate holds",
    "trusting": "which authorities a node took",
    "carrier_nodes": "Flower's numbers",
    "inputs": "masked messages of a run, which end with it",
    "rounds": "how rounds went: the release has what follows",
    "traffic": "bytes and messages",
    "farewells": "who knows how a run ended",
    "told_of_logs": "what nodes said of their logs",
    "outside_facts": "what the log said last",
}


@pytest.fixture(scope="module")
def federation() -> Federation:
    return small_federation()


@pytest.fixture
def store(store_place: StorePlace) -> Iterator[CoordinatorStore]:
    with closing(store_place.open()) as found:
        yield found


def logged(store: CoordinatorStore) -> list[dict[str, Any]]:
    entries = store.log.entries(0, store.log.size)
    return [Entry.from_bytes(one).to_dict() for one in entries]


def kinds_of(store: CoordinatorStore) -> list[str]:
    return [one["kind"] for one in logged(store)]


def test_a_run_is_in_the_log_from_its_agreement_to_its_release(
    store: CoordinatorStore, federation: Federation
) -> None:
    agreement = federation.agreement
    store.add_agreement(federation.signed)
    store.add_agreement(federation.signed)
    with acting("anna"):
        store.request_run(RUN, agreement, without=["partner-2"])
    store.begin_attempt(RUN)
    chain = store.chain_at_start(RUN, agreement)
    store.append_input(RUN, "reply", b"", chain)
    longer = type(chain)(
        agreement_hash=chain.agreement_hash, n_partners=chain.n_partners,
        links=(*chain.links, Link(run_hash=b"\x07" * 32, members=frozenset(range(3)))),
    )  # fmt: skip
    for _ in range(2):
        store.append_input(RUN, "reply", b"", longer)
    for _ in range(2):
        store.save_release(RUN, b"released", agreement.hash)
    store.finish(RUN, b"released", agreement.hash)
    with pytest.raises(FedsegError):
        store.finish(RUN, b"released", agreement.hash)
    store.fail(RUN, "E-STOPPED", "by Anna, for Mr Smith")
    begun, kept, wanted, roster, release, ended = logged(store)
    assert (begun["kind"], begun["party"], begun["earlier"]) == ("log-begun", "coordinator", False)
    assert begun["schema"] == len(MIGRATIONS)
    assert (kept["kind"], kept["agreement_hash"]) == ("agreement-kept", agreement.hash.hex())
    assert (wanted["run"], wanted["without"], wanted["by"]) == (RUN.hex(), "partner-2", "anna")
    assert (roster["kind"], roster["partners"]) == ("roster", 3)
    assert roster["head"] == longer.head.hex()
    assert release["sha256"] == hashlib.sha256(b"released").hexdigest()
    assert (ended["kind"], ended["phase"], ended["code"]) == ("run-ended", "finished", "")
    assert check_log(store.log)[0] == 6


def test_why_a_run_failed_is_a_code_and_never_words(
    store: CoordinatorStore, federation: Federation
) -> None:
    store.add_agreement(federation.signed)
    store.request_run(RUN, federation.agreement)
    store.fail(RUN, "Mr Smith was angry", "Mr Smith was angry")
    assert logged(store)[-1] | {"at": ""} == {
        "at": "", "kind": "run-ended", "run": RUN.hex(), "run_hash": "", "phase": "failed",
        "code": "other",
    }  # fmt: skip


def test_who_is_admitted_and_removed_is_in_it_with_who_did(store: CoordinatorStore) -> None:
    with acting("anna"):
        AdmittedNodes(store).admit({"north": NODE})
    AdmittedNodes(store).remove("north")
    admitted, removed = logged(store)[1:]
    assert admitted == {
        "at": admitted["at"], "kind": "partner-admitted", "partner": "north",
        "key": hashlib.sha256(NODE.encode()).hexdigest(), "by": "anna",
    }  # fmt: skip
    assert (removed["kind"], removed["by"]) == ("partner-removed", "")


def test_a_moment_that_waits_for_the_same_reason_is_in_it_once(
    store: CoordinatorStore, federation: Federation
) -> None:
    store.add_agreement(federation.signed)
    moment = Moment(at=NOW, until=NOW)
    runs = ScheduledRuns(store)
    for code in ("E-RUN-ACTIVE", "E-RUN-ACTIVE", "E-SET-QUORUM"):
        runs.hold(federation.agreement, moment, code=code, reason="of words", now=NOW)
    runs.begin(RUN, federation.agreement, moment, now=NOW)
    runs.hold(federation.agreement, moment, code="E-RUN-ACTIVE", reason="", now=NOW)
    found = [(one["code"], one["run"]) for one in logged(store) if one["kind"] == "run-scheduled"]
    assert found == [("E-RUN-ACTIVE", ""), ("E-SET-QUORUM", ""), ("", RUN.hex())]


# --- nothing without its entry ---------------------------------------------------------------


def test_what_has_no_entry_is_not_stored(store: CoordinatorStore, federation: Federation) -> None:
    with pytest.raises(StoreError, match="E-LOG-OWED"), store.transaction():
        store.ask("INSERT INTO admitted VALUES (?, ?, ?)", "north", NODE, AT)
    with pytest.raises(StoreError, match="E-LOG-OWED"):
        store.ask("INSERT INTO admitted VALUES (?, ?, ?)", "north", NODE, AT)
    assert AdmittedNodes(store).key_of_partner() == {} and store.log.size == 0
    with pytest.raises(StoreError, match="E-LOG-OWED"):
        store.log.append("stop", at=AT, agreement_hash="", partner="north")
    with store.transaction():
        store.log.append("stop", at=AT, agreement_hash="", partner="north")
    with pytest.raises(StoreError, match="E-LOG-OWED"), store.transaction():
        store.ask("INSERT INTO admitted VALUES (?, ?, ?)", "north", NODE, AT)
        store.log.append("stop", at=AT, agreement_hash="", partner="north")


def test_what_is_undone_is_not_in_it(store: CoordinatorStore) -> None:
    with pytest.raises(ValueError, match="undone"), store.transaction():
        store.ask("INSERT INTO admitted VALUES (?, ?, ?)", "north", NODE, AT)
        store.log.append("partner-admitted", at=AT, partner="north", key="")
        raise ValueError("undone")
    assert store.log.size == 0
    AdmittedNodes(store).admit({"north": NODE})
    assert kinds_of(store) == ["log-begun", "partner-admitted"]


@pytest.mark.parametrize(
    "sql",
    ["UPDATE log_entries SET number = 7", "DELETE FROM log_entries", "DELETE FROM log_hashes",
     "UPDATE log_hashes SET level = 1", "DELETE FROM log_kinds"],
)  # fmt: skip
def test_nothing_of_it_is_changed_or_deleted(store: CoordinatorStore, sql: Any) -> None:
    AdmittedNodes(store).admit({"north": NODE})
    with pytest.raises(StoreError, match="only added to"), store.transaction():
        store.ask(sql)
    assert check_log(store.log)[0] == 2


def test_whoever_is_killed_between_a_row_and_its_entry_left_neither(tmp_path: Path) -> None:
    file = tmp_path / "coordinator.db"
    CoordinatorStore.in_file(file).close()
    add = AuditLog.add
    for moment in ("before", "after"):
        pid = os.fork()
        if pid == 0:  # pragma: no cover - another process

            def killed(log: AuditLog, data: bytes, moment: str = moment) -> int:
                number = 0 if moment == "before" else add(log, data)
                if moment == "before" or b"partner-admitted" in data:
                    os.kill(os.getpid(), signal.SIGKILL)
                return number

            AuditLog.add = killed  # type: ignore[method-assign]
            with closing(CoordinatorStore.in_file(file)) as store:
                AdmittedNodes(store).admit({"north": NODE})
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        with closing(CoordinatorStore.in_file(file)) as store:
            assert (store.log.size, AdmittedNodes(store).key_of_partner()) == (0, {})


def test_every_statement_that_changes_a_table_owes_an_entry_or_is_said_to_owe_none() -> None:
    found: set[str] = set()
    for file in (ROOT / "coordinator").rglob("*.py"):
        if file.parent.name == "postgresql" or file.name in ("schema.py", "owing.py"):
            continue
        text = re.sub(r'"\s*\n\s*"', "", file.read_text(encoding="utf-8"))
        for sql in re.findall(r'"((?:INSERT INTO|UPDATE|DELETE FROM) [a-z_]+[^"]*)"', text):
            table = re.sub(r"^(INSERT INTO|UPDATE|DELETE FROM) ", "", sql).split()[0]
            if table.startswith("log_") or table in NOT_LOGGED:
                continue
            found.add(table)
            if not owed_by(sql):
                assert sql.startswith(ALLOWED), sql
    assert found and found <= set(TABLES)
    owing = {re.sub(r"^(INSERT INTO|UPDATE|DELETE FROM) ", "", one).split()[0] for one in OWING}
    assert owing | set(NOT_LOGGED) | {"log_entries", "log_hashes", "log_kinds", "rounds"} == set(
        TABLES
    )


#: Of tables that the log is about, statements that it has nothing of.
ALLOWED = (
    "UPDATE runs SET state = ?, attempts", "UPDATE runs SET hand_overs", "UPDATE runs SET progress",
    "UPDATE enrolled SET seen_at", "DELETE FROM enrolled", "DELETE FROM invitations",
    "UPDATE invitations SET node_key", "DELETE FROM proposals", "DELETE FROM authorities",
)  # fmt: skip


def test_every_kind_that_is_owed_is_known() -> None:
    assert set(OWING.values()) <= set(KINDS)


# --- states of before ---------------------------------------------------------------------------


def test_the_log_of_an_earlier_state_says_that_it_is_one(
    tmp_path: Path, federation: Federation
) -> None:
    with earlier(tmp_path, 17) as connection:
        connection.execute("INSERT INTO admitted VALUES ('north', ?, '')", (NODE,))
    with closing(CoordinatorStore.in_file(tmp_path / "coordinator.db")) as store:
        store.add_agreement(federation.signed)
        begun, _ = logged(store)
    assert begun["earlier"] is True


def test_a_log_carries_over_into_another_database(
    store: CoordinatorStore, federation: Federation, tmp_path: Path
) -> None:
    store.add_agreement(federation.signed)
    AdmittedNodes(store).admit({"north": NODE})
    file = tmp_path / "copy.db"
    file.write_bytes(store.snapshot())
    with closing(CoordinatorStore.in_file(file)) as copied:
        assert copied.log.root() == store.log.root()
        AdmittedNodes(copied).remove("north")
        assert kinds_of(copied)[-1] == "partner-removed"
        assert [n for n, _ in copied.log.numbered(kinds=["partner-removed", "log-begun"])] == [0, 3]
        assert [n for n, _ in copied.log.numbered(last=2)] == [2, 3]
        assert [n for n, _ in copied.log.numbered(kinds=["agreement-kept"], since=2)] == []
        assert copied.log.of_kind("agreement-kept") == (1, 1, 1)
        assert copied.log.of_kind("stop") is None
