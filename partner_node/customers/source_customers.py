"""From a source's values to customers' vectors on the agreed grid.

Only the agreed features are read. What is missing counts by the agreed rule, and values are
clipped to the agreed bounds before anything else is done with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from partner_node.columns.agreed import check_listed
from partner_node.sources.source import Chunk, Column, Source
from protocol.agreement.features import Feature, coordinates_of
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import LocalProtocolError
from protocol.feature_values import coordinate_values
from protocol.queries import customer_vectors, with_scores
from protocol.scaling import FeatureScale, FloatMatrix

#: What counts as yes and as no, in capital or small letters; a table in which some are missing
#: often has doubles.
_NO: Final = ("false", "f", "no", "n", "0", "0.0")
_YES: Final = ("true", "t", "yes", "y", "1", "1.0")


def column_of(feature: Feature, column: str) -> Column:
    """How an agreed feature is read from a source's column."""
    levels = (_NO, _YES) if feature.kind.truth else _texts(feature.levels)
    return Column(
        name=column,
        levels=levels,
        folded=feature.kind.truth,
        others=feature.other is not None,
        optional=feature.missing is not None,
    )


def _texts(levels: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """How each level may be written: a whole number as a double too, as where some are missing."""
    return tuple(
        (level, f"{level}.0")
        if level.removeprefix("-").isdecimal() and f"{level}.0" not in levels
        else (level,)
        for level in levels
    )


class Permitted(Protocol):
    """Who may be counted."""

    def allowed(self, ids: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether each of some customers may be counted."""
        ...


class Gate(Protocol):
    """Decides who may be counted."""

    def snapshot(self, now: datetime) -> Permitted:
        """Who may be counted now."""
        ...


class Scores(Protocol):
    """What customers answered to the question about satisfaction."""

    def snapshot(self, terms: SatisfactionTerms) -> ScoresNow:
        """The answers to a question that there are now."""
        ...


class ScoresNow(Protocol):
    """Customers' answers to one question, as they were at one moment."""

    def of(self, ids: NDArray[np.object_]) -> NDArray[np.float64]:
        """The score of each of some customers, NaN for who gave none; same shape."""
        ...


class Customers(Protocol):
    """A partner's customers as the sum queries see them."""

    def vectors(self) -> Iterator[FloatMatrix]:
        """Customers' vectors in chunks, each of shape ``(n_rows, n_coordinates + 2)``."""
        ...

    def scored(self, terms: SatisfactionTerms) -> Iterator[FloatMatrix]:
        """The same customers' vectors with their scores (`protocol.queries.with_scores`)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReport:
    """How one coordinate of the agreed features looks in this data. Never leaves the node.

    Attributes:
        clipped_share: Share of customers with a value beyond the agreed bounds, 0 to 1.
    """

    feature: str
    customers: int
    lowest: float
    highest: float
    mean: float
    clipped_share: float

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


class SourceCustomers:
    """The customers of a source, read anew at each call.

    Args:
        columns: The source's column for each feature; a feature that is not named here is read
            from the column of its own name.
        chunk_rows: Most rows held at once.
        gate: Says anew for every pass who may be counted; None counts everybody, which is for
            looking at the data alone.
        scores: What customers answered to the question about satisfaction; None where nobody asks
            for it.
        clock: Now, with time zone.
    """

    def __init__(
        self,
        source: Source,
        features: Sequence[Feature],
        *,
        columns: Mapping[str, str],
        chunk_rows: int,
        gate: Gate | None,
        scores: Scores | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        check_listed(features, columns, where="[data.columns]")
        self._source = source
        self._features = tuple(features)
        self._columns = tuple(column_of(f, columns.get(f.name, f.name)) for f in features)
        self._coordinates = coordinates_of(features)
        self._scale = FeatureScale.of(self._coordinates)
        self._chunk_rows = chunk_rows
        self._gate = gate
        self._scores = scores
        self._clock = clock

    def vectors(self) -> Iterator[FloatMatrix]:
        """Customers' vectors, chunk by chunk."""
        for _, vectors in self.identified():
            yield vectors

    def identified(self) -> Iterator[tuple[NDArray[np.object_], FloatMatrix]]:
        """Customers' ids and vectors, chunk by chunk; for assignments, which stay here.

        Customers whom the gate does not permit now are left out before anything else is done, then
        those whom the agreement leaves out for a missing value.
        """
        for ids, values in self._counted():
            yield ids, customer_vectors(self._scale.to_grid(values))

    def scored(self, terms: SatisfactionTerms) -> Iterator[FloatMatrix]:
        """The vectors of the customers of `identified`, with their scores in units."""
        if self._scores is None:
            raise LocalProtocolError("there are customers without a record of their scores")
        now = self._scores.snapshot(terms)
        for ids, vectors in self.identified():
            yield with_scores(vectors, terms.in_units(now.of(ids)))

    def ids(self) -> Iterator[NDArray[np.object_]]:
        """Ids of all customers in the source, whether they may be counted or not."""
        for chunk in self._source.chunks((), max_rows=self._chunk_rows):
            yield chunk.ids

    def values_of(self, subject: str) -> FloatMatrix | None:
        """One customer's agreed features in their units, whether it may be counted or not.

        Returns:
            Shape ``(n_features,)``, levels and what is missing as `coordinate_values` takes them;
            None when the source holds no such customer.
        """
        for chunk in self._source.chunks(self._columns, max_rows=self._chunk_rows):
            found = np.flatnonzero(chunk.ids == subject)
            if found.size:
                values: FloatMatrix = chunk.values[found[0]].copy()
                return values
        return None

    def _permitted(self) -> Iterator[Chunk]:
        permitted = None if self._gate is None else self._gate.snapshot(self._clock())
        for chunk in self._source.chunks(self._columns, max_rows=self._chunk_rows):
            if permitted is None:
                yield chunk
                continue
            allowed = permitted.allowed(chunk.ids)
            yield Chunk(ids=chunk.ids[allowed], values=chunk.values[allowed])

    def _counted(self) -> Iterator[tuple[NDArray[np.object_], FloatMatrix]]:
        for chunk in self._permitted():
            counted, values = coordinate_values(chunk.values, self._features)
            yield chunk.ids[counted], values

    def report(self) -> list[FeatureReport]:
        """How each coordinate of the agreed features looks in the data, from one pass."""
        n_features = len(self._coordinates)
        customers = 0
        lowest = np.full(n_features, np.inf)
        highest = np.full(n_features, -np.inf)
        mean = np.zeros(n_features)
        beyond = np.zeros(n_features, dtype=np.int64)
        for _, values in self._counted():
            if not values.shape[0]:
                continue
            before, customers = customers, customers + values.shape[0]
            lowest = np.minimum(lowest, values.min(axis=0))
            highest = np.maximum(highest, values.max(axis=0))
            # Sizes near the largest double must not overflow on the way to their mean.
            own = (values / values.shape[0]).sum(axis=0)
            mean = mean * (before / customers) + own * (values.shape[0] / customers)
            outside = (values < self._scale.lower) | (values > self._scale.upper)
            beyond += outside.sum(axis=0)
        return [
            FeatureReport(
                feature=coordinate.name,
                customers=customers,
                lowest=float(lowest[i]) if customers else 0.0,
                highest=float(highest[i]) if customers else 0.0,
                mean=float(mean[i]),
                clipped_share=float(beyond[i]) / max(customers, 1),
            )
            for i, coordinate in enumerate(self._coordinates)
        ]
