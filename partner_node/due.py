"""Agreed moments at a node: which come next, and whether a run came in the last one's window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from partner_node.store.node_store import NodeStore
from partner_node.store.refusals import Refusals
from partner_node.store.times import moment as moment_of
from protocol.agreement.document import CLOCK_SKEW, Agreement
from protocol.agreement.schedule import Moment

#: What a node saw in a window.
CAME: Final = "came"
REFUSED: Final = "refused"
NONE_CAME: Final = "none came"
#: How many moments ahead are shown.
_AHEAD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a node expects by an agreement's schedule.

    Attributes:
        following: The next moments.
        last: The last one whose window is over; None before the first that this node can judge.
        seen: `CAME`, `REFUSED` or `NONE_CAME` in its window; empty without one.
    """

    agreement: Agreement
    following: tuple[Moment, ...]
    last: Moment | None
    seen: str

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            **self.agreement.named(),
            "next": [moment.to_dict() for moment in self.following],
            "last": None if self.last is None else self.last.to_dict() | {"seen": self.seen},
        }

    @property
    def words(self) -> list[str]:
        """It for people."""
        after = "; ".join(moment.words for moment in self.following) or "none by this version"
        return [f"Next runs of agreement {self.agreement.id} by its schedule: {after}.",
                *self.trouble]  # fmt: skip

    @property
    def trouble(self) -> list[str]:
        """That the last run did not come, or was refused; nothing where it came."""
        if self.last is None or self.seen == CAME:
            return []
        about = f"the run of agreement {self.agreement.id} due {self.last.words}"
        if self.seen == REFUSED:
            return [f"Of {about} only requests came that this node refused; see fedseg-node "
                    "status."]  # fmt: skip
        return [f"No request came here for {about}: the coordinator did not start it, or this "
                "node was away. It is not made up; ask the operator (run schedule)."]  # fmt: skip


def expected(agreement: Agreement, store: NodeStore, now: datetime) -> Expected | None:
    """What this node expects under an agreement in force.

    None where it has no schedule, or was stopped: there is no moment after that.
    """
    if agreement.schedule is None or store.stop_of(agreement.hash) is not None:
        return None
    ahead = agreement.moments(now, agreement.review_by)
    following = tuple(islice((moment for moment in ahead if moment.at > now), _AHEAD))
    last = _last_over(agreement, now - CLOCK_SKEW)
    if last is not None and not _can_judge(agreement, store, last, now):
        last = None
    return Expected(
        agreement=agreement,
        following=following,
        last=last,
        seen="" if last is None else _seen(agreement, store, last),
    )


def _last_over(agreement: Agreement, now: datetime) -> Moment | None:
    """The last moment whose window is over."""
    found = agreement.latest_moment(now)
    if found is not None and now < found.until:
        found = agreement.latest_moment(found.at - timedelta(microseconds=1))
    return found


def _can_judge(agreement: Agreement, store: NodeStore, moment: Moment, now: datetime) -> bool:
    """Whether the version was here when the moment came, and records of then are kept still."""
    since = store.kept_since(agreement.hash)
    return (
        since is not None
        and since <= moment.at
        and now - moment.at < timedelta(days=agreement.retention.records_days)
    )


def _seen(agreement: Agreement, store: NodeStore, moment: Moment) -> str:
    def within(at: str) -> bool:
        return moment.at - CLOCK_SKEW <= moment_of(at) <= moment.until + CLOCK_SKEW

    rows = store.ask("SELECT started_at FROM runs WHERE agreement_hash = ?", agreement.hash)
    if any(within(at) for (at,) in rows):
        return CAME
    others = (
        one for one in Refusals(store).all()
        if store.agreement_of_run(one.run_id) in (None, agreement.hash)
    )  # fmt: skip
    return REFUSED if any(within(one.at) for one in others) else NONE_CAME
