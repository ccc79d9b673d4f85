"""What a customer is told: `rights access`, `explain` and `export`."""

from __future__ import annotations

import csv
import io
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.console import Format, FormatOption, Verbatim, output
from partner_node.cli.options import HERE, Directory, EscapeOption, Subject, Under
from partner_node.cli.rights.options import Overwrite, ReceiptFile, Received, check_files, day_of
from partner_node.cli.rights.settling import case_under, receipt_values, settled, write
from partner_node.segments.spreadsheets import escaped, refuse_formulas
from protocol.errors import UsageError

if TYPE_CHECKING:
    from partner_node.rights.holdings import Cell, Holdings

Out = Annotated[
    Path | None,
    typer.Option(help="File to write instead of the terminal, .txt, .html or .json; mode 0600."),
]


class _Form(StrEnum):
    """How an answer is written."""

    TEXT = "text"
    HTML = "html"
    JSON = "json"


_WRITTEN_AS: Final = {".txt": _Form.TEXT, ".html": _Form.HTML, ".json": _Form.JSON}


def _set_form(form: _Form) -> _Form:
    output.format = Format.JSON if form is _Form.JSON else Format.TEXT
    return form


def access(
    subject: Subject,
    out: Out = None,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Annotated[
        _Form,
        typer.Option(help="What to print: text, html or json.", callback=_set_form),
    ] = _Form.TEXT,
) -> None:
    """Everything that this node holds of a customer, in words that the customer may read."""
    from partner_node.rights import answers  # Arrow takes long to import

    if out is not None and out.suffix not in _WRITTEN_AS:
        raise UsageError(
            f"{out} ends in none of {', '.join(_WRITTEN_AS)}", remedy="name one of these"
        )
    check_files(out, receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_under(directory, under, subject)
    found = answers.holdings_of(case)
    told = found.to_dict()
    answer = _answer(found, format if out is None else _WRITTEN_AS[out.suffix])
    write(case, out, answer, overwrite=overwrite)
    output.warn([f"not in this answer: {what}" for what in found.not_stated])
    given = settled(
        case, "access", {"given": sorted(told)}, day, receipt, overwrite=overwrite, answer=out
    )
    lines = [] if out else [Verbatim(answer.decode("utf-8").rstrip())]
    output.result(told | receipt_values(given), *lines, _written(out), given.words)


def explain(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Why a customer is in its segment, and what would change that."""
    from partner_node.rights import answers  # Arrow takes long to import

    check_files(receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_under(directory, under, subject)
    found = answers.explanation_of(case)
    effects = {"segment": found.segment}
    given = settled(case, "explain", effects, day, receipt, overwrite=overwrite)
    output.result(found.to_dict() | receipt_values(given), *found.words, given.words)


def export(
    subject: Subject,
    out: Annotated[Path, typer.Option(help="File to write, .json or .csv; mode 0600.")],
    received: Received = None,
    receipt: ReceiptFile = None,
    escape: EscapeOption = False,
    overwrite: Overwrite = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """A customer's own data in a form that machines read, to take elsewhere."""
    from partner_node.rights import answers  # Arrow takes long to import

    if out.suffix not in (".json", ".csv"):
        raise UsageError(f"{out} ends in neither .json nor .csv", remedy="name one of these")
    check_files(out, receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_under(directory, under, subject)
    found = answers.holdings_of(case)
    data = _json(found.portable()) if out.suffix == ".json" else _csv(found, escape=escape)
    write(case, out, data, overwrite=overwrite)
    given = settled(
        case, "export", {"file": out.name}, day, receipt, overwrite=overwrite, answer=out
    )
    output.result({"file": str(out)} | receipt_values(given), _written(out), given.words)


def _json(values: object) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _csv(found: Holdings, *, escape: bool) -> bytes:
    """A customer's own data as CSV; raises RuleError (E-CSV-FORMULA)."""
    rows: list[list[Cell]] = [list(row) for row in found.portable_rows]
    if escape:
        rows = [[escaped(cell) if isinstance(cell, str) else cell for cell in r] for r in rows]
    for what, *cells in rows:
        is_id = what == "customer"
        refuse_formulas(
            (cell for cell in (what, *cells) if isinstance(cell, str)),
            what="the customer's id" if is_id else f"the value, name or unit of {what!r}",
            named=is_id,
            remedy="write .json, in which nothing is changed; or give --escape-formulas, which "
            "writes an apostrophe before such texts",
        )
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["what", "value", "unit"])
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def _answer(found: Holdings, form: _Form) -> bytes:
    from partner_node.rights.letter import as_html, as_text

    if form is _Form.JSON:
        return _json(found.to_dict())
    return (as_html(found) if form is _Form.HTML else as_text(found)).encode("utf-8")


def _written(path: Path | None) -> str:
    return "" if path is None else f"Wrote {path}."
