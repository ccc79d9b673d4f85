"""Who may do what: one table of roles and permissions; nothing else asks for a role by name."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """One thing that somebody may do or see, at a node or at the coordinator."""

    READ_HEALTH = "read health"
    RUN_CHECKS = "run checks"
    READ_AGREEMENTS = "read agreements"
    SIGN_AGREEMENTS = "sign and decline agreements"
    READ_EGRESS = "read egress"
    DECIDE_EGRESS = "decide egress"
    READ_BUDGET = "read budget"
    COUNT_CONSENT = "count who may be counted"
    READ_SEGMENTS = "read segments"
    COUNT_REACH = "count own customers of segments"
    EXPORT_SEGMENTS = "ask for files of customers' segments"
    CONFIRM_EXPORTS = "agree to such a file as the second person"
    READ_FILES = "read which files of segments there are"
    READ_REQUESTS = "read requests of customers"
    READ_LOG = "read log"
    READ_PARTNERS = "read partners"
    CHANGE_PARTNERS = "admit and remove partners"
    ASK_FOR_CHECKS = "ask partners to check"
    READ_RUNS = "read runs"
    START_RUNS = "start runs"
    STOP_RUNS = "stop runs"
    PAUSE_SCHEDULE = "pause the schedule"
    READ_RELEASES = "read releases"


class Role(StrEnum):
    """What somebody is to this side."""

    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    MARKETER = "marketer"
    DATA_PROTECTION_OFFICER = "data-protection-officer"


_P = Permission
ALLOWED: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.OPERATOR: frozenset(
        {
            _P.READ_HEALTH,
            _P.RUN_CHECKS,
            _P.READ_AGREEMENTS,
            _P.READ_EGRESS,
            _P.READ_BUDGET,
            _P.COUNT_CONSENT,
            _P.READ_PARTNERS,
            _P.CHANGE_PARTNERS,
            _P.ASK_FOR_CHECKS,
            _P.READ_RUNS,
            _P.START_RUNS,
            _P.STOP_RUNS,
            _P.PAUSE_SCHEDULE,
            _P.READ_RELEASES,
        }
    ),
    Role.APPROVER: frozenset(
        {
            _P.READ_HEALTH,
            _P.READ_AGREEMENTS,
            _P.SIGN_AGREEMENTS,
            _P.READ_EGRESS,
            _P.DECIDE_EGRESS,
            _P.READ_BUDGET,
            _P.CONFIRM_EXPORTS,
            _P.READ_PARTNERS,
            _P.CHANGE_PARTNERS,
            _P.READ_RUNS,
        }
    ),
    Role.AUDITOR: frozenset(
        {
            _P.READ_HEALTH,
            _P.READ_AGREEMENTS,
            _P.READ_EGRESS,
            _P.READ_BUDGET,
            _P.READ_SEGMENTS,
            _P.READ_FILES,
            _P.READ_REQUESTS,
            _P.READ_LOG,
            _P.READ_PARTNERS,
            _P.READ_RUNS,
            _P.READ_RELEASES,
        }
    ),
    Role.MARKETER: frozenset(
        {
            _P.READ_SEGMENTS,
            _P.COUNT_REACH,
            _P.EXPORT_SEGMENTS,
            _P.CONFIRM_EXPORTS,
            _P.READ_FILES,
            _P.READ_RELEASES,
        }
    ),
    Role.DATA_PROTECTION_OFFICER: frozenset(
        {
            _P.READ_HEALTH,
            _P.READ_AGREEMENTS,
            _P.SIGN_AGREEMENTS,
            _P.READ_EGRESS,
            _P.DECIDE_EGRESS,
            _P.READ_BUDGET,
            _P.COUNT_CONSENT,
            _P.CONFIRM_EXPORTS,
            _P.READ_FILES,
            _P.READ_REQUESTS,
            _P.READ_LOG,
            _P.READ_PARTNERS,
            _P.READ_RUNS,
            _P.STOP_RUNS,
            _P.READ_RELEASES,
        }
    ),
}


def may(role: Role, permission: Permission) -> bool:
    """Whether somebody of a role may do something."""
    return permission in ALLOWED[role]
