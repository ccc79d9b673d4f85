"""Manifests in plain words and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any, Final

from machine.tables import Table
from machine.text import how_many, minute, short, shown
from partner_node.egress.manifest import Manifest, Question
from partner_node.egress.records import (
    APPROVED,
    EXPIRED,
    FREE,
    OVER,
    REFUSED,
    WAITING,
    Written,
)
from partner_node.egress.sent import EXACT_ANSWER, NOISED_ANSWER
from protocol.messages import round_number
from protocol.release.document import EXACT_WORDS
from protocol.replies import KINDS

#: What a message is called that a person may have to approve, when it leaves once more.
_AGAIN: Final = "the same reply again"
STATE_WORDS: Final[Mapping[str, str]] = {
    FREE: "needs no approval",
    WAITING: "waits for approval",
    APPROVED: "approved",
    REFUSED: "refused",
    EXPIRED: "not approved in time",
    OVER: "not needed any more, its run has ended",
}


def message_words(manifest: Manifest, *, again: bool = False) -> str:
    """What a message is, in one line.

    Args:
        again: Whether it has left before.
    """
    if again and manifest.context:
        return _AGAIN
    if manifest.question is not None:
        return NOISED_ANSWER if manifest.question.share_variance else EXACT_ANSWER
    kind = KINDS.get(manifest.kind)
    if kind is None:
        return manifest.kind
    return f"{manifest.kind}: {manifest.acknowledges or ', '.join(kind.answers.values())}"


def manifest_values(written: Written, now: str) -> dict[str, Any]:
    """A manifest as JSON values; whole numbers that may be beyond 2^53 as text."""
    manifest = written.manifest
    values = manifest.to_dict()
    question = manifest.question
    return {
        "number": written.number,
        "made_at": written.at,
        "what": message_words(manifest),
        "state": written.state(now),
        "waits_until": written.expires_at,
        "decided_at": written.decided_at,
        "decided_by": written.decided_by or None,
        "needs_people": written.people,
        "first_approved_by": written.first_by or None,
        "times_left": written.times,
        **{k: v for k, v in values.items() if k not in ("question", "n_bytes", "round")},
        "round": round_number(manifest.round),
        "bytes": manifest.n_bytes,
        "question": None
        if question is None
        else {**question.to_dict(), "rho": question.rho, "noise": noise_words(question)},
    }


def manifest_words(written: Written, now: str) -> list[object]:
    """A manifest for people, a line for each fact."""
    manifest = written.manifest
    table = Table(title=f"Message {written.number}", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(written, now):
        table.add_row(name, value)
    parts: list[object] = [table]
    if written.state(now) == WAITING:
        parts.append(
            f"It stays here until you decide: fedseg-node egress approve {written.number}, or "
            f"refuse {written.number}. The coordinator sees the bytes of this hash, or a code."
        )
    elif manifest.question is not None:
        parts.append(
            "What left is the sum of these customers' bounded values under masks, which cancel in "
            "the total of all participants alone."
        )
    return parts


def _lines(written: Written, now: str) -> list[tuple[str, str]]:
    manifest, question = written.manifest, written.manifest.question
    lines = [
        ("what", message_words(manifest)),
        ("run", manifest.run_id.hex()),
        ("round", str(round_number(manifest.round)) if manifest.round >= 0 else "before the first"),
        ("made", minute(written.at)),
        ("state", _state_words(written, now)),
        ("has left", f"{written.times:,} times" if written.times != 1 else "once"),
        ("receiver", f"{shown(manifest.receiver)}, key {manifest.receiver_key}"),
        (
            "agreement",
            f"{manifest.agreement_id}, version {manifest.agreement_version}, "
            f"{manifest.agreement_hash.hex()}",
        ),
    ]
    if question is not None:
        lines += _question_lines(manifest, question)
    if manifest.release:
        lines.append(("signs release", manifest.release.hex()))
    if manifest.head:
        lines.append(("signs set", manifest.head.hex()))
    return [*lines, ("bytes", f"{manifest.n_bytes:,}"), ("SHA-256", manifest.sha256)]


def _question_lines(manifest: Manifest, question: Question) -> list[tuple[str, str]]:
    return [
        ("question", question.words),
        ("own customers counted", f"{manifest.customers:,}"),
        ("added up with", ", ".join(question.participants)),
        ("vector", how_many(manifest.vector_length or 0, "number")),
        ("bounds", f"each sum from {question.low:,} to {question.high:,}, before noise and masks"),
        ("noise", noise_words(question)),
        ("costs", cost_words(question)),
    ]


def noise_words(question: Question) -> str:
    """What hides a single customer in the answer."""
    if not question.share_variance:
        return f"none; {EXACT_WORDS}"
    own = isqrt(question.share_variance)
    most = isqrt(question.sensitivity_squared)
    return (
        f"own share with a standard deviation of {own:,} in each number; one customer moves the "
        f"whole vector by {most:,} at most"
    )


def cost_words(question: Question) -> str:
    """What the answer takes from the budget."""
    if not question.cost:
        return "nothing: there is no budget"
    return f"a rho of {question.rho:.4g} of the budget, charged before a row was read"


def held_words(held: Sequence[Written], now: str) -> list[object]:
    """The messages that were held for approval, as a table; nothing when there are none."""
    if not held:
        return []
    table = Table(title="Held for approval")
    table.add_column("no.", no_wrap=True, justify="right")
    table.add_column("run", no_wrap=True)
    table.add_column("round", no_wrap=True, justify="right")
    table.add_column("what", overflow="fold")
    table.add_column("own customers\ncounted", justify="right")
    table.add_column("state", overflow="fold")
    for written in held:
        manifest = written.manifest
        table.add_row(
            str(written.number),
            short(manifest.run_id),
            str(round_number(manifest.round)) if manifest.round >= 0 else "",
            message_words(manifest),
            "" if manifest.customers is None else f"{manifest.customers:,}",
            _state_words(written, now),
        )
    return [table]


def _state_words(written: Written, now: str) -> str:
    state = written.state(now)
    words = STATE_WORDS[state]
    if state == WAITING and written.expires_at is not None:
        if written.first_by:
            words += f" by a second person, {shown(written.first_by)} approved it,"
        elif written.people > 1:
            words += " by two people"
        return f"{words} until {minute(written.expires_at)}"
    if written.decided_at is not None:
        by = f" by {shown(written.decided_by)}" if written.decided_by else ""
        return f"{words} {minute(written.decided_at)}{by}"
    return words
