"""A whole run under differential privacy: deployed with three nodes, and in one process with ten.

Deployed, every part is a process of its own and talks TLS, and nodes that joined by invitation are
woken; seconds are those that the coordinator noted, from the request of the run to its release. All
customers have consented. In one process the same protocol code runs, all parts one after the other.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.measure import Cell, Table
from coordinator.store.records import RoundRow
from protocol.scaling import FloatMatrix
from simulations.federation import FeatureTerms, Federation
from simulations.privacy import benchmark_terms
from tests.end_to_end.joined import joined_deployment

_N_FEATURES = 10
_N_CLUSTERS = 8
_TIMEOUT_S = 600.0


def run(*, quick: bool) -> list[Table]:
    """Seconds of a run, and where they go."""
    return [_deployed(500 if quick else 100_000), _in_process(200 if quick else 10_000)]


def _deployed(rows: int) -> Table:
    with tempfile.TemporaryDirectory(prefix="fedseg-run-") as folder, _quiet():
        names = tuple(f"partner-{number}" for number in range(3))
        for number, name in enumerate(names):
            _write(Path(folder) / f"{name}.csv", number, rows)
        with joined_deployment(
            Path(folder),
            names=names,
            each=None,
            features=[_feature(i).to_dict() for i in range(_N_FEATURES)],
            n_clusters=_N_CLUSTERS,
            max_rounds=11,
            epsilon="1",
            start="anew",
            grace_s=120,
            resend_s=20,
        ) as deployment:
            row = deployment.await_end(deployment.request(), timeout_s=_TIMEOUT_S)
            if row.state != "finished":
                raise RuntimeError(f"the run has {row.state}: {row.code} {row.reason}")
            with deployment.store() as store:
                rounds = store.rounds(row.run_id)
    whole = (
        datetime.fromisoformat(row.updated_at) - datetime.fromisoformat(row.created_at)
    ).total_seconds()
    return _table(f"deployed, 3 nodes, {rows:,} customers each", whole, rounds)


def _in_process(rows: int) -> Table:
    federation = Federation(
        [_customers(i, rows) for i in range(10)],
        [_feature(i) for i in range(_N_FEATURES)],
        n_clusters=_N_CLUSTERS,
        max_rounds=11,
        plan="hybrid-dp",
        profile=True,
        privacy=benchmark_terms(1.0, 1e-6, n_samples=10 * rows),
        seed=1,
    )
    began = time.perf_counter()
    federation.clock.clock = time.perf_counter  # type: ignore[method-assign]
    federation.run()
    whole = time.perf_counter() - began
    rounds = federation.store.rounds(federation.store.runs()[0].run_id)
    return _table(f"in one process, 10 partners, {rows:,} customers each", whole, rounds)


def _table(where: str, whole: float, rounds: list[RoundRow]) -> Table:
    asked = [
        (f"round {r.round + 1}: {r.asked}", r.length, r.seconds, r.seconds / whole) for r in rounds
    ]
    in_rounds = sum(r.seconds for r in rounds)
    found: list[tuple[Cell, ...]] = [
        *asked,
        ("joining, keys, release, hand-out", "", whole - in_rounds, 1.0 - in_rounds / whole),
        ("whole run", sum(r.length for r in rounds), whole, 1.0),
    ]
    return Table(
        name="whole_run",
        title=f"A whole run of hybrid-dp at epsilon 1, {where}, {_N_FEATURES} features, "
        f"k = {_N_CLUSTERS}",
        baseline="the whole run",
        columns=("step", "numbers in a vector", "seconds", "share of the run"),
        rows=tuple(found),
        notes=("goals: deployed 4 s at most, in one process under 5 s",),
    )


def _customers(number: int, rows: int) -> FloatMatrix:
    """Customers of eight kinds."""
    middles = np.random.default_rng(99).uniform(10.0, 90.0, (_N_CLUSTERS, _N_FEATURES))
    rng = np.random.default_rng(number)
    return middles[rng.integers(0, _N_CLUSTERS, rows)] + rng.normal(0.0, 6.0, (rows, _N_FEATURES))


def _feature(number: int) -> FeatureTerms:
    return FeatureTerms(name=f"value_{number}", min="0", max="100")


def _write(file: Path, number: int, rows: int) -> None:
    header = ",".join(("customer_id", *(f"value_{i}" for i in range(_N_FEATURES))))
    lines = [
        f"c{i},{','.join(f'{v:.3f}' for v in row)}"
        for i, row in enumerate(_customers(number, rows).tolist())
    ]
    file.write_text("\n".join([header, *lines, ""]), encoding="ascii")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Set-up commands report to standard output; that is for the tables."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
