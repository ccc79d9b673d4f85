"""The way out of a failed run, by its code, where the failure itself names none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_BRING_BACK: Final = (
    "bring the missing partners back (fedseg-node status, check), then start a new run"
)

REMEDIES: Final = {
    "E-NO-PARTNERS": _BRING_BACK,
    "E-SET-QUORUM": _BRING_BACK,
    "E-SET-ISOLATES": _BRING_BACK,
    "E-SET-CHANGES": "sign a new agreement: this one allows no more set changes",
    "E-CHAIN-FULL": "sign a new agreement: this one's chain of participant sets is full",
    "E-TOTAL-RANGE": "compare the nodes' logs: some node's answer was wrong; then start a new run",
}

_DEFAULT: Final = "read server_app.log in the coordinator's folder, then start a new run"


def remedy_for(code: str) -> str:
    """The way out of a failure with `code`."""
    return REMEDIES.get(code, _DEFAULT)


def remedy_for_refusals(codes: Sequence[str]) -> str:
    """The way out of a run whose missing partners are all there and refused.

    Args:
        codes: With which codes they did.
    """
    return (
        f"the partners are there and refused: look up {', '.join(codes)} in docs/errors.md, have "
        "each partner put that right (its node's log and fedseg-node check say more), then start "
        "a new run"
    )
