"""Stable ids of segments across releases, and the fate of each segment. docs/segments.md.

A segment's number counts within its release; its id, "S1", "S2", …, is for people and permanent.
Ids follow from the releases of one agreement alone, in their order, so everybody who has the same
releases derives the same ids; nothing is signed or sent for them. Segments of two releases are
matched all at once: pairs are chosen so that centres use as little as possible of the distance
that they may move.
Everything that decides is integer arithmetic on the agreed grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import Any, Final

import numpy as np

from protocol.agreement.document import Agreement
from protocol.agreement.features import Coordinate
from protocol.errors import LocalProtocolError
from protocol.queries import IntMatrix
from protocol.release.document import Release
from protocol.ring import IntVector
from protocol.scaling import FeatureScale, FloatMatrix

#: Statuses of a segment, compared with the release before.
KEPT: Final = "kept"
NEW: Final = "new"
SPLIT: Final = "split"
MERGED: Final = "merged"
RETIRED: Final = "retired"

#: The most that a kept segment's centre may move: this part of each feature's half range, as the
#: root mean square over the features.
_MOST_OF_HALF_RANGE: Final = 4
#: Parts belong to one earlier segment if their common centre is this many times nearer to it than
#: the matched part alone.
_NEARER: Final = 2
_GAIN_BITS: Final = 20
_FAR: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """A segment of a release.

    Attributes:
        id: Its id in every release, such as "S3".
        segment: Its number in this release.
        status: `KEPT`, `SPLIT` (a part of an earlier one, which also continues) or `NEW`.
        moved: How far its centre moved since the release before, in the scaled cube; 0 when it is
            not `KEPT`.
        parent: The id of the segment that it split off from; empty otherwise.
        absorbed: Ids of segments that merged into it in this release.
    """

    id: str
    segment: int
    status: str
    moved: float = 0.0
    parent: str = ""
    absorbed: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The status with its other segments, for people."""
        words = f"split from {self.parent}" if self.status == SPLIT else self.status
        return words + (f", took in {' '.join(self.absorbed)}" if self.absorbed else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A segment that a release no longer has.

    Attributes:
        status: `MERGED` or `RETIRED`.
        into: The id of the segment that it merged into; empty otherwise.
    """

    id: str
    status: str
    into: str = ""

    @property
    def words(self) -> str:
        """How it ended, for people."""
        if self.status == MERGED:
            return f"{self.id} merged into {self.into}"
        return f"{self.id} retired: no segment is near it now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The changes of segments that one release made.

    Attributes:
        release: Hash of the release.
        living: Its segments, in its order.
        gone: Segments that it no longer has, in the order of the release that last had them.
    """

    release: bytes
    living: tuple[Living, ...]
    gone: tuple[Gone, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The segments' ids, in the release's order."""
        return tuple(found.id for found in self.living)


def lineage(history: Sequence[tuple[Release, Agreement]]) -> tuple[Step, ...]:
    """Derive the ids of all segments of an agreement's releases.

    A release without segments changes nothing: the next one is compared with the one before it.

    Args:
        history: Releases under versions of one agreement, oldest first, each with its version.

    Raises:
        LocalProtocolError: A release belongs to another agreement.

    Time: for each release cubic in its number of segments at most.
    """
    steps: list[Step] = []
    last: tuple[Release, Agreement] | None = None
    before: Step | None = None
    named = 0
    for release, agreement in history:
        if agreement.id != history[0][1].id or release.agreement_hash != agreement.hash:
            raise LocalProtocolError("a history of releases is that of one agreement")
        fates = _Fates.of(None if before is None else last, (release, agreement))
        step, named = _step(release, fates, () if before is None else before.ids, named)
        steps.append(step)
        if release.segments:
            last, before = (release, agreement), step
    return tuple(steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fates:
    """Segments of two releases matched with each other, by index.

    Attributes:
        kept: Index in the new release → index of the same segment in the old one.
        moved: Index in the new release → how far the segment moved, in grid units.
        parents: Index in the new release → index in the old one of the segment it split off from.
        merged: Index in the old release → index in the new one of the segment it merged into.
    """

    n_before: int = 0
    kept: Mapping[int, int] = field(default_factory=dict)
    moved: Mapping[int, int] = field(default_factory=dict)
    parents: Mapping[int, int] = field(default_factory=dict)
    merged: Mapping[int, int] = field(default_factory=dict)

    @staticmethod
    def of(before: tuple[Release, Agreement] | None, after: tuple[Release, Agreement]) -> _Fates:
        if before is None or not after[0].segments:
            return _Fates()
        n_before = len(before[0].segments)
        common = [(was, f) for f in after[1].coordinates for was in _same(f, before[1].coordinates)]
        if not common:
            return _Fates(n_before=n_before)
        features = [f for _, f in common]
        old = _Centres.of(*before, [was for was, _ in common], grid=features)
        new = _Centres.of(*after, features, grid=features)
        distance = _distances(old.places, new.places)
        pairs = _matched(old, new, distance, limit=FeatureScale.of(features).limit)
        kept = {b: a for a, b in pairs}
        return _Fates(
            n_before=n_before,
            kept=kept,
            moved={b: int(distance[a, b]) for a, b in pairs},
            parents=_parts(whole=old, parts=new, distance=distance, one=dict(pairs)),
            merged=_parts(whole=new, parts=old, distance=distance.T, one=kept),
        )


def _step(release: Release, fates: _Fates, before: Sequence[str], named: int) -> tuple[Step, int]:
    """The step that `fates` make, and how many ids have been given now."""
    if not release.segments:
        return Step(release=release.hash, living=(), gone=()), named
    ids: list[str] = []
    for place in range(len(release.segments)):
        if place in fates.kept:
            ids.append(before[fates.kept[place]])
        else:
            named += 1
            ids.append(f"S{named}")
    unit = float(1 << release.fraction_bits)
    living = []
    for place, segment in enumerate(release.segments):
        parent = fates.parents.get(place)
        other = NEW if parent is None else SPLIT
        living.append(
            Living(
                id=ids[place],
                segment=segment.segment,
                status=KEPT if place in fates.kept else other,
                moved=fates.moved.get(place, 0) / unit,
                parent="" if parent is None else before[parent],
                absorbed=tuple(before[a] for a, b in sorted(fates.merged.items()) if b == place),
            )
        )
    ended = [a for a in range(fates.n_before) if a not in set(fates.kept.values())]
    gone = tuple(
        Gone(id=before[a], status=MERGED, into=ids[fates.merged[a]])
        if a in fates.merged
        else Gone(id=before[a], status=RETIRED)
        for a in ended
    )
    return Step(release=release.hash, living=tuple(living), gone=gone), named


@dataclass(frozen=True, slots=True, kw_only=True)
class _Centres:
    """Segments of one release, in the features of both, on the later agreement's grid."""

    places: IntMatrix
    sizes: FloatMatrix
    margins: IntVector

    @staticmethod
    def of(
        release: Release,
        agreement: Agreement,
        own: Sequence[Coordinate],
        *,
        grid: Sequence[Coordinate],
    ) -> _Centres:
        columns = [agreement.coordinates.index(feature) for feature in own]
        places = release.centres.reshape(len(release.segments), agreement.n_coordinates)[:, columns]
        if [_terms(f) for f in own] != [_terms(f) for f in grid]:
            values = FeatureScale.of(own).from_grid(places)
            places = FeatureScale.of(grid).to_grid(values).astype(np.int64)
        return _Centres(
            places=places,
            sizes=np.array([s.size for s in release.segments], dtype=np.float64),
            margins=np.array([s.centre_margin for s in release.segments], dtype=np.int64),
        )


def _same(feature: Coordinate, others: Sequence[Coordinate]) -> list[Coordinate]:
    """The feature among others that measures the same in the same unit, if there is one."""
    return [f for f in others if (f.name, f.unit) == (feature.name, feature.unit)]


def _terms(feature: Coordinate) -> tuple[Any, ...]:
    return feature.min, feature.max, feature.transform, feature.weight


def _distances(one: IntMatrix, other: IntMatrix) -> IntMatrix:
    """Distances on the grid, rounded down, shape ``(len(one), len(other))``."""
    squared = [((other - row) ** 2).sum(axis=1) for row in one]  # below 2^53: exact in float64
    return np.floor(np.sqrt(np.array(squared, dtype=np.float64))).astype(np.int64)


def _matched(
    old: _Centres, new: _Centres, distance: IntMatrix, *, limit: IntVector
) -> list[tuple[int, int]]:
    """Pairs of indices, in the old and the new release, that are the same segment.

    A pair may match if the centre moved at most half the distance to the nearest other centre of
    either release, or no farther than noise explains, and within `_MOST_OF_HALF_RANGE`. Of all sets
    of such pairs, the one is chosen that leaves the most of these limits unused, in sum.
    """
    from scipy.optimize import linear_sum_assignment  # takes long to import

    most = isqrt(int((limit.astype(object) ** 2).sum())) // _MOST_OF_HALF_RANGE
    half = np.maximum(_nearest_other(old.places)[:, None], _nearest_other(new.places)[None, :]) // 2
    squared = old.margins.astype(object)[:, None] ** 2 + new.margins.astype(object)[None, :] ** 2
    noise = np.array(
        [[isqrt(len(limit) * int(s)) for s in row] for row in squared], dtype=np.int64
    ).reshape(distance.shape)
    reach = np.maximum(np.minimum(np.maximum(half, noise), most), 1)
    gain = np.where(distance <= reach, ((reach - distance) << _GAIN_BITS) // reach + 1, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(a, b) for a, b in zip(rows.tolist(), columns.tolist(), strict=True) if gain[a, b]]


def _nearest_other(places: IntMatrix) -> IntVector:
    between = _distances(places, places)
    np.fill_diagonal(between, _FAR)
    return np.asarray(between.min(axis=1))


def _parts(
    *, whole: _Centres, parts: _Centres, distance: IntMatrix, one: Mapping[int, int]
) -> dict[int, int]:
    """Further parts of each of `whole`, besides the one that it is matched with, by index.

    A part belongs to its nearest whole if it brings the common centre of the parts nearer to that
    whole, and if that centre is in the end at least `_NEARER` times as near as the matched part
    alone. A whole whose match has not moved needs no further parts and gets none.

    Args:
        distance: Shape ``(n_whole, n_parts)``.
        one: Index of a whole → index of the part that it is matched with.
    """
    found: dict[int, int] = {}
    free = [b for b in range(distance.shape[1]) if b not in set(one.values())]
    nearest = {b: int(np.argmin(distance[:, b])) for b in free}
    for a, matched in one.items():
        members = [matched]
        apart = first = _apart(whole.places[a], parts, members)
        for b in sorted((b for b in free if nearest[b] == a), key=lambda b: (distance[a, b], b)):
            nearer = _apart(whole.places[a], parts, [*members, b])
            if nearer < apart:
                members.append(b)
                apart = nearer
        if apart * _NEARER <= first:
            found.update(dict.fromkeys(members[1:], a))
    return found


def _apart(place: IntVector, parts: _Centres, members: Sequence[int]) -> int:
    """Distance of the common centre of some parts to a place."""
    sizes = np.maximum(parts.sizes[list(members)], 1.0)
    centre = (parts.places[list(members)] * sizes[:, None]).sum(axis=0) / sizes.sum()
    return int(_distances(np.rint(centre).astype(np.int64)[None, :], place[None, :])[0, 0])


def became(steps: Sequence[Step], before: int, after: int) -> Iterator[tuple[str, str, str]]:
    """Fate of every segment between two releases, which need not be consecutive.

    Args:
        steps: Of the whole lineage.
        before, after: Indices of the two releases in `steps`, in this order.

    Yields:
        Id, status, and the id that it merged into or split off from, else empty: first segments of
            the earlier release, in its order, then those that only the later one has.
    """
    between = steps[before + 1 : after + 1]
    ended = {gone.id: gone for step in between for gone in step.gone}
    begun = {living.id: living for step in between for living in step.living if living.parent}
    now = set(steps[after].ids)
    for identity in steps[before].ids:
        if identity in ended:
            into = identity
            while into in ended and ended[into].into:
                into = ended[into].into
            merged = into not in ended
            yield identity, MERGED if merged else RETIRED, into if merged else ""
        elif identity in now:
            yield identity, KEPT, ""
    for identity in steps[after].ids:
        if identity not in steps[before].ids:
            parent = begun[identity].parent if identity in begun else ""
            yield identity, SPLIT if parent else NEW, parent


def step_of(steps: Sequence[Step], release: bytes) -> tuple[int, Step]:
    """The index and step of a release; raises LocalProtocolError when it is not among them."""
    for place, step in enumerate(steps):
        if step.release == release:
            return place, step
    raise LocalProtocolError("the release is not in its own history")
