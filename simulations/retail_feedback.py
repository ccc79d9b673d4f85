"""How satisfied generated customers say they are, as a survey's export.

About half of them answer, each kind about a mean of its own, in whole scores; a few complain and a
few opt out::

    customer_id,kind,at,score
    northlight-000001,satisfaction,2026-01-05T10:15:00Z,4
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pyarrow as pa

from protocol.agreement.satisfaction import SatisfactionTerms
from simulations.retail import FIRST_DAY, write_csv

#: What the generated customers were asked.
QUESTION: Final = SatisfactionTerms(question="How satisfied are you with us?", lowest=1, highest=5)
#: The mean score of each kind of customer.
MEANS: Final = MappingProxyType(
    {
        "one-time": 2.9,
        "loyal": 4.5,
        "big-spender": 4.1,
        "lapsed": 2.1,
        "seasonal": 3.6,
        "bargain-hunter": 3.2,
        "new": 3.9,
    }
)
ANSWERS: Final = 0.55
COMPLAINS: Final = 0.01
OPTS_OUT: Final = 0.005
_SPREAD: Final = 0.8
#: The survey goes out so many days after the first day of the transactions, for so many days.
_SENT, _DAYS = 366, 20


def write_feedback(truth: pa.Table, directory: Path, partner: str, *, seed: int) -> Path:
    """Write ``feedback-<partner>.csv``, for ``fedseg-node feedback import``.

    Args:
        truth: ``customer_id`` and ``kind``, one row a customer.
        seed: Same seed, partner and number of customers, same answers.
    """
    ids, kinds = (truth.column(name).to_pylist() for name in ("customer_id", "kind"))
    rng = np.random.default_rng([seed, len(ids), 7, zlib.crc32(partner.encode("utf-8"))])
    means = np.array([MEANS[kind] for kind in kinds])
    drawn = np.rint(means + rng.normal(0.0, _SPREAD, len(ids)))
    scores = np.clip(drawn, QUESTION.lowest, QUESTION.highest).astype(np.int64)
    minutes = rng.integers(0, _DAYS * 24 * 60, len(ids))
    chance = rng.random((3, len(ids)))
    sent = datetime.combine(FIRST_DAY, time(), UTC) + timedelta(days=_SENT)
    rows = []
    for i, customer in enumerate(ids):
        at = f"{sent + timedelta(minutes=int(minutes[i])):%Y-%m-%dT%H:%M:%SZ}"
        if chance[0, i] < ANSWERS:
            rows.append((customer, "satisfaction", at, str(scores[i])))
        if chance[1, i] < COMPLAINS:
            rows.append((customer, "complaint", at, ""))
        if chance[2, i] < OPTS_OUT:
            rows.append((customer, "opt-out", at, ""))
    columns = list(zip(*rows, strict=True)) or [()] * 4
    names = ("customer_id", "kind", "at", "score")
    path = directory / f"feedback-{partner}.csv"
    directory.mkdir(parents=True, exist_ok=True)
    write_csv(
        pa.table({n: pa.array(c, pa.string()) for n, c in zip(names, columns, strict=True)}), path
    )
    return path
