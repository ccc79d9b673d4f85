"""What a node has on record, a row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol.clustering.plan import restore_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as the store knows it.

    Attributes:
        state: What `PartnerRound.to_dict` gave.
        data_changed_at: When the data's files were last seen to have changed within it; empty when
            they were not.
    """

    run_id: bytes
    run_hash: bytes
    agreement_hash: bytes
    phase: str
    round: int
    reason: str
    started_at: str
    updated_at: str
    state: dict[str, Any]
    data_changed_at: str = ""

    @property
    def data_words(self) -> str:
        """That the data's files changed within the run, for people; empty when they did not."""
        if not self.data_changed_at:
            return ""
        return (
            f"Run {self.run_id.hex()[:8]}: size or time of this node's data changed within it, "
            f"seen on {self.data_changed_at[:16].replace('T', ' ')} UTC. Its rounds may have "
            "counted other customers or values; change data between runs."
        )

    @property
    def rounds_answered(self) -> int:
        """Sum queries answered; the approval of the release, the last round, is none."""
        plan = self.state.get("plan")
        approved = plan is not None and restore_plan(plan).result is not None
        return self.round + (0 if approved else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRecord:
    """One message that left this node.

    Attributes:
        what: Kind of message, in words.
        customers: How many of the partner's customers are counted in it; None when none are.
        manifest: Number of its manifest; None for what left before there were any.
        beside_bytes, beside_sha256, beside: What left beside it of logs and cosignatures, which
            is no part of the message: how long it was, its SHA-256 in hex, and what it said.
    """

    at: str
    run_id: bytes
    what: str
    round: int
    n_bytes: int
    sha256: str
    customers: int | None
    manifest: int | None = None
    beside_bytes: int = 0
    beside_sha256: str = ""
    beside: str = ""
