"""Customers' feedback as exported by a partner's own systems: a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

from machine.files import open_regular
from partner_node.register.scores import SATISFACTION
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import SourceError

#: Kinds: a wish about offers; "not me"; a complaint; opting out; satisfaction.
Kind = Literal["preference", "wrong-segment", "complaint", "opt-out", "satisfaction"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
COLUMNS: Final = ("customer_id", "kind", "at")
#: The column for scores, required where a file has satisfaction.
SCORE_COLUMN: Final = "score"
MAX_ROWS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One statement of one customer.

    Attributes:
        line: Its line in the file, from 1.
        at: Its time, with time zone.
        score: Satisfaction on the agreed scale; None for every other kind.
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

    Other columns are ignored.

    Args:
        now: The latest time that is accepted.
        terms: The agreed question about satisfaction; None when none was agreed.

    Raises:
        SourceError: The file or a line cannot be read (E-FEEDBACK); the message names the line and
            the column, and no customer.
    """
    try:
        with open_regular(path) as file:
            reader = csv.reader((line.decode("utf-8-sig") for line in file), strict=True)
            return list(_rows(reader, path, now, terms))
    except OSError as error:
        raise feedback_problem(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        problem = feedback_problem(path, "is not in UTF-8")
    except csv.Error as error:
        problem = feedback_problem(path, f"line {reader.line_num}: is not CSV: {error}")
    raise problem  # not chained: the chain contains the undecodable bytes


def _rows(
    reader: Iterator[list[str]], path: Path, now: datetime, terms: SatisfactionTerms | None
) -> Iterator[Feedback]:
    header = next(reader, [])
    missing = [name for name in COLUMNS if header.count(name) != 1]
    if missing:
        raise feedback_problem(path, f"line 1: there is not one column {missing[0]!r}")
    if header.count(SCORE_COLUMN) > 1:
        raise feedback_problem(path, f"line 1: there is more than one column {SCORE_COLUMN!r}")
    places = [header.index(name) for name in COLUMNS]
    scored = header.index(SCORE_COLUMN) if SCORE_COLUMN in header else None
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if number > MAX_ROWS + 1:
            raise feedback_problem(path, f"has more than {MAX_ROWS:,} lines")
        if len(row) != len(header):
            raise feedback_problem(
                path, f"line {number}: {len(row)} values, the header has {len(header)}"
            )
        subject, said, at = (row[place] for place in places)
        if not subject:
            raise feedback_problem(path, f"line {number}, column 'customer_id': nobody is named")
        kind: Kind | None = next((known for known in KINDS if known == said), None)
        if kind is None:
            raise feedback_problem(path, f"line {number}, column 'kind': {said[:40]!r}")
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
            raise feedback_problem(
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
        raise feedback_problem(
            path,
            f"line {number}, column 'score': {text[:40]!r} is no number from {terms.lowest} to "
            f"{terms.highest}, the scale of {terms.question!r}",
        )
    return score


def _time(text: str, path: Path, number: int, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text).astimezone(UTC) if _has_zone(text) else None
    except (ValueError, OverflowError):
        at = None
    if at is None or at > now:
        raise feedback_problem(
            path, f"line {number}, column 'at': {text[:40]!r} is no time with a zone that has come"
        )
    return at


def _has_zone(text: str) -> bool:
    """Whether a time has a zone; raises ValueError for a text that is not a time."""
    return datetime.fromisoformat(text).tzinfo is not None


def feedback_problem(path: Path, what: str) -> SourceError:
    """The error about a file, or about a line if `what` begins with "line …" (E-FEEDBACK)."""
    return SourceError(
        f"{path} {what}" if not what.startswith("line") else f"{path}, {what}",
        code="E-FEEDBACK",
        remedy="columns are customer_id, kind and at, like C-1002,wrong-segment,"
        f"2026-01-31T09:30:00Z, and score for satisfaction; kinds are {', '.join(KINDS)}. Nothing "
        "was taken in",
    )
