"""Every metric of a coordinator. None counts customers, and no label names one."""

from __future__ import annotations

from typing import Final

from machine.metrics.common import COMMON
from machine.metrics.families import Metric

RUNS: Final = Metric(
    "fedseg_coordinator_runs",
    "Runs on record by state, and by the code with which they failed.",
    ("agreement", "state", "code"),
)
OPEN_SINCE: Final = Metric(
    "fedseg_coordinator_run_since_timestamp_seconds",
    "Since when a run that goes on waits for whom it waits for now; absent without one.",
    ("agreement", "phase"),
)
ROUND: Final = Metric(
    "fedseg_coordinator_run_round", "The round of a run that goes on.", ("agreement",)
)
ROUND_SECONDS: Final = Metric(
    "fedseg_coordinator_round_seconds",
    "From the announcement of a round to its total, of rounds on record.",
    ("agreement",),
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0),
)
LAST_RELEASE: Final = Metric(
    "fedseg_coordinator_release_due_since_timestamp_seconds",
    "When the last release under an agreement was made; when it was published before the first.",
    ("agreement",),
)
LAST_FAILED: Final = Metric(
    "fedseg_coordinator_last_run_failed",
    "1 when the last run that ended under an agreement failed, else 0.",
    ("agreement",),
)
MISSING: Final = Metric(
    "fedseg_coordinator_partner_missing",
    "1 while a run that goes on waits for this partner, or left it out; 0 for its others.",
    ("agreement", "partner"),
)
REFUSED: Final = Metric(
    "fedseg_coordinator_partner_refused",
    "Always 1: with which code a partner refused in the run that goes on.",
    ("agreement", "partner", "code"),
)
STANDING: Final = Metric(
    "fedseg_coordinator_partner_standing",
    "Always 1: how a party stands to the next run under an agreement.",
    ("agreement", "partner", "state"),
)
SEEN: Final = Metric(
    "fedseg_coordinator_partner_seen_timestamp_seconds",
    "When a partner's node called the control port last; absent where files are carried by hand.",
    ("partner",),
)

TABLE: Final = (
    *COMMON, RUNS, OPEN_SINCE, ROUND, ROUND_SECONDS, LAST_RELEASE, LAST_FAILED, MISSING, REFUSED,
    STANDING, SEEN,
)  # fmt: skip
