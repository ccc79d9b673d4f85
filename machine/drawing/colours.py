"""Colours of segments, the same wherever one is drawn."""

from __future__ import annotations

from typing import Final

#: White text is legible on each of them (contrast of at least 4.5 to 1).
SEGMENT_COLOURS: Final = (
    "#0f6b74",
    "#a8481a",
    "#4453a0",
    "#8a3b72",
    "#4f6b17",
    "#a3262f",
    "#6a5496",
    "#7d6112",
    "#27704d",
    "#40566b",
)


def segment_colour(number: int) -> str:
    """The colour of segment `number`; colours repeat, numbers do not."""
    return SEGMENT_COLOURS[(number - 1) % len(SEGMENT_COLOURS)]
