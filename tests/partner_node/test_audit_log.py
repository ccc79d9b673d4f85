"""The audit log of a node: an entry with what it records or neither, and none that is forgotten."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import warnings
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from machine.database import Database
from partner_node.segments.export_records import ExportRecord, ExportRecords
from partner_node.store.audit_log import MAX_REFUSALS_A_DAY
from partner_node.store.caps import Cap, Caps
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.records import EgressRecord
from partner_node.store.refusals import Refusals
from partner_node.store.schema import MIGRATIONS
from protocol.errors import FedsegError, StoreError
from protocol.log.checking import check_log
from protocol.log.entries import Entry
from protocol.log.outside_facts import OutsideFacts, mark_restored
from simulations.federation import EphemeralSealer
from tests.federations import small_federation
from tests.partner_node.test_ledger import noised_federation

AT = "2026-12-01T09:00:00.000000Z"
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


def store_of(path: Path | str = ":memory:", *, party: str = "north") -> NodeStore:
    return NodeStore(path, EphemeralSealer(), party=party)


def logged(store: NodeStore) -> list[dict[str, Any]]:
    check_log(store.log)
    found = [Entry.from_bytes(one) for one in store.log.entries(0, store.log.size)]
    assert all(one.is_known for one in found)
    return [one.to_dict() for one in found]


def message(number: int = 1, *, manifest: int | None = None) -> EgressRecord:
    return EgressRecord(
        at=AT, run_id=bytes([number]) * 16, what="MASKED", round=number, n_bytes=7,
        sha256="0" * 64, customers=3, manifest=manifest,
    )  # fmt: skip


def refuse(store: NodeStore, number: int, *, now: str = AT) -> None:
    with store.transaction():
        Refusals(store).add("E-CODE", number.to_bytes(16, "big"), now=now)


def test_a_log_begins_with_whose_it_is() -> None:
    store = store_of()
    assert store.log.size == 0
    with store.transaction():
        store.save_egress(message())
    first, second = logged(store)
    assert (first["kind"], first["party"], first["earlier"]) == ("log-begun", "north", False)
    assert first["schema"] == len(MIGRATIONS)
    assert second == {
        "at": AT, "kind": "left", "run": "01" * 16, "round": 1, "what": "MASKED", "bytes": 7,
        "sha256": "0" * 64, "message": None,
    }  # fmt: skip
    with store.transaction():
        store.save_egress(message())
    assert [one["kind"] for one in logged(store)] == ["log-begun", "left", "left"]


def test_a_log_says_that_what_was_before_is_not_in_it(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    earlier = Database(path, name="node state", migrations=MIGRATIONS[:28], remedy="none")
    earlier.ask("INSERT INTO signed VALUES (x'01', '2026-01-01', 'anna')")
    earlier.close()
    store = store_of(path)
    with store.transaction():
        store.save_egress(message())
    assert logged(store)[0]["earlier"] is True


def test_a_store_that_nobody_has_any_more_is_gone_with_its_file(tmp_path: Path) -> None:
    """What SQLite calls would keep it, where no collector looks."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        store_of(tmp_path / "node.db")
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 20


def test_nothing_is_appended_outside_of_a_transaction() -> None:
    store = store_of()
    with pytest.raises(StoreError, match="E-LOG-OWED"):
        store.log.append("refused", at=AT, run="", code="E-CODE")
    with pytest.raises(StoreError, match="user-defined function"):
        store.ask("INSERT INTO signed VALUES (x'01', '2026-01-01', 'anna')")
    assert store.log.size == 0
    assert store.ask("SELECT * FROM signed") == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO agreements VALUES (x'01', 'now', x'')",
        "INSERT INTO signed VALUES (x'02', 'now', 'anna')",
        "INSERT INTO stops VALUES (x'01', 'north', 'now', x'')",
        "INSERT INTO ledger (at, agreement_id, run_id, round, context, asked, sensitivity_squared,"
        " group_size, share_variance, honest, cost, colluding)"
        " VALUES ('', '', x'', 0, x'', '', '1', 1, '1', 1, '1', 0)",
        "INSERT INTO egress (at, run_id, what, round, n_bytes, sha256)"
        " VALUES ('', x'', '', 0, 0, '')",
        "INSERT INTO refusals VALUES (x'02', 'E-CODE', 'now', 1)",
        "UPDATE manifests SET decision = 'approved'",
        "INSERT INTO releases VALUES (x'01', x'01', 'now', x'')",
        "INSERT INTO runs (run_id, run_hash, agreement_hash, phase, round, reason, started_at,"
        " updated_at, sealed) VALUES (x'02', x'07', x'', 'aborted', 0, '', '', '', x'')",
        "UPDATE runs SET phase = 'done'",
        "INSERT INTO exports (at, release, use, path, n_rows, sha256, delete_by)"
        " VALUES ('', x'', '', '', 0, '', '')",
        "INSERT INTO requests (kind, pseudonym, received_on, due_on, done_at, receipt)"
        " VALUES ('access', 'p', '', '', '', '{}')",
        "UPDATE requests SET done_at = 'now'",
        "UPDATE requests SET extended_on = 'now'",
        "INSERT INTO builds VALUES (x'01', x'01', 'now', x'')",
        "INSERT INTO chains VALUES (x'02', x'01')",
        "UPDATE chains SET links = x'02'",
        "INSERT INTO confirmations (act, about, who, at) VALUES ('egress', '7', 'anna', 'now')",
        "UPDATE manifests SET first_by = 'anna'",
        "INSERT INTO caps (at, epsilon, delta, reason) VALUES ('', '1', '1', '')",
        "INSERT INTO authorities VALUES (1, x'', 'now')",
        "INSERT INTO notices (at, agreement_id, agreement_hash, version, language, url, facts,"
        " words_sha256, own_text, published_by, sha256, content)"
        " VALUES ('', '', x'', '1', 'en', '', '{}', '', 0, '', '', x'')",
        "INSERT INTO refused_hand_overs VALUES (x'01', 'here', x'', '', 'now')",
        "UPDATE exports SET ended_at = 'now', ended = 'deleted'",
        "UPDATE exports SET sha256 = '11'",
        "INSERT INTO counted_sets VALUES (x'01', x'01', 0, 0, 'now', 0, x'', x'', 0)",
        "INSERT INTO counted_kept (at, kept) VALUES ('now', 0)",
        "INSERT INTO forks (agreement_id, party, found_at, known, other)"
        " VALUES ('', '', '', x'', x'')",
        "UPDATE forks SET accepted_at = 'now'",
    ],
)  # fmt: skip
def test_a_room_that_forgets_the_log_stores_nothing(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "node.db"
    database = Database(path, name="node state", migrations=MIGRATIONS, remedy="none")
    database.ask(
        "INSERT INTO runs (run_id, run_hash, agreement_hash, phase, round, reason, started_at,"
        " updated_at, sealed) VALUES (x'01', x'08', x'', 'running', 0, '', '', '', x'')"
    )
    database.ask(
        "INSERT INTO manifests (at, run_id, slot, sha256, manifest) VALUES ('', x'', x'', '', '')"
    )
    database.ask(
        "INSERT INTO requests (kind, pseudonym, received_on, due_on, done_at, receipt)"
        " VALUES ('access', 'p', '', '', '', '{}')"
    )
    database.ask("INSERT INTO chains VALUES (x'01', x'01')")
    database.ask(
        "INSERT INTO exports (at, release, use, path, n_rows, sha256, delete_by)"
        " VALUES ('', x'', '', '', 0, '', '')"
    )
    database.ask(
        "INSERT INTO forks (agreement_id, party, found_at, known, other)"
        " VALUES ('', '', '', x'', x'')"
    )
    before = database.snapshot()
    database.close()
    store = store_of(path)
    with pytest.raises(StoreError, match="E-LOG-OWED"), store.transaction():
        store.ask(statement)
    assert store.snapshot() == before
    with store.transaction():  # what was rolled back is not owed any more
        store.note_signed(b"\x01" * 32, now=AT, by="anna")


def test_an_entry_of_another_kind_pays_for_nothing() -> None:
    store = store_of()
    with pytest.raises(StoreError, match="E-LOG-OWED"), store.transaction():
        store.ask("INSERT INTO signed VALUES (x'02', 'now', 'anna')")
        store.log.append("refused", at=AT, run="", code="E-CODE")
    with pytest.raises(StoreError, match="E-LOG-OWED"), store.transaction():
        store.note_signed(b"\x01" * 32, now=AT, by="anna")
        store.ask("INSERT INTO signed VALUES (x'02', 'now', 'anna')")
    with pytest.raises(StoreError, match="E-LOG-OWED"), store.transaction():
        store.log.append("gossip", at=AT)
    assert store.log.size == 0


def test_what_is_rolled_back_is_not_in_the_log() -> None:
    store = store_of()
    with pytest.raises(SystemExit), store.transaction():
        store.save_egress(message())
        raise SystemExit
    assert (store.log.size, store.egress(), store.log.root()) == (0, [], store.log.root(0))
    with store.transaction():
        store.save_egress(message())
    assert len(logged(store)) == 2


def test_no_statement_changes_or_removes_what_is_in_the_log() -> None:
    store = store_of()
    with store.transaction():
        store.save_egress(message())
    for statement in (
        "UPDATE log_entries SET entry = x''", "DELETE FROM log_entries",
        "UPDATE log_hashes SET hash = x''", "DELETE FROM log_hashes",
    ):  # fmt: skip
        with pytest.raises(StoreError, match="only added to"), store.transaction():
            store.ask(statement)
    assert len(logged(store)) == 2


def test_a_message_that_is_repeated_is_in_the_log_once() -> None:
    store = store_of()
    for manifest in (1, 1, 2, 1, None, None):
        with store.transaction():
            store.save_egress(message(manifest=manifest))
    assert [one["message"] for one in logged(store)[1:]] == [1, 2, None, None]


def test_refusals_fill_no_disk() -> None:
    store = store_of()
    for number in range(MAX_REFUSALS_A_DAY + 150):
        refuse(store, number)
        refuse(store, number)
    assert Counter(one["kind"] for one in logged(store)) == {
        "log-begun": 1, "refused": MAX_REFUSALS_A_DAY, "refusals-left-out": 1,
    }  # fmt: skip
    assert logged(store)[-1]["day"] == "2026-12-01"
    refuse(store, 900, now="2026-12-02T00:00:00.000000Z")
    assert logged(store)[-1]["kind"] == "refused"


def test_an_agreement_that_is_kept_again_is_in_the_log_when_something_changed() -> None:
    one, other = small_federation(), small_federation()
    store = store_of()
    for signed in (one.signed, one.signed, other.signed, one.signed):
        with store.transaction():
            store.keep_agreement(signed, now=AT)
    assert [entry["agreement_hash"] for entry in logged(store)[1:]] == [
        one.agreement.hash.hex(), other.agreement.hash.hex(), one.agreement.hash.hex(),
    ]  # fmt: skip


def test_a_file_of_segments_is_in_the_log_without_its_place_and_numbers() -> None:
    store = store_of()
    record = ExportRecord(
        at=AT, release=bytes(32), use="own-marketing", path="/files/anna.csv", n_rows=81,
        sha256="11" * 32, delete_by=AT, segment="loyal", written_by="anna",
    )  # fmt: skip
    with store.transaction():
        ExportRecords(store).add(record)
    assert logged(store)[-1] == {
        "at": AT, "kind": "export", "release": "00" * 32, "use": "own-marketing",
        "sha256": "11" * 32, "by": "anna",
    }  # fmt: skip


def test_what_became_of_a_file_of_segments_is_in_the_log() -> None:
    store = store_of()
    with store.transaction():
        for release in (1, 2):
            ExportRecords(store).add(
                ExportRecord(
                    at=AT,
                    release=bytes([release]) * 32,
                    use="own-marketing",
                    path="/files/anna.csv",
                    n_rows=81,
                    sha256="11" * 32,
                    delete_by=AT,
                    segment="loyal",
                    written_by="anna",
                )
            )
    with store.transaction():
        ExportRecords(store).rewrite("/files/anna.csv", n_rows=80, sha256="22" * 32, now=NOW)
    with store.transaction():
        ExportRecords(store).rewrite("/files/anna.csv", n_rows=80, sha256="22" * 32, now=NOW)
        ExportRecords(store).end("/files/anna.csv", "deleted", NOW)
    ended = [one for one in logged(store)[1:] if one["kind"] == "export-ended"]
    assert [(one["release"], one["sha256"], one["ending"]) for one in ended] == [
        ("01" * 32, "22" * 32, "deleted"), ("02" * 32, "22" * 32, "deleted"),
    ]  # fmt: skip
    assert "anna.csv" not in json.dumps(logged(store))


def test_a_cap_is_in_the_log_without_the_reason_that_people_wrote() -> None:
    store = store_of()
    for epsilon in (Decimal(4), None):
        with store.transaction():
            Caps(store).decide(
                Cap(at=AT, epsilon=epsilon, delta=Decimal("0.000001"), reason="for Anna")
            )
    assert [(one["kind"], one["epsilon"]) for one in logged(store)[1:]] == [
        ("cap", "4"), ("cap", "")
    ]  # fmt: skip
    assert "Anna" not in json.dumps(logged(store))


def test_settings_and_key_are_in_the_log_when_they_changed() -> None:
    store = store_of()
    settings: dict[str, Any] = {"data": {"path": "a.csv", "columns": {"x": "X"}}, "n": 1}

    def noted() -> list[dict[str, Any]]:
        before = store.log.size
        with store.transaction():
            OutsideFacts(store, store.log).note_settings(settings, now=AT)
            OutsideFacts(store, store.log).note_key(
                "ab" * 32 if settings["n"] < 3 else "cd" * 32, now=AT
            )
            OutsideFacts(store, store.log).note_restored(now=AT)
        return [one for one in logged(store)[before:] if one["kind"] != "log-begun"]

    assert [(one["kind"], one.get("changed")) for one in noted()] == [
        ("settings", ""), ("signing-key", None)
    ]  # fmt: skip
    assert noted() == []
    settings["data"] = {"path": "b.csv", "columns": {}, "sources": [{"kind": "csv"}]}
    (changed,) = noted()
    assert changed["changed"] == "data.columns.x, data.path, data.sources.0.kind"
    assert "b.csv" not in json.dumps(logged(store))
    settings["n"] = 3
    assert [one["kind"] for one in noted()] == ["settings", "signing-key"]
    assert noted() == []
    mark_restored(store, made_at=AT)
    (restored,) = noted()
    assert (restored["kind"], restored["made_at"]) == ("restored", AT)
    assert noted() == []


def test_a_run_is_in_the_log_with_all_that_was_asked_and_all_that_left() -> None:
    federation = small_federation(1.0, 2.0)
    run = federation.run()
    for number, node in federation.nodes.items():
        store = node.store
        found = logged(store)
        kinds = Counter(one["kind"] for one in found)
        egress = [one for one in store.egress() if not one.what.startswith("HELLO")]
        assert kinds["left"] == len(egress) == len(store.egress()) - 1
        assert kinds["question"] == len(Ledger(store).charges())
        assert (kinds["release"], kinds["run-ended"], kinds["agreement-kept"]) == (1, 1, 1), number
        chain = store.chain(federation.agreement)
        rosters = [one for one in found if one["kind"] == "roster"]
        assert len(rosters) == len(chain.links)
        assert (rosters[-1]["head"], rosters[-1]["partners"]) == (chain.head.hex(), 3)
        left = [one for one in found if one["kind"] == "left"]
        assert [(one["sha256"], one["bytes"]) for one in left] == [
            (one.sha256, one.n_bytes) for one in egress
        ]
        (ended,) = (one for one in found if one["kind"] == "run-ended")
        assert (ended["phase"], ended["code"]) == ("done", "")
        assert ended["run_hash"] == run.release.release.run_hash.hex()
        text = json.dumps(found)
        assert "customers" not in text.replace('"what"', ""), "no count of customers"


def test_each_noised_question_is_in_the_log_with_what_it_was_charged() -> None:
    federation = noised_federation()
    federation.run()
    store = federation.nodes[0].store
    charges = Ledger(store).charges()
    asked = [one for one in logged(store) if one["kind"] == "question"]
    assert len(charges) > 3
    assert [(one["run"], one["round"], one["asked"], one["cost"]) for one in asked] == [
        (one.run_id.hex(), one.round, one.asked, str(one.cost)) for one in charges
    ]
    kinds = [one["kind"] for one in logged(store)]
    first = kinds.index("question")
    assert kinds[first + 1] == "left", "what was charged left next"


def test_what_a_node_refuses_is_in_the_log() -> None:
    federation = small_federation()
    for _ in range(2):
        with pytest.raises(FedsegError):
            federation.nodes[0].handle(b"nonsense")
    (entry,) = logged(federation.nodes[0].store)[1:]
    (refusal,) = Refusals(federation.nodes[0].store).all()
    assert (entry["kind"], entry["code"], entry["run"]) == ("refused", refusal.code, "")
    assert refusal.times == 2


@pytest.mark.parametrize("after", [0, 1, 254, 255, 256])
def test_a_kill_leaves_an_entry_with_what_it_records_or_neither(tmp_path: Path, after: int) -> None:
    """Killed before each statement of a transaction, also where an entry fills a tile."""
    path = tmp_path / "node.db"
    store = store_of(path)
    with store.transaction():
        for number in range(after):
            store.note_signed(number.to_bytes(32, "big"), now=AT, by="anna")
    store.close()
    statements = 0
    for statements in range(40):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads
            pid = os.fork()
        if pid == 0:
            _killed_before(path, statements)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        assert killed or os.WEXITSTATUS(status) == 0
        store = store_of(path)
        rows = len(store.ask("SELECT 1 FROM signed"))
        assert len(logged(store)) == (rows + 1 if rows else 0)
        assert rows == (after if killed else after + 1)
        store.close()
        if not killed:
            break
    assert 4 <= statements < 39


def _killed_before(path: Path, statements: int) -> None:
    """In a fork: sign, and be killed before a statement of that transaction."""
    try:
        store = store_of(path)
        left = statements

        def counted(_: str) -> None:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        store._connection.set_trace_callback(counted)
        with store.transaction():
            store.note_signed(b"\xff" * 32, now=AT, by="anna")
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_a_log_that_was_changed_by_hand_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    store = store_of(path)
    with store.transaction():
        for number in range(300):
            store.note_signed(number.to_bytes(32, "big"), now=AT, by="anna")
    check_log(store.log)
    store.close()
    for statement in (
        "UPDATE log_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'anna', 'otto') AS BLOB)"
        " WHERE number = 7",
        "DELETE FROM log_entries WHERE number = 7",
        "UPDATE log_hashes SET hash = zeroblob(32) WHERE level = 0 AND position = 299",
        "DELETE FROM log_hashes WHERE level = 1",
    ):
        connection = sqlite3.connect(path)
        before = connection.serialize()
        with connection:
            connection.execute(statement)
        changed = store_of(path)
        with pytest.raises(FedsegError, match="E-LOG-HASHES"):
            check_log(changed.log)
        changed.close()
        connection.close()
        path.write_bytes(before)


def test_words_of_people_are_not_in_the_log() -> None:
    store = store_of()
    for number, reason in enumerate(("E-STOPPED", "Anna Meier of Kiel wants it", "")):
        run_id = bytes([number]) * 16
        values = {
            "run_id": run_id.hex(), "run_hash": run_id.hex() * 2, "phase": "aborted", "round": 0,
            "aborted_with": reason,
        }  # fmt: skip
        with store.transaction():
            store.save_run(values, agreement_hash=bytes(32), now=AT)
        with store.transaction():
            store.save_run(values, agreement_hash=bytes(32), now=AT)
    assert [one["code"] for one in logged(store)[1:]] == ["E-STOPPED", "other", ""]


#: Tables whose rows owe the log nothing, and why.
NOT_LOGGED = {
    "excused": "no answer was given", "outside_facts": "what the log said last",
    "wishes": "what was asked for is a request", "feedback": "what customers say",
    "drafts": "files that are not whole", "told": "shown here alone",
    "readiness": "what is told of it left", "heard": "whether a port answers",
    "waiting": "logged when it is kept", "log_entries": "the log", "log_hashes": "the log",
    "log_refusals": "the log", "counted_keys": "sealed; its sets are logged",
    "counted_parts": "names files; its sets are logged", "seals": "of the log",
    "seal_hashes": "of the log",
    "cosignatures": "others' words", "witnesses": "others' words",
    "witnessed": "of others' logs",
}  # fmt: skip


def test_every_table_owes_the_log_entries_or_it_is_said_why_not() -> None:
    store = store_of()
    tables = {
        name
        for (name,) in store.ask("SELECT name FROM sqlite_master WHERE type = 'table'")
        if not name.startswith("sqlite_")
    }
    triggers = store.ask("SELECT tbl_name FROM sqlite_temp_master WHERE name LIKE 'owe%'")
    owing = {name for (name,) in triggers}
    assert owing | set(NOT_LOGGED) == tables
    assert not owing & set(NOT_LOGGED)
