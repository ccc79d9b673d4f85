"""Findings about the data, for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from machine.tables import Table
from machine.text import shown
from partner_node.data_quality.report import DataReport, FeatureQuality
from partner_node.data_quality.statistics import Summary
from partner_node.segments.tables import segment_tables
from protocol.agreement.features import Feature
from protocol.feature_values import NO_LEVEL
from protocol.percents import percent_words
from protocol.scaling import FloatMatrix

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
BAR_WIDTH: Final = 40
_COLUMNS: Final = ("lowest", "5 %", "median", "95 %", "highest", "mean", "clipped", "missing")


def report_words(report: DataReport, *, width: int) -> list[object]:
    """The report as tables within a width and sentences, without its problems."""
    tables = segment_tables(
        f"Data beside agreement {report.agreement.id}",
        _COLUMNS,
        [f"{quality.feature.name}: {_agreed(quality)}" for quality in report.features],
        [_cells(quality.summary) for quality in report.features],
        label="feature: as agreed",
        width=width,
    )
    customers = "not known" if report.customers is None else f"{report.customers:,}"
    eligible = "not known" if report.eligible is None else f"{report.eligible:,}"
    told = f"({report.age.told_by})"
    age = f"{report.age.on} {told}" if report.age.on else f"not known {told}"
    return [
        *tables,
        f"Customers: {customers}; counted now: {eligible}.",
        f"Data of: {age}.",
        *(f"Note: {shown(note)}." for note in report.notes),
        "" if report.problems else "PASSED",
    ]


def preview_words(quality: FeatureQuality) -> list[object]:
    """One feature's histogram, its agreed bounds and the share beyond them."""
    feature, summary = quality.feature, quality.summary
    scale = ", bins on a logarithmic scale" if feature.transform == "log1p" else ""
    column = "" if quality.column == feature.name else f", column {shown(quality.column)}"
    title = f"{feature_title(feature)}{column}{scale}"
    if summary is None:
        return [title, f"  {quality.problem.code if quality.problem else 'not read'}\n"]
    rows = histogram_rows(quality.feature, summary)
    most = max(*(count for _, count, _ in rows), 1)
    width = max(len(name) for name, _, _ in rows)
    lines = [
        f"  {shown(name):>{width}} │{bar(count / most):<{BAR_WIDTH}}"
        f" {percent_words(summary.share(count)):>7}"
        + (f"  {shown(words)}" if words and count else "")
        for name, count, words in rows
    ]
    if summary.labels:
        return [title, "\n".join([*lines, ""])]
    bound = f"  {'agreed bound':>{width}} ┼{'┈' * BAR_WIDTH}"
    return [title, "\n".join([lines[0], bound, *lines[1:-1], bound, lines[-1], ""])]


def feature_title(feature: Feature) -> str:
    """A feature's name with its unit, or with the subject of its levels."""
    return f"{feature.name}{': ' if feature.levels else ' in '}{shown(feature.unit)}"


def histogram_rows(feature: Feature, summary: Summary) -> list[tuple[str, int, str]]:
    """Rows of a histogram: bin or level, customers in it, and a note on values beyond the bounds.

    Customers without a value are in none.
    """
    if summary.labels:
        others = f"counts as {feature.other}"
        rows = [
            (label, count, others if label == NO_LEVEL else "")
            for label, count in zip(summary.labels, summary.counts, strict=True)
        ]
    else:
        edges = [number_words(edge) for edge in summary.edges]
        rows = [
            (f"below {edges[0]}", summary.below, f"clipped to {edges[0]}"),
            *(
                (f"{low} – {high}", count, "")
                for low, high, count in zip(edges, edges[1:], summary.counts, strict=False)
            ),
            (f"above {edges[-1]}", summary.above, f"clipped to {edges[-1]}"),
        ]
    return rows


def rows_words(names: Sequence[str], rows: FloatMatrix, *, width: int) -> list[Table]:
    """Some customers as they enter the sums: clipped and scaled, without ids."""
    return segment_tables(
        "Customers as they are counted: clipped, scaled, rounded; no ids",
        names,
        [str(number) for number in range(1, len(rows) + 1)],
        [[f"{value:+.2f}" for value in row] for row in rows],
        label="row",
        width=width,
    )


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A bar that is `share` of `width` long, to an eighth of a character.

    >>> bar(0.5, 3), bar(0.001, 3), bar(0.0, 3)
    ('█▌', '▏', '')
    """
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def number_words(value: float) -> str:
    """A number in few characters.

    >>> number_words(1234.5), number_words(0.125), number_words(1e300)
    ('1,234', '0.125', '1e+300')
    """
    if abs(value) >= 1e9 or 0 < abs(value) < 1e-3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def _agreed(quality: FeatureQuality) -> str:
    if quality.feature.levels:
        return shown(quality.feature.range_words)
    low, high = (number_words(float(b)) for b in (quality.feature.min, quality.feature.max))
    return f"{low} – {high}"


def _cells(summary: Summary | None) -> list[str]:
    if summary is None:
        return ["refused", *[""] * 7]
    if summary.labels:
        return [*[""] * 7, percent_words(summary.missing_share)]
    p5, _, median, _, p95 = (float(f"{value:.2g}") for value in summary.quantiles)
    numbers = (summary.lowest, p5, median, p95, summary.highest, summary.mean)
    shares = (summary.clipped_share, summary.missing_share)
    return [*map(number_words, numbers), *(percent_words(share) for share in shares)]
