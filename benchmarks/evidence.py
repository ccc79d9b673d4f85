"""Documents of a node with a long audit log: they read entries by kind, never the whole log.

The log's entries are those of a node that answers, is refused and is asked by customers; they are
put in with their hashes as the store keeps them, a transaction for many.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Cell, Spread, Table, interleaved, ratios
from partner_node.evidence.materials import log_facts
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.evidence.forms_of import AT_NODE
from protocol.log import entries as kinds
from protocol.log.entries import Entry
from protocol.log.tree import TILE_WIDTH
from simulations.agreement import feature_values, numbered_agreement
from simulations.federation import EphemeralSealer
from tests.protocol.evidence.materials import materials

_ENTRIES: Final = 1_000_000
_AT_A_TIME: Final = 20_000
_TURNS: Final = 5
_AT: Final = "2026-12-01T09:00:00.000000Z"
_ALL: Final = "every entry read"
_DOCUMENTS: Final = ("record", "dpia")


def run(*, quick: bool) -> list[Table]:
    """Seconds for a document, and what the index of kinds costs."""
    count, turns = (2_000, 1) if quick else (_ENTRIES, _TURNS)
    agreement = numbered_agreement([10], [feature_values("visits")])
    with _stored(agreement, count, indexed=True) as (store, with_index, size):
        documents = _documents(store, agreement, turns)
    with _stored(agreement, count, indexed=False) as (_, without, smaller):
        pass
    cost: tuple[tuple[Cell, ...], ...] = (
        ("without", without / count * 1e6, smaller / count, 1),
        ("with", with_index / count * 1e6, size / count, size / smaller),
    )
    return [
        documents,
        Table(
            name="evidence",
            title=f"What it costs to find entries by kind: {count:,} entries",
            baseline="the same log without the index",
            columns=("index", "microseconds an entry", "bytes an entry", "bytes / baseline"),
            rows=cost,
            notes=("many entries a transaction, so that what syncing costs is not in it",),
        ),
    ]


def _documents(store: NodeStore, agreement: Agreement, turns: int) -> Table:
    """Each document, beside reading every entry once."""
    made = materials("node")

    def document(name: str) -> float:
        start = time.perf_counter()
        facts, size = log_facts(store.log, agreement), store.log.size
        known = {**made.records, "log": {"entries": size, "root": store.log.root(size).hex()}}
        AT_NODE[name].filled(replace(made, log=facts, records=known)).to_dict()
        return time.perf_counter() - start

    sides = {name: partial(document, name) for name in _DOCUMENTS}
    times = interleaved({**sides, _ALL: partial(_read_all, store)}, turns=turns)
    return Table(
        name="evidence",
        title=f"A document of a node whose log has {store.log.size:,} entries",
        baseline="reading every entry of the log once",
        columns=("document", "seconds", "seconds / baseline"),
        rows=tuple((name, Spread.of(t), ratios(t, times[_ALL])) for name, t in times.items()),
        notes=("goal: ≤ 2 s for a document; agreement, settings and registers are small",),
    )


def _read_all(store: NodeStore) -> float:
    begun = time.perf_counter()
    for start in range(0, store.log.size, TILE_WIDTH):
        for data in store.log.entries(start, start + TILE_WIDTH):
            Entry.from_bytes(data)
    return time.perf_counter() - begun


@contextmanager
def _stored(
    agreement: Agreement, count: int, *, indexed: bool
) -> Iterator[tuple[NodeStore, float, int]]:
    """A store with a log, how long its entries took, and how many bytes it has."""
    with tempfile.TemporaryDirectory(prefix="fedseg-evidence-") as folder:
        file = Path(folder) / "node.db"
        store = NodeStore(file, EphemeralSealer(), party="north")
        try:
            if not indexed:
                store.ask("DROP INDEX log_entries_by_kind")
            entries = list(_entries(agreement, count))
            start = time.process_time()
            for first in range(0, count, _AT_A_TIME):
                with store.transaction():
                    for kind, about in entries[first : first + _AT_A_TIME]:
                        store.log.append(kind, at=_AT, **about)
            took = time.process_time() - start
            store.ask("PRAGMA wal_checkpoint(TRUNCATE)")
            yield store, took, file.stat().st_size
        finally:
            store.close()


def _entries(agreement: Agreement, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds as often as a node that answers many questions has them."""
    drawn = random.Random(1)  # nothing secret
    run, digest, about = "ab" * 16, "cd" * 32, agreement.hash.hex()
    choices: tuple[tuple[int, str, dict[str, Any]], ...] = (
        (60, kinds.LEFT, {"run": run, "round": 1, "what": "MASKED: noised answer hidden under "
                          "masks", "bytes": 4_000, "sha256": digest, "message": 1}),
        (30, kinds.QUESTION, {"agreement": agreement.id, "run": run, "round": 1, "asked": "sums "
                              "of 4 clusters", "cost": "123456789012", "context": digest}),
        (6, kinds.REFUSED, {"run": run, "code": "E-PURPOSE"}),
        (2, kinds.REQUEST, {"right": "object", "subject": digest, "step": "received"}),
        (1, kinds.RELEASE, {"run_hash": digest, "agreement_hash": about, "sha256": digest}),
        (1, kinds.AGREEMENT_SIGNED, {"agreement_hash": about, "by": "anna"}),
    )  # fmt: skip
    weights = [weight for weight, _, _ in choices]
    for _, kind, fields in drawn.choices(choices, weights, k=count):
        yield kind, fields
