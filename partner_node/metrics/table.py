"""Every metric of a node. None counts customers, and no label names one."""

from __future__ import annotations

from typing import Final

from machine.metrics.common import COMMON
from machine.metrics.families import Metric

LINK_UP: Final = Metric(
    "fedseg_node_link_up",
    "1 while the coordinator is reached: on the link for runs, on the control port.",
    ("channel",),
)
HEARD: Final = Metric(
    "fedseg_node_heard_timestamp_seconds", "When the coordinator was heard last.", ("channel",)
)
IN_FORCE: Final = Metric(
    "fedseg_node_agreement_in_force", "Always 1: which agreements hold.", ("agreement", "version")
)
RUNS: Final = Metric(
    "fedseg_node_runs",
    "Runs on record by state, and by the code with which they ended.",
    ("agreement", "state", "code"),
)
LAST_RUN: Final = Metric(
    "fedseg_node_last_run_timestamp_seconds",
    "When a run last went on here; absent before the first.",
    ("agreement",),
)
LAST_FAILED: Final = Metric(
    "fedseg_node_last_run_failed",
    "1 when the newest run ended here without a release, else 0.",
    ("agreement",),
)
REFUSALS: Final = Metric(
    "fedseg_node_refusals", "Requests on record that this node refused, by code.", ("code",)
)
EPSILON: Final = Metric(
    "fedseg_node_budget_epsilon", "The epsilon that was agreed for one customer.", ("agreement",)
)
EPSILON_LEFT: Final = Metric(
    "fedseg_node_budget_epsilon_left", "What is left of it.", ("agreement",)
)
RUNS_LEFT: Final = Metric(
    "fedseg_node_budget_runs_left", "Whole runs that the budget still holds.", ("agreement",)
)
SPENT: Final = Metric(
    "fedseg_node_spent_epsilon",
    "What a customer who was counted in every run has spent over all agreements.",
)
CAP: Final = Metric(
    "fedseg_node_cap_epsilon",
    "The cap on it, at whose delta it is told; absent while there is none.",
)
HELD: Final = Metric(
    "fedseg_node_egress_held", "Messages that wait for a person's approval before they leave."
)
HELD_UNTIL: Final = Metric(
    "fedseg_node_egress_held_until_timestamp_seconds",
    "When the first of them is refused by itself; absent while none waits.",
)
OVERDUE: Final = Metric(
    "fedseg_node_request_is_overdue",
    "1 while a customer's request is open after its last day; no number of them is told.",
)
DUE_SOON: Final = Metric(
    "fedseg_node_request_is_due_soon",
    "1 while the last day of an open request is within a week, or over.",
)
RETENTION: Final = Metric(
    "fedseg_node_retention_overdue_files",
    "Files of segments that should be deleted by now, and are on record still.",
)
FORKS: Final = Metric(
    "fedseg_node_log_forks",
    "Audit logs of other partners that forked, and that nobody here accepted yet.",
)

TABLE: Final = (
    *COMMON, LINK_UP, HEARD, IN_FORCE, RUNS, LAST_RUN, LAST_FAILED, REFUSALS, EPSILON, EPSILON_LEFT,
    RUNS_LEFT, SPENT, CAP, HELD, HELD_UNTIL, OVERDUE, DUE_SOON, RETENTION,
    FORKS,
)  # fmt: skip
