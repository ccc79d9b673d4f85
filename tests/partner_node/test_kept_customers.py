"""What was read for one question serves the next, as long as it is what reading would find."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from partner_node.consent.gate import ConsentGate
from partner_node.customers import kept_customers as module
from partner_node.customers.kept_customers import KeptCustomers
from partner_node.customers.source_customers import SourceCustomers
from partner_node.home import NodeHome
from partner_node.kept_room import KeptRoom
from partner_node.sources import kinds
from partner_node.sources.data_file import DataFile
from partner_node.sources.duckdb.source import DuckDBSource
from partner_node.sources.source import Chunk, Column, Description
from protocol.agreement.features import Feature
from protocol.errors import RunFailedError, SourceError
from protocol.strict import Fields
from tests.federations import small_federation
from tests.partner_node import consents as c
from tests.partner_node.nodes import installed, node, shell

__all__ = ["installed", "node", "shell"]

LONG_AGO = 10**18
FILE = DataFile(path="pyproject.toml", size=9, modified_ns=1, inode=2, changed_ns=LONG_AGO)
ROOM = 1 << 20


class Table:
    """Customers a to e, whose values are their places; notes how often it is read."""

    def __init__(self, ids: str = "abcde") -> None:
        self.ids = ids
        self.state: tuple[DataFile, ...] = (FILE,)
        self.passes = 0
        self.fails = False

    def columns(self) -> tuple[str, ...]:
        return ("id", "visits")

    def describe(self) -> Description:
        raise AssertionError("nobody asks for a description")

    def files(self) -> tuple[DataFile, ...]:
        return self.state

    def chunks(self, columns: Sequence[Column], *, max_rows: int) -> Iterator[Chunk]:
        self.passes += 1
        for start in range(0, len(self.ids), max_rows):
            ids = c.ids_of(*self.ids[start : start + max_rows])
            values = np.arange(start, start + len(ids), dtype=np.float64)[:, None]
            yield Chunk(ids=ids, values=values)
            if self.fails:
                raise SourceError("the disk is gone", code="E-SOURCE-FILE")


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    return c.write_csv(tmp_path / "crm.csv", [c.given(i) for i in "abcde"])


def customers_of(
    table: Table, crm: Path | ConsentGate, keep: KeptCustomers | None = None
) -> SourceCustomers:
    visits = {"name": "visits", "type": "numeric", "unit": "x", "min": "0", "max": "10",
              "transform": "none", "weight": "1", "necessity": "x"}  # fmt: skip
    return SourceCustomers(
        table, [Feature.read(Fields(visits, "visits"))], columns={}, chunk_rows=2,
        gate=crm if isinstance(crm, ConsentGate) else c.gate_of(c.consents(crm)),
        keep=keep or KeptCustomers(KeptRoom(ROOM)), clock=lambda: c.NOW,
    )  # fmt: skip


def asked(customers: SourceCustomers) -> bytes:
    """What one question gets of the customers."""
    return b"".join(vectors.tobytes() for vectors in customers.vectors())


def read(customers: SourceCustomers) -> bytes:
    """The same, read anew."""
    return b"".join(vectors.tobytes() for _, vectors in customers.identified())


def test_the_next_question_reads_nothing_and_gets_the_same(crm: Path) -> None:
    customers = customers_of(table := Table(), crm)
    first = asked(customers)
    assert asked(customers) == asked(customers) == first
    assert table.passes == 1
    assert read(customers) == first != b""
    assert table.passes == 2


def test_who_is_eligible_is_asked_of_the_gate_before_every_question(crm: Path) -> None:
    customers = customers_of(table := Table("abcdef"), crm)
    assert sum(len(v) for v in customers.vectors()) == 5
    for rows, n in (
        ([c.given(i) for i in "abcde"] + [c.withdrawn("b")], 4),
        ([c.given(i) for i in "af"], 2),
        ([c.withdrawn("a")], 0),
        ([c.given(i) for i in "abcdef"], 6),
    ):
        c.write_csv(crm, rows)
        found = asked(customers)
        assert len(found) == n * 3 * 8
        assert table.passes == 1
        assert found == read(customers_of(Table("abcdef"), crm))


def test_who_is_eligible_is_not_held_by_the_customers_who_are_kept(crm: Path) -> None:
    gate = c.gate_of(c.consents(crm))
    customers = customers_of(Table(), gate)
    asked(customers)
    answer = weakref.ref(gate.snapshot(c.NOW))
    assert answer() is not None
    gate.forget()
    assert answer() is None
    asked(customers)
    customers.forget()


def test_customers_whom_the_agreement_leaves_out_for_a_missing_value_are_not_kept(
    crm: Path,
) -> None:
    class Gaps(Table):
        def chunks(self, columns: Sequence[Column], *, max_rows: int) -> Iterator[Chunk]:
            for chunk in super().chunks(columns, max_rows=max_rows):
                values = np.where(chunk.values == 2.0, np.nan, chunk.values)
                yield Chunk(ids=chunk.ids, values=values)

    visits = {"name": "visits", "type": "numeric", "unit": "x", "min": "0", "max": "10",
              "transform": "none", "weight": "1", "necessity": "x",
              "missing": {"rule": "leave-out"}}  # fmt: skip
    customers = SourceCustomers(
        Gaps(), [Feature.read(Fields(visits, "visits"))], columns={}, chunk_rows=2,
        gate=c.gate_of(c.consents(crm)), keep=KeptCustomers(KeptRoom(ROOM)), clock=lambda: c.NOW,
    )  # fmt: skip
    assert asked(customers) == asked(customers) == read(customers)
    assert len(asked(customers)) == 4 * 3 * 8


@pytest.mark.parametrize("part", ["path", "size", "modified_ns", "inode", "changed_ns"])
def test_a_file_that_changed_in_any_way_is_read_again(crm: Path, part: str) -> None:
    customers = customers_of(table := Table(), crm)
    asked(customers)
    other = "README.md" if part == "path" else getattr(FILE, part) + 1
    table.state = (replace(FILE, **{part: other}),)
    table.ids = "abc"
    assert len(asked(customers)) == 3 * 3 * 8
    assert table.passes == 2
    table.state = (*table.state, FILE)
    asked(customers)
    assert table.passes == 3
    asked(customers)
    assert table.passes == 3


def test_a_change_that_no_time_tells_of_is_seen_in_what_is_in_the_file(
    crm: Path, tmp_path: Path
) -> None:
    customers, file = customers_of(table := Table(), crm), tmp_path / "data.csv"
    table.state = (replace(FILE, path=str(file)),)
    for content, passes in ((b"one", 1), (b"one", 1), (b"two", 2)):
        file.write_bytes(content)
        asked(customers)
        assert table.passes == passes
    file.unlink()  # reading says what is wrong
    asked(customers)
    asked(customers)
    assert table.passes == 4


def test_a_database_is_asked_every_time_since_its_views_may_hang_on_the_clock(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = NodeHome.load(installed)
    agreement = home.signed_agreement().agreement
    assert home.customers(agreement, None)._keep is not None
    with_tables = {**kinds.KINDS, "csv": replace(kinds.KINDS["csv"], has_tables=True)}
    monkeypatch.setattr(kinds, "KINDS", with_tables)
    assert home.customers(agreement, None)._keep is None


def test_a_timer_whose_place_another_took_forgets_nothing(crm: Path) -> None:
    customers = customers_of(table := Table(), crm)
    asked(customers)
    late = customers._idle._timer
    asked(customers)
    assert late is not None
    late.function(*late.args)
    asked(customers)
    assert table.passes == 1
    customers.forget()


@pytest.mark.parametrize("ids", ["abc", ""])
def test_a_server_is_read_for_every_question(crm: Path, ids: str) -> None:
    customers = customers_of(table := Table(ids), crm)
    table.state = ()
    asked(customers)
    table.ids = "abcde"
    assert len(asked(customers)) == 5 * 3 * 8
    assert table.passes == 2


def test_a_file_that_changed_a_moment_ago_may_change_again_unnoticed(crm: Path) -> None:
    keep = KeptCustomers(KeptRoom(ROOM), now_ns=lambda: LONG_AGO + 2 * 10**9)
    customers = customers_of(table := Table(), crm, keep)
    asked(customers)
    asked(customers)
    assert table.passes == 2
    table.state = (replace(FILE, changed_ns=LONG_AGO - 1),)
    asked(customers)
    asked(customers)
    assert table.passes == 3


def test_a_file_that_changes_while_it_is_read_is_not_kept(crm: Path) -> None:
    customers = customers_of(table := Table(), crm)
    chunks = customers.vectors()
    next(chunks)
    table.state = (replace(FILE, changed_ns=LONG_AGO + 1),)
    list(chunks)
    table.state = (FILE,)
    asked(customers)
    assert table.passes == 2


def test_a_reading_that_breaks_off_keeps_nobody(crm: Path) -> None:
    customers = customers_of(table := Table(), crm)
    next(customers.vectors())
    table.fails = True
    with pytest.raises(SourceError):
        asked(customers)
    table.fails = False
    assert len(asked(customers)) == 5 * 3 * 8
    assert table.passes == 3


def test_more_customers_than_there_is_room_for_are_read_every_time(crm: Path) -> None:
    one = 4 + 16 + 1
    for room, passes in ((5 * one, 1), (5 * one - 1, 2), (one, 2), (0, 2)):
        customers = customers_of(table := Table(), crm, KeptCustomers(KeptRoom(room)))
        assert asked(customers) == asked(customers)
        assert table.passes == passes, room


def test_the_agreements_of_a_folder_share_the_room_for_what_is_kept(crm: Path) -> None:
    room = KeptRoom(7 * (4 + 16 + 1))
    first, second = (customers_of(Table(), crm, KeptCustomers(room)) for _ in range(2))
    for customers, kept in ((first, True), (second, False), (second, False)):
        assert len(asked(customers)) == 5 * 3 * 8
        assert customers._keep is not None
        assert (customers._keep._kept is not None) is kept
    first.forget()
    second.forget()
    asked(second)
    assert second._keep is not None
    assert second._keep._kept is not None, "what was forgotten is free again"
    del second, customers
    asked(first)
    assert first._keep is not None
    assert first._keep._kept is not None, "and what is gone"
    first.forget()


def test_a_folder_has_one_room_for_customers_and_gates(installed: Path) -> None:
    home = NodeHome.load(installed)
    agreement = home.signed_agreement().agreement
    one, other = (place.customers(agreement, None) for place in (home, home._at("")))
    assert one._keep is not None
    assert other._keep is not None
    assert one._keep._room is other._keep._room
    gate = home.gate(agreement, home.party(agreement))
    assert gate._last._room is one._keep._room


def test_files_are_hashed_only_where_what_is_read_from_them_may_be_kept(
    crm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[object] = []
    monkeypatch.setattr(module, "digest_of", lambda files: hashed.append(files) or b"same")
    room = 4 * (4 + 16 + 1)
    customers = customers_of(table := Table(), crm, KeptCustomers(KeptRoom(room)))
    asked(customers)
    assert len(hashed) == 1, "and not again when the fifth did not fit"
    asked(customers)
    assert len(hashed) == 1, "they are the same still"
    table.state, table.ids = (replace(FILE, changed_ns=LONG_AGO + 1),), "abcd"
    asked(customers)
    asked(customers)
    assert (len(hashed), table.passes) == (4, 3), "before and after reading, and when asked again"
    table.state = (replace(FILE, changed_ns=time.time_ns() + 10**12),)
    customers.forget()
    asked(customers)
    assert len(hashed) == 4, "it changed just now"
    customers.forget()


def test_hashes_of_another_gate_are_not_compared(crm: Path) -> None:
    keep, table = KeptCustomers(KeptRoom(ROOM)), Table()
    for _ in range(2):
        assert len(asked(customers_of(table, crm, keep))) == 5 * 3 * 8
    assert table.passes == 2


@pytest.mark.parametrize("is_database", [False, True])
def test_what_is_kept_is_forgotten_when_no_question_comes_for_a_while(
    crm: Path, is_database: bool
) -> None:
    gate = c.gate_of(c.consents(crm))
    customers = customers_of(table := Table(), gate)
    keep = customers._keep
    if is_database:
        customers._keep = None
    asked(customers)
    assert gate._last._kept is not None
    timer = customers._idle._timer
    assert timer is not None
    assert (timer.interval, timer.is_alive()) == (600, True)
    timer.function(*timer.args)
    assert keep is not None
    assert keep._kept is None
    assert gate._last._kept is None, "nor what the gate answered"
    asked(customers)
    assert table.passes == 2
    customers.forget()


def test_a_question_in_time_puts_forgetting_off(crm: Path) -> None:
    customers = customers_of(Table(), crm)
    asked(customers)
    first = customers._idle._timer
    asked(customers)
    assert first is not None
    assert first.finished.is_set(), "it was called off"
    last = customers._idle._timer
    assert last is not None
    assert last.daemon, "no process waits for it"
    del customers
    assert last.finished.is_set(), "nothing is left to forget"


def test_at_the_end_of_a_run_nothing_is_kept(crm: Path) -> None:
    customers = customers_of(table := Table(), crm)
    asked(customers)
    customers.forget()
    asked(customers)
    assert table.passes == 2


def test_a_node_says_when_a_run_is_over_with_a_release_or_without() -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    seen: list[str] = []
    node = federation.nodes[0]

    def over() -> None:
        assert not node.store._connection.in_transaction, "it is stored"
        seen.append(node.store.runs()[0].phase)

    node._run_over = over
    federation.run()
    assert seen == ["done"]

    def refuses(query: object, counting: object) -> object:
        raise SourceError("the disk is gone", code="E-SOURCE-FILE")

    federation.nodes[1]._sums = refuses  # type: ignore[method-assign,assignment]
    with pytest.raises(RunFailedError):
        federation.run()
    assert seen == ["done", "aborted"]


def test_a_node_keeps_its_customers_from_question_to_question(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[object] = []
    chunks = DuckDBSource.chunks
    monkeypatch.setattr(
        DuckDBSource, "chunks", lambda self, *a, **k: passes.append(1) or chunks(self, *a, **k)
    )
    monkeypatch.setattr(module, "_SETTLED_NS", 0)
    home = NodeHome.load(installed)
    agreement = home.signed_agreement().agreement
    customers = home.customers(agreement, home.gate(agreement, home.party(agreement)))
    first = asked(customers)
    assert first != b""
    assert asked(customers) == first
    assert len(passes) == 1
