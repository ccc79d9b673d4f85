"""Statistics of one feature's values, collected chunk by chunk in constant memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from partner_node.data_quality.quantiles import Quantiles
from protocol.agreement.features import Feature
from protocol.feature_values import NO_LEVEL, UNLISTED

N_BINS: Final = 12
SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Number of distinct values whose counts are kept; a count is too low by at most 1 in this many.
_COUNTED_VALUES: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Statistics of a feature's values.

    Attributes:
        customers: Number of values.
        missing: Number of customers without one.
        below, above: Number of values beyond the agreed bounds, which will be clipped to them.
        quantiles: The values at `SHARES`, within one percent.
        commonest: The most frequent value.
        commonest_count: Number of customers who have it; too low by at most one in a thousand
            customers.
        edges: Edges of the bins between the agreed bounds, ``N_BINS + 1`` numbers; empty for a
            feature with levels.
        labels: The levels, followed by `NO_LEVEL` where other values are accepted; else empty.
        counts: Customers in each bin or with each label, without those beyond the bounds.
    """

    customers: int
    missing: int
    lowest: float
    highest: float
    mean: float
    below: int
    above: int
    quantiles: tuple[float, ...]
    commonest: float
    commonest_count: int
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def clipped_share(self) -> float:
        """Share of customers with a value beyond the agreed bounds, 0 to 1."""
        return self.share(self.below + self.above)

    def share(self, count: int) -> float:
        """`count` customers as a share of all, 0 to 1."""
        return count / max(self.customers, 1)

    @property
    def missing_share(self) -> float:
        """Share of customers without a value, 0 to 1."""
        return self.missing / max(self.customers + self.missing, 1)

    @property
    def commonest_words(self) -> str:
        """The most frequent level or number, in words."""
        return self.labels[int(self.commonest)] if self.labels else f"{self.commonest:g}"

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON values."""
        values: dict[str, Any] = {
            "customers": self.customers,
            "missing": self.missing,
            "missing_share": self.missing_share,
        }
        if self.labels:
            return {**values, "levels": dict(zip(self.labels, self.counts, strict=True))}
        return {
            **values,
            "lowest": self.lowest,
            "highest": self.highest,
            "mean": self.mean,
            "share_below": self.share(self.below),
            "share_above": self.share(self.above),
            "clipped_share": self.clipped_share,
            "quantiles": {
                f"{share:g}": value for share, value in zip(SHARES, self.quantiles, strict=True)
            },
            "commonest": {"value": self.commonest, "share": self.share(self.commonest_count)},
            "histogram": {"edges": list(self.edges), "counts": list(self.counts)},
        }


class Statistics:
    """Collects the values of one feature.

    Args:
        feature: Has the bounds, and says whether bins are equally wide on a logarithmic scale.
    """

    def __init__(self, feature: Feature) -> None:
        self._low, self._high = float(feature.min), float(feature.max)
        others = () if feature.other is None else (NO_LEVEL,)
        self._labels = (*feature.levels, *others)
        self._edges = np.empty(0) if self._labels else bin_edges(feature)
        self._counts = np.zeros(len(self._labels) or N_BINS, dtype=np.int64)
        self._missing = 0
        self._quantiles = Quantiles()
        self._common: Counter[float] = Counter()
        self._customers = self._below = self._above = 0
        self._lowest, self._highest, self._mean = np.inf, -np.inf, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Count values as a source returns them, shape ``(n,)``."""
        absent = np.isnan(values)
        self._missing += int(np.count_nonzero(absent))
        values = values[~absent]
        if self._labels:  # other values come after all levels
            values = np.where(values == UNLISTED, len(self._labels) - 1, values)
        if not len(values):
            return
        before, self._customers = self._customers, self._customers + len(values)
        self._lowest = min(self._lowest, float(values.min()))
        self._highest = max(self._highest, float(values.max()))
        # The mean of values near the largest double must not overflow.
        own = float((values / len(values)).sum())
        self._mean = self._mean * (before / self._customers) + own * (len(values) / self._customers)
        if not self._labels:
            self._below += int(np.count_nonzero(values < self._low))
            self._above += int(np.count_nonzero(values > self._high))
        self._counts += self._binned(values)
        self._quantiles.add(values)
        found, counts = np.unique(values, return_counts=True)
        self._common.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        self._forget_the_rare()

    def summary(self) -> Summary:
        """Statistics of the values added so far."""
        ((commonest, count),) = self._common.most_common(1) or [(0.0, 0)]
        some = self._customers > 0
        lowest, highest = (self._lowest, self._highest) if some else (0.0, 0.0)
        return Summary(
            customers=self._customers,
            missing=self._missing,
            lowest=lowest,
            highest=highest,
            mean=min(max(self._mean, lowest), highest),
            below=self._below,
            above=self._above,
            quantiles=tuple(
                min(max(self._quantiles.at(share), lowest), highest) for share in SHARES
            ),
            commonest=commonest,
            commonest_count=count,
            edges=tuple(self._edges.tolist()),
            labels=self._labels,
            counts=tuple(self._counts.tolist()),
        )

    def _binned(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        if self._labels:
            return np.bincount(values.astype(np.int64), minlength=len(self._labels))
        inside = values[(values >= self._low) & (values <= self._high)]
        counts: NDArray[np.int64] = np.histogram(inside, bins=self._edges)[0]
        return counts

    def _forget_the_rare(self) -> None:
        """Keep few counts: subtract the largest dropped count from all (Misra, Gries 1982)."""
        if len(self._common) <= _COUNTED_VALUES:
            return
        least = self._common.most_common(_COUNTED_VALUES + 1)[-1][1]
        self._common = Counter({v: n - least for v, n in self._common.items() if n > least})


def bin_edges(feature: Feature) -> NDArray[np.float64]:
    """Edges of bins between the agreed bounds, equally wide on the feature's scale."""
    low, high = float(feature.min), float(feature.max)
    if feature.transform == "log1p":
        edges = np.expm1(np.linspace(np.log1p(low), np.log1p(high), N_BINS + 1))
    else:
        edges = np.linspace(low, high, N_BINS + 1)
    edges[0], edges[-1] = low, high
    return edges
