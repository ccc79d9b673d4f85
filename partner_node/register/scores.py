"""Customers' answers to the agreed question about satisfaction, looked up by pseudonym."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from partner_node.register.pseudonyms import Pseudonyms
from partner_node.store.node_store import NodeStore
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.canonical import canonical_json, tagged_hash

#: The kind of feedback with a score.
SATISFACTION: Final = "satisfaction"
#: A pseudonym's bytes; all have the same length, so it is harmless that NumPy strips zeros.
_DIGEST: Final = "S32"


def question_id(agreement_id: str, terms: SatisfactionTerms) -> str:
    """Id of a question with its scale, to distinguish its answers from those to another one.

    Pseudonyms under two agreements cannot be joined, so neither can answers.
    """
    values = {"agreement": agreement_id, **terms.to_dict()}
    return tagged_hash("satisfaction", canonical_json(values)).hex()


class KnownScores:
    """The newest score of each customer at one moment."""

    def __init__(self, scores: dict[str, float], pseudonyms: Pseudonyms) -> None:
        digests = np.frombuffer(bytes.fromhex("".join(scores)), dtype=_DIGEST)
        order = np.argsort(digests)
        self._digests = digests[order]
        self._scores = np.fromiter(scores.values(), dtype=np.float64, count=len(scores))[order]
        self._pseudonyms = pseudonyms

    def of(self, ids: NDArray[np.object_]) -> NDArray[np.float64]:
        """The score of each customer, NaN where none was given; shape ``(n_ids,)``.

        All ids are hashed, whether there are scores or not, so that the time taken reveals nothing.
        """
        wanted = np.array([self._pseudonyms.digest(i) for i in ids.tolist()], dtype=_DIGEST)
        found = np.full(len(wanted), np.nan)
        if self._digests.size:
            places = np.minimum(np.searchsorted(self._digests, wanted), self._digests.size - 1)
            known = self._digests[places] == wanted
            found[known] = self._scores[places[known]]
        return found


class Scores:
    """Customers' answers under one agreement, from the node's state.

    Args:
        pseudonyms: The pseudonyms under that agreement.
    """

    def __init__(self, agreement_id: str, store: NodeStore, pseudonyms: Pseudonyms) -> None:
        self._agreement_id = agreement_id
        self._store = store
        self._pseudonyms = pseudonyms

    def snapshot(self, terms: SatisfactionTerms) -> KnownScores:
        """The present answers to a question, the newest of each customer."""
        rows = self._store.ask(
            "SELECT pseudonym, score FROM feedback WHERE kind = ? AND question = ? ORDER BY at",
            SATISFACTION,
            question_id(self._agreement_id, terms),
        )
        return KnownScores(dict(rows), self._pseudonyms)
