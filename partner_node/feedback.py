"""What customers say: read from a file, kept by pseudonym, never sent but inside a noised sum."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from partner_node.assignments import placed
from partner_node.features import SourceCustomers
from partner_node.known_releases import KnownRelease
from partner_node.regular_file import open_regular
from partner_node.rights.pseudonyms import Pseudonyms
from partner_node.scores import SATISFACTION, question_id
from partner_node.store import NodeStore, stamp
from protocol.errors import SourceError
from protocol.satisfaction import SatisfactionTerms

#: A wish about what to get; "not me"; a complaint; leave me out; how satisfied I am.
Kind = Literal["preference", "wrong-segment", "complaint", "opt-out", "satisfaction"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
COLUMNS: Final = ("customer_id", "kind", "at")
#: A column that a file has where it tells how satisfied customers are.
SCORE_COLUMN: Final = "score"
MAX_ROWS: Final = 1_000_000
#: Where a customer stands who has no segment now.
NO_SEGMENT: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One thing that one customer said.

    Attributes:
        line: Where it stands in its file, from 1.
        at: When, with time zone.
        score: How satisfied it is, on the agreed scale; None for every other kind.
    """

    line: int
    subject: str
    kind: Kind
    at: datetime
    score: float | None = None


def read_feedback(
    path: Path, *, now: datetime, terms: SatisfactionTerms | None = None
) -> list[Feedback]:
    """Read a CSV file with the columns ``customer_id, kind, at``, and ``score`` for satisfaction.

    Other columns are not looked at.

    Args:
        now: Nothing is from later than this.
        terms: The agreed question about satisfaction; None when none was agreed.

    Raises:
        SourceError: The file or a line cannot be read (E-FEEDBACK); the message names the line and
            the column, and no customer.
    """
    try:
        with open_regular(path) as file:
            lines = (line.decode("utf-8-sig") for line in file)
            return list(_rows(csv.reader(lines, strict=True), path, now, terms))
    except OSError as error:
        raise _problem(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        problem = _problem(path, "is not in UTF-8")
    except csv.Error as error:
        problem = _problem(path, f"is not CSV: {error}")
    raise problem  # not chained: what cannot be decoded is in the chain


def _rows(
    reader: Iterator[list[str]], path: Path, now: datetime, terms: SatisfactionTerms | None
) -> Iterator[Feedback]:
    header = next(reader, [])
    missing = [name for name in COLUMNS if header.count(name) != 1]
    if missing:
        raise _problem(path, f"line 1: there is not one column {missing[0]!r}")
    if header.count(SCORE_COLUMN) > 1:
        raise _problem(path, f"line 1: there is more than one column {SCORE_COLUMN!r}")
    places = [header.index(name) for name in COLUMNS]
    scored = header.index(SCORE_COLUMN) if SCORE_COLUMN in header else None
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if number > MAX_ROWS + 1:
            raise _problem(path, f"has more than {MAX_ROWS:,} lines")
        if len(row) != len(header):
            raise _problem(path, f"line {number}: {len(row)} values, the header has {len(header)}")
        subject, said, at = (row[place] for place in places)
        if not subject:
            raise _problem(path, f"line {number}, column 'customer_id': nobody is named")
        kind: Kind | None = next((known for known in KINDS if known == said), None)
        if kind is None:
            raise _problem(path, f"line {number}, column 'kind': {said[:40]!r}")
        score = "" if scored is None else row[scored]
        yield Feedback(
            line=number,
            subject=subject,
            kind=kind,
            at=_time(at, path, number, now),
            score=_score(score, kind, path, number, terms),
        )


def _score(
    text: str, kind: Kind, path: Path, number: int, terms: SatisfactionTerms | None
) -> float | None:
    if kind != SATISFACTION:
        if text:
            raise _problem(
                path, f"line {number}, column 'score': {text[:40]!r}, which {kind} does not have"
            )
        return None
    if terms is None:
        raise SourceError(
            f"{path}, line {number}: the agreement has no question about satisfaction",
            code="E-FEEDBACK",
            remedy="leave such lines out, or agree on plan.satisfaction in a new version. Nothing "
            "was taken in",
        )
    try:
        score = float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        score = None
    if score is None or not terms.allows(score):
        raise _problem(
            path,
            f"line {number}, column 'score': {text[:40]!r} is no number from {terms.lowest} to "
            f"{terms.highest}, the scale of {terms.question!r}",
        )
    return score


def _time(text: str, path: Path, number: int, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or at > now:
        raise _problem(
            path, f"line {number}, column 'at': {text[:40]!r} is no time with a zone that has come"
        )
    return at.astimezone(UTC)


def _problem(path: Path, what: str) -> SourceError:
    return SourceError(
        f"{path} {what}" if not what.startswith("line") else f"{path}, {what}",
        code="E-FEEDBACK",
        remedy="columns are customer_id, kind and at, like C-1002,wrong-segment,"
        f"2026-01-31T09:30:00Z, and score for satisfaction; kinds are {', '.join(KINDS)}. Nothing "
        "was taken in",
    )


def segments_of(
    subjects: set[str], customers: SourceCustomers, known: KnownRelease | None
) -> dict[str, str]:
    """The segment's id of each of some customers who may be counted now."""
    found: dict[str, str] = {}
    if known is None:
        return found
    for ids, vectors in customers.identified():
        wanted = np.fromiter((i in subjects for i in ids), dtype=np.bool_, count=len(ids))
        if wanted.any():
            index, _ = placed(vectors[wanted], known.release, known.agreement)
            chosen = ids[wanted].tolist()
            found |= {i: known.ids[k] for i, k in zip(chosen, index.tolist(), strict=True)}
    return found


def not_in_data(subjects: Sequence[str], customers: SourceCustomers) -> set[str]:
    """Those of some customers whom the data do not hold; the data are read only for some."""
    missing = set(subjects)
    if missing:
        for ids in customers.ids():
            missing.difference_update(ids.tolist())
    return missing


def keep(
    feedback: Sequence[Feedback],
    segments: Mapping[str, str],
    *,
    store: NodeStore,
    pseudonyms: Pseudonyms,
    terms: SatisfactionTerms | None,
    path: Path,
) -> int:
    """Keep what is not kept yet; inside a transaction.

    Args:
        terms: The question that scores answer.
        path: Where it was read, for messages.

    Returns:
        How much of it was new.

    Raises:
        SourceError: A customer gave two scores at one moment (E-FEEDBACK): which is meant?
    """
    new, asked = 0, None if terms is None else question_id(terms)
    for said in feedback:
        pseudonym, at = pseudonyms.of(said.subject), stamp(said.at)
        question = None if said.score is None else asked
        inserted = store.ask(
            "INSERT OR IGNORE INTO feedback (pseudonym, kind, at, segment, score, question)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING 1",
            pseudonym,
            said.kind,
            at,
            segments.get(said.subject, NO_SEGMENT),
            said.score,
            question,
        )
        new += len(inserted)
        if said.score is None or inserted:
            continue
        known = store.ask(
            "SELECT score, question FROM feedback WHERE pseudonym = ? AND kind = ? AND at = ?",
            pseudonym,
            said.kind,
            at,
        )
        if known != [(said.score, question)]:
            raise _problem(
                path,
                f"line {said.line}, column 'score': another score of this customer at this moment "
                "is known",
            )
    return new


def mean_scores(store: NodeStore, terms: SatisfactionTerms) -> dict[str, float]:
    """Mean of customers' newest scores, by the segment's id they had then."""
    rows = store.ask(
        "SELECT segment, avg(score) FROM (SELECT segment, score, max(at) FROM feedback"
        " WHERE kind = ? AND question = ? GROUP BY pseudonym) GROUP BY segment",
        SATISFACTION,
        question_id(terms),
    )
    return dict(rows)


def counted(store: NodeStore) -> dict[str, Counter[str]]:
    """How many customers said each kind of thing, by the segment's id they had then."""
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for kind, segment, count in store.ask(
        "SELECT kind, segment, count(DISTINCT pseudonym) FROM feedback GROUP BY 1, 2"
    ):
        found[kind][segment] = count
    return found
