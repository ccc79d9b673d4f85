"""What is measured, as families of Prometheus: names, labels and values are bounded.

A label is an id or a code, never a free text, and a family has a bounded number of series: what
others write into agreements, runs and refusals neither fills a monitoring system nor speaks there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from machine.labels import label

#: Series of one family; what is beyond is counted in `LEFT_OUT`.
MOST_SERIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured.

    Attributes:
        name: As Prometheus has it, with its unit at the end.
        help: What it is, in a sentence.
        labels: Names of its labels.
        buckets: Upper bounds of a histogram's buckets; empty for a gauge.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


LEFT_OUT: Final = Metric(
    "fedseg_series_left_out", "Series that a family had too many of, by family.", ("family",)
)


@dataclass(slots=True)
class Measured:
    """The values of one moment.

    Attributes:
        table: Everything that may be measured.
    """

    table: Sequence[Metric]
    _values: dict[Metric, dict[tuple[str, ...], float]] = field(default_factory=dict)
    _seen: dict[Metric, dict[tuple[str, ...], list[float]]] = field(default_factory=dict)
    _left_out: dict[str, int] = field(default_factory=dict)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Say a gauge's value; labels that become the same are added up."""
        series = self._values.setdefault(metric, {})
        key = self._key(metric, labels, series)
        if key is not None:
            series[key] = series.get(key, 0.0) + value

    def observe(self, metric: Metric, values: Iterable[float], *labels: str) -> None:
        """Say the values that a histogram counts."""
        series = self._seen.setdefault(metric, {})
        key = self._key(metric, labels, series)
        if key is not None:
            series.setdefault(key, []).extend(values)

    def _key(
        self, metric: Metric, labels: tuple[str, ...], series: Collection[tuple[str, ...]]
    ) -> tuple[str, ...] | None:
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}")
        key = tuple(map(label, labels))
        if key not in series and len(series) >= MOST_SERIES:
            self._left_out[metric.name] = self._left_out.get(metric.name, 0) + 1
            return None
        return key

    def families(self) -> list[Family]:
        """What was said, in the table's order; nothing of what was not."""
        for name, count in self._left_out.items():
            self._values.setdefault(LEFT_OUT, {})[(name,)] = count
        return [
            self._histogram(metric) if metric.buckets else self._gauge(metric)
            for metric in (*self.table, LEFT_OUT)
            if metric in self._values or metric in self._seen
        ]

    def _gauge(self, metric: Metric) -> Family:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in self._values[metric].items():
            family.add_metric(labels, value)
        return family

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, values in self._seen[metric].items():
            counts = [0] * (len(metric.buckets) + 1)
            for value in values:
                counts[bisect_left(metric.buckets, value)] += 1
            bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
            below = [(bound, float(sum(counts[: i + 1]))) for i, bound in enumerate(bounds)]
            family.add_metric(labels, below, sum_value=sum(values))
        return family
