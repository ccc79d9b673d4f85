"""The consent gate before an answer, beside DuckDB reading the same two files and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from benchmarks.measure import Spread, Table, interleaved, ratios, seconds_of
from partner_node.consent.gate import ConsentGate, Snapshot
from partner_node.consent.settings import ConsentSource
from partner_node.sources.file_places import File
from protocol.agreement.governance import CONSENT, SEGMENTATION
from simulations.retail import write_csv

_NOTICES = ("1", "2")
_THREADS = 2
_CHUNK_ROWS = 65_536
_KINDS: tuple[str, ...] = ("csv", "parquet")


def run(*, quick: bool) -> list[Table]:
    """Time of a snapshot, and of looking every customer up in it."""
    customers, turns = (20_000, 2) if quick else (1_000_000, 7)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        ids = np.array([f"customer-{i:08}" for i in range(customers)], dtype=object)
        for kind in _KINDS:
            gate, files = _gate(ids, Path(folder), kind)
            now = datetime.now(UTC)
            snapshot = gate.snapshot(now)
            chunks = [ids[i : i + _CHUNK_ROWS] for i in range(0, customers, _CHUNK_ROWS)]
            taken = interleaved(
                {
                    "duckdb": partial(seconds_of, partial(_read, files, kind)),
                    "snapshot": partial(seconds_of, partial(_anew, gate, now)),
                    "unchanged": partial(seconds_of, partial(gate.snapshot, now)),
                    "look-up": partial(seconds_of, partial(_look_up, snapshot, chunks)),
                },
                turns=turns,
            )
            found.append(
                (
                    f"{kind}, {customers:,} customers, {2 * customers:,} events",
                    Spread.of(taken["duckdb"]),
                    Spread.of(taken["snapshot"]),
                    Spread.of(taken["look-up"]),
                    ratios(taken["snapshot"], taken["duckdb"]),
                    ratios(taken["unchanged"], taken["duckdb"]),
                )
            )
    return [
        Table(
            name="consent",
            title="Who may be counted now: a table of consents and a list of objections, read anew",
            baseline=f"DuckDB alone reads every value of the same two files as text, {_THREADS} "
            "threads, in the same process",
            columns=(
                "tables",
                "DuckDB alone, s",
                "snapshot, s",
                "look-up of every customer, s",
                "snapshot / baseline",
                "unchanged tables / baseline",
            ),
            rows=tuple(found),
            notes=(
                "snapshot and look-up come on top of every sum query: a customer who withdraws is "
                "out of the next one",
                "unchanged tables: only compared, before each later question of a run",
                "two events a customer: a consent, then a renewal or, for one in fifteen, a "
                "withdrawal, in random order; one customer in a hundred objects",
            ),
        )
    ]


def _gate(ids: np.ndarray, folder: Path, kind: str) -> tuple[ConsentGate, tuple[Path, Path]]:
    rng = np.random.default_rng(1)
    kinds = np.where(rng.random(len(ids)) < 1 / 15, "ConsentWithdrawn", "RenewedConsentGiven")
    seconds = np.datetime64("2024-01-01") + rng.integers(0, 2**24, 2 * len(ids)).astype(
        "timedelta64[s]"
    )
    n_events = 2 * len(ids)
    events = pa.table(
        {
            "subject": pa.array(np.concatenate([ids, ids]), pa.string()),
            "event": pa.array(
                np.concatenate([np.full(len(ids), "ConsentGiven"), kinds]), pa.string()
            ),
            "time": pa.array(np.char.add(np.datetime_as_string(seconds), "Z"), pa.string()),
            "purpose": pa.array([SEGMENTATION] * n_events, pa.string()),
            "notice": pa.array(np.array(_NOTICES)[rng.integers(0, 2, n_events)], pa.string()),
        }
    ).take(pa.array(rng.permutation(n_events)))
    listed = pa.table({"subject": pa.array(ids[rng.random(len(ids)) < 0.01], pa.string())})
    files = (folder / f"consents.{kind}", folder / f"objections.{kind}")
    for table, path in zip((events, listed), files, strict=True):
        if kind == "csv":
            write_csv(table, path)
        else:
            pa_parquet.write_table(table, path)
    gate = ConsentGate(
        [
            ConsentSource(
                name="consents", holds="consents", kind=kind, place=File(path=str(files[0]))
            ),
            ConsentSource(
                name="objections", holds="objections", kind=kind, place=File(path=str(files[1]))
            ),
        ],
        basis=CONSENT,
        purpose=SEGMENTATION,
        notices=_NOTICES,
        max_age=timedelta(days=1),
        children_under=16,
        youngest_customer=18,
        left_out=frozenset,
    )
    return gate, files


def _anew(gate: ConsentGate, now: datetime) -> None:
    gate.forget()
    gate.snapshot(now)


def _look_up(snapshot: Snapshot, chunks: Sequence[np.ndarray]) -> None:
    for ids in chunks:
        snapshot.allowed(ids)


def _read(files: tuple[Path, Path], kind: str) -> None:
    """Have DuckDB read every value; a plain count or maximum it would take from statistics."""
    with duckdb.connect(config={"threads": str(_THREADS)}) as connection:
        for path in files:
            scan = (
                f"read_csv('{path}', all_varchar = true)"
                if kind == "csv"
                else f"read_parquet('{path}')"
            )
            connection.execute(f"SELECT sum(strlen(COLUMNS(*))) FROM {scan}").fetchall()  # noqa: S608
