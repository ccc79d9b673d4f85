"""Commands that check the customers' data against the agreement: `data …`."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from machine.console import Format, FormatOption, diagnostics, output, people
from partner_node.cli.asked_agreement import AgreementFile, asked_of
from partner_node.cli.options import HERE, Directory, Under
from partner_node.data_quality.report import DataReport, data_report, problem_values
from partner_node.data_quality.report_file import check_report_path, write_report
from partner_node.data_quality.words import preview_words, report_words, rows_words
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.scaling import FeatureScale, FloatMatrix

app = typer.Typer(
    help="How the customers' data look beside the agreement; nothing leaves.", no_args_is_help=True
)

MAX_ROWS = 50


@app.command("check")
def check(
    agreement: AgreementFile = None,
    max_age_days: Annotated[
        int | None, typer.Option(help="Refuse data that are older, in days.", min=0, max=36_525)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write a report, .html or .json; it stays here.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the report when it is there already.")
    ] = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Nulls, bounds, duplicates, age, forbidden columns: PASSED, or each with its way out."""
    home, terms = asked_of(directory, under, agreement)
    if out is not None:
        check_report_path(out, overwrite=overwrite)
    report = _looked_at(home, terms, max_age_days=max_age_days)
    if out is not None:
        write_report(report, out, overwrite=overwrite)
    output.result(
        report.to_dict() | {"file": None if out is None else str(out)},
        *report_words(report, width=people.width),
        "" if out is None else f"Wrote {out}.",
        refused=bool(report.problems),
    )
    _end(report)


@app.command("preview")
def preview(
    rows: Annotated[
        int,
        typer.Option(
            help="Also show so many customers who may be counted, clipped and scaled, without ids.",
            min=0,
            max=MAX_ROWS,
        ),
    ] = 0,
    agreement: AgreementFile = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Every feature's histogram, with the agreed bounds and the share that will be clipped."""
    home, terms = asked_of(directory, under, agreement)
    report = _looked_at(home, terms)
    names = [coordinate.name for coordinate in terms.coordinates]
    shown = _rows(home, terms, rows) if rows and not report.problems else np.empty((0, len(names)))
    values: dict[str, Any] = {
        **terms.named(version="agreement_version"),
        "features": [quality.to_dict() for quality in report.features],
        "rows": [dict(zip(names, row, strict=True)) for row in shown.tolist()],
        "problems": [problem_values(problem) for problem in report.problems],
    }
    output.result(
        values,
        *(part for quality in report.features for part in preview_words(quality)),
        *(rows_words(names, shown, width=people.width) if rows and not report.problems else []),
        refused=bool(report.problems),
    )
    _end(report)


def _looked_at(
    home: NodeHome, agreement: Agreement, *, max_age_days: int | None = None
) -> DataReport:
    with diagnostics.status("Reading the data …"):  # shown only in a terminal
        return data_report(home, agreement, now=datetime.now(UTC), max_age_days=max_age_days)


def _rows(home: NodeHome, agreement: Agreement, count: int) -> FloatMatrix:
    """The first eligible customers, on the scale of the sums, to two decimals."""
    customers = home.customers(agreement, home.gate(agreement, home.party(agreement)))
    scale = FeatureScale.of(agreement.coordinates)
    n = agreement.n_coordinates
    found = itertools.chain.from_iterable(customers.vectors())
    first = [vector[:n] for vector in itertools.islice(found, count)]
    grid = np.array(first).reshape(-1, n)
    return np.round(grid / (1 << scale.fraction_bits), 2)


def _end(report: DataReport) -> None:
    for problem in report.problems:
        diagnostics.print(problem.diagnostics(), style="red")
    if report.problems:
        raise typer.Exit(3)
