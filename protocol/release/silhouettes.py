"""What releases of fedseg 0.x before the choice by gaps say of their number of clusters.

That rule took the number with the best silhouette on noised points. It is read so that old releases
keep their hash and signatures; nothing makes one any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any, Final

from protocol import limits
from protocol.strict import Fields

_PARTS: Final = 10_000
_MOST: Final = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class KScore:
    """The marks of one number of clusters, in parts of 10,000, as they were signed."""

    n_clusters: int
    silhouette: int
    davies_bouldin: int
    stability: int
    votes: int


@dataclass(frozen=True, slots=True)
class Silhouettes:
    """The marks of every number of clusters that the plan chose from."""

    scores: tuple[KScore, ...]

    def signed(self) -> list[dict[str, int]]:
        """The values as in the signed JSON."""
        return [{f.name: getattr(score, f.name) for f in fields_of(score)} for score in self.scores]

    @staticmethod
    def read(found: list[Fields]) -> Silhouettes:
        """Read the values at `found`."""
        return Silhouettes(tuple(_score(fields) for fields in found))

    @property
    def words(self) -> str:
        """How the number was chosen, in plain words."""
        best = max(self.scores, key=lambda s: (s.silhouette, -s.n_clusters)).n_clusters
        return (
            f"{best} clusters of {self.scores[0].n_clusters} to {self.scores[-1].n_clusters} had "
            "the best silhouette. That rule did not know the noise: a run on the same customers "
            "may have chosen another number."
        )

    def to_dict(self) -> dict[str, Any]:
        """The choice as JSON values."""
        return {"words": self.words, "used": None, "seen": None, "told": False, "gaps": []}


def _score(fields: Fields) -> KScore:
    score = KScore(
        n_clusters=fields.integer("n_clusters", at_least=1, at_most=limits.MAX_CLUSTERS),
        silhouette=fields.integer("silhouette", at_least=-_PARTS, at_most=_PARTS),
        davies_bouldin=fields.integer("davies_bouldin", at_least=0, at_most=_MOST),
        stability=fields.integer("stability", at_least=-_PARTS, at_most=_PARTS),
        votes=fields.integer("votes", at_least=0, at_most=_PARTS),
    )
    fields.finish()
    return score
