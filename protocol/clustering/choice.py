"""How a number of clusters was chosen, and what is said of it. SPEC.md, 10.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from protocol import limits
from protocol.strict import Fields

#: Gap scores and masses are whole numbers, in units of one part in this many.
PARTS: Final = 100
#: The least gap score of every pair, and the least mass of a cluster, in standard deviations.
_LEAST_GAP, _LEAST_MASS = 1.0, 3.0
#: No score is larger.
_MOST: Final = PARTS * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How clearly the clusters of one number of clusters lie apart, in parts of 100.

    Attributes:
        gap: The least gap score of all pairs, in standard deviations of its noise and sampling.
        mass: The least mass of a cluster, in standard deviations of its noise.
    """

    n_clusters: int
    gap: int
    mass: int

    @property
    def parted(self) -> bool:
        """Whether all its clusters lie apart beyond the noise, and have enough mass."""
        return self.gap >= _LEAST_GAP * PARTS and self.mass >= _LEAST_MASS * PARTS

    @staticmethod
    def read(fields: Fields) -> Gap:
        """Read the values at `fields`."""
        gap = Gap(
            n_clusters=fields.integer("n_clusters", at_least=2, at_most=limits.MAX_CLUSTERS),
            gap=fields.integer("gap", at_least=-_MOST, at_most=_MOST),
            mass=fields.integer("mass", at_least=-_MOST, at_most=_MOST),
        )
        fields.finish()
        return gap

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON values."""
        return {
            "n_clusters": self.n_clusters,
            "gap": self.gap / PARTS,
            "mass": self.mass / PARTS,
            "parted": self.parted,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How the number of clusters was chosen.

    Attributes:
        used: How many clusters are formed.
        seen: How many groups of customers have gaps between them; 1: there are no gaps.
        told: Whether the noise lets that be told.
        largest: The largest number that was agreed.
        gaps: What was seen for each number of clusters from 2.
        dropped: Whether it cannot be told because a partner dropped out between the two questions
            that it would follow from.
    """

    used: int
    seen: int
    told: bool
    largest: int
    gaps: tuple[Gap, ...]
    dropped: bool = False

    @staticmethod
    def not_told(used: int, *, largest: int) -> Choice:
        """The choice where a partner dropped out before the number of groups could be told."""
        return Choice(used=used, seen=1, told=False, largest=largest, gaps=(), dropped=True)

    def signed(self) -> dict[str, Any]:
        """The values as in the signed JSON."""
        values = {
            "used": self.used,
            "seen": self.seen,
            "told": int(self.told),
            "largest": self.largest,
            "gaps": [
                {"n_clusters": gap.n_clusters, "gap": gap.gap, "mass": gap.mass}
                for gap in self.gaps
            ],
        }
        return values | {"dropped": 1} if self.dropped else values

    @staticmethod
    def read(fields: Fields) -> Choice:
        """Read the values at `fields`."""
        clusters = {"at_least": 1, "at_most": limits.MAX_CLUSTERS}
        choice = Choice(
            used=fields.integer("used", **clusters),
            seen=fields.integer("seen", **clusters),
            told=bool(fields.integer("told", at_least=0, at_most=1)),
            largest=fields.integer("largest", **clusters),
            gaps=tuple(
                Gap.read(f) for f in fields.objects("gaps", at_least=0, at_most=limits.MAX_CLUSTERS)
            ),
            dropped=fields.has("dropped")
            and bool(fields.integer("dropped", at_least=1, at_most=1)),
        )
        fields.finish()
        return choice

    def to_dict(self) -> dict[str, Any]:
        """The choice as JSON values."""
        return {
            "words": self.words,
            "used": self.used,
            "seen": self.seen,
            "told": self.told,
            "gaps": [gap.to_dict() for gap in self.gaps],
        }

    @property
    def words(self) -> str:
        """How the number was chosen, in one plain sentence or two."""
        if self.dropped:
            return (
                "How many groups of customers there are cannot be told: a partner dropped out "
                "between the two questions that this follows from; the agreed number of "
                f"{self.used} is used: the segments divide the customers, they need not be groups."
            )
        if not self.told:
            return (
                "The noise does not let us tell how many groups of customers there are; the agreed "
                f"number of {self.used} is used: the segments divide the customers, they need not "
                "be groups."
            )
        if self.seen == 1:
            agreed = "" if self.used == 1 else f", so the agreed number of {self.used} is used"
            return (
                f"As far as the noise lets us tell, customers show no gaps between groups{agreed}: "
                "segments divide them, they are not groups."
            )
        groups = f"As far as the noise lets us tell, customers form {self.seen} groups with gaps"
        if self.used != self.seen:
            return (
                f"{groups}, fewer than the partners want; the agreed number of {self.used} is "
                "used: the segments divide the customers further."
            )
        edge = " That is the largest number agreed: there may be more."
        return f"{groups}, so {self.used} segments are formed." + edge * (self.used == self.largest)
