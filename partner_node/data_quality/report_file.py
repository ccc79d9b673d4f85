"""A data report as a file that stays at the node: one HTML page without scripts, or JSON."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Final

from machine.files import write_file
from machine.text import shown
from partner_node.data_quality.report import DataReport, FeatureQuality
from partner_node.data_quality.statistics import Summary
from partner_node.data_quality.words import feature_title, histogram_rows, number_words
from protocol.errors import UsageError
from protocol.percents import percent_words

SUFFIXES: Final = (".html", ".json")
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
td, th { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
.bar { background: #36c; height: .8rem } .beyond .bar { background: #c63 }
.wide { width: 20rem; text-align: left } .problem { color: #a00 }
"""


def check_report_path(path: Path, *, overwrite: bool) -> None:
    """Refuse a path with another suffix, or of an existing file; raises UsageError."""
    if path.suffix.casefold() not in SUFFIXES:
        raise UsageError(
            f"--out {path} ends with {path.suffix or 'nothing'!r}",
            remedy=f"name a file that ends with {' or '.join(SUFFIXES)}",
        )
    if path.is_dir() or (path.exists() and not overwrite):
        raise UsageError(
            f"--out {path} {'is a folder' if path.is_dir() else 'exists already'}",
            remedy="name another file"
            + ("" if path.is_dir() else ", or add --overwrite to replace it"),
        )


def write_report(report: DataReport, path: Path, *, overwrite: bool) -> None:
    """Write a report atomically, readable by this account alone.

    Raises:
        UsageError: See `check_report_path`; or the file cannot be written (E-FILE).
    """
    check_report_path(path, overwrite=overwrite)
    text = (
        json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"
        if path.suffix.casefold() == ".json"
        else _page(report)
    )
    write_file(path, text, mode=0o600)


def _page(report: DataReport) -> str:
    title = f"Data beside agreement {_text(report.agreement.id)}"
    customers = "not known" if report.customers is None else f"{report.customers:,}"
    eligible = "not known" if report.eligible is None else f"{report.eligible:,}"
    parts = [
        "<!doctype html>",
        f'<html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>',
        f"<h1>{title}</h1>",
        f"<p>Looked at on {report.looked_at:%Y-%m-%d %H:%M} UTC. Version "
        f"{report.agreement.version}, hash <code>{report.agreement.hash.hex()}</code>. "
        "This page is about this partner's own customers and stays here.</p>",
        f"<p>Customers: {customers}; counted now: {eligible}. Data of: "
        f"{report.age.on or 'not known'} ({_text(report.age.told_by)}).</p>",
        f"<h2>{'Problems' if report.problems else 'PASSED'}</h2>",
        *(
            f'<p class="problem">{_text(str(problem))}<br>Way out: {_text(problem.remedy)}</p>'
            for problem in report.problems
        ),
        *(f"<p>Note: {_text(note)}.</p>" for note in report.notes),
        *(_section(quality) for quality in report.features),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _section(quality: FeatureQuality) -> str:
    feature, summary = quality.feature, quality.summary
    heading = f"<h2>{escape(feature_title(feature))}</h2>"
    if summary is None:
        code = quality.problem.code if quality.problem else "not read"
        return f'{heading}<p class="problem">{_text(code)}</p>'
    rows = histogram_rows(feature, summary)
    most = max(*(count for _, count, _ in rows), 1)
    share = percent_words(summary.missing_share)
    missing = f" Without a value: {share}." if summary.missing else ""
    return (
        f"{heading}<p>Column {_text(quality.column)}. {_numbers(summary)}{missing}</p><table>"
        + "".join(
            f'<tr class="{"beyond" if words else ""}"><td>{_text(name)}<td class="wide">'
            f'<div class="bar" style="width: {count / most:.1%}"></div>'
            f"<td>{percent_words(summary.share(count))}"
            for name, count, words in rows
        )
        + "</table>"
    )


def _numbers(summary: Summary) -> str:
    if summary.labels:
        return f"Commonest: {_text(summary.commonest_words)}."
    p5, p25, median, p75, p95 = map(number_words, summary.quantiles)
    return (
        f"Lowest {number_words(summary.lowest)}, 5 % {p5}, 25 % {p25}, median {median}, 75 % "
        f"{p75}, 95 % {p95}, highest {number_words(summary.highest)}, mean "
        f"{number_words(summary.mean)}. Beyond the agreed bounds, and clipped to them: "
        f"{percent_words(summary.clipped_share)}."
    )


def _text(text: str) -> str:
    return escape(shown(text))
