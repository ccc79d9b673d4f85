"""``[egress]`` of ``node.toml``: which messages wait for a person's approval, and how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from protocol.replies import APPROVAL, MASKED

NOTHING: Final = "none"
ANSWERS: Final = "answers"
SIGNED: Final = "signed"
HOLDS: Final = (NOTHING, ANSWERS, SIGNED)
DEFAULT_HOLD_HOURS: Final = 24
MAX_HOLD_HOURS: Final = 720

_KINDS: Final = {NOTHING: (), ANSWERS: (MASKED,), SIGNED: (MASKED, APPROVAL)}


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressSection:
    """``[egress]``: what is held for approval.

    Attributes:
        hold: ``none``; ``answers``, each answer to a question; or ``signed``, also the signature
            on the release.
        hold_hours: How long a message waits before it is refused by itself.
    """

    hold: str = NOTHING
    hold_hours: int = DEFAULT_HOLD_HOURS

    def holds(self, kind: str) -> bool:
        """Whether messages of a kind wait for approval."""
        return kind in _KINDS[self.hold]

    @property
    def patience(self) -> timedelta:
        """How long a message waits."""
        return timedelta(hours=self.hold_hours)
