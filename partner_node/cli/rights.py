"""What customers ask for: `rights …`."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from machine.console import Format, FormatOption, Verbatim, output
from machine.text import shown
from partner_node.cli.options import HERE, Directory, EscapeOption, Subject
from partner_node.home import NodeHome
from partner_node.register.requests import (
    KINDS,
    MOST_EXTENDED,
    Kind,
    Request,
    RightsRegister,
    Wish,
)
from partner_node.segments.private_files import PrivateFiles, located, refuse_existing
from partner_node.segments.spreadsheets import escaped, refuse_formulas
from protocol.errors import FedsegError, UsageError

if TYPE_CHECKING:
    from partner_node.rights.case import Case
    from partner_node.rights.holdings import Cell, Holdings
    from partner_node.rights.receipt import Receipt

app = typer.Typer(
    help="Answer customers: access, objections, erasure and more; receipts and deadlines.",
    no_args_is_help=True,
)

Received = Annotated[
    str | None,
    typer.Option(help="The day when the request came, like 2026-01-31; today when left out."),
]
ReceiptFile = Annotated[Path | None, typer.Option(help="File for the signed receipt.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
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


class Delay(StrEnum):
    """Why an answer is put off (GDPR 12(3))."""

    COMPLEXITY = "complexity"
    NUMBER = "number-of-requests"


class Refusal(StrEnum):
    """Why a request is refused (GDPR 12(2), 12(5), and the exceptions of each right)."""

    UNFOUNDED = "manifestly-unfounded"
    EXCESSIVE = "excessive"
    NOT_IDENTIFIED = "customer-not-identified"
    EXCEPTION = "exception-by-law"


_KIND_HELP: Final = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}."


@app.command("access")
def access(
    subject: Subject,
    out: Out = None,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Annotated[
        _Form,
        typer.Option(help="What to print: text, html or json.", callback=_set_form),
    ] = _Form.TEXT,
) -> None:
    """Everything that this node holds of a customer, in words that the customer may read."""
    if out is not None and out.suffix not in _WRITTEN_AS:
        raise UsageError(
            f"{out} ends in none of {', '.join(_WRITTEN_AS)}", remedy="name one of these"
        )
    _check_files(out, receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    found = case.access()
    told = found.to_dict()
    answer = _answer(found, format if out is None else _WRITTEN_AS[out.suffix])
    _write(case, out, answer, overwrite=overwrite)
    output.warn([f"not in this answer: {what}" for what in found.not_stated])
    given = _settled(
        case, "access", {"given": sorted(told)}, day, receipt, overwrite=overwrite, answer=out
    )
    lines = [] if out else [Verbatim(answer.decode("utf-8").rstrip())]
    output.result(told | _receipt_values(given), *lines, _written(out), given.words)


@app.command("explain")
def explain(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Why a customer is in its segment, and what would change that."""
    _check_files(receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    found = case.explanation()
    effects = {"segment": found.segment}
    given = _settled(case, "explain", effects, day, receipt, overwrite=overwrite)
    output.result(found.to_dict() | _receipt_values(given), *found.words, given.words)


@app.command("object")
def object_(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Have a customer not be counted from the next question on, and take it out of files."""
    _leave_out("objection", "object", subject, received, receipt, directory, overwrite=overwrite)


@app.command("erase")
def erase(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take a customer out of everything that this node wrote, and count it no more."""
    _check_files(receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    done = case.erase()
    given = _settled(case, "erase", done.to_dict(), day, receipt, overwrite=overwrite)
    output.result(
        done.to_dict() | {"alike": list(done.left_out.alike)} | _receipt_values(given),
        done.headline(subject),
        *done.words,
        given.words,
    )


@app.command("restrict")
def restrict(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Have a customer's data be used for nothing until `take-back`: not counted, in no file."""
    _leave_out(
        "restriction", "restrict", subject, received, receipt, directory, overwrite=overwrite,
        until=", until the restriction is taken back",
    )  # fmt: skip


@app.command("rectify")
def rectify(
    subject: Subject,
    feature: Annotated[
        list[str], typer.Option(help="An agreed feature whose value was wrong; may be repeated.")
    ],
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put on record that a customer's values were corrected in your own data, with a receipt."""
    _check_files(receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    given = case.rectify(feature, day)
    _write_receipt(case, receipt, given, overwrite=overwrite)
    output.result(
        {"rectified": given.effects["rectified"]} | _receipt_values(given),
        f"On record: {', '.join(given.effects['rectified'])} of customer {shown(subject)} was "
        "corrected in your own data; the next question reads it there.",
        given.words,
    )


@app.command("extend")
def extend(
    kind: Annotated[str, typer.Argument(help=_KIND_HELP)],
    subject: Subject,
    reason: Annotated[
        Delay, typer.Option(help="Why: the complexity of the request, or the number of requests.")
    ],
    months: Annotated[
        int, typer.Option(min=1, max=MOST_EXTENDED, help="By how many months.")
    ] = MOST_EXTENDED,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put the answer to an open request off, once, and tell the customer why by the receipt."""
    wanted = _kind(kind)
    _check_files(receipt, overwrite=overwrite)
    case = _case(directory, subject)
    given = case.extend(wanted, reason.value, months=months)
    _write_receipt(case, receipt, given, overwrite=overwrite)
    output.result({"due": given.due.isoformat()} | _receipt_values(given), given.words)


@app.command("refuse")
def refuse(
    kind: Annotated[str, typer.Argument(help=_KIND_HELP)],
    subject: Subject,
    reason: Annotated[Refusal, typer.Option(help="Why it is not answered.")],
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Refuse a request, with a receipt that says why and where the customer may complain."""
    wanted = _kind(kind)
    _check_files(receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    given = case.refuse(wanted, reason.value, day)
    _write_receipt(case, receipt, given, overwrite=overwrite)
    output.result(
        {"refused": reason.value} | _receipt_values(given),
        given.words,
        f"The customer may complain to {given.effects['may_complain_to']}, and go to court.",
    )


@app.command("take-back")
def take_back(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Have a customer who took an objection, opt-out or erasure back be counted again."""
    _check_files(receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    done, given = case.take_back(day)
    _write_receipt(case, receipt, given, overwrite=overwrite)
    output.result(done.to_dict() | _receipt_values(given), *done.words, given.words)


@app.command("correct")
def correct(
    subject: Subject,
    mistyped: Annotated[
        str, typer.Option(help="The id that was written down instead, which has the wish now.")
    ],
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Have the objection or erasure of a mistyped id be that of the customer who is meant."""
    if mistyped == subject:
        raise UsageError(
            f"--subject and --mistyped both name {subject!r}", remedy="give the two ids"
        )
    _check_files(receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    done, given = case.correct(mistyped, day)
    _write_receipt(case, receipt, given, overwrite=overwrite)
    output.result(
        done.to_dict() | {"alike": list(done.left_out.alike)} | _receipt_values(given),
        *done.words(subject, mistyped),
        given.words,
    )


@app.command("export")
def export(
    subject: Subject,
    out: Annotated[Path, typer.Option(help="File to write, .json or .csv; mode 0600.")],
    received: Received = None,
    receipt: ReceiptFile = None,
    escape: EscapeOption = False,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """A customer's own data in a form that machines read, to take elsewhere."""
    if out.suffix not in (".json", ".csv"):
        raise UsageError(f"{out} ends in neither .json nor .csv", remedy="name one of these")
    _check_files(out, receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    found = case.access()
    data = _json(found.portable()) if out.suffix == ".json" else _csv(found, escape=escape)
    _write(case, out, data, overwrite=overwrite)
    given = _settled(
        case, "export", {"file": out.name}, day, receipt, overwrite=overwrite, answer=out
    )
    output.result({"file": str(out)} | _receipt_values(given), _written(out), given.words)


@app.command("receive")
def receive(
    kind: Annotated[str, typer.Argument(help=_KIND_HELP)],
    subject: Subject,
    received: Received = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put a request into the register that is answered later; its deadline starts."""
    wanted = _kind(kind)
    given = _day(received)
    case = _case(directory, subject)
    day = given or case.now.date()
    with case.store.transaction():
        number = case.register.receive(wanted, case.pseudonym, day)
    (request,) = [r for r in case.register.requests() if r.number == number]
    output.result(
        request.to_dict(case.now.date()),
        f"Request {number} is in the register; it is due by {request.due}.",
    )


@app.command("list")
def list_requests(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The register: every request by its pseudonym, its deadline, and what is overdue."""
    home = NodeHome.load(directory)
    register = RightsRegister(home.store(home.keystore()))
    today = datetime.now(UTC).date()
    requests = register.requests()
    late = [request for request in requests if request.is_overdue(today)]
    table = Table(title="Requests of customers")
    for column in ("no.", "kind", "customer", "received", "due", "answered"):
        table.add_column(column, no_wrap=True)
    for request in requests:
        table.add_row(
            str(request.number),
            request.kind,
            request.pseudonym[:12],
            request.received.isoformat(),
            request.due.isoformat(),
            _answered_words(request, today),
        )
    output.result(
        {
            "requests": [request.to_dict(today) for request in requests],
            "overdue": [request.number for request in late],
        },
        table if requests else "No customer has asked for anything yet.",
        *(
            f"OVERDUE: request {request.number} ({request.kind}) was due by {request.due} and is "
            "not answered."
            for request in late
        ),
    )


def _answered_words(request: Request, today: date) -> str:
    if request.is_open:
        waiting = "open" if request.extended_on is None else "extended"
        return "OVERDUE" if request.is_overdue(today) else waiting
    refused = ", refused" if "refused" in request.receipt["effects"] else ""
    return request.done_at[:10] + refused + (", late" if request.was_late else "")


def _kind(text: str) -> Kind:
    kind: Kind | None = next((known for known in KINDS if known == text), None)
    if kind is None:
        raise UsageError(f"{text!r} is no request", remedy=f"known: {', '.join(KINDS)}")
    return kind


def _case(directory: Path, subject: str) -> Case:
    from partner_node.rights.case import Case  # Arrow takes long to import

    return Case(NodeHome.load(directory), subject, now=datetime.now(UTC))


def _leave_out(
    wish: Wish,
    kind: Kind,
    subject: str,
    received: str | None,
    receipt: Path | None,
    directory: Path,
    *,
    overwrite: bool,
    until: str = "",
) -> None:
    """Have a customer not be counted by its wish, settle that as a request, and say so.

    Args:
        until: Until when, in words.
    """
    _check_files(receipt, overwrite=overwrite)
    day = _day(received)
    case = _case(directory, subject)
    done = case.leave_out(wish)
    given = _settled(case, kind, done.to_dict(), day, receipt, overwrite=overwrite)
    output.result(
        done.to_dict() | {"alike": list(done.alike)} | _receipt_values(given),
        f"Customer {shown(subject)} is not counted from the next question on, nor in assignments "
        f"and exports{until}.",
        *done.words,
        given.words,
    )


def _settled(
    case: Case,
    kind: Kind,
    effects: dict[str, Any],
    received: date | None,
    receipt: Path | None,
    *,
    overwrite: bool,
    answer: Path | None = None,
) -> Receipt:
    """Put what was done into the register, and write the signed receipt where it is wanted.

    Args:
        answer: The file with the answer, which is removed where it cannot be put on record.
    """
    try:
        given = case.close_request(kind, effects, received=received)
    except FedsegError:
        if answer is not None:
            answer.unlink(missing_ok=True)
        raise
    _write_receipt(case, receipt, given, overwrite=overwrite)
    return given


def _write_receipt(case: Case, path: Path | None, given: Receipt, *, overwrite: bool) -> None:
    signed = given.signed_by(case.keystore.identity)
    _write(case, path, signed.to_bytes(), overwrite=overwrite)


def _day(text: str | None) -> date | None:
    """The day that was given, which is not to come; raises UsageError."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day > datetime.now(UTC).date():
        raise UsageError(
            f"--received {text!r} is no day that has come", remedy="write it like 2026-01-31"
        )
    return day


def _check_files(*paths: Path | None, overwrite: bool) -> None:
    """Refuse files that are there, before anything is done; raises UsageError."""
    named = [path for path in paths if path is not None]
    if len({located(path) for path in named}) < len(named):
        raise UsageError(
            f"--out and --receipt both name {named[0]}", remedy="give each a file of its own"
        )
    for path in named:
        refuse_existing(path, overwrite=overwrite)


def _write(case: Case, path: Path | None, data: bytes, *, overwrite: bool) -> None:
    if path is not None:
        with PrivateFiles(case.store).held() as files, files.replacing(path) as draft:
            draft.path.write_bytes(data)
            refuse_existing(path, overwrite=overwrite)  # again: what appeared meanwhile is kept
        output.warn(files.left.words)


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


def _receipt_values(given: Receipt) -> dict[str, Any]:
    return {"receipt": json.loads(given.payload)}
