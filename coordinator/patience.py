"""How long a run waits before it goes on or ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a run waits.

    Attributes:
        grace_s: Seconds that a missing partner is waited for before the run goes on without it or
            ends.
        resend_s: Seconds after which an unanswered request is sent again.
        poll_s: Seconds between looks for answers.
        farewell_s: Seconds that the last acknowledgements are waited for.
    """

    grace_s: float = 60.0
    resend_s: float = 5.0
    poll_s: float = 0.03
    farewell_s: float = 5.0
