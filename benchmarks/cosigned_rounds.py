"""A round whose logs are cosigned beside one whose logs are not.

Federations in one process, each node with its state in a file: what a node computes and stores is
all in it, the carrier is not. Every node seals its audit log after each message, every other one
cosigns that, and the coordinator passes it on. The same runs, in turns, with and without.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.measure import Spread, Table, interleaved, ratios
from partner_node.store.node_store import NodeStore
from simulations.federation import EphemeralSealer, FeatureTerms, Federation

WITH, WITHOUT = "cosigned", "alone"
_CUSTOMERS, _FEATURES, _CLUSTERS, _ROUNDS = 2_000, 5, 8, 3
_SEED: Final = 1


def run(*, quick: bool) -> list[Table]:
    """The table of `docs/measurements.md`."""
    sizes, turns = ((3,), 1) if quick else ((3, 10, 50), 3)
    rows = []
    for partners in sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_row(partners, Path(folder), turns=turns))
    return [
        Table(
            name="cosigned_rounds",
            title=f"Milliseconds of a round at one node and its share of the coordinator: "
            f"{_CUSTOMERS:,} customers a node, {_FEATURES} features, k = {_CLUSTERS}",
            baseline="the same run with an audit log that nobody cosigns",
            columns=(
                "nodes", "alone, ms", "cosigned, ms", "cosigned / alone", "processor alone, ms",
                "processor cosigned, ms", "bytes beside a reply", "beside a request",
            ),
            rows=tuple(rows),
            notes=(
                "all in one process and one thread: what a node adds waits for nobody",
                "bytes of the last round",
            ),
        )
    ]  # fmt: skip


def _row(partners: int, folder: Path, *, turns: int) -> tuple[str | int | Spread | float, ...]:
    both = {
        name: _federation(partners, folder / name, cosigned=name == WITH)
        for name in (WITH, WITHOUT)
    }
    processor: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    passed: list[int] = []
    first = both[WITH].nodes[0]
    answer = first.answer

    def counting(message: bytes, beside: bytes) -> tuple[bytes, bytes]:
        passed.append(len(beside))
        return answer(message, beside)

    first.answer = counting  # type: ignore[method-assign]

    def one(name: str) -> Callable[[], float]:
        def measured() -> float:
            start, used = time.perf_counter(), time.process_time()
            asked = both[name].run().rounds + 4  # HELLO, READY, APPROVAL, ACK
            processor[name].append((time.process_time() - used) / asked / partners)
            return (time.perf_counter() - start) / asked / partners

        return measured

    taken = interleaved({name: one(name) for name in both}, turns=turns)
    replies = [node.store.egress()[-1].beside_bytes for node in both[WITH].nodes.values()]
    return (
        partners,
        Spread.of(taken[WITHOUT]).scaled(1_000),
        Spread.of(taken[WITH]).scaled(1_000),
        ratios(taken[WITH], taken[WITHOUT]),
        Spread.of(processor[WITHOUT][1:]).scaled(1_000),
        Spread.of(processor[WITH][1:]).scaled(1_000),
        max(replies),
        passed[-1],
    )


def _federation(partners: int, folder: Path, *, cosigned: bool) -> Federation:
    folder.mkdir()
    rng = np.random.default_rng(_SEED)
    federation = Federation(
        [rng.uniform(0.0, 10.0, (_CUSTOMERS, _FEATURES)) for _ in range(partners)],
        [FeatureTerms(name=f"f{at}", min="0", max="10") for at in range(_FEATURES)],
        n_clusters=_CLUSTERS,
        max_rounds=_ROUNDS,
        seed=_SEED,
    )
    for number, node in federation.nodes.items():
        node.store = NodeStore(folder / f"{number}.db", EphemeralSealer())
    federation.exchange.cosigned = cosigned
    return federation
