"""Partners whose refusal ended runs when everything had been asked and charged. docs/adr/0022."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from coordinator.store.records import FAILED, RunRow
from protocol.coordinator_round import Phase

#: From so many such runs on a partner is named before the next.
_OFTEN: Final = 2


def late_refusals(rows: Sequence[RunRow]) -> dict[str, list[str]]:
    """Codes of the late refusals of each partner that refused so in several of these runs.

    Args:
        rows: Runs under one agreement.
    """
    codes: dict[str, list[str]] = {}
    for row in rows:
        if row.state == FAILED and row.progress.get("phase") == Phase.APPROVALS:
            for partner, code in row.progress.get("refusals", {}).items():
                codes.setdefault(partner, []).append(code)
    return {partner: found for partner, found in sorted(codes.items()) if len(found) >= _OFTEN}


def late_refusal_words(rows: Sequence[RunRow]) -> list[str]:
    """Notes about partners that refused at the end of several of these runs."""
    return [
        f"{partner} refused at the end of {len(found)} runs under this agreement "
        f"({', '.join(dict.fromkeys(found))}), when every partner's budget had been charged for "
        "them: ask why before the next"
        for partner, found in late_refusals(rows).items()
    ]
