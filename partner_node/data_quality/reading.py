"""One pass over a source for all features; if it fails, one for each, to find all faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from partner_node.customers.source_customers import column_of
from partner_node.data_quality.statistics import Statistics, Summary
from partner_node.sources.source import Source
from protocol.agreement.features import Feature
from protocol.errors import SourceError

#: Number of values of a feature, from the source's beginning, that are inspected for their shape.
SAMPLE_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The result of reading one feature.

    Attributes:
        summary: Statistics of its values; None when it cannot be read.
        sample: Its first values, to inspect their shape, or its levels; never kept.
        problem: Why it cannot be read.
    """

    summary: Summary | None = None
    sample: Sequence[object]
    problem: SourceError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The result of reading a source.

    Attributes:
        customers: Number of customers; None when ids cannot be read.
        features: One entry for each feature asked for; empty when ids cannot be read.
        problem: Why not even ids can be read.
    """

    customers: int | None
    features: tuple[Read, ...]
    problem: SourceError | None = None


def read_features(
    source: Source, features: Sequence[Feature], columns: Sequence[str], *, chunk_rows: int
) -> Reading:
    """Read some features.

    Args:
        columns: The source's column of each feature.
        chunk_rows: Most rows held at once.
    """
    try:
        customers, found = _pass(source, features, columns, chunk_rows)
        return Reading(customers=customers, features=found)
    except SourceError as error:
        if not columns:
            return Reading(customers=None, features=(), problem=error)
        first = error
    ids = read_features(source, (), (), chunk_rows=chunk_rows)
    if ids.problem is not None:
        return ids
    if len(features) == 1:
        return Reading(customers=ids.customers, features=(Read(sample=(), problem=first),))
    each: list[Read] = []
    for feature, column in zip(features, columns, strict=True):
        try:
            each += _pass(source, (feature,), (column,), chunk_rows)[1]
        except SourceError as error:
            each.append(Read(sample=(), problem=error))
    return Reading(customers=ids.customers, features=tuple(each))


def _pass(
    source: Source, features: Sequence[Feature], columns: Sequence[str], chunk_rows: int
) -> tuple[int, tuple[Read, ...]]:
    gathered = [Statistics(feature) for feature in features]
    samples: list[NDArray[np.float64]] = [np.empty(0)] * len(features)
    wanted = [column_of(f, column) for f, column in zip(features, columns, strict=True)]
    customers = 0
    for chunk in source.chunks(wanted, max_rows=chunk_rows):
        for i, statistics in enumerate(gathered):
            statistics.add(chunk.values[:, i])
            if len(samples[i]) < SAMPLE_ROWS:
                more = chunk.values[~np.isnan(chunk.values[:, i]), i]
                samples[i] = np.concatenate([samples[i], more])[:SAMPLE_ROWS]
        customers += chunk.n_rows
    return customers, tuple(
        Read(summary=statistics.summary(), sample=feature.levels or sample.tolist())
        for feature, statistics, sample in zip(features, gathered, samples, strict=True)
    )
