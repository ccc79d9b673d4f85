"""The register of requests: `rights receive`, `list`, `extend`, `refuse` and `rectify`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.text import shown
from partner_node.cli.options import HERE, Directory, Subject
from partner_node.cli.rights.options import (
    KIND_HELP,
    Overwrite,
    ReceiptFile,
    Received,
    check_files,
    day_of,
    kind_of,
)
from partner_node.cli.rights.settling import case_of, receipt_values, write_receipt
from partner_node.home import NodeHome
from partner_node.register.requests import MOST_EXTENDED
from partner_node.shown.requests import requests_shown


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
    from partner_node.rights import decisions  # Arrow takes long to import

    check_files(receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_of(directory, subject)
    given = decisions.rectify(case, feature, day)
    write_receipt(case, receipt, given, overwrite=overwrite)
    output.result(
        {"rectified": given.effects["rectified"]} | receipt_values(given),
        f"On record: {', '.join(given.effects['rectified'])} of customer {shown(subject)} was "
        "corrected in your own data; the next question reads it there.",
        given.words,
    )


def extend(
    kind: Annotated[str, typer.Argument(help=KIND_HELP)],
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
    from partner_node.rights import decisions  # Arrow takes long to import

    wanted = kind_of(kind)
    check_files(receipt, overwrite=overwrite)
    case = case_of(directory, subject)
    given = decisions.extend(case, wanted, reason.value, months=months)
    write_receipt(case, receipt, given, overwrite=overwrite)
    output.result({"due": given.due.isoformat()} | receipt_values(given), given.words)


def refuse(
    kind: Annotated[str, typer.Argument(help=KIND_HELP)],
    subject: Subject,
    reason: Annotated[Refusal, typer.Option(help="Why it is not answered.")],
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Refuse a request, with a receipt that says why and where the customer may complain."""
    from partner_node.rights import decisions  # Arrow takes long to import

    wanted = kind_of(kind)
    check_files(receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_of(directory, subject)
    given = decisions.refuse(case, wanted, reason.value, day)
    write_receipt(case, receipt, given, overwrite=overwrite)
    output.result(
        {"refused": reason.value} | receipt_values(given),
        given.words,
        f"The customer may complain to {given.effects['may_complain_to']}, and go to court.",
    )


def receive(
    kind: Annotated[str, typer.Argument(help=KIND_HELP)],
    subject: Subject,
    received: Received = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put a request into the register that is answered later; its deadline starts."""
    wanted = kind_of(kind)
    given = day_of(received)
    case = case_of(directory, subject)
    day = given or case.now.date()
    with case.store.transaction():
        number = case.register.receive(wanted, case.pseudonym, day, now=case.now)
    (request,) = [r for r in case.register.requests() if r.number == number]
    output.result(
        request.to_dict(case.now.date()),
        f"Request {number} is in the register; it is due by {request.due}.",
    )


def list_requests(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The register: every request by its pseudonym, its deadline, and what is overdue."""
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    output.show(requests_shown(store, datetime.now(UTC).date()))
