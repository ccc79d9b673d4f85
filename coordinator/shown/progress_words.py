"""Where a run stands, in words: who is missing, since when, what comes next and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from machine.text import clock_time, lasting

Progress = dict[str, Any]


def round_words(progress: Progress) -> str:
    """The round that is open, or the last one, and how many there may be."""
    of_all = f"of at most {progress['max_rounds']}"
    return (
        f"round {progress['round']} {of_all}" if progress["round"] else f"before the 1st {of_all}"
    )


def partner_words(progress: Progress) -> str:
    """Number of partners that have answered, and the missing ones, in words."""
    waiting, refusals = progress["waiting_for"], progress.get("refusals", {})
    answered = len(progress["participants"]) - len(waiting)
    words = f"{answered} of {len(progress['participants'])} partners have answered"
    if not waiting:
        return words
    missing = [f"{id} ({_refusal_words(refusals[id])})" if id in refusals else id for id in waiting]
    return f"{words}, waiting for {', '.join(missing)}"


def since_words(progress: Progress, now: datetime) -> str:
    """For how long the run has waited for whom it waits for; empty where it does not."""
    since = progress.get("since")
    if not since or not progress["waiting_for"]:
        return ""
    began = datetime.fromisoformat(since)
    return f"for {lasting((now - began).total_seconds())}, since {clock_time(began)}"


def next_words(progress: Progress, now: datetime) -> str:
    """What comes next, and when; empty where the run hardly waits."""
    found = progress.get("next")
    if not found:
        return ""
    at = datetime.fromisoformat(found["at"])
    names = ", ".join(found["without"])
    if found["code"]:
        several = len(found["without"]) > 1
        what = f"the run ends with {found['code']} unless {names} answer{'' if several else 's'}"
    elif progress["phase"] == "acks":
        several = len(found["without"]) > 1
        what = f"the run ends, and {names} get{'' if several else 's'} the release later"
    else:
        what = f"the run goes on without {names}"
    left = (at - now).total_seconds()
    when = f"in {lasting(left)}, at {clock_time(at)}" if left > 0 else "any moment"
    return f"{when}: {what}"


def standing_words(progress: Progress, now: datetime) -> list[str]:
    """A running run in sentences, for whoever looks once."""
    if not progress:
        return ["It has been asked for, and no driver has said where it stands."]
    lines = [f"{progress['doing']}, {round_words(progress)}, {partner_words(progress)}."]
    since, comes = since_words(progress, now), next_words(progress, now)
    if since:
        lines.append(f"It has waited {since}.")
    lines += [
        f"{partner} was heard last at {clock_time(datetime.fromisoformat(at))}."
        for partner, at in progress.get("heard", {}).items()
    ]
    if comes:
        lines.append(f"{comes[:1].upper()}{comes[1:]}.")
    return lines


def now_utc() -> datetime:
    """The time."""
    return datetime.now(UTC)


def _refusal_words(code: str) -> str:
    """A refusal's code; for a held answer, with a note that a person has to approve it."""
    return f"{code}: waits for approval there" if code == "E-EGRESS-HELD" else code
