"""What comes next in a run that waits for partners, and when: for people, before it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from coordinator.store.times import stamp
from protocol.coordinator_round import CoordinatorRound, Phase
from protocol.errors import RunFailedError
from protocol.participants import Members

#: The code with which an agreement's first run ends that lacks a few of its partners.
FIRST_RUN: Final = "E-FIRST-RUN"
#: A limit that is nearer or farther by more than so many seconds is told anew.
_MOVED_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What happens when a wait is over.

    Attributes:
        without: Partners with whom the run does not go on.
        code: With which it ends; empty when it goes on, or ends with its release.
        reason: Why it would end.
    """

    without: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""

    def to_dict(self, at: datetime) -> dict[str, Any]:
        """It as JSON values, with when."""
        return {
            "at": stamp(at),
            "goes_on": not self.code,
            "without": list(self.without),
            "code": self.code,
            "reason": self.reason,
        }


def outlook(machine: CoordinatorRound, *, without: Members) -> Outlook:
    """What happens if nobody answers any more; changes nothing.

    Args:
        without: Partners that the operator told the run to go without.
    """
    everybody = machine.agreement.parties

    def names(members: Members) -> tuple[str, ...]:
        return tuple(everybody[i].id for i in sorted(members))

    if machine.phase == Phase.ACKS:
        return Outlook(without=names(machine.waiting_for))
    try:
        if lacks_few_at_first(machine, without=without):
            raise RunFailedError(
                "an agreement's first run begins with all its partners", code=FIRST_RUN
            )
        left = machine.going_on()
    except RunFailedError as failure:
        return Outlook(
            without=names(machine.waiting_for), code=failure.code, reason=failure.message
        )
    before = machine.members
    if machine.phase == Phase.HELLOS:
        before = frozenset(range(machine.agreement.n_partners))
    return Outlook(without=names(before - left))


def lacks_few_at_first(machine: CoordinatorRound, *, without: Members) -> bool:
    """Whether partners are missing from an agreement's first run, too few to join later.

    Once a set without fewer than ``min_atom`` partners was opened, each later set with them would
    single them out.
    """
    if machine.phase != Phase.HELLOS or machine.chain.links:
        return False
    here = machine.agreement.n_partners - len(machine.waiting_for)
    min_atom = machine.agreement.secure_sum.min_atom
    possible = here >= max(machine.agreement.smallest_set, min_atom)
    return possible and 0 < len(machine.waiting_for - without) < min_atom


class Waiting:
    """How long a run has waited for whom it waits for now, and until when it will.

    Args:
        clock: Seconds in which this process ran.
        now: The time of the day.
    """

    def __init__(
        self, clock: Callable[[], float], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._now = now
        self.begin()

    def begin(self) -> None:
        """Wait from now on."""
        self._began = self._clock()
        self.since = self._now()
        self._until = self.since

    @property
    def waited_s(self) -> float:
        """For how long."""
        return self._clock() - self._began

    def until(self, limit_s: float) -> datetime:
        """When the limit is reached, unless this process is stopped meanwhile.

        It is the same at every call, but for pauses.
        """
        found = self._now() + timedelta(seconds=limit_s - self.waited_s)
        if abs((found - self._until).total_seconds()) > _MOVED_S:
            self._until = found
        return self._until
