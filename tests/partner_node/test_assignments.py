"""A partner's own assignments: the nearest released centre, whole files, for this partner only."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from partner_node.assignments import write_assignments
from partner_node.features import SourceCustomers
from partner_node.sources import Chunk, Description
from protocol.agreement import Agreement
from protocol.clustering.release import Release
from protocol.errors import FedsegError, RuleError, SourceError, UsageError
from simulations.federation import FeatureTerms, Federation

FEATURES = [
    FeatureTerms(name="visits", min="0", max="10"),
    FeatureTerms(name="spent", min="0", max="100"),
]
CENTRES = np.array([[1.0, 10.0], [5.0, 50.0], [9.0, 90.0]])
COLUMNS = ["customer_id", "segment_id", "segment_name", "distance", "release"]
NAMES = ("small, seldom", 'the "middle"', "gross; häufig")


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
    released: tuple[Agreement, Release], table: Table, path: Path, *, chunk_rows: int = 2
) -> tuple[int, ...]:
    agreement, release = released
    customers = SourceCustomers(
        table, agreement.features, columns={}, chunk_rows=chunk_rows, gate=None
    )
    summary = write_assignments(customers, release, agreement, path, names=NAMES)
    assert summary.customers == sum(summary.by_segment)
    return summary.by_segment


IDS = ["00123", "1e5", "", "a,b", 'say "hi"', "Zoë\n2", "=1+1"]
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
    assert [int(row["segment_id"]) for row in rows] == SEGMENTS
    assert [row["segment_name"] for row in rows] == [NAMES[s - 1] for s in SEGMENTS]
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
        "string", "int32", "string", "double", "string",
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
    left = tmp_path / f".{name}.{os.getpid()}"  # by a process that was killed, open to all
    left.touch(mode=0o666)
    before = os.umask(0)
    try:
        write(released, Table(IDS, ROWS), path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_that_lies_in_wait_is_not_written_through(
    released: tuple[Agreement, Release], tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".a.csv.{os.getpid()}").symlink_to(victim)
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
