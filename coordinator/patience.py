"""Time limits of a run's waits for partners."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Time limits of a run.

    Attributes:
        grace_s: Seconds to wait for a missing partner before the run goes on without it or ends.
        resend_s: Seconds after which an unanswered request is sent again.
        poll_s: Seconds between polls for answers.
        farewell_s: Seconds to wait for the last acknowledgements.
    """

    grace_s: float = 60.0
    resend_s: float = 5.0
    poll_s: float = 0.03
    farewell_s: float = 5.0
