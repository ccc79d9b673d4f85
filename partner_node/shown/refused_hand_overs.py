"""Hand-overs of keys that were refused: what people have to do about each."""

from __future__ import annotations

from collections.abc import Sequence

from machine.text import minute
from partner_node.control.refusals import refusal
from partner_node.store.refused_hand_overs import COORDINATOR, Refused
from protocol.control.calls import HAND_OVER


def refused_words(found: Sequence[Refused]) -> list[str]:
    """A sentence each, with the way out."""
    return [_sent_words(one) if one.by == COORDINATOR else _fork_words(one) for one in found]


def _sent_words(one: Refused) -> str:
    error = refusal(HAND_OVER, one.code, fallback="")
    return (
        f"The coordinator refused {one.hand_over.words} at {minute(one.refused_at)} ({one.code}): "
        f"{error.message}. Way out: {error.remedy}."
    )


def _fork_words(one: Refused) -> str:
    return (
        f"Refused here at {minute(one.refused_at)} ({one.code}): {one.hand_over.words}. Another "
        f"one from that key is kept: ask {one.hand_over.whose} which one they made. Where that key "
        "was stolen, stop the agreements that name it (docs/keys.md)."
    )
