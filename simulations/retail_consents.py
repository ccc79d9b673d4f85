"""Consent records of generated customers, as a partner's own system would export them.

Most customers agreed, some of them again under a newer notice; a few withdrew, a few were never
asked, and a few object to any profiling. The consents are one row an event::

    customer_id,event,time,purpose,notice
    northlight-000001,ConsentGiven,2025-03-02T10:15:00Z,fedseg:CustomerSegmentation,1
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from protocol.agreement.governance import SEGMENTATION
from simulations.retail import FIRST_DAY, write_csv

#: Consents are given within so many days from the first day of the transactions on; what comes
#: after them comes this long after.
_DAYS: Final = 300
_LATER: Final = timedelta(days=40)
NEVER_ASKED: Final = 0.02
WITHDRAWN: Final = 0.03
RENEWED: Final = 0.25
OBJECTS: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentFiles:
    """Where one partner's records were written."""

    consents: Path
    objections: Path


def write_consents(
    customers: Sequence[str], directory: Path, partner: str, *, seed: int, notice: str = "1"
) -> ConsentFiles:
    """Write ``consents-<partner>.csv`` and ``objections-<partner>.csv``.

    Args:
        customers: Ids.
        seed: Same seed, partner and number of customers, same records.
        notice: Version of the notice under which all consents are given.
    """
    rng = np.random.default_rng([seed, len(customers), zlib.crc32(partner.encode("utf-8"))])
    first = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
    chance = rng.random((3, len(customers)))
    asked = chance[0] >= NEVER_ASKED
    later = np.where(
        chance[1] < WITHDRAWN,
        "ConsentWithdrawn",
        np.where(chance[1] < WITHDRAWN + RENEWED, "RenewedConsentGiven", ""),
    )
    days = rng.integers(0, _DAYS, len(customers))
    minutes = rng.integers(0, 24 * 60, len(customers))
    rows: list[tuple[str, str, str]] = []
    for i, customer in enumerate(customers):
        if not asked[i]:
            continue
        given = first + timedelta(days=int(days[i]), minutes=int(minutes[i]))
        rows.append((customer, "ConsentGiven", f"{given:%Y-%m-%dT%H:%M:%SZ}"))
        if later[i]:
            rows.append((customer, str(later[i]), f"{given + _LATER:%Y-%m-%dT%H:%M:%SZ}"))
    files = ConsentFiles(
        consents=directory / f"consents-{partner}.csv",
        objections=directory / f"objections-{partner}.csv",
    )
    directory.mkdir(parents=True, exist_ok=True)
    events = pa.table(
        {
            "customer_id": [row[0] for row in rows],
            "event": [row[1] for row in rows],
            "time": [row[2] for row in rows],
            "purpose": [SEGMENTATION] * len(rows),
            "notice": [notice] * len(rows),
        },
        schema=pa.schema(
            [(name, pa.string()) for name in ("customer_id", "event", "time", "purpose", "notice")]
        ),
    )
    objecting = [c for c, objects in zip(customers, chance[2] < OBJECTS, strict=True) if objects]
    listed = pa.table({"customer_id": pa.array(objecting, pa.string())})
    for table, path in ((events, files.consents), (listed, files.objections)):
        write_csv(table, path)
    return files
