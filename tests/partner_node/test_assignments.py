"""A partner's own assignments: the nearest released centre, whole files, for this partner only."""

from __future__ import annotations

import csv
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from partner_node.customers.source_customers import SourceCustomers
from partner_node.segments import private_files
from partner_node.segments.assignments import reach, write_assignments
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.private_files import HeldFiles, Leftovers, PrivateFiles
from partner_node.segments.segment_tables import SegmentTable
from partner_node.sources.source import Chunk, Description
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.errors import FedsegError, RuleError, SourceError, UsageError
from protocol.release.document import Release
from protocol.release.lineage import lineage
from simulations.federation import EphemeralSealer, FeatureTerms, Federation

FEATURES = [
    FeatureTerms(name="visits", min="0", max="10"),
    FeatureTerms(name="spent", min="0", max="100"),
]
CENTRES = np.array([[1.0, 10.0], [5.0, 50.0], [9.0, 90.0]])
COLUMNS = ["customer_id", "segment_id", "segment_name", "distance", "release"]


class Table:
    """Customers in memory; fails in mid-stream when told to."""

    def __init__(self, ids: list[str], values: np.ndarray, *, fails: bool = False) -> None:
        self.ids = np.array(ids, dtype=object)
        self.values = np.asarray(values, dtype=np.float64).reshape(-1, 2)
        self.fails = fails

    def columns(self) -> tuple[str, ...]:
        return ("id", "visits", "spent")

    def chunks(self, columns: Sequence[str], *, max_rows: int) -> Iterator[Chunk]:
        for start in range(0, len(self.ids), max_rows):
            part = slice(start, start + max_rows)
            yield Chunk(ids=self.ids[part], values=self.values[part])
        if self.fails:
            raise SourceError("the disk is gone")

    def describe(self) -> Description:
        raise AssertionError("assigning reads columns and chunks alone")


@pytest.fixture(scope="module")
def released() -> tuple[Agreement, Release]:
    """What three partners released whose customers sit on three spots."""
    rng = np.random.default_rng(3)
    data = [np.repeat(CENTRES, (5, 4, 3), axis=0) + rng.normal(0, 0.01, (12, 2)) for _ in range(3)]
    federation = Federation(data, FEATURES, n_clusters=3, seed=4)
    release = federation.run().release.verify(federation.agreement)
    assert [s.size for s in release.segments] == [15, 12, 9]
    return federation.agreement, release


def write(
    released: tuple[Agreement, Release],
    table: Table,
    path: Path,
    *,
    chunk_rows: int = 2,
    escape: bool = False,
) -> tuple[int, ...]:
    known = known_release(*released)
    customers = SourceCustomers(
        table, known.agreement.features, columns={}, chunk_rows=chunk_rows, gate=None
    )
    with own_files() as files:
        summary = write_assignments(customers, known, path, files=files, escape=escape)
    assert summary.customers == sum(summary.by_segment)
    assert summary.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return summary.by_segment


@contextmanager
def own_files() -> Iterator[HeldFiles]:
    """Where files are written by a node whose state is in memory."""
    with closing(NodeStore(":memory:", EphemeralSealer())) as store:
        with PrivateFiles(store).held() as files:
            yield files
        assert PrivateFiles(store).sweep() == Leftovers()
        assert store.ask("SELECT * FROM drafts") == []


def known_release(agreement: Agreement, release: Release) -> KnownRelease:
    history = lineage([(release, agreement)])
    return KnownRelease(
        received_at="2026-01-01T00:00:00Z", release=release, agreement=agreement,
        step=history[0], history=history,
    )  # fmt: skip


IDS = ["00123", "1e5", "", "a,b", 'say "hi"', "Zoë\n2", "-17"]
ROWS = np.vstack([CENTRES, CENTRES[::-1], [[10, 100]]])
SEGMENTS = [1, 2, 3, 3, 2, 1, 3]


def read(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    return [{k: str(v) for k, v in row.items()} for row in pq.read_table(path).to_pylist()]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_every_customer_gets_the_nearest_released_centre(
    released: tuple[Agreement, Release], tmp_path: Path, name: str
) -> None:
    assert write(released, Table(IDS, ROWS), tmp_path / name) == (2, 2, 3)
    rows = read(tmp_path / name)
    assert list(rows[0]) == COLUMNS
    assert [row["customer_id"] for row in rows] == IDS
    assert [row["segment_id"] for row in rows] == [f"S{s}" for s in SEGMENTS]
    names = [called.name for called in known_release(*released).calls]
    assert [row["segment_name"] for row in rows] == [names[s - 1] for s in SEGMENTS]
    assert len(set(names)) == 3
    assert {row["release"] for row in rows} == {released[1].hash.hex()[:16]}
    distances = [float(row["distance"]) for row in rows]
    assert max(distances[:6]) < 0.02
    assert distances[6] == pytest.approx(np.hypot(0.2, 0.2), abs=0.02)


def test_parquet_says_what_each_column_is(
    released: tuple[Agreement, Release], tmp_path: Path
) -> None:
    write(released, Table(IDS, ROWS), tmp_path / "a.parquet")
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert [str(schema.field(c).type) for c in COLUMNS] == [
        "string", "string", "string", "double", "string",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_partner_without_customers_gets_a_file_with_the_columns_alone(
    released: tuple[Agreement, Release], tmp_path: Path, name: str
) -> None:
    assert write(released, Table([], np.empty((0, 2))), tmp_path / name) == (0, 0, 0)
    assert read(tmp_path / name) == []


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_the_file_appears_whole_or_not_at_all(
    released: tuple[Agreement, Release], tmp_path: Path, name: str
) -> None:
    broken = Table(IDS, ROWS, fails=True)
    with pytest.raises(SourceError):
        write(released, broken, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    write(released, Table(IDS, ROWS), tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(SourceError):
        write(released, broken, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_only_the_owner_can_read_the_file(
    released: tuple[Agreement, Release], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.touch(mode=0o644)
    before = os.umask(0)
    try:
        write(released, Table(IDS, ROWS), path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_that_lies_in_wait_is_not_written_through(
    released: tuple[Agreement, Release], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(private_files.secrets, "token_hex", lambda _: "guessed")
    (tmp_path / ".fedseg-guessed.part").symlink_to(victim)
    write(released, Table(IDS, ROWS), tmp_path / "a.csv")
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", ["a", "a.xlsx", "a.CSV", "a.csv.gz"])
def test_another_ending_is_refused_before_anything_is_read(
    released: tuple[Agreement, Release], tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match=name):
        write(released, Table(IDS, ROWS, fails=True), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_an_error_of_ours(
    released: tuple[Agreement, Release], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(FedsegError, match=r"a\.csv"):
        write(released, Table(IDS, ROWS), tmp_path / "a.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_release_without_segments_assigns_nobody(tmp_path: Path) -> None:
    data = [np.array([[1.0, 1.0]])] * 3
    federation = Federation(data, FEATURES, n_clusters=2, seed=1, min_segment_size=50)
    release = federation.run().release.verify(federation.agreement)
    assert release.segments == ()
    with pytest.raises(RuleError) as caught:
        write((federation.agreement, release), Table(IDS, ROWS), tmp_path / "a.csv")
    assert caught.value.code == "E-NO-SEGMENTS"
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_csv_is_as_rfc_4180_has_it(released: tuple[Agreement, Release], tmp_path: Path) -> None:
    write(released, Table(IDS, ROWS), tmp_path / "a.csv")
    data = (tmp_path / "a.csv").read_bytes()
    lines = data.split(b"\r\n")
    assert lines[0] == ",".join(COLUMNS).encode()
    assert lines[-1] == b""
    assert len(lines) == len(IDS) + 2
    assert b'"say ""hi"""' in data
    assert b'"Zo\xc3\xab\n2"' in data


@pytest.mark.parametrize("customer", ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)", "\tx", "\r=1"])
def test_an_id_that_a_spreadsheet_would_work_out_is_in_no_csv(
    released: tuple[Agreement, Release], tmp_path: Path, customer: str
) -> None:
    table = Table(["a", "b", "c", customer], ROWS[:4])
    with pytest.raises(RuleError) as caught:
        write(released, table, tmp_path / "a.csv")
    assert caught.value.code == "E-CSV-FORMULA"
    assert repr(customer) in caught.value.message
    assert "--escape-formulas" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / "escaped.csv"
    write(released, table, path, escape=True)
    assert [row["customer_id"] for row in read(path)] == ["a", "b", "c", f"'{customer}"]
    segments = SegmentTable.read(path)
    assert segments is not None
    assert segments.lists({customer})
    assert segments.write_without({customer}, tmp_path / "without.csv") == 3
    write(released, table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[3]["customer_id"] == customer


def test_a_file_that_is_there_is_kept_unless_that_is_said(
    released: tuple[Agreement, Release], tmp_path: Path
) -> None:
    agreement, release = released
    path = tmp_path / "a.csv"
    path.write_text("mine")
    customers = SourceCustomers(
        Table(IDS, ROWS, fails=True), agreement.features, columns={}, chunk_rows=2, gate=None
    )
    known = known_release(agreement, release)
    with own_files() as files, pytest.raises(UsageError, match="there already"):
        write_assignments(customers, known, path, files=files, overwrite=False)
    assert path.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_that_appears_meanwhile_is_kept_too_and_not_recorded(
    released: tuple[Agreement, Release], tmp_path: Path
) -> None:
    agreement, release = released
    path = tmp_path / "a.csv"
    recorded: list[object] = []

    class Slow(Table):
        def chunks(self, columns: Sequence[str], *, max_rows: int) -> Iterator[Chunk]:
            path.write_text("theirs")
            yield from super().chunks(columns, max_rows=max_rows)

    customers = SourceCustomers(
        Slow(IDS, ROWS), agreement.features, columns={}, chunk_rows=2, gate=None
    )
    with own_files() as files, pytest.raises(UsageError, match="there already"):
        write_assignments(
            customers, known_release(agreement, release), path, files=files, overwrite=False,
            record=recorded.append,
        )  # fmt: skip
    assert (path.read_text(), recorded) == ("theirs", [])


def test_reach_counts_as_the_file_does(released: tuple[Agreement, Release]) -> None:
    agreement, release = released
    customers = SourceCustomers(
        Table(IDS, ROWS), agreement.features, columns={}, chunk_rows=2, gate=None
    )
    assert reach(customers, known_release(agreement, release)) == [2, 2, 3]
