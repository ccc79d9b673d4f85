"""Partners whose nodes said that they are not ready, before a run begins without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from coordinator.control.standing import LEFT_OUT, NOT_READY, PartnerReadiness, parties_readiness
from coordinator.runs.remedies import CAUSES, Cause
from coordinator.store.coordinator_store import CoordinatorStore
from machine.text import minute
from protocol.agreement.document import Agreement
from protocol.errors import RuleError
from protocol.privacy.words import counted

_OTHER: Final = Cause("", "have {who} put right what its fedseg-node check says")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unready:
    """A partner whose node said last that it is not ready.

    Attributes:
        codes: Why, as its node said; at least one.
        since: Since when, as its node said.
        away: Whether it is away now: what it said may be over.
    """

    partner: str
    codes: tuple[str, ...]
    since: str
    away: bool

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "partner": self.partner,
            "codes": list(self.codes),
            "since": self.since,
            "away": self.away,
        }

    @property
    def told(self) -> str:
        """Its codes, with their meaning where there is one, and since when."""
        causes = ((code, CAUSES.get(code, _OTHER).words) for code in self.codes)
        codes = ", ".join(f"{code} ({words})" if words else code for code, words in causes)
        return f"{codes}, since {minute(self.since)}"

    @property
    def way_out(self) -> str:
        """What it has to do."""
        ways = dict.fromkeys(CAUSES.get(code, _OTHER).way_out for code in self.codes)
        return "; ".join(way.format(who=self.partner) for way in ways)

    @property
    def words(self) -> str:
        """It for people, and how to wait for it."""
        return (
            f"{self.partner} said that it is not ready{', and is away now' if self.away else ''}: "
            f"{self.told}; a run goes on without it, or ends, unless that is put right before it "
            f"is asked. To wait for it: {self.way_out}; its node tells it anew by itself; start "
            "the run when `fedseg-coordinator run plan` says that it is ready (`run stop` ends one "
            "that has begun)"
        )


def unready(partners: Sequence[PartnerReadiness]) -> list[Unready]:
    """Those of the parties to a run who are not left out and said that they are not ready."""
    return [
        Unready(
            partner=one.partner,
            codes=one.said.codes,
            since=one.said.since,
            away=one.state != NOT_READY,
        )
        for one in partners
        if one.said is not None and one.said.codes and one.state != LEFT_OUT
    ]


def unready_for(
    store: CoordinatorStore, agreement: Agreement, *, without: Collection[str], now: datetime
) -> list[Unready]:
    """Who is not ready for the next run under an agreement; `without` as `parties_readiness`."""
    return unready(parties_readiness(store, agreement, without=without, now=now))


def check_enough_ready(agreement: Agreement, partners: Sequence[PartnerReadiness]) -> None:
    """Refuse a run for which too many that are there said that they are not ready.

    Whoever said nothing, or is away, may still come: nodes that joined by files never say it.

    Raises:
        RuleError: Those who are left are fewer than any total is formed over (E-SET-QUORUM).
    """
    held_up = [one for one in unready(partners) if not one.away]
    left = sum(one.state not in (LEFT_OUT, NOT_READY) for one in partners)
    if not held_up or left >= agreement.smallest_set:
        return
    raise RuleError(
        f"{counted(left, 'partner')} may take part, {agreement.smallest_set} are needed; not "
        "ready, as their nodes said: " + "; ".join(f"{one.partner}: {one.told}" for one in held_up),
        code="E-SET-QUORUM",
        remedy="; ".join(dict.fromkeys(one.way_out for one in held_up))
        + "; nodes tell it anew by themselves: start the run when `fedseg-coordinator run plan` "
        "says that they are ready",
    )
