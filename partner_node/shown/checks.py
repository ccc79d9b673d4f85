"""What was found when everything that a run needs was tried."""

from __future__ import annotations

from machine.shown import Shown
from machine.tables import folding_table
from partner_node.preflight import Report


def checks_shown(report: Report, *, told: bool = False) -> Shown:
    """Each check with its result.

    Args:
        told: Whether the coordinator was told of it.
    """
    table = folding_table("check", "result", "details", title="Preflight")
    for item in report.items:
        result = "PROBLEM" if not item.passed else "WARNING" if item.warnings else "passed"
        table.add_row(item.title, result, item.details)
    return Shown(
        values={
            "passed": report.passed,
            "checks": [item.to_dict() for item in report.items],
            "told": told,
        },
        parts=[
            table,
            "PASSED" if report.passed else "",
            "The coordinator was told so, with codes alone." if told else "",
        ],
        warnings=[warning for item in report.items for warning in item.warnings],
        refused=not report.passed,
    )
