"""The agreement that a command is about: the one in force, or a file before anybody signs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from partner_node.agreement_files import read_agreement
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.signed_agreement import SignedAgreement

AgreementFile = Annotated[
    Path | None,
    typer.Option(
        "--agreement",
        help="Hold the data against this agreement, signed or not, and not the installed one.",
    ),
]


def asked_of(directory: Path, under: str | None, file: Path | None) -> tuple[NodeHome, Agreement]:
    """The place of an agreement, and the agreement: that of a file, or the one in force.

    Raises:
        FedsegError: The folder or the agreement cannot be read; as `NodeHome.chosen`.
    """
    place, signed, _ = asked_signed(directory, under, file)
    return place, signed.agreement


def asked_signed(
    directory: Path, under: str | None, file: Path | None
) -> tuple[NodeHome, SignedAgreement, Path]:
    """As `asked_of`, with the signatures that there are, and the file."""
    home = NodeHome.load(directory)
    if file is not None:
        remedy = "correct --agreement, or ask the operator for the file"
        signed = home.with_keys(read_agreement(file, remedy=remedy))
        return home.under(signed.agreement.id), signed, file
    place = home.chosen(under)
    remedy = f"name one, signed or not: --agreement FILE; {place.awaited}"
    installed = place.config.node.agreement
    return place, place.with_keys(read_agreement(installed, remedy=remedy)), installed
