"""Consent tables for tests, and a gate over them."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from partner_node.consent.gate import ConsentGate
from partner_node.consent.settings import ConsentSource
from partner_node.consent.verdicts import Reason
from partner_node.sources.file_places import File
from protocol.agreement.governance import CONSENT, SEGMENTATION

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEADER: Final = ("subject", "event", "time", "purpose", "notice")
GIVEN: Final = "2026-01-01T10:00:00Z"
LATER: Final = "2026-02-01T10:00:00Z"


def given(subject: str, time: str = GIVEN, **changes: str) -> dict[str, str]:
    """One event that permits, unless it is changed."""
    row = {"subject": subject, "event": "ConsentGiven", "time": time, "purpose": SEGMENTATION}
    return row | {"notice": "1"} | changes


def withdrawn(subject: str, time: str = LATER, **changes: str) -> dict[str, str]:
    """One event that ends a consent."""
    return given(subject, time, event="ConsentWithdrawn", **changes)


def write_csv(
    path: Path, rows: Iterable[Mapping[str, str]], *, header: Sequence[str] = HEADER,
    delimiter: str = ",", now: datetime = NOW,
) -> Path:  # fmt: skip
    """A CSV file, last changed an hour before `now`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return changed(path, now=now)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) or "\n", encoding="utf-8")
    return changed(path)


def write_parquet(path: Path, **columns: Any) -> Path:
    """A Parquet file."""
    pq.write_table(pa.table(columns), path)
    return changed(path)


def write_text(path: Path, text: str | bytes) -> Path:
    """Anything."""
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return changed(path)


def changed(path: Path, *, now: datetime = NOW, ago: timedelta = timedelta(hours=1)) -> Path:
    """Have a file be changed last so long before `now`."""
    at = (now - ago).timestamp()
    os.utime(path, (at, at))
    return path


def consents(path: Path | str, **changes: Any) -> ConsentSource:
    """A consent source as `node.toml` would name it."""
    place = File(path=str(path), delimiter=changes.pop("delimiter", ","))
    values = {"name": "crm", "holds": "consents", "kind": "csv", "place": place}
    return ConsentSource(**(values | changes))


def objections(path: Path | str, **changes: Any) -> ConsentSource:
    """A source of objections as `node.toml` would name it."""
    return consents(path, **({"name": "robinson", "holds": "objections"} | changes))


def births(path: Path | str, **changes: Any) -> ConsentSource:
    """A source of births as `node.toml` would name it."""
    return consents(path, **({"name": "registry", "holds": "births"} | changes))


def gate_of(*sources: ConsentSource, **changes: Any) -> ConsentGate:
    """A gate over these sources, on the basis of consent unless that is changed."""
    values: dict[str, Any] = {
        "basis": CONSENT,
        "purpose": SEGMENTATION,
        "notices": ["1"],
        "max_age": timedelta(hours=48),
        "children_under": 16,
        "youngest_customer": 18,
        "left_out": frozenset,
    }
    return ConsentGate(sources, **(values | changes))


def ids_of(*ids: str) -> np.ndarray:
    """Ids as a source gives them."""
    return np.array(ids, dtype=object)


def allowed(gate: ConsentGate, *ids: str, now: datetime = NOW) -> list[str]:
    """Which of some customers the gate permits, by each of its three ways to ask."""
    found = [
        i for i, permitted in zip(ids, gate.snapshot(now).allowed(ids_of(*ids)), strict=True)
        if permitted
    ]  # fmt: skip
    explained = [i for i in ids if gate.explain(i, now)[0] is None]
    assert explained == found
    counted = gate.standing(iter([ids_of(*ids)]), now).counted
    assert counted[None] == len(found)
    assert counted.total() == len(ids)
    return found


def reasons(gate: ConsentGate, *ids: str, now: datetime = NOW) -> list[Reason | None]:
    """What keeps each of some customers out."""
    return [gate.explain(i, now)[0] for i in ids]
