"""What a node has on record, a row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol.clustering.plan import restore_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as the store knows it; `state` is what `PartnerRound.to_dict` gave."""

    run_id: bytes
    run_hash: bytes
    agreement_hash: bytes
    phase: str
    round: int
    reason: str
    started_at: str
    updated_at: str
    state: dict[str, Any]

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
    """

    at: str
    run_id: bytes
    what: str
    round: int
    n_bytes: int
    sha256: str
    customers: int | None
    manifest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """One file of customers' segments that was written here.

    Attributes:
        release: Hash of the release.
        use: What it was written for, as agreed.
        path: Where it was written, absolute.
        n_rows: Customers in it.
        sha256: Of the file, in hexadecimal.
        delete_by: Until when it may be kept, as `stamp` writes times.
    """

    at: str
    release: bytes
    use: str
    path: str
    n_rows: int
    sha256: str
    delete_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Requests that this node refused.

    Attributes:
        at: When the last of them came.
        code: Why.
        run_id: Of the run that they were about; empty when they did not say.
        times: How many came.
    """

    at: str
    code: str
    run_id: bytes
    times: int
