"""The coordinator's database: one run at a time, ends are final, masked messages are deleted."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, FINISHED, REQUESTED, RUNNING, RoundRow, Traffic
from coordinator.store.schema import MIGRATIONS, TABLES
from protocol.errors import AgreementError, FedsegError, RunFailedError, StoreError, UsageError
from protocol.participants import Link
from protocol.signed_agreement import SignedAgreement
from simulations.federation import Federation
from tests.federations import small_federation, unsaid
from tests.store_servers import StorePlace

RUN = b"\x01" * 16
OTHER = b"\x02" * 16


@pytest.fixture(scope="module")
def federation() -> Federation:
    return small_federation()


@pytest.fixture
def store(store_place: StorePlace, federation: Federation) -> Iterator[CoordinatorStore]:
    """A store of either kind with an agreement."""
    with closing(store_place.open()) as found:
        found.add_agreement(federation.signed)
        yield found


@pytest.fixture
def file_store(tmp_path: Path, federation: Federation) -> CoordinatorStore:
    """A store in a file, for what is particular to SQLite."""
    found = CoordinatorStore.in_file(tmp_path / "coordinator.db")
    found.add_agreement(federation.signed)
    return found


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.glob("coordinator.db*"))


@contextmanager
def earlier(folder: Path, version: int) -> Iterator[sqlite3.Connection]:
    """A file as an earlier version of fedseg made it, to be filled."""
    with closing(sqlite3.connect(folder / "coordinator.db")) as connection:
        for script in MIGRATIONS[:version]:
            connection.executescript(script)
        yield connection
        connection.commit()


def add_earlier(connection: sqlite3.Connection, federation: Federation, run_id: bytes) -> None:
    """A finished run, and its agreement, as such a file has them; all in the same moment."""
    agreement = federation.agreement
    connection.execute(
        "INSERT OR IGNORE INTO agreements VALUES (?, ?, ?, ?, ?, '2026-01-01')",
        (agreement.hash, agreement.id, agreement.version, federation.signed.to_bytes(), b""),
    )
    connection.execute(
        "INSERT INTO runs (run_id, agreement_hash, links_at_start, state, progress, code, reason,"
        " attempts, created_at, updated_at)"
        " VALUES (?, ?, x'', 'finished', '{}', '', '', 1, '2026-01-01', '2026-01-01')",
        (run_id, agreement.hash),
    )


def refused(error: type[FedsegError], code: str, action: object) -> FedsegError:
    with pytest.raises(error) as caught:
        action()  # type: ignore[operator]
    assert caught.value.code == code
    return caught.value


def test_agreements_are_kept_once_and_verified_when_read(
    store: CoordinatorStore, federation: Federation
) -> None:
    store.add_agreement(federation.signed)
    assert [s.agreement.hash for s in store.agreements()] == [federation.agreement.hash]
    assert store.agreement(federation.agreement.hash) == federation.agreement
    refused(StoreError, "E-STORE", lambda: store.agreement(b"\0" * 32))


def test_a_commit_is_on_the_disk_when_it_returns_and_not_only_handed_to_the_system(
    file_store: CoordinatorStore,
) -> None:
    """After a power failure the coordinator must still know which set it proposed: 2 is FULL."""
    assert file_store.ask("PRAGMA synchronous") == [(2,)]
    assert file_store.ask("PRAGMA journal_mode") == [("wal",)]


def test_an_agreement_kept_by_an_earlier_version_stays_readable(
    store: CoordinatorStore, federation: Federation
) -> None:
    earlier = unsaid(federation.signed, federation.partner_keys)
    store.add_agreement(earlier)
    assert earlier.agreement in [signed.agreement for signed in store.agreements()]
    assert store.agreement(earlier.agreement.hash) == earlier.agreement


def test_an_agreement_that_lacks_signatures_is_not_taken(
    store_place: StorePlace, federation: Federation
) -> None:
    store = store_place.open()
    draft = type(federation.signed).draft(federation.agreement)
    refused(AgreementError, "E-AGR-UNSIGNED", lambda: store.add_agreement(draft))
    assert store.agreements() == []


def test_an_agreement_altered_in_the_file_is_refused(
    tmp_path: Path, file_store: CoordinatorStore, federation: Federation
) -> None:
    with sqlite3.connect(tmp_path / "coordinator.db") as connection:
        (envelope,) = connection.execute("SELECT envelope FROM agreements").fetchone()
        altered = bytearray(envelope)
        altered[len(altered) // 3] ^= 1
        connection.execute("UPDATE agreements SET envelope = ?", (bytes(altered),))
    connection.close()
    with pytest.raises(FedsegError):
        file_store.agreement(federation.agreement.hash)


def test_a_partners_new_key_replaces_the_old_but_no_two_share_one(store: CoordinatorStore) -> None:
    nodes = AdmittedNodes(store)
    assert nodes.admit({"north": "key-1"}) == {}
    assert nodes.admit({"north": "key-1"}) == {}, "the same again"
    refused(UsageError, "E-ADMITTED", lambda: nodes.admit({"south": "k", "north": "key-2"}))
    assert nodes.key_of_partner() == {"north": "key-1"}, "all or none"
    assert nodes.admit({"north": "key-2"}, replace=True) == {"north": "key-1"}
    nodes.admit({"south": "key-1"})
    assert nodes.key_of_partner() == {"north": "key-2", "south": "key-1"}
    error = refused(UsageError, "E-ADMITTED", lambda: nodes.admit({"east": "key-2"}))
    assert "north" in error.message
    assert error.remedy
    assert nodes.key_of_partner() == {"north": "key-2", "south": "key-1"}


def test_one_run_at_a_time_under_an_agreement(
    store: CoordinatorStore, federation: Federation
) -> None:
    store.request_run(RUN, federation.agreement)
    error = refused(
        UsageError, "E-RUN-ACTIVE", lambda: store.request_run(OTHER, federation.agreement)
    )
    assert RUN.hex()[:8] in error.message
    store.begin_attempt(RUN)
    refused(UsageError, "E-RUN-ACTIVE", lambda: store.request_run(OTHER, federation.agreement))
    store.fail(RUN, "E-GRACE", "nobody came")
    store.request_run(OTHER, federation.agreement)
    assert [(r.run_id, r.state) for r in store.runs()] == [(OTHER, REQUESTED), (RUN, FAILED)]
    assert [run.run_id for run in store.open_runs()] == [OTHER]


def test_a_run_under_an_agreement_that_is_not_here_is_refused(
    store_place: StorePlace, federation: Federation
) -> None:
    store = store_place.open()
    refused(StoreError, "E-STORE", lambda: store.request_run(RUN, federation.agreement))
    assert store.runs() == []
    refused(StoreError, "E-RUN-UNKNOWN", lambda: store.run(RUN))


def test_attempts_are_counted(store: CoordinatorStore, federation: Federation) -> None:
    store.request_run(RUN, federation.agreement)
    assert [store.begin_attempt(RUN) for _ in range(3)] == [1, 2, 3]
    assert store.run(RUN).state == RUNNING


@pytest.mark.parametrize("end", ["finish", "fail"])
def test_an_ended_run_does_not_begin_again_or_end_otherwise(
    store: CoordinatorStore, federation: Federation, end: str
) -> None:
    """An operator's stop may come between a driver's look at the run and its start."""
    agreement = federation.agreement
    store.request_run(RUN, agreement)
    chain = store.chain_at_start(RUN, agreement)
    if end == "finish":
        store.finish(RUN, b"release", agreement.hash)
    else:
        store.fail(RUN, "E-STOPPED", "stopped by the operator")
    before = store.run(RUN)
    assert before.ended
    code = "E-ENDED" if end == "finish" else "E-STOPPED"
    refused(RunFailedError, code, lambda: store.begin_attempt(RUN))
    refused(RunFailedError, code, lambda: store.append_input(RUN, "received", b"x", chain))
    refused(RunFailedError, code, lambda: store.finish(RUN, b"other", agreement.hash))
    refused(RunFailedError, code, lambda: store.check_not_ended(RUN))
    store.fail(RUN, "E-LATE", "too late")
    assert store.run(RUN).to_dict() == before.to_dict()
    assert store.inputs(RUN) == []


def test_inputs_come_back_in_order_with_the_chain_they_led_to(
    store_place: StorePlace, store: CoordinatorStore, federation: Federation
) -> None:
    agreement = federation.agreement
    store.request_run(RUN, agreement)
    chain = store.chain_at_start(RUN, agreement)
    longer = chain.extended(Link(run_hash=b"\x05" * 32, members=frozenset(range(3))))
    for number in range(12):
        store.append_input(RUN, f"kind {number}", bytes([number]), longer if number > 5 else chain)
    store.close()
    store = store_place.open()
    assert store.inputs(RUN) == [(f"kind {n}", bytes([n])) for n in range(12)]
    assert store.chain_at_start(RUN, agreement) == chain
    store.fail(RUN, "E-GRACE", "nobody came")
    store.request_run(OTHER, agreement)
    assert store.chain_at_start(OTHER, agreement) == longer


@pytest.mark.parametrize("end", ["finish", "fail"])
def test_masked_messages_of_an_ended_run_are_nowhere_on_disk(
    tmp_path: Path, file_store: CoordinatorStore, federation: Federation, end: str
) -> None:
    agreement = federation.agreement
    file_store.request_run(RUN, agreement)
    chain = file_store.chain_at_start(RUN, agreement)
    messages = [np.random.default_rng(n).bytes(9_000) for n in range(4)]
    for message in messages:
        file_store.append_input(RUN, "received", message, chain)
    assert all(m[:64] in bytes_on_disk(tmp_path) for m in messages)
    if end == "finish":
        file_store.finish(RUN, b"the signed release", agreement.hash)
    else:
        file_store.fail(RUN, "E-GRACE", "nobody came")
    found = bytes_on_disk(tmp_path)
    assert not any(m[at : at + 16] in found for m in messages for at in range(0, 9_000, 200))
    assert RUN in found
    file_store.check()


def test_a_release_is_there_for_finished_runs_only(
    store: CoordinatorStore, federation: Federation
) -> None:
    store.request_run(RUN, federation.agreement)
    refused(StoreError, "E-NO-RELEASE", lambda: store.release(RUN))
    store.finish(RUN, b"release", federation.agreement.hash)
    assert store.release(RUN) == b"release"
    assert store.run(RUN).state == FINISHED


def test_rounds_are_kept_as_first_noted_and_traffic_adds_up_over_drivers(
    store: CoordinatorStore, federation: Federation
) -> None:
    store.request_run(RUN, federation.agreement)
    rows = [RoundRow(round=r, partners=3, seconds=r / 2, inertia=0.5, length=9) for r in (1, 0)]
    for row in rows:
        store.save_round(RUN, row)
    store.save_round(RUN, RoundRow(round=1, partners=9, seconds=9, inertia=9, length=9))
    assert store.rounds(RUN) == rows[::-1]
    for _ in range(2):
        store.save_traffic(
            RUN,
            [
                Traffic(partner="b", messages=1, bytes_up=10, bytes_down=100),
                Traffic(partner="a", messages=2, bytes_up=20, bytes_down=200),
            ],
        )
    assert store.traffic(RUN) == [
        Traffic(partner="a", messages=4, bytes_up=40, bytes_down=400),
        Traffic(partner="b", messages=2, bytes_up=20, bytes_down=200),
    ]


def test_progress_is_what_was_reported_last(
    store: CoordinatorStore, federation: Federation
) -> None:
    store.request_run(RUN, federation.agreement)
    assert store.run(RUN).progress == {}
    store.report_progress(RUN, {"round": 1})
    store.report_progress(RUN, {"round": 2, "waiting_for": ["north"]})
    assert store.run(RUN).to_dict()["progress"] == {"round": 2, "waiting_for": ["north"]}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_rolls_back_and_the_store_goes_on(
    store: CoordinatorStore, federation: Federation, error: type[BaseException]
) -> None:
    store.request_run(RUN, federation.agreement)

    def fail() -> None:
        with store.transaction():
            store._end(RUN, FAILED, "E-X", "midway", "", "2026-01-01T00:00:00Z")
            raise error

    with pytest.raises(error):
        fail()
    assert store.run(RUN).state == REQUESTED
    assert store.begin_attempt(RUN) == 1


def test_a_full_disk_is_an_error_of_ours_and_passes(
    file_store: CoordinatorStore, federation: Federation
) -> None:
    file_store.request_run(RUN, federation.agreement)
    chain = file_store.chain_at_start(RUN, federation.agreement)
    pages = file_store.ask("PRAGMA page_count")[0][0]
    file_store.ask(f"PRAGMA max_page_count = {pages}")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="full") as caught:
        file_store.append_input(RUN, "received", bytes(200_000), chain)
    assert caught.value.remedy
    assert file_store.inputs(RUN) == []
    file_store.ask("PRAGMA max_page_count = 1000000")
    file_store.append_input(RUN, "received", b"x", chain)
    assert file_store.inputs(RUN) == [("received", b"x")]


def test_rounds_of_an_earlier_version_are_kept(tmp_path: Path, federation: Federation) -> None:
    with earlier(tmp_path, 2) as connection:
        add_earlier(connection, federation, RUN)
        connection.execute("INSERT INTO rounds VALUES (?, 0, 3, 1.5, 0.25, 8)", (RUN,))
    with closing(CoordinatorStore.in_file(tmp_path / "coordinator.db")) as store:
        (row,) = store.rounds(RUN)
    assert row == RoundRow(round=0, partners=3, seconds=1.5, inertia=0.25, length=8, asked="")


def test_the_order_of_what_an_earlier_version_kept_in_the_same_moment_stays(
    tmp_path: Path, federation: Federation
) -> None:
    """Version 8 has a column for it, as another database knows no order of its own."""
    with earlier(tmp_path, 7) as connection:
        for run_id in (OTHER, RUN):
            add_earlier(connection, federation, run_id)
            connection.execute(
                "INSERT INTO releases VALUES (?, ?, ?, '2026-01-02')",
                (run_id, federation.agreement.hash, b"of " + run_id),
            )
        for partner in ("b", "a"):
            connection.execute(
                "INSERT INTO stops VALUES (?, ?, '2026-01-03', ?)",
                (federation.agreement.hash, partner, partner.encode()),
            )
    with closing(CoordinatorStore.in_file(tmp_path / "coordinator.db")) as store:
        assert [run.run_id for run in store.runs()] == [RUN, OTHER]
        assert [row[0] for row in store.releases()] == [RUN, OTHER]
        assert store.last_release(b"\x03" * 16, federation.agreement) == b"of " + RUN
        assert store.stops_of(federation.agreement.hash) == [b"b", b"a"]


def test_a_newer_schema_is_refused_and_left_alone(
    tmp_path: Path, file_store: CoordinatorStore
) -> None:
    file_store.ask("PRAGMA user_version = 99")
    file_store.close()
    before = (tmp_path / "coordinator.db").read_bytes()
    with pytest.raises(StoreError, match="schema 99") as caught:
        CoordinatorStore.in_file(tmp_path / "coordinator.db")
    assert "newer" in caught.value.remedy
    assert (tmp_path / "coordinator.db").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"text, not a database " * 99, b"SQLite format 3\0" + b"\xff" * 5_000]
)
def test_a_file_that_is_no_database_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "coordinator.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"coordinator\.db") as caught:
        CoordinatorStore.in_file(tmp_path / "coordinator.db")
    assert "backup" in caught.value.remedy


def test_damaged_pages_are_an_error_of_ours(tmp_path: Path, file_store: CoordinatorStore) -> None:
    roots = file_store.ask(
        "SELECT rootpage FROM sqlite_master WHERE tbl_name IN ('agreements', 'runs', 'admitted')"
    )
    file_store.close()
    path = tmp_path / "coordinator.db"
    content = bytearray(path.read_bytes())
    for (page,) in roots:
        content[4096 * (page - 1) : 4096 * page] = b"\xa5" * 4096
    path.write_bytes(content)
    store = CoordinatorStore.in_file(path)
    nodes = AdmittedNodes(store)
    for question in (
        file_store.check,
        file_store.runs,
        file_store.agreements,
        nodes.key_of_partner,
    ):
        with pytest.raises(StoreError):
            question()


def test_a_new_file_may_be_opened_by_several_at_the_same_moment(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def open_all(_: int) -> None:
        for number in range(40):
            together.wait(60)
            CoordinatorStore.in_file(tmp_path / f"{number}.db").close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_all, range(4)))


# --- several processes --------------------------------------------------------------------------


def ask_for_runs(place: StorePlace, federation_signed: bytes, numbers: list[int]) -> list[bool]:
    """In a process of its own: ask for runs under one agreement; which were taken."""
    agreement = SignedAgreement.from_bytes(federation_signed).agreement
    taken = []
    with closing(place.open()) as store:
        for number in numbers:
            try:
                store.request_run(bytes([number]) * 16, agreement)
                taken.append(True)
            except UsageError:
                taken.append(False)
    return taken


def append(place: StorePlace, federation_signed: bytes, letters: list[str]) -> None:
    """In a process of its own: append inputs to the run."""
    agreement = SignedAgreement.from_bytes(federation_signed).agreement
    with closing(place.open()) as store:
        chain = store.chain_at_start(RUN, agreement)
        for letter in letters:
            store.append_input(RUN, letter, letter.encode(), chain)


def test_of_two_processes_that_ask_for_a_run_at_once_one_gets_it(
    store_place: StorePlace, store: CoordinatorStore, federation: Federation
) -> None:
    """What a transaction read is true until it ends: BEGIN IMMEDIATE, or a lock of the server."""
    signed = federation.signed.to_bytes()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        asked = [
            pool.submit(ask_for_runs, store_place, signed, list(range(start, start + 20)))
            for start in (1, 101)
        ]
        assert sum(sum(found.result(120)) for found in asked) == 1
        assert len(store.runs()) == 1


def test_inputs_of_two_processes_at_once_are_numbered_without_gap_or_double(
    store_place: StorePlace, store: CoordinatorStore, federation: Federation
) -> None:
    store.request_run(RUN, federation.agreement)
    signed = federation.signed.to_bytes()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [
            pool.submit(append, store_place, signed, [letter] * 30) for letter in ("a", "b")
        ]:
            done.result(120)
    numbers = store.ask("SELECT number FROM inputs ORDER BY number")
    assert numbers == [(n,) for n in range(1, 61)]
    assert sorted(kind for kind, _ in store.inputs(RUN)) == ["a"] * 30 + ["b"] * 30


def test_whoever_reads_does_not_wait_for_a_change_and_sees_none_of_it(
    store_place: StorePlace, store: CoordinatorStore, federation: Federation
) -> None:
    with closing(store_place.open()) as other:
        with store.transaction():
            store.ask("DELETE FROM agreements")
            assert len(other.agreements()) == 1
        assert other.agreements() == []


def test_a_store_that_was_closed_is_not_opened_again(store: CoordinatorStore) -> None:
    store.close()
    with pytest.raises(StoreError):
        store.runs()


def test_threads_of_one_store_take_turns(store: CoordinatorStore, federation: Federation) -> None:
    store.request_run(RUN, federation.agreement)
    chain = store.chain_at_start(RUN, federation.agreement)
    with ThreadPoolExecutor(4) as pool:
        for done in [
            pool.submit(store.append_input, RUN, "x", bytes([n]), chain) for n in range(24)
        ]:
            done.result(60)
    assert store.ask("SELECT number FROM inputs ORDER BY number") == [(n,) for n in range(1, 25)]


def test_every_table_is_carried_from_one_database_into_another(tmp_path: Path) -> None:
    with closing(CoordinatorStore.in_file(tmp_path / "coordinator.db")) as store:
        found = store.ask(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    assert sorted(TABLES) == sorted(name for (name,) in found)
