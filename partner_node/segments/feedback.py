"""Customers' feedback: stored by pseudonym, and sent only as scores inside a noised sum."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from math import floor, log10
from pathlib import Path
from typing import Final

import numpy as np

from partner_node.customers.source_customers import Gate, SourceCustomers
from partner_node.register.pseudonyms import Pseudonyms
from partner_node.register.scores import SATISFACTION, question_id
from partner_node.segments.assignments import placed
from partner_node.segments.feedback_file import KINDS, Feedback, feedback_problem
from partner_node.segments.known_releases import KnownRelease
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.agreement.satisfaction import SatisfactionTerms

#: Entries stored in one transaction, for which a serving node may have to wait.
_PART: Final = 5_000
#: In place of a segment's id, for a customer without one.
NO_SEGMENT: Final = ""


def segments_of(
    wanted: Set[str],
    customers: SourceCustomers,
    known: KnownRelease | None,
    *,
    gate: Gate,
    now: datetime,
    key: Callable[[str], str] = str,
) -> dict[str, str]:
    """The segment's id of each of `wanted` who is eligible now; none of who is there twice.

    Args:
        gate: Decides who is eligible `now`.
        key: What of a customer's id is among `wanted`.
    """
    found: dict[str, str] = {}
    if known is None:
        return found
    for ids, vectors in customers.identified(gate.snapshot(now)):
        keys = [key(i) for i in ids.tolist()]
        chosen = np.fromiter((k in wanted for k in keys), dtype=np.bool_, count=len(keys))
        if chosen.any():
            index, _ = placed(vectors[chosen], known.release, known.agreement)
            for k, place in zip(itertools.compress(keys, chosen), index.tolist(), strict=True):
                found[k] = NO_SEGMENT if k in found else known.ids[place]
    return found


def place_early_answers(
    store: NodeStore,
    pseudonyms: Pseudonyms,
    customers: SourceCustomers,
    first: KnownRelease,
    *,
    gate: Gate,
    now: datetime,
) -> None:
    """Give what was said before the first release the segments that it made of those customers.

    It reads customers only where there is something without a segment from before.
    """
    early = {
        pseudonym
        for (pseudonym,) in store.ask(
            "SELECT DISTINCT pseudonym FROM feedback WHERE segment = ? AND at < ?",
            NO_SEGMENT,
            first.received_at,
        )
    }
    if not early:
        return
    segments = segments_of(early, customers, first, gate=gate, now=now, key=pseudonyms.of)
    for start in range(0, len(segments), _PART):
        with store.transaction():
            for pseudonym, segment in list(segments.items())[start : start + _PART]:
                store.ask(
                    "UPDATE feedback SET segment = ? WHERE pseudonym = ? AND segment = ?"
                    " AND at < ?",
                    segment, pseudonym, NO_SEGMENT, first.received_at,
                )  # fmt: skip


def not_in_data(subjects: Iterable[str], customers: SourceCustomers) -> set[str]:
    """Those of `subjects` who are not in the data; reads nothing when there are none."""
    missing = set(subjects)
    if missing:
        for ids in customers.ids():
            missing.difference_update(ids.tolist())
    return missing


class Keeper:
    """Stores customers' feedback under one agreement, by pseudonym.

    Args:
        terms: The question that scores answer; None when none was agreed.
    """

    def __init__(
        self,
        agreement_id: str,
        terms: SatisfactionTerms | None,
        *,
        store: NodeStore,
        pseudonyms: Pseudonyms,
    ) -> None:
        self._agreement_id = agreement_id
        self._question = None if terms is None else question_id(agreement_id, terms)
        self._store = store
        self._pseudonyms = pseudonyms

    def check(self, feedback: Sequence[Feedback], path: Path) -> None:
        """Refuse a file in which a customer has two scores at one moment: it is ambiguous.

        Args:
            path: The file, for messages.

        Raises:
            SourceError: One such line (E-FEEDBACK).
        """
        seen: dict[tuple[str, str], float] = {}
        for said in feedback:
            if said.score is None:
                continue
            place = (self._pseudonyms.of(said.subject), stamp(said.at))
            if place not in seen:
                before = self._score(*place)
                seen[place] = said.score if before is None else before
            if seen[place] != said.score:
                raise feedback_problem(
                    path,
                    f"line {said.line}, column 'score': another score of this customer at this "
                    "moment is known",
                )

    def _score(self, pseudonym: str, at: str) -> float | None:
        """The stored score that a customer gave to the question at a moment."""
        rows = self._store.ask(
            "SELECT score FROM feedback WHERE pseudonym = ? AND kind = ? AND at = ?"
            " AND question = ?",
            pseudonym,
            SATISFACTION,
            at,
            self._question,
        )
        return rows[0][0] if rows else None

    def keep(self, feedback: Sequence[Feedback], segments: Mapping[str, str]) -> int:
        """Store what is not stored yet, in parts, so that no run waits long for the database.

        Idempotent: after a crash, call it again.

        Returns:
            Number of new entries.
        """
        new = 0
        for start in range(0, len(feedback), _PART):
            with self._store.transaction():
                for said in feedback[start : start + _PART]:
                    new += self._keep(said, segments.get(said.subject, NO_SEGMENT))
        return new

    def _keep(self, said: Feedback, segment: str) -> int:
        return len(
            self._store.ask(
                "INSERT OR IGNORE INTO feedback (pseudonym, kind, at, segment, score, question,"
                " agreement_id) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING 1",
                self._pseudonyms.of(said.subject),
                said.kind,
                stamp(said.at),
                segment,
                said.score,
                None if said.score is None else self._question,
                self._agreement_id,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Newest scores of the customers who were in one segment at the time.

    Attributes:
        answered: Number of customers who gave one.
        mean: Their mean, rounded; printable only if enough for a segment answered.
    """

    answered: int
    mean: float


def scored(
    store: NodeStore, agreement_id: str, terms: SatisfactionTerms, *, step: int
) -> dict[str, Scored]:
    """Scores for the agreed question, by the id of the segment that customers had at the time.

    Each customer's newest score is used, for the mean and for the count alike. A mean is rounded to
    as much as one of `step` customers can change it, so that the means before and after an answer
    do not reveal that answer.
    """
    rows = store.ask(
        "SELECT segment, count(*), avg(score) FROM (SELECT segment, score, max(at) FROM feedback"
        " WHERE kind = ? AND question = ? GROUP BY pseudonym) GROUP BY segment",
        SATISFACTION,
        question_id(agreement_id, terms),
    )
    grain = _round_number((terms.highest - terms.lowest) / step)
    return {
        segment: Scored(answered=count, mean=round(round(mean / grain) * grain, 9))
        for segment, count, mean in rows
    }


def _round_number(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`.

    >>> _round_number(0.08), _round_number(0.2), _round_number(3.0)
    (0.1, 0.2, 5.0)
    """
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least)


def said_by_segment(store: NodeStore, agreement_ids: Collection[str]) -> dict[str, Counter[str]]:
    """Number of customers by kind of feedback without a score, and by their segment at the time.

    Args:
        agreement_ids: Under which it was taken in; empty for what earlier versions took in, which
            did not distinguish.
    """
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS if kind != SATISFACTION}
    for kind, segment, count in store.ask(
        "SELECT kind, segment, count(DISTINCT pseudonym) FROM feedback WHERE kind <> ?"
        " AND agreement_id IN (SELECT value FROM json_each(?)) GROUP BY 1, 2",
        SATISFACTION,
        json.dumps(list(agreement_ids)),
    ):
        found[kind][segment] = count
    return found
