"""Seconds a round deployed: every part a process of its own, TLS on loopback, beside SuperNodes.

The run is a real one (exact Lloyd on generated customers); its seconds a round are read from the
coordinator's database, as they were taken from announcement to total.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import Cell, Spread, Table
from benchmarks.stock_supernode import stock_round_seconds
from simulations.retail_features import AgreedFeature
from tests.end_to_end.deployment import Deployment, PartnerData, make_deployment, running

_N_FEATURES = 5
_N_CLUSTERS = 8
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedRun:
    """Costs of one run.

    Attributes:
        rounds: Seconds of each round.
        bytes_up, bytes_down: Of an average message.
    """

    rounds: tuple[float, ...]
    bytes_up: int
    bytes_down: int


def run(*, quick: bool) -> list[Table]:
    """Rounds with few and with many nodes, and with stock SuperNodes."""
    few, more_nodes = (3, (4,)) if quick else (3, (10, 50))
    rows = 100 if quick else 2_000
    first = deployed_run(few, rows=rows, max_rounds=3 if quick else 25)
    stock = stock_round_seconds(
        few,
        rounds=1 if quick else 4,
        bytes_up=first.bytes_up,
        bytes_down=first.bytes_down,
    )
    more = [] if quick else [deployed_run(few, rows=rows, max_rounds=25)]
    larger = {
        n: deployed_run(n, rows=rows, max_rounds=3 if quick else 25 if n < 50 else 8)
        for n in more_nodes
    }
    baseline = Spread.of(stock[1:] or stock)
    found: list[tuple[Cell, ...]] = [
        _row(f"fedseg, {few} nodes", [s for r in (first, *more) for s in r.rounds], baseline),
        *(_row(f"fedseg, {n} nodes", list(run.rounds), baseline) for n, run in larger.items()),
        (f"stock SuperNode, {few} nodes", baseline.count, baseline, 1.0),
    ]
    return [
        Table(
            name="rounds_deployed",
            title=f"Seconds a round deployed: {rows:,} customers a node, {_N_FEATURES} features, "
            f"k = {_N_CLUSTERS}, TLS through the gateway",
            baseline=f"Flower's SuperNode with {few} nodes (isolation by subprocess, an app that "
            "only echoes as many bytes)",
            columns=("deployment", "rounds", "seconds a round", "median / baseline"),
            rows=tuple(found),
            notes=(
                "goals: median ≤ 0.2 s with 3 nodes, ≤ 1.5 s with 50; all processes share this "
                "machine's cores",
                "round 0 is left out on both sides: it brings the certificate and makes the keys",
            ),
        )
    ]


def deployed_run(n_nodes: int, *, rows: int, max_rounds: int) -> DeployedRun:
    """Set up a deployment in a folder that is removed afterwards, and go through one run."""
    with tempfile.TemporaryDirectory(prefix="fedseg-rounds-") as folder, _quiet():
        deployment = _deployment(Path(folder), n_nodes, rows=rows, max_rounds=max_rounds)
        with running(deployment):
            row = deployment.await_end(deployment.request(), timeout_s=_TIMEOUT_S)
            if row.state != "finished":
                raise RuntimeError(f"the run has {row.state}: {row.code} {row.reason}")
            with deployment.store() as store:
                rounds = store.rounds(row.run_id)
                traffic = store.traffic(row.run_id)
    messages = sum(t.messages for t in traffic)
    return DeployedRun(
        rounds=tuple(r.seconds for r in rounds[1:]),
        bytes_up=sum(t.bytes_up for t in traffic) // messages,
        bytes_down=sum(t.bytes_down for t in traffic) // messages,
    )


def _deployment(directory: Path, n_nodes: int, *, rows: int, max_rounds: int) -> Deployment:
    columns = [f"value_{i}" for i in range(_N_FEATURES)]
    data = {}
    for number in range(n_nodes):
        name = f"partner-{number}"
        values = np.random.default_rng(number).uniform(0.0, 100.0, (rows, _N_FEATURES))
        lines = [f"c{i},{','.join(map(repr, row))}" for i, row in enumerate(values.tolist())]
        file = directory / f"{name}.csv"
        header = ",".join(("customer_id", *columns))
        file.write_text("\n".join([header, *lines, ""]), encoding="ascii")
        data[name] = PartnerData(file=file)
    features = [
        AgreedFeature(
            name=name,
            unit="units",
            minimum="0",
            maximum="100",
            transform="none",
            weight="1",
            words="tells customers apart",
        ).to_dict()
        for name in columns
    ]
    return make_deployment(
        directory,
        data,
        features=features,
        n_clusters=_N_CLUSTERS,
        max_rounds=max_rounds,
        grace_s=60,
        resend_s=5,
    )


def _row(name: str, seconds: list[float], baseline: Spread) -> tuple[Cell, ...]:
    spread = Spread.of(seconds)
    return name, spread.count, spread, spread.median / baseline.median


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Set-up commands report to standard output; that is for the tables."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
