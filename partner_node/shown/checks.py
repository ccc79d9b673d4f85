"""What was found when everything that a run needs was tried."""

from __future__ import annotations

from machine.shown import Shown
from machine.tables import folding_table
from partner_node.preflight import Report


def checks_shown(report: Report) -> Shown:
    """Each check with its result."""
    table = folding_table("check", "result", "details", title="Preflight")
    for item in report.items:
        result = "PROBLEM" if not item.passed else "WARNING" if item.warnings else "passed"
        table.add_row(item.name, result, item.details)
    return Shown(
        values={"passed": report.passed, "checks": [item.to_dict() for item in report.items]},
        parts=[table, "PASSED" if report.passed else ""],
        warnings=[warning for item in report.items for warning in item.warnings],
        refused=not report.passed,
    )
