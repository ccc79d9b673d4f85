"""One pass of a node over a Parquet file larger than its memory, beside DuckDB alone.

Each side is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from benchmarks.measure import Spread, Table, interleaved, ratios, seconds_of
from partner_node.consent.gate import ConsentGate
from partner_node.consent.settings import ConsentSource
from partner_node.customers.answers import answer
from partner_node.customers.source_customers import SourceCustomers
from partner_node.sources.duckdb.sandbox import Sandbox
from partner_node.sources.file_places import File
from partner_node.sources.kinds import open_source
from partner_node.sources.settings import DataSection, LimitsSection
from protocol.agreement.features import Feature
from protocol.agreement.governance import CONSENT, SEGMENTATION
from protocol.queries import ClusterSumsQuery
from protocol.ring import EXACT_FRACTION_BITS
from protocol.strict import Fields
from simulations.federation import FeatureTerms

_FEATURES: Final = 10
_CLUSTERS: Final = 8
_CHUNK: Final = 250_000
_MEMORY: Final = 512_000_000
_THREADS: Final = 2
_NAMES: Final = tuple(f"f{i}" for i in range(_FEATURES))


def run(*, quick: bool) -> list[Table]:
    """Time and memory of one round's pass, with the consent gate and without."""
    customers, turns = (20_000, 1) if quick else (10_000_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        write_customers(Path(folder), customers)
        sides = ("duckdb", "data", "data and consents")
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}

        def measured(side: str) -> float:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.large_source", folder, side],
                check=True,
                capture_output=True,
                text=True,
            )
            found[side].append(json.loads(done.stdout))
            return found[side][-1]["seconds"]

        taken = interleaved({side: partial(measured, side) for side in sides}, turns=turns)
    rows = tuple(
        (
            side,
            Spread.of(taken[side]),
            ratios(taken[side], taken["duckdb"]),
            max(one["peak_mib"] for one in found[side]),
        )
        for side in sides
    )
    return [
        Table(
            name="large_source",
            title=f"One pass over {customers:,} customers × {_FEATURES} features in Parquet, "
            f"k = {_CLUSTERS}",
            baseline="DuckDB alone adds up every feature and every id's length of the same file, "
            f"{_THREADS} threads, {_MEMORY // 10**6} MB",
            columns=("what", "seconds a round", "time / DuckDB's", "peak MiB"),
            rows=rows,
            notes=(
                "data: ids checked for repetition, clipped, scaled, one answer to a sum query",
                "consents: a table with one consent a customer, in Parquet too, read and judged "
                "anew before the pass",
                "peak: highest resident size of the whole process; goal: below 1,024 MiB",
            ),
        )
    ]


def write_customers(folder: Path, customers: int) -> None:
    rng = np.random.default_rng(1)
    columns = [("customer_id", pa.string()), *((name, pa.float64()) for name in _NAMES)]
    consented = [(n, pa.string()) for n in ("subject", "event", "time", "purpose", "notice")]
    with (
        pa_parquet.ParquetWriter(folder / "customers.parquet", pa.schema(columns)) as data,
        pa_parquet.ParquetWriter(folder / "consents.parquet", pa.schema(consented)) as consents,
    ):
        for start in range(0, customers, _CHUNK):
            size = min(_CHUNK, customers - start)
            ids = pa.array([f"customer-{i:08}" for i in range(start, start + size)], pa.string())
            values = [pa.array(rng.uniform(0, 10, size)) for _ in _NAMES]
            data.write_table(pa.table([ids, *values], schema=pa.schema(columns)))
            said = ("ConsentGiven", "2025-01-01T00:00:00Z", SEGMENTATION, "1")
            texts = [pa.array([text] * size, pa.string()) for text in said]
            consents.write_table(pa.table([ids, *texts], schema=pa.schema(consented)))


def _alone(folder: Path) -> None:
    with duckdb.connect(config={"threads": _THREADS, "memory_limit": f"{_MEMORY}B"}) as database:
        sums = ", ".join(f"sum({name})" for name in _NAMES)
        path = folder / "customers.parquet"
        database.execute(
            f"SELECT sum(strlen(customer_id)), {sums} FROM read_parquet('{path}')"  # noqa: S608
        ).fetchall()


def _round(folder: Path, *, gated: bool) -> None:
    gate = None
    if gated:
        place = File(path=str(folder / "consents.parquet"))
        gate = ConsentGate(
            [ConsentSource(name="consents", holds="consents", kind="parquet", place=place)],
            basis=CONSENT,
            purpose=SEGMENTATION,
            notices=["1"],
            max_age=timedelta(days=1),
            children_under=16,
            youngest_customer=18,
            left_out=frozenset,
            limits=Sandbox(memory_bytes=_MEMORY, threads=_THREADS),
        )
    section = DataSection(
        kind="parquet",
        place=File(path=str(folder / "customers.parquet")),
        table=None,
        id_column="customer_id",
        query=None,
        chunk_rows=65_536,
        memory_bytes=_MEMORY,
        temp_folder=None,
        columns=MappingProxyType({}),
        units=MappingProxyType({}),
    )
    terms = [FeatureTerms(name=name, min="0", max="10") for name in _NAMES]
    customers = SourceCustomers(
        open_source(section, LimitsSection(threads=_THREADS, temp_bytes=20 * 10**9)),
        [Feature.read(Fields(term.to_dict(), term.name)) for term in terms],
        columns={},
        chunk_rows=section.chunk_rows,
        gate=gate,
    )
    unit = 1 << EXACT_FRACTION_BITS
    query = ClusterSumsQuery(
        centroids=np.random.default_rng(2).integers(-unit, unit, (_CLUSTERS, _FEATURES)),
        limit=np.full(_FEATURES, unit, dtype=np.int64),
    )
    _, counted = answer(query, customers.vectors())
    if not counted:
        raise LookupError("nobody was counted")


_SIDES: Final[Mapping[str, Callable[[Path], None]]] = {
    "duckdb": _alone,
    "data": partial(_round, gated=False),
    "data and consents": partial(_round, gated=True),
}


def _main(folder: str, side: str) -> dict[str, Any]:
    seconds = seconds_of(partial(_SIDES[side], Path(folder)))
    return {"seconds": seconds, "peak_mib": round(peak_kib() / 1024)}


def peak_kib() -> int:
    """The highest resident size of this program.

    On Linux the maximum of `getrusage` includes the process that started this one, from before
    this program was executed; the kernel's own high-water mark does not.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (mark,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(mark)


if __name__ == "__main__":
    print(json.dumps(_main(*sys.argv[1:])))
