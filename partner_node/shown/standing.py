"""What goes on at a node now: whether it serves and hears the coordinator, and its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from machine.text import clock_time, lasting, minute, short
from partner_node.egress.records import Written
from partner_node.store.heard import CONTROL, LINK, Heard
from partner_node.store.readiness import Readiness
from partner_node.store.records import RunRecord
from partner_node.store.times import moment
from protocol.messages import round_number
from protocol.partner_state import Phase

_NAMES: Final = {LINK: "The link for runs", CONTROL: "The control port"}


def open_runs(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that go on here: the newest under each agreement.

    Args:
        runs: Newest first.
    """
    found: dict[bytes, RunRecord] = {}
    for run in runs:
        if not Phase(run.phase).over:
            found.setdefault(run.agreement_hash, run)
    return list(found.values())


def run_values(run: RunRecord, waiting: Sequence[Written]) -> dict[str, Any]:
    """A run that goes on, as JSON values."""
    return {
        "run_id": run.run_id.hex(),
        "agreement_hash": run.agreement_hash.hex(),
        "state": run.phase,
        "round": round_number(run.round),
        "waits_for": _waits_for(run, waiting),
        "since": run.updated_at,
    }


def standing_words(
    *,
    serving: bool,
    heard: Mapping[str, Heard],
    runs: Sequence[RunRecord],
    waiting: Sequence[Written],
    readiness: Sequence[Readiness],
    now: datetime,
) -> list[str]:
    """What goes on, in sentences."""
    lines = ["This node serves." if serving else "No process serves this node: fedseg-node serve."]
    lines += [_heard_words(heard[name], now) for name in _NAMES if name in heard and serving]
    lines += [_readiness_words(one) for one in readiness]
    return lines + [_run_words(run, waiting, now) for run in runs]


def _heard_words(found: Heard, now: datetime) -> str:
    name, since = _NAMES[found.channel], moment(found.since)
    last = f"; heard {_ago(found.heard_at, now)}" if found.heard_at else ""
    if found.reached:  # the link is told of when it is lost, not each time that it is used
        last = last if found.channel == CONTROL else ""
        return f"{name} is there since {minute(found.since)}{last}."
    why = f" ({found.code})" if found.code else ""
    return f"{name} is away{why} for {lasting((now - since).total_seconds())}{last}."


def _readiness_words(found: Readiness) -> str:
    what = ", ".join(found.codes) or "PASSED"
    told = "told the coordinator" if found.told else "not told yet"
    return (
        f"Ready for runs under {found.agreement_hash.hex()[:12]}: {what} since "
        f"{minute(found.since)}; checked {minute(found.checked_at)}, {told}."
    )


def _run_words(run: RunRecord, waiting: Sequence[Written], now: datetime) -> str:
    since = moment(run.updated_at)
    number = round_number(run.round)
    rounds = f"round {number} was answered last" if number else "no round has come yet"
    return (
        f"Run {short(run.run_id)} goes on: {rounds}; {_waits_for(run, waiting)}, for "
        f"{lasting((now - since).total_seconds())}, since {clock_time(since)}."
    )


def _waits_for(run: RunRecord, waiting: Sequence[Written]) -> str:
    held_here = [one.number for one in waiting if one.manifest.run_id == run.run_id]
    if held_here:
        return f"waits for your decision: fedseg-node egress approve {held_here[0]}"
    return _WAITS[Phase(run.phase)]


#: What an unfinished run waits for, at this node.
_WAITS: Final = {
    Phase.GREETED: "waits for the other partners to join",
    Phase.READY: "waits for the first question",
    Phase.RUNNING: "waits for the other partners' answers, then comes the next question or the "
    "release",
}


def _ago(at: str, now: datetime) -> str:
    return f"{lasting((now - moment(at)).total_seconds())} ago"
