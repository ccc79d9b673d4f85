"""What receipts cost: a node's answer with the set of its customers committed to, and without.

Each side is a process of its own, so that its peak memory is its own. The first answer reads
customers and consents; each later one counts those that are kept in memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from benchmarks.large_source import peak_kib, write_customers
from benchmarks.measure import Spread, Table, interleaved, ratios
from partner_node.consent.gate import ConsentGate
from partner_node.consent.settings import ConsentSource
from partner_node.customers.answers import answer
from partner_node.customers.kept_customers import KeptCustomers
from partner_node.customers.source_customers import SourceCustomers
from partner_node.kept_room import KeptRoom
from partner_node.receipts.counted_sets import CountedSets, handle_files, shown
from partner_node.receipts.counting import Receipts
from partner_node.sources.duckdb.sandbox import Sandbox
from partner_node.sources.file_places import File
from partner_node.sources.kinds import open_source
from partner_node.sources.settings import DataSection, LimitsSection
from partner_node.store.node_store import NodeStore
from protocol.agreement.features import Feature
from protocol.agreement.governance import CONSENT, SEGMENTATION
from protocol.canonical import canonical_json
from protocol.log.tree import inclusion_proof
from protocol.queries import ClusterSumsQuery
from protocol.receipts.document import Answer
from protocol.receipts.handles import handle
from protocol.receipts.proof import AnswerProof
from protocol.ring import EXACT_FRACTION_BITS
from protocol.strict import Fields
from simulations.federation import EphemeralSealer, FeatureTerms

_FEATURES: Final = 10
_CLUSTERS: Final = 8
_MEMORY: Final = 4_000_000_000
_THREADS: Final = 2
_ANSWERS: Final = 4
_NAMES: Final = tuple(f"f{i}" for i in range(_FEATURES))
_RUN: Final = bytes(16)
_NOW: Final = "2026-12-01T09:00:00.000000Z"
_SIDES: Final = ("without", "with")


def run(*, quick: bool) -> list[Table]:
    """Time of a first and of a later answer, peak memory, time and size of a proof."""
    settings = ((20_000, 1_000, 1),) if quick else ((10**6, 10**6, 3), (10**7, 1_000, 1))
    return [_measured(*one) for one in settings]


def _measured(customers: int, entries: int, turns: int) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        write_customers(Path(folder), customers)
        found: dict[str, list[dict[str, float]]] = {side: [] for side in _SIDES}

        def measured(side: str) -> float:
            log = 0 if found[side] else entries  # making a long log takes long
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.receipts", folder, side, str(log)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            found[side].append(json.loads(done.stdout))
            return found[side][-1]["later"]

        later = interleaved(
            {side: partial(measured, side) for side in _SIDES}, turns=turns, warm_up=False
        )
    first = {side: [one["first"] for one in found[side]] for side in _SIDES}
    proof = found["with"][:1]
    return Table(
        name="receipts",
        title=f"An answer of {customers:,} customers × {_FEATURES} features, k = {_CLUSTERS}, "
        f"with receipts and without; a log of {entries:,} entries",
        baseline="the same answer without: read, judged, added up, and an empty transaction",
        columns=(
            "what", "first answer, s", "ratio", "later answer, s", "ratio ", "peak MiB",
        ),
        rows=tuple(
            (
                side,
                Spread.of(first[side]),
                ratios(first[side], first["without"]),
                Spread.of(later[side]),
                ratios(later[side], later["without"]),
                max(one["peak_mib"] for one in found[side]),
            )
            for side in _SIDES
        ),
        notes=(
            "later: the median of three answers whose customers are kept in memory",
            f"a proof of one answer: {Spread.of([one['proof_ms'] for one in proof])} ms, "
            f"{max(one['proof_bytes'] for one in proof):,.0f} bytes of JSON; goal: 50 ms, 4,096 "
            "bytes",
            f"at home: {max(one['home_mib'] for one in proof):.1f} MiB a run, and "
            f"{max(one['row_kib'] for one in proof):.1f} KiB an answer",
        ),
    )  # fmt: skip


class _Side:
    """One side's node: its source, its gate and its state, in a process of its own."""

    def __init__(self, folder: Path, state: Path) -> None:
        place = File(path=str(folder / "consents.parquet"))
        limits = Sandbox(memory_bytes=_MEMORY, threads=_THREADS)
        room = KeptRoom(_MEMORY // 2)
        gate = ConsentGate(
            [ConsentSource(name="consents", holds="consents", kind="parquet", place=place)],
            basis=CONSENT, purpose=SEGMENTATION, notices=["1"], max_age=timedelta(days=1),
            children_under=16, youngest_customer=18, left_out=frozenset, limits=limits, room=room,
        )  # fmt: skip
        section = DataSection(
            kind="parquet", place=File(path=str(folder / "customers.parquet")), table=None,
            id_column="customer_id", query=None, chunk_rows=65_536, memory_bytes=_MEMORY,
            temp_folder=None, columns=MappingProxyType({}), units=MappingProxyType({}),
        )  # fmt: skip
        terms = [FeatureTerms(name=name, min="0", max="10") for name in _NAMES]
        features = [Feature.read(Fields(one.to_dict(), one.name)) for one in terms]
        self.customers = SourceCustomers(
            open_source(section, LimitsSection(threads=_THREADS, temp_bytes=10**11)),
            features, columns={}, chunk_rows=65_536, gate=gate, keep=KeptCustomers(room),
        )  # fmt: skip
        unit = 1 << EXACT_FRACTION_BITS
        self.query = ClusterSumsQuery(
            centroids=np.random.default_rng(2).integers(-unit, unit, (_CLUSTERS, _FEATURES)),
            limit=np.full(_FEATURES, unit, dtype=np.int64),
        )
        self.store = NodeStore(state / "node.db", EphemeralSealer(), party="north")
        self.receipts = Receipts(self.store, self.customers, keep=True)

    def without(self, number: int) -> None:
        """An answer of which no set is kept."""
        answer(self.query, self.customers.vectors(), threads=_THREADS)
        with self.store.transaction():
            pass

    def with_receipts(self, number: int) -> None:
        """An answer whose set is committed to."""
        with self.store.transaction():
            self.receipts.begin(_RUN, now=_NOW)
        counting = self.receipts.counting(_RUN)
        assert counting is not None
        _, count = answer(self.query, counting.vectors(), threads=_THREADS)
        with counting.prepared(_context(number), count) as ready, self.store.transaction():
            ready.record(agreement_id="pilot", round=number, now=_NOW)


def _context(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _prove(side: _Side, customer: str) -> bytes:
    """One answer's proof, from what is at home."""
    sets, files = CountedSets(side.store), handle_files(side.store)
    key, one = sets.key(_RUN), sets.sets(_RUN)[-1]
    assert key is not None
    assert files is not None
    read = [(part, files.read(part)) for part in sets.parts(_RUN)]
    own = handle(key, customer)
    found = shown(one, own, key, [(part, rows) for part, rows in read if rows is not None])
    size = side.store.log.size
    proof = AnswerProof(
        entry=side.store.log.entry(one.entry),
        index=one.entry,
        inclusion=tuple(inclusion_proof(one.entry, size, side.store.log)),
        bucket=found.bucket,
        path=found.path,
    )
    return canonical_json(Answer(proof=proof, left=True).to_dict())


def _main(folder: Path, name: str, entries: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as state:
        side = _Side(folder, Path(state))
        call = side.without if name == "without" else side.with_receipts
        taken = []
        for number in range(_ANSWERS):
            start = time.perf_counter()
            call(number)
            taken.append(time.perf_counter() - start)
        peak = round(peak_kib() / 1024)
        found = {"first": taken[0], "later": float(np.median(taken[1:])), "peak_mib": peak}
        if name == "without":
            return found
        with side.store.transaction():
            for number in range(side.store.log.size, entries):
                side.store.log.append("stop", at=_NOW, agreement_hash=f"{number:08x}", partner="x")
        spent, size = [], 0
        for number in range(20):
            start = time.perf_counter()
            size = len(_prove(side, f"customer-{number:08}"))
            spent.append(time.perf_counter() - start)
        files = [one.stat().st_size for one in (Path(state) / "receipts").iterdir()]
        ((row,),) = side.store.ask("SELECT max(length(shelves) + length(marks)) FROM counted_sets")
        return found | {
            "proof_ms": float(np.median(spent)) * 1000,
            "proof_bytes": size,
            "home_mib": sum(files) / (1 << 20),
            "row_kib": row / 1024,
        }


if __name__ == "__main__":
    print(json.dumps(_main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
