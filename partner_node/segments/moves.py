"""Fates of segments between two releases, and movements of own customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Final

import numpy as np

from partner_node.customers.source_customers import SourceCustomers
from partner_node.segments.assignments import placed
from partner_node.segments.count_ranges import CountRange, agreed_step, ranges_of
from partner_node.segments.known_releases import KnownRelease
from protocol.errors import RuleError, UsageError
from protocol.release.document import Segment
from protocol.release.lineage import became, step_of

WITHIN_NOISE: Final = (
    "Within noise: unchanged customers may give such a difference, too; in one segment of 20 noise "
    "alone gives a larger one. So may centres that moved, above all where the later run started "
    "anew."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """The fate of one segment.

    Attributes:
        name: Its name in the later release, or in the earlier one if it ended.
        other: The id that it merged into or split off from; empty otherwise.
        before, after: It in each release, with its customers of all partners; None where it is
            not in the release.
        same_partners: Whether both releases count customers of the same partners.
    """

    id: str
    name: str
    status: str
    other: str
    before: Segment | None
    after: Segment | None
    same_partners: bool = True

    @property
    def within_noise(self) -> bool | None:
        """Whether the two sizes differ by no more than noise alone may explain.

        The noise of the two is independent, so their 95 % margins add up by their squares. None
        where there are no two sizes of the same partners, or no noise.
        """
        if self.before is None or self.after is None or not self.same_partners:
            return None
        margin = hypot(self.before.size_margin, self.after.size_margin)
        return abs(self.after.size - self.before.size) <= margin if margin else None

    @property
    def difference_words(self) -> str:
        """The difference of the sizes for people; empty where there are no two."""
        if self.before is None or self.after is None:
            return ""
        if self.within_noise:
            return "within noise"
        return f"{self.after.size - self.before.size:+,}"


def check_comparable(old: KnownRelease, new: KnownRelease) -> None:
    """Refuse two releases that have no ids in common.

    Raises:
        UsageError: Of two agreements, or in the wrong order.
        RuleError: One of them has no segments (E-NO-SEGMENTS).
    """
    if old.agreement.id != new.agreement.id:
        raise UsageError(
            f"the releases belong to two agreements, {old.agreement.id!r} and "
            f"{new.agreement.id!r}, whose segments have nothing to do with each other",
            remedy="name two releases of one agreement; `segments releases` shows them",
        )
    places = [step_of(new.history, known.release.hash)[0] for known in (old, new)]
    if places[0] >= places[1]:
        raise UsageError(
            f"release {old.short} is not older than {new.short}", remedy="name the older one first"
        )
    old.need_segments()
    new.need_segments()


def fates(old: KnownRelease, new: KnownRelease) -> list[Fate]:
    """The fate of every segment of either release."""
    before, after = (
        {
            identity: (called.name, segment)
            for identity, called, segment in zip(
                known.ids, known.calls, known.release.segments, strict=True
            )
        }
        for known in (old, new)
    )
    places = [step_of(new.history, known.release.hash)[0] for known in (old, new)]
    return [
        Fate(
            id=identity,
            name=(after.get(identity) or before[identity])[0],
            status=status,
            other=other,
            before=before[identity][1] if identity in before else None,
            after=after[identity][1] if identity in after else None,
            same_partners=set(old.release.counted) == set(new.release.counted),
        )
        for identity, status, other in became(new.history, *places)
    ]


def partners_words(releases: Sequence[KnownRelease]) -> str:
    """That releases count customers of different partners; empty where all count the same."""
    counted = {one.short: ", ".join(sorted(one.release.counted)) for one in releases}
    if len(set(counted.values())) < 2:
        return ""
    listed = "; ".join(f"{short}: {names}" for short, names in counted.items())
    return (
        "The releases count customers of different partners, so other sizes need not mean that "
        f"customers changed. Counted in {listed}."
    )


def check_same_features(old: KnownRelease, new: KnownRelease) -> None:
    """Refuse to assign customers to both releases when the features differ (E-FEATURES)."""
    was, now = (
        [(f.name, f.unit, f.min, f.max, f.transform, f.weight) for f in known.agreement.coordinates]
        for known in (old, new)
    )
    if was != now:
        raise RuleError(
            f"the features of agreement {old.agreement.id!r} changed between versions "
            f"{old.agreement.version} and {new.agreement.version}",
            code="E-FEATURES",
            remedy="no reading of a customer fits both releases; give --no-customers to see what "
            "became of the segments",
        )


def migration(
    customers: SourceCustomers, old: KnownRelease, new: KnownRelease
) -> list[list[CountRange]]:
    """Number of own customers of each old segment in each new one, as printable ranges.

    Eligible customers and their values are today's, for both releases.

    Returns:
        A row for each segment of the old release, a column for each of the new one.
    """
    shape = (len(old.ids), len(new.ids))
    counts = np.zeros(shape, dtype=np.int64)
    for vectors in customers.vectors():
        before, _ = placed(vectors, old.release, old.agreement)
        after, _ = placed(vectors, new.release, new.agreement)
        pairs = np.bincount(before * shape[1] + after, minlength=counts.size)
        counts += pairs.reshape(shape)
    step = max(agreed_step(old.agreement), agreed_step(new.agreement))
    found = ranges_of([int(count) for count in counts.ravel()], step=step)
    return [found[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]
