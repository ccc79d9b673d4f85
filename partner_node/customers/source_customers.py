"""Customers' vectors on the agreed grid, from the values of a source.

Only the agreed features are read. Missing values are treated by the agreed rule, and values are
clipped to the agreed bounds before anything else is done with them.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from partner_node.columns.agreed import check_listed
from partner_node.customers.idle import Idle
from partner_node.customers.kept_customers import Hashed, KeptChunk, KeptCustomers, Reading
from partner_node.customers.noting import Noted
from partner_node.sources.source import Chunk, Column, Source
from protocol.agreement.features import Feature, coordinates_of
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import LocalProtocolError, SourceError
from protocol.feature_values import coordinate_values
from protocol.queries import customer_vectors, with_scores
from protocol.scaling import FeatureScale, FloatMatrix

#: Texts that mean no and yes, in upper or lower case; a column with missing values often has
#: doubles.
_NO: Final = ("false", "f", "no", "n", "0", "0.0")
_YES: Final = ("true", "t", "yes", "y", "1", "1.0")

#: Ids that are named beside one that is not in the source.
_MOST_ALIKE: Final = 5


def column_of(feature: Feature, column: str) -> Column:
    """The request for an agreed feature from a source's column."""
    levels = (_NO, _YES) if feature.kind.truth else _texts(feature.levels)
    return Column(
        name=column,
        levels=levels,
        folded=feature.kind.truth,
        others=feature.other is not None,
        optional=feature.missing is not None,
    )


def _texts(levels: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Spellings of each level: a whole number also as a double, for columns with missing values."""
    return tuple(
        (level, f"{level}.0")
        if level.removeprefix("-").isdecimal() and f"{level}.0" not in levels
        else (level,)
        for level in levels
    )


class Permitted(Protocol):
    """A set of eligible customers."""

    def allowed(self, ids: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether each customer is eligible, shape ``(n_ids,)``."""
        ...


class EligibleNow(Permitted, Hashed, Protocol):
    """A set of eligible customers at one moment."""


class Gate(Protocol):
    """Decides which customers are eligible."""

    def snapshot(self, now: datetime) -> EligibleNow:
        """The customers that are eligible now."""
        ...

    def forget(self) -> None:
        """Forget what is remembered from one snapshot to the next."""
        ...


class Scores(Protocol):
    """Customers' answers to the question about satisfaction."""

    def snapshot(self, terms: SatisfactionTerms) -> ScoresNow:
        """The present answers to a question."""
        ...


class ScoresNow(Protocol):
    """Customers' answers to one question at one moment."""

    def of(self, ids: NDArray[np.object_]) -> NDArray[np.float64]:
        """The score of each customer, NaN where none was given; same shape."""
        ...


class Customers(Protocol):
    """A partner's customers as the sum queries see them."""

    def vectors(self) -> Iterator[FloatMatrix]: ...

    def scored(self, terms: SatisfactionTerms) -> Iterator[FloatMatrix]:
        """The same customers' vectors with their scores (`protocol.queries.with_scores`)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReport:
    """Statistics of one coordinate of the agreed features. Never leaves the node.

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
    """The customers of a source, read anew at each call unless they are kept.

    Args:
        columns: The source's column for each feature; a feature that is not named here is read
            from the column of its own name.
        chunk_rows: Most rows held at once.
        gate: Decides anew for every pass who is eligible; None counts everybody, only for
            inspecting the data.
        scores: Customers' answers to the question about satisfaction; None where it is not asked.
        keep: Keeps who was read for one question for the next; None keeps nobody.
        clock: Returns the present time, with time zone.
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
        keep: KeptCustomers | None = None,
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
        self._keep = keep
        self._clock = clock
        self._idle = Idle(self.forget)

    def vectors(self, noted: Noted | None = None) -> Iterator[FloatMatrix]:
        """Customers' vectors, chunk by chunk; of those who are eligible now.

        Args:
            noted: Notes who they are, chunk by chunk before their vectors.
        """
        if self._gate is None or self._keep is None:
            for ids, vectors in self.identified():
                _note(noted, ids)
                yield vectors
            return
        permitted = self._eligible(self._gate)
        files = self._source.files()
        hashing = (permitted.hashing, None if noted is None else noted.hashing)
        kept = self._keep.found(files, hashing)
        if kept is None:
            chunks = self._read(permitted, self._keep.reading(files, hashing), noted)
        else:
            chunks = iter(kept)
        for chunk in chunks:
            yield customer_vectors(chunk.eligible(permitted, noted).astype(np.float64))

    def _read(
        self, permitted: Hashed, reading: Reading, noted: Noted | None
    ) -> Iterator[KeptChunk]:
        """Read all customers, and have them kept."""
        for chunk in self._source.chunks(self._columns, max_rows=self._chunk_rows):
            counted, values = coordinate_values(chunk.values, self._features)
            ids = chunk.ids[counted]
            handles = None if noted is None else noted.handles(ids)
            yield reading.read(permitted.hashed(ids), self._scale.to_grid(values), handles)
        reading.complete(self._source.files())
        self._idle.put_off()

    def _eligible(self, gate: Gate) -> EligibleNow:
        """Who is eligible now, which the gate remembers for a while."""
        permitted = gate.snapshot(self._clock())
        self._idle.put_off()
        return permitted

    def forget(self) -> None:
        """Forget who was kept for the next question; done when no question comes for a while."""
        self._idle.stop()
        if self._keep is not None:
            self._keep.forget()
        if self._gate is not None:
            self._gate.forget()

    def identified(
        self, permitted: Permitted | None = None
    ) -> Iterator[tuple[NDArray[np.object_], FloatMatrix]]:
        """Customers' ids and vectors, chunk by chunk; for assignments, which stay at the node.

        Customers who are not eligible now are left out before anything else is done, then those
        whom the agreement leaves out for a missing value.

        Args:
            permitted: Who is eligible where there is no gate, as where rows that are there twice
                may be read, but not counted.
        """
        for ids, values in self._counted(permitted):
            yield ids, customer_vectors(self._scale.to_grid(values))

    def scored(self, terms: SatisfactionTerms, noted: Noted | None = None) -> Iterator[FloatMatrix]:
        """The vectors of the customers of `identified`, with their scores in units."""
        if self._scores is None:
            raise LocalProtocolError("there are customers without a record of their scores")
        now = self._scores.snapshot(terms)
        for ids, vectors in self.identified():
            _note(noted, ids)
            yield with_scores(vectors, terms.in_units(now.of(ids)))

    def ids(self) -> Iterator[NDArray[np.object_]]:
        """Ids of all customers in the source, eligible or not."""
        for chunk in self._source.chunks((), max_rows=self._chunk_rows):
            yield chunk.ids

    def data_stamp(self) -> str:
        """A text that follows from the sizes and times of the source's files.

        Empty where it has none, as in a server, or where they cannot be looked at.
        """
        try:
            files = self._source.files()
        except SourceError:
            return ""
        about = repr([(file.path, file.size, file.modified_ns) for file in files])
        return hashlib.sha256(about.encode("utf-8", "surrogateescape")).hexdigest() if files else ""

    def values_of(self, subject: str) -> FloatMatrix | None:
        """One customer's agreed features in their units, eligible or not.

        Returns:
            Shape ``(n_features,)``, with levels and missing values as for `coordinate_values`; None
            when the source has no such customer.

        Raises:
            SourceError: It is there twice (E-DUPLICATE), or the source cannot be read.
        """
        values: list[FloatMatrix] = []
        for chunk in self._source.chunks(self._columns, max_rows=self._chunk_rows):
            values += [chunk.values[row].copy() for row in np.flatnonzero(chunk.ids == subject)]
        if len(values) > 1:
            raise SourceError(
                f"the customer is in the data {len(values)} times",
                code="E-DUPLICATE",
                remedy="keep one row a customer, or combine them in a feature query with GROUP BY",
            )
        return values[0] if values else None

    def ids_alike(self, subject: str) -> tuple[str, ...]:
        """Ids in the source that a person may take for one that is not in it, at most five.

        They differ in blanks around them, capital letters, zeros before them, or in characters
        that look the same.
        """
        wanted = _folded(subject)
        alike = (str(other) for ids in self.ids() for other in ids if _folded(other) == wanted)
        return tuple(islice(alike, _MOST_ALIKE))

    def nearest_ids(self, subjects: Iterable[str]) -> dict[str, str]:
        """For each of `subjects`, none of them in the source, an id as `ids_alike` finds it."""
        wanted: dict[str, list[str]] = {}
        for subject in subjects:
            wanted.setdefault(_folded(subject), []).append(subject)
        nearest: dict[str, str] = {}
        if wanted:
            for ids in self.ids():
                for other in ids:
                    for subject in wanted.get(_folded(other), ()):
                        nearest.setdefault(subject, str(other))
        return nearest

    def _permitted(self, permitted: Permitted | None) -> Iterator[Chunk]:
        if self._gate is not None:
            permitted = self._eligible(self._gate)
        for chunk in self._source.chunks(self._columns, max_rows=self._chunk_rows):
            if permitted is None:
                yield chunk
                continue
            allowed = permitted.allowed(chunk.ids)
            yield Chunk(ids=chunk.ids[allowed], values=chunk.values[allowed])

    def _counted(
        self, permitted: Permitted | None = None
    ) -> Iterator[tuple[NDArray[np.object_], FloatMatrix]]:
        for chunk in self._permitted(permitted):
            counted, values = coordinate_values(chunk.values, self._features)
            yield chunk.ids[counted], values

    def report(self) -> list[FeatureReport]:
        """Statistics of each coordinate of the agreed features, from one pass over the data."""
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
            # The mean of values near the largest double must not overflow.
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


def _note(noted: Noted | None, ids: NDArray[np.object_]) -> None:
    if noted is not None:
        noted.add(noted.handles(ids))


def _folded(subject: str) -> str:
    return unicodedata.normalize("NFKC", subject).strip().casefold().lstrip("0")
