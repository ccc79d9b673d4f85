"""A node's state on disk: survives, is sealed, is whole or the state before, forgets what ended."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from machine.database import Database
from partner_node.keystore import Keystore
from partner_node.segments.export_records import ExportRecord, ExportRecords
from partner_node.state_file import FORGOTTEN
from partner_node.store.caps import Caps
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.records import EgressRecord
from partner_node.store.refusals import MAX_REFUSALS, Refusal, Refusals
from partner_node.store.schema import MIGRATIONS
from protocol.errors import FedsegError, StoreError
from protocol.participants import Link
from simulations.federation import EphemeralSealer, Federation
from tests.federations import small_federation

SECRET = b"\x5a\xc3" * 16
RUN_ID = bytes(range(16))
RUN_HASH = b"\x07" * 32


class ClearSealer:
    """Seals nothing, so that a test sees what would be found in the file."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        return data

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        return sealed


def state(phase: str = "running", *, secret: bytes = SECRET, **changes: Any) -> dict[str, Any]:
    return {
        "run_id": RUN_ID.hex(),
        "run_hash": RUN_HASH.hex(),
        "phase": phase,
        "round": 3,
        "aborted_with": "",
        "secret": secret.hex(),
        **changes,
    }


def save(store: NodeStore, values: dict[str, Any], now: str = "2026-01-02T00:00:00Z") -> None:
    with store.transaction():
        store.save_run(values, agreement_hash=b"a" * 32, now=now)


def record(number: int) -> EgressRecord:
    return EgressRecord(
        at=f"2026-01-01T00:00:{number % 60:02d}Z",
        run_id=RUN_ID,
        what=f"message {number}",
        round=number,
        n_bytes=10 * number,
        sha256="0" * 64,
        customers=None if number % 2 else number,
    )


def bytes_on_disk(path: Path) -> bytes:
    return b"".join(p.read_bytes() for p in path.parent.iterdir() if p.name.startswith(path.name))


@pytest.fixture(scope="module")
def federation() -> Federation:
    return small_federation()


def test_everything_is_there_after_the_store_was_closed(
    tmp_path: Path, federation: Federation
) -> None:
    agreement, sealer = federation.agreement, EphemeralSealer()
    store = NodeStore(tmp_path / "node.db", sealer)
    chain = store.chain(agreement).extended(Link(run_hash=RUN_HASH, members=frozenset(range(3))))
    with store.transaction():
        store.save_chain(chain, now="2026-01-02T00:00:00Z")
        store.save_run(state(), agreement_hash=agreement.hash, now="2026-01-02T00:00:00Z")
        store.save_release(RUN_HASH, agreement.hash, b"envelope", now="2026-01-03T00:00:00Z")
        for number in range(3):
            store.save_egress(record(number))
    store.close()

    store = NodeStore(tmp_path / "node.db", sealer)
    assert store.chain(agreement) == chain
    (run,) = store.runs()
    assert run == store.run_by_id(RUN_ID)
    assert store.run_id_of(RUN_HASH) == RUN_ID
    assert (run.state, run.phase, run.round) == (state(), "running", 3)
    assert store.releases() == [("2026-01-03T00:00:00Z", b"envelope")]
    assert store.egress() == [record(0), record(1), record(2)]
    store.check()


def test_a_commit_is_on_the_disk_when_it_returns_and_not_only_handed_to_the_system(
    tmp_path: Path,
) -> None:
    """After a power failure the node must still know what it said: 2 is FULL."""
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    assert store.ask("PRAGMA synchronous") == [(2,)]
    assert store.ask("PRAGMA journal_mode") == [("wal",)]


def test_an_unknown_run_is_none_and_an_unknown_chain_is_empty(federation: Federation) -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    assert store.run_by_id(RUN_ID) is None
    assert store.run_id_of(RUN_HASH) == b""
    assert store.chain(federation.agreement).links == ()


def test_a_later_state_replaces_the_earlier_but_not_when_it_began() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    save(store, state(round=1), now="2026-01-01T00:00:00Z")
    save(store, state(round=2), now="2026-01-02T00:00:00Z")
    (run,) = store.runs()
    assert (run.round, run.state["round"]) == (2, 2)
    assert (run.started_at, run.updated_at) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")


def test_runs_and_releases_come_newest_first() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    same_moment = "2026-01-01T00:00:00Z"
    for number in range(4):
        save(store, state(run_id=(bytes([number]) * 16).hex()), now=same_moment)
        with store.transaction():
            store.save_release(bytes([number]) * 32, b"a" * 32, bytes([number]), now=same_moment)
    assert [run.run_id[0] for run in store.runs()] == [3, 2, 1, 0]
    assert [envelope[0] for _, envelope in store.releases()] == [3, 2, 1, 0]


def test_the_last_release_is_that_of_the_chains_latest_run_whenever_it_was_received(
    federation: Federation,
) -> None:
    """A release that was missed comes with a later run, perhaps after that run's own."""
    store = NodeStore(":memory:", EphemeralSealer())
    chain = store.chain(federation.agreement)
    assert store.last_release(chain) is None
    first, second = (
        Link(run_hash=bytes([number]) * 32, members=frozenset(range(3))) for number in (9, 4)
    )
    chain = chain.extended(first).extended(second)
    for number, link in enumerate((second, first)):
        with store.transaction():
            store.save_release(
                link.run_hash, chain.agreement_hash, link.run_hash, now=f"2026-01-0{number + 1}"
            )
    with store.transaction():
        store.save_release(b"\x01" * 32, b"other" * 6, b"x", now="2026-01-09")
    assert store.last_release(chain) == second.run_hash


def test_a_release_is_never_replaced() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    for envelope in (b"first", b"second"):
        with store.transaction():
            store.save_release(RUN_HASH, b"a" * 32, envelope, now="2026-01-01T00:00:00Z")
    assert [envelope for _, envelope in store.releases()] == [b"first"]


def test_secrets_cannot_be_read_in_the_file(tmp_path: Path) -> None:
    keystore = Keystore.create(tmp_path / "keys" / "keystore.json", b"x" * 20, log2_n=14)
    store = NodeStore(tmp_path / "node.db", keystore)
    for number in range(20):
        save(store, state(round=number))
    found = bytes_on_disk(tmp_path / "node.db")
    assert RUN_ID in found  # the search itself works, also in the log
    for form in (SECRET, SECRET.hex().encode()):
        assert form not in found


def test_another_key_is_refused_in_words(tmp_path: Path) -> None:
    keys = [
        Keystore.create(tmp_path / f"keys{i}" / "keystore.json", b"x" * 20, log2_n=14)
        for i in range(2)
    ]
    store = NodeStore(tmp_path / "node.db", keys[0])
    save(store, state())
    store.close()
    store = NodeStore(tmp_path / "node.db", keys[1])
    with pytest.raises(FedsegError) as caught:
        store.run_by_id(RUN_ID)
    assert caught.value.code == "E-KEY-SEAL"
    assert caught.value.remedy


def test_one_runs_sealed_state_does_not_open_as_anothers(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    other = b"\xee" * 16
    save(store, state())
    save(store, state(run_id=other.hex(), run_hash=(b"\x08" * 32).hex()))
    with sqlite3.connect(tmp_path / "node.db") as connection:
        connection.execute(
            "UPDATE runs SET sealed = (SELECT sealed FROM runs WHERE run_id = ?)", (RUN_ID,)
        )
    connection.close()
    assert store.run_by_id(RUN_ID) is not None
    with pytest.raises(FedsegError):
        store.run_by_id(other)


@pytest.mark.parametrize("phase", ["done", "aborted"])
def test_what_an_ended_run_forgot_is_nowhere_in_the_file(tmp_path: Path, phase: str) -> None:
    """The state key alone must not bring back the masks of old runs."""
    store = NodeStore(tmp_path / "node.db", ClearSealer())
    long = bytes(range(7, 207)) * 40  # over several pages
    save(store, state(secret=long))
    assert long.hex().encode()[:400] in bytes_on_disk(tmp_path / "node.db")
    save(store, state(phase, secret=b""))
    found = bytes_on_disk(tmp_path / "node.db")
    text = long.hex().encode()
    assert not any(text[at : at + 32] in found for at in range(0, len(text), 400))
    assert RUN_ID in found
    store.check()


@pytest.mark.parametrize("by", ["a later run", "another agreement"])
def test_what_a_superseded_run_forgot_is_nowhere_in_the_file(tmp_path: Path, by: str) -> None:
    store = NodeStore(tmp_path / "node.db", ClearSealer())
    names = ("x_private", "kem_seed", "kem_secrets", "pair_keys")
    keys = {name: (bytes([i]) * 3 + SECRET).hex() for i, name in enumerate(names)}
    save(store, state(**keys))
    later = bytes(reversed(RUN_ID))
    save(store, state("greeted", run_id=later.hex(), run_hash="", secret=b"x"))
    with store.transaction():
        if by == "a later run":
            ended = store.end_older_runs(later, now="2026-01-03T00:00:00Z")
        else:
            ended = store.end_runs_outside([b"b" * 32], now="2026-01-03T00:00:00Z")
    assert ended == ([RUN_ID] if by == "a later run" else [RUN_ID, later])
    found = bytes_on_disk(tmp_path / "node.db")
    assert not any(key.encode() in found for key in keys.values())
    run = store.run_by_id(RUN_ID)
    assert run is not None
    assert (run.phase, run.reason, run.round) == ("aborted", "E-RUN-SUPERSEDED", 3)
    assert (run.started_at, run.updated_at) == ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")
    assert run.agreement_hash == b"a" * 32
    assert run.state["secret"] == SECRET.hex(), "the salts' secret is kept for audits"


def test_ended_runs_and_those_of_the_same_agreement_stay_as_they_are() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    ids = [bytes([i]) * 16 for i in range(3)]
    for run_id, phase in zip(ids, ("done", "aborted", "greeted"), strict=True):
        save(store, state(phase, run_id=run_id.hex(), aborted_with=""))
    before = store.runs()
    with store.transaction():
        assert store.end_older_runs(ids[2], now="2026-01-03T00:00:00Z") == []
        assert store.end_runs_outside([b"a" * 32], now="2026-01-03T00:00:00Z") == []
    assert store.runs() == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, StoreError])
def test_an_exception_rolls_everything_back_and_the_store_goes_on(
    tmp_path: Path, federation: Federation, error: type[BaseException]
) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    save(store, state(round=1))

    def fail() -> None:
        with store.transaction():
            store.save_run(state("aborted"), agreement_hash=b"a" * 32, now="2026-01-02T00:00:00Z")
            store.save_egress(record(1))
            raise error("midway")

    for _ in range(2):
        with pytest.raises(error):
            fail()
    assert store.egress() == []
    (run,) = store.runs()
    assert (run.phase, run.round) == ("running", 1)
    save(store, state(round=2))
    assert store.runs()[0].round == 2


def test_a_commit_that_fails_leaves_no_half_open_transaction(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    save(store, state(round=1))
    pages = store.ask("PRAGMA page_count")[0][0]
    store.ask(f"PRAGMA max_page_count = {pages}")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="full") as caught:
        save(store, state(round=2, secret=bytes(100_000)))
    assert caught.value.remedy
    assert store.runs()[0].round == 1
    store.ask("PRAGMA max_page_count = 1000000")
    save(store, state(round=2))
    assert store.runs()[0].round == 2


def test_refusals_are_counted_and_the_oldest_forgotten() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    for number in range(MAX_REFUSALS + 5):
        for code in ("E-AGR-OTHER", "E-CODE")[: 2 if number == MAX_REFUSALS + 4 else 1]:
            with store.transaction():
                Refusals(store).add(code, bytes([number]) * 16, now=f"2026-01-01T{number:04d}Z")
    with store.transaction():
        Refusals(store).add("E-CODE", bytes([104]) * 16, now="2026-01-02")
    found = Refusals(store).all()
    assert len(found) == MAX_REFUSALS
    assert found[0] == Refusal(at="2026-01-02", code="E-CODE", run_id=bytes([104]) * 16, times=2)
    assert (found[1].code, found[1].times) == ("E-AGR-OTHER", 1)
    assert min(r.run_id[0] for r in found) == 6


def test_a_store_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", sealer := EphemeralSealer())
    save(store, state())
    store.close()
    earlier = Database(
        tmp_path / "node.db", name="node state", migrations=MIGRATIONS, remedy="none"
    )
    for table in (
        "notices",
        "training",
        "staff",
        "counted_keys",
        "counted_parts",
        "counted_sets",
        "counted_kept",
        "seals",
        "seal_hashes",
        "cosignatures",
        "witnesses",
        "witnessed",
        "forks",
        "log_entries",
        "log_hashes",
        "log_refusals",
        "outside_facts",
        "refusals",
        "ledger",
        "excused",
        "stops",
        "exports",
        "wishes",
        "requests",
        "manifests",
        "feedback",
        "drafts",
        "told",
        "signed",
        "caps",
        "readiness",
        "heard",
        "builds",
        "waiting",
        "confirmations",
        "refused_hand_overs",
        "authorities",
    ):
        earlier.ask(f"DROP TABLE {table}")
    for column in ("data_stamp", "data_changed_at"):
        earlier.ask(f"ALTER TABLE runs DROP COLUMN {column}")
    earlier.ask("DROP INDEX egress_by_manifest")
    for column in ("manifest", "beside_bytes", "beside_sha256", "beside"):
        earlier.ask(f"ALTER TABLE egress DROP COLUMN {column}")
    earlier.ask(
        "INSERT INTO egress (at, run_id, what, round, n_bytes, sha256, customers)"
        " VALUES ('2026-01-01', x'11', 'MASKED', 1, 5, '00', 7)"
    )
    earlier.ask("PRAGMA user_version = 2")
    earlier.close()
    store = NodeStore(tmp_path / "node.db", sealer)
    assert Refusals(store).all() == []
    assert Ledger(store).charges() == []
    assert ExportRecords(store).all() == []
    assert store.ask("SELECT * FROM drafts") == []
    assert Caps(store).current() is None
    (left,) = store.egress()
    assert (left.customers, left.manifest) == (7, None)
    assert (store.runs()[0].phase, store.runs()[0].data_changed_at) == ("running", "")


def test_files_of_segments_are_on_record_newest_first(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    records = [
        ExportRecord(
            at=f"2026-01-0{i}", release=bytes([i]) * 32, use="own-marketing", path=f"/a/{i}.csv",
            n_rows=i, sha256="00" * 32,
            delete_by="2026-04-01T00:00:00.000000Z",
        )
        for i in (1, 2)
    ]  # fmt: skip
    with store.transaction():
        for record in records:
            ExportRecords(store).add(record)
    assert ExportRecords(store).all() == records[::-1]


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    NodeStore(tmp_path / "node.db", EphemeralSealer()).close()
    with sqlite3.connect(tmp_path / "node.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (tmp_path / "node.db").read_bytes()
    with pytest.raises(StoreError, match="schema 99") as caught:
        NodeStore(tmp_path / "node.db", EphemeralSealer())
    assert "newer" in caught.value.remedy
    assert (tmp_path / "node.db").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"not a database, but text that is long enough" * 50, b"SQLite format 3\0" + b"\xff" * 5_000],
)
def test_a_file_that_is_no_database_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"node\.db") as caught:
        NodeStore(tmp_path / "node.db", EphemeralSealer())
    assert "backup" in caught.value.remedy
    assert (tmp_path / "node.db").read_bytes() == content


def test_a_folder_in_the_way_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "node.db").mkdir()
    with pytest.raises(StoreError, match=r"node\.db"):
        NodeStore(tmp_path / "node.db", EphemeralSealer())


def test_damaged_pages_are_an_error_of_ours_whatever_is_asked(
    tmp_path: Path, federation: Federation
) -> None:
    path = tmp_path / "node.db"
    store = NodeStore(path, EphemeralSealer())
    for number in range(30):
        save(store, state(run_id=(bytes([number]) * 16).hex(), secret=bytes(3_000)))
    store.close()
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        if b"CREATE " not in content[start : start + 4096]:  # the schema is whole, to open it
            content[start : start + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    store = NodeStore(path, EphemeralSealer())
    for question in (
        store.check,
        store.runs,
        store.releases,
        store.egress,
        lambda: store.run_by_id(RUN_ID),
        lambda: store.chain(federation.agreement),
        lambda: save(store, state()),
    ):
        with pytest.raises(StoreError):
            question()


def test_reading_does_not_wait_for_a_node_that_is_computing(tmp_path: Path) -> None:
    """`status` opens the store while `serve` holds its transaction over all customers."""
    sealer = EphemeralSealer()
    serving = NodeStore(tmp_path / "node.db", sealer)
    save(serving, state(round=1))
    with serving.transaction():
        serving.save_run(state(round=2), agreement_hash=b"a" * 32, now="2026-01-02T00:00:00Z")
        reading = NodeStore(tmp_path / "node.db", sealer)
        assert reading.runs()[0].round == 1
    assert reading.runs()[0].round == 2


def _write_egress(path: Path, first: int) -> None:
    store = NodeStore(path, ClearSealer())
    for number in range(first, first + 40):
        with store.transaction():
            store.save_egress(record(number))
            store.save_run(state(round=number), agreement_hash=b"a" * 32, now="2026-01-02")
    store.close()


@pytest.mark.slow
def test_several_processes_write_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_egress, args=(path, 100 * i)) for i in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    store = NodeStore(path, ClearSealer())
    store.check()
    found = [r.round for r in store.egress()]
    assert sorted(found) == [*range(40), *range(100, 140)]
    assert store.runs()[0].round == found[-1]


def test_a_new_file_may_be_opened_by_several_at_the_same_moment(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def open_all(_: int) -> None:
        for number in range(40):
            together.wait(60)
            NodeStore(tmp_path / f"{number}.db", ClearSealer()).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_all, range(4)))


#: What a person is told of a table that is gone, by a word of `FORGOTTEN`; None where it comes back
#: by itself, or says nothing that a decision hangs on.
TOLD_OF = {
    "chains": "the ledger", "runs": "runs", "releases": "releases", "egress": "what left",
    "agreements": None, "refusals": None, "ledger": "the ledger", "excused": "the ledger",
    "stops": "stops", "exports": "the register of files", "wishes": "objections",
    "requests": "requests", "manifests": "what left", "feedback": "feedback",
    "drafts": "the register of files", "told": "feedback", "signed": None, "caps": "the cap",
    "readiness": None, "heard": None, "builds": "builds", "waiting": "versions that wait",
    "confirmations": "two people", "refused_hand_overs": None, "authorities": "authorities",
    "log_entries": "the audit log", "log_hashes": "the audit log", "log_refusals": None,
    "outside_facts": None, "counted_keys": "who was counted", "counted_parts": "who was counted",
    "counted_sets": "who was counted", "counted_kept": None,
    "notices": "notices", "staff": "staff", "training": "training",
    "seals": "the audit log", "seal_hashes": "the audit log",
    "cosignatures": "what others cosigned of it", "witnesses": None,
    "witnessed": "what was cosigned of the other parties' logs", "forks": None,
}  # fmt: skip


def test_whoever_resets_a_state_is_told_of_every_table(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    rows = store.ask("SELECT name FROM sqlite_master WHERE type = 'table'")
    store.close()
    assert {name for (name,) in rows if not name.startswith("sqlite_")} == set(TOLD_OF)
    told = "; ".join(FORGOTTEN)
    assert [word for word in TOLD_OF.values() if word is not None and word not in told] == []
