"""What the coordinator has on record, a row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

REQUESTED: Final = "requested"
RUNNING: Final = "running"
FINISHED: Final = "finished"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as the store knows it.

    Attributes:
        state: ``requested``, ``running``, ``finished`` or ``failed``.
        progress: Where it stands, for people: phase, round, who is missing.
        code, reason, remedy: Why it failed, and the way out; empty otherwise.
        without: Ids of partners that the operator told it to go without.
        attempts: How many processes have driven it.
    """

    run_id: bytes
    agreement_hash: bytes
    state: str
    progress: dict[str, Any]
    code: str
    reason: str
    attempts: int
    created_at: str
    updated_at: str
    remedy: str = ""
    without: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the run has a final state."""
        return self.state in (FINISHED, FAILED)

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "run_id": self.run_id.hex(),
            "agreement_hash": self.agreement_hash.hex(),
            "state": self.state,
            "progress": self.progress,
            "code": self.code,
            "reason": self.reason,
            "remedy": self.remedy,
            "without": list(self.without),
            "attempts": self.attempts,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What one partner exchanged with the coordinator in a run."""

    partner: str
    messages: int
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """One round of a run.

    Attributes:
        seconds: From the announcement to the total.
        inertia: Mean squared distance to the nearest centroid in the scaled cube; None when the
            round did not ask for it.
        length: Numbers in a masked vector.
        asked: What was asked, in words.
    """

    round: int
    partners: int
    seconds: float
    inertia: float | None
    length: int
    asked: str = ""
