"""The node's local answer beside one Lloyd iteration of scikit-learn on the same rows.

Also: the answer's peak memory when rows come in chunks, for a number of rows and four times it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from benchmarks.measure import Spread, Table, interleaved, ratios, seconds_of
from partner_node.customers.answers import answer
from protocol.queries import ClusterSumsQuery, customer_vectors
from protocol.ring import EXACT_FRACTION_BITS
from protocol.scaling import FloatMatrix

_UNIT = 1 << EXACT_FRACTION_BITS
_CHUNK_ROWS = 262_144
_EXTRA_ITERATIONS = 15
_ATTEMPTS = 20


def run(*, quick: bool) -> list[Table]:
    """Time and memory of the local answer."""
    rows = 20_000 if quick else 1_000_000
    shapes = ((rows, 10, 8), (rows, 20, 20))
    return [_speed(shapes, turns=2 if quick else 7), _memory(rows)]


def _speed(shapes: tuple[tuple[int, int, int], ...], *, turns: int) -> Table:
    found = []
    for n_samples, n_features, n_clusters in shapes:
        vectors = uniform_customers(n_samples, n_features, seed=1)
        query = random_query(n_features, n_clusters, seed=2)
        chunks = [vectors[i : i + _CHUNK_ROWS] for i in range(0, n_samples, _CHUNK_ROWS)]
        values = np.ascontiguousarray(vectors[:, :n_features]) / _UNIT
        start = query.centroids / _UNIT
        taken = interleaved(
            {
                "sklearn": partial(lloyd_iteration_s, values, start),
                "once": partial(seconds_of, partial(answer, query, chunks)),
                "ours": partial(repeated_answer_s, query, chunks),
            },
            turns=turns,
        )
        found.append(
            (
                f"{n_samples:,} × {n_features}, k = {n_clusters}",
                Spread.of([n_samples / s for s in taken["ours"]]),
                Spread.of([n_samples / s for s in taken["sklearn"]]),
                ratios(taken["ours"], taken["sklearn"]),
                ratios(taken["once"], taken["sklearn"]),
            )
        )
    return Table(
        name="local_answer",
        title="Local answer to a sum query (all sums, squared norms and counts), rows in memory",
        baseline="one Lloyd iteration of scikit-learn's KMeans (float64, same rows, same centroids,"
        " same cores)",
        columns=(
            "data",
            "rows a second",
            "scikit-learn, rows a second",
            "time / scikit-learn's",
            "one answer alone / scikit-learn's",
        ),
        rows=tuple(found),
        notes=(
            f"an iteration of scikit-learn is ({_EXTRA_ITERATIONS + 1} iterations − 1 iteration) / "
            f"{_EXTRA_ITERATIONS}, on data that do not converge: it leaves out KMeans' checks, "
            "centring and final labelling; ours is likewise a mean over "
            f"{_EXTRA_ITERATIONS} answers after a first one",
            "one answer alone starts while scikit-learn's threads still wait actively for more "
            "work, and pays for the start of its own",
            "goal: time ≤ 1.5 × scikit-learn's",
        ),
    )


def _memory(rows: int) -> Table:
    found = []
    for n_features, n_clusters in ((10, 8), (20, 20)):
        few = streamed_peak_mib(rows, n_features, n_clusters)
        many = streamed_peak_mib(4 * rows, n_features, n_clusters)
        label = f"{n_features} features, k = {n_clusters}"
        found.append((label, rows, few, 4 * rows, many, many / few))
    return Table(
        name="local_answer",
        title=f"Peak memory of a process that answers, rows streamed in chunks of {_CHUNK_ROWS:,}",
        baseline="the same process with a quarter of the rows",
        columns=("data", "rows", "MiB", "rows ", "MiB ", "memory ratio"),
        rows=tuple(found),
        notes=("highest resident size of the whole process, interpreter and libraries included",),
    )


def uniform_customers(n_samples: int, n_features: int, *, seed: int) -> FloatMatrix:
    """Vectors of customers without groups: Lloyd goes on for long, every cluster has some."""
    rng = np.random.default_rng(seed)
    grid = rng.integers(-_UNIT, _UNIT + 1, (n_samples, n_features)).astype(np.float64)
    return customer_vectors(grid)


def random_query(n_features: int, n_clusters: int, *, seed: int) -> ClusterSumsQuery:
    """A query with random centroids."""
    rng = np.random.default_rng(seed)
    return ClusterSumsQuery(
        centroids=rng.integers(-_UNIT, _UNIT + 1, (n_clusters, n_features)),
        limit=np.full(n_features, _UNIT, dtype=np.int64),
    )


def repeated_answer_s(query: ClusterSumsQuery, chunks: list[FloatMatrix]) -> float:
    """Seconds of one answer, as a mean over several in a row, after a first one."""
    answer(query, chunks)

    def again() -> None:
        for _ in range(_EXTRA_ITERATIONS):
            answer(query, chunks)

    return seconds_of(again) / _EXTRA_ITERATIONS


def lloyd_iteration_s(values: FloatMatrix, start: FloatMatrix) -> float:
    """Seconds of one Lloyd iteration of scikit-learn, without what comes before and after."""

    def fit(iterations: int) -> None:
        model = KMeans(
            n_clusters=start.shape[0],
            init=start,
            n_init=1,
            max_iter=iterations,
            tol=0.0,
            algorithm="lloyd",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(values)
        if model.n_iter_ != iterations:
            raise ValueError(f"the data converged after {model.n_iter_} iterations")

    for _ in range(_ATTEMPTS):
        before = seconds_of(lambda: fit(1))
        many = seconds_of(lambda: fit(1 + _EXTRA_ITERATIONS))
        one = (before + seconds_of(lambda: fit(1))) / 2.0
        if many > one:
            return (many - one) / _EXTRA_ITERATIONS
    raise RuntimeError("this machine is too busy: more iterations took less time")


def streamed_peak_mib(n_samples: int, n_features: int, n_clusters: int) -> float:
    """Peak memory of a fresh process that answers `n_samples` streamed rows, in MiB."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, *map(str, (n_samples, n_features, n_clusters))],
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    return float(done.stdout)


def _stream(n_samples: int, n_features: int, n_clusters: int) -> None:
    """Answer rows that are made while they are read; print this process's peak memory."""

    def chunks() -> Iterator[FloatMatrix]:
        for number, start in enumerate(range(0, n_samples, _CHUNK_ROWS)):
            size = min(_CHUNK_ROWS, n_samples - start)
            yield uniform_customers(size, n_features, seed=number)

    _, customers = answer(random_query(n_features, n_clusters, seed=2), chunks())
    if customers != n_samples:
        raise ValueError(f"{customers} customers of {n_samples}")
    print(_peak_mib())


def _peak_mib() -> float:
    """Highest resident size of this process; Linux's ru_maxrss would include its parent's."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    _stream(*(int(a) for a in sys.argv[1:]))
