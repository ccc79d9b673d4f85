"""What customers say of their segments: read from a file, kept by pseudonym, never sent."""

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
from partner_node.store import NodeStore, stamp
from protocol.errors import SourceError

#: A wish about what to get; "not me"; a complaint; leave me out.
Kind = Literal["preference", "wrong-segment", "complaint", "opt-out"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
COLUMNS: Final = ("customer_id", "kind", "at")
MAX_ROWS: Final = 1_000_000
#: Where a customer stands who has no segment now.
NO_SEGMENT: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One thing that one customer said.

    Attributes:
        at: When, with time zone.
    """

    subject: str
    kind: Kind
    at: datetime


def read_feedback(path: Path, *, now: datetime) -> list[Feedback]:
    """Read a CSV file with the columns ``customer_id, kind, at``; others are not looked at.

    Args:
        now: Nothing is from later than this.

    Raises:
        SourceError: The file or a line cannot be read (E-FEEDBACK); the message names the line and
            the column, and no customer.
    """
    try:
        with open_regular(path) as file:
            lines = (line.decode("utf-8-sig") for line in file)
            return list(_rows(csv.reader(lines, strict=True), path, now))
    except OSError as error:
        raise _problem(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        problem = _problem(path, "is not in UTF-8")
    except csv.Error as error:
        problem = _problem(path, f"is not CSV: {error}")
    raise problem  # not chained: what cannot be decoded is in the chain


def _rows(reader: Iterator[list[str]], path: Path, now: datetime) -> Iterator[Feedback]:
    header = next(reader, [])
    missing = [name for name in COLUMNS if header.count(name) != 1]
    if missing:
        raise _problem(path, f"line 1: there is not one column {missing[0]!r}")
    places = [header.index(name) for name in COLUMNS]
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
        yield Feedback(subject=subject, kind=kind, at=_time(at, path, number, now))


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
        f"2026-01-31T09:30:00Z; kinds are {', '.join(KINDS)}. Nothing was taken in",
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


def keep(
    feedback: Sequence[Feedback],
    segments: Mapping[str, str],
    *,
    store: NodeStore,
    pseudonyms: Pseudonyms,
) -> int:
    """Keep what is not kept yet; inside a transaction.

    Returns:
        How much of it was new.
    """
    new = 0
    for said in feedback:
        new += len(
            store.ask(
                "INSERT OR IGNORE INTO feedback (pseudonym, kind, at, segment)"
                " VALUES (?, ?, ?, ?) RETURNING 1",
                pseudonyms.of(said.subject),
                said.kind,
                stamp(said.at),
                segments.get(said.subject, NO_SEGMENT),
            )
        )
    return new


def counted(store: NodeStore) -> dict[str, Counter[str]]:
    """How many customers said each kind of thing, by the segment's id they had then."""
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for kind, segment, count in store.ask(
        "SELECT kind, segment, count(DISTINCT pseudonym) FROM feedback GROUP BY 1, 2"
    ):
        found[kind][segment] = count
    return found
