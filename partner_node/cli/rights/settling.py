"""How a command of `rights` ends: on record, with a receipt, and with files that are private."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine.console import output
from partner_node.home import NodeHome
from partner_node.register.requests import Kind
from partner_node.segments.private_files import PrivateFiles, refuse_existing
from protocol.errors import FedsegError

if TYPE_CHECKING:
    from partner_node.rights.case import Case
    from partner_node.rights.receipt import Receipt


def case_of(directory: Path, subject: str) -> Case:
    """One customer's case at the node in a folder, for what holds under every agreement."""
    from partner_node.rights.case import Case  # Arrow takes long to import

    return Case(NodeHome.load(directory).main(), subject, now=datetime.now(UTC))


def case_under(directory: Path, agreement_id: str | None, subject: str) -> Case:
    """One customer's case under an agreement, which has to be named where several are in force."""
    from partner_node.rights.case import Case  # Arrow takes long to import

    return Case(NodeHome.load(directory).chosen(agreement_id), subject, now=datetime.now(UTC))


def settled(
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
    write_receipt(case, receipt, given, overwrite=overwrite)
    return given


def write_receipt(case: Case, path: Path | None, given: Receipt, *, overwrite: bool) -> None:
    """Write a receipt under the node's signature where it is wanted."""
    signed = given.signed_by(case.keystore.identity)
    write(case, path, signed.to_bytes(), overwrite=overwrite)


def write(case: Case, path: Path | None, data: bytes, *, overwrite: bool) -> None:
    """Write a private file whole, where one is wanted; raises UsageError (E-FILE)."""
    if path is not None:
        with PrivateFiles(case.store).held() as files, files.replacing(path) as draft:
            draft.path.write_bytes(data)
            refuse_existing(path, overwrite=overwrite)  # again: what appeared meanwhile is kept
        output.warn(files.left.words)


def receipt_values(given: Receipt) -> dict[str, Any]:
    """The receipt as a command's JSON has it."""
    return {"receipt": json.loads(given.payload)}
