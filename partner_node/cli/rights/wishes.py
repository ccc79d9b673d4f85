"""What customers wish to last: `rights object`, `erase`, `restrict`, `take-back` and `correct`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.text import shown
from partner_node.cli.options import HERE, Directory, Subject
from partner_node.cli.rights.options import Overwrite, ReceiptFile, Received, check_files, day_of
from partner_node.cli.rights.settling import case_of, receipt_values, settled, write_receipt
from partner_node.register.requests import ASKED_BY, Wish
from protocol.errors import UsageError


def object_(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Have a customer not be counted from the next question on, and take it out of files."""
    _leave_out("objection", subject, received, receipt, directory, overwrite=overwrite)


def erase(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take a customer out of everything that this node wrote, and count it no more."""
    from partner_node.rights import wishes  # Arrow takes long to import

    check_files(receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_of(directory, subject)
    done = wishes.erase(case)
    given = settled(case, "erase", done.to_dict(), day, receipt, overwrite=overwrite)
    output.result(
        done.to_dict() | {"alike": list(done.left_out.alike)} | receipt_values(given),
        done.headline(subject),
        *done.words,
        given.words,
    )


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
        "restriction", subject, received, receipt, directory, overwrite=overwrite,
        until=", until the restriction is taken back",
    )  # fmt: skip


def take_back(
    subject: Subject,
    received: Received = None,
    receipt: ReceiptFile = None,
    overwrite: Overwrite = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Have who took an objection, opt-out, restriction or erasure back be counted again."""
    from partner_node.rights import wishes  # Arrow takes long to import

    check_files(receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_of(directory, subject)
    done, given = wishes.take_back(case, day)
    write_receipt(case, receipt, given, overwrite=overwrite)
    output.result(done.to_dict() | receipt_values(given), *done.words, given.words)


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
    """Have the wish of a mistyped id, such as an objection, be that of the customer meant."""
    from partner_node.rights import wishes  # Arrow takes long to import

    if mistyped == subject:
        raise UsageError(
            f"--subject and --mistyped both name {subject!r}", remedy="give the two ids"
        )
    check_files(receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_of(directory, subject)
    done, given = wishes.correct(case, mistyped, day)
    write_receipt(case, receipt, given, overwrite=overwrite)
    output.result(
        done.to_dict() | {"alike": list(done.left_out.alike)} | receipt_values(given),
        *done.words(subject, mistyped),
        given.words,
    )


def _leave_out(
    wish: Wish,
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
    from partner_node.rights import wishes  # Arrow takes long to import

    check_files(receipt, overwrite=overwrite)
    day = day_of(received)
    case = case_of(directory, subject)
    done = wishes.leave_out(case, wish)
    given = settled(case, ASKED_BY[wish], done.to_dict(), day, receipt, overwrite=overwrite)
    output.result(
        done.to_dict() | {"alike": list(done.alike)} | receipt_values(given),
        f"Customer {shown(subject)} is not counted from the next question on, nor in assignments "
        f"and exports{until}.",
        *done.words,
        given.words,
    )
