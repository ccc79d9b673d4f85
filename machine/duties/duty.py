"""One duty: what has to be done or to hold, how it stands, since when, and what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from protocol.errors import FedsegError

#: So long before its date a duty is said to come soon.
NOTICE: Final = timedelta(days=30)


class State(StrEnum):
    """How a duty stands, the worst first."""

    OVERDUE = "overdue"
    SOON = "soon"
    UNKNOWN = "unknown"
    OK = "ok"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One duty, as it stands now.

    Attributes:
        name: What it is called, always the same: lower-case words with ``-`` between.
        about: The id of the agreement that it is of; empty where it is of the whole folder.
        state: How it stands. `UNKNOWN` where nothing here can tell, `NOT_ASKED` where no clause
            and no setting asks for it.
        since: Since when it is overdue or comes soon; None where no fact tells.
        next: The date that decides: by when it has to be done, or until when it holds.
        found: What was found, for people; nothing about a customer.
        way_out: What to do where it is not `OK`.
        source: Where the duty comes from: a clause, a setting, a record.
        is_private: Whether its dates follow from what single customers did: no metric has them.
    """

    name: str
    state: State
    found: str
    source: str
    about: str = ""
    since: datetime | None = None
    next: datetime | None = None
    way_out: str = ""
    is_private: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.name, self.about

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "duty": self.name,
            "agreement": self.about or None,
            "state": str(self.state),
            "since": _text(self.since),
            "next": _text(self.next),
            "found": self.found,
            "way_out": self.way_out or None,
            "source": self.source,
        }


def dated(duty: Duty, end: datetime, now: datetime, *, notice: timedelta = NOTICE) -> Duty:
    """A duty that holds until a date: it comes soon before, and is overdue after it."""
    if now >= end:
        return replace(duty, state=State.OVERDUE, since=end, next=end)
    if now >= end - notice:
        return replace(duty, state=State.SOON, since=end - notice, next=end)
    return replace(duty, state=State.OK, next=end)


def looked_at(look: Callable[[], Iterable[Duty]], otherwise: Duty) -> list[Duty]:
    """What somebody found out; where that cannot be, one duty that says why."""
    try:
        return list(look())
    except FedsegError as error:
        return [
            replace(
                otherwise,
                state=State.OVERDUE,
                found=f"{error.code}: {error.message}",
                way_out=error.remedy or otherwise.way_out,
            )
        ]


def worst_first(duties: Iterable[Duty]) -> list[Duty]:
    """Duties in the order in which somebody has to look at them."""
    rank = {state: number for number, state in enumerate(State)}
    late = datetime.max.replace(tzinfo=UTC)
    return sorted(duties, key=lambda one: (rank[one.state], one.next or late, one.key))


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
