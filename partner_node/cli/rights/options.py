"""Options that several commands of `rights` take, and what is checked of them at once."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from partner_node.register.requests import KINDS, Kind
from partner_node.segments.private_files import located, refuse_existing
from protocol.errors import UsageError

Received = Annotated[
    str | None,
    typer.Option(help="The day when the request came, like 2026-01-31; today when left out."),
]
ReceiptFile = Annotated[Path | None, typer.Option(help="File for the signed receipt.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
KIND_HELP: Final = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}."


def kind_of(text: str) -> Kind:
    """The kind of request of that name; raises UsageError."""
    kind: Kind | None = next((known for known in KINDS if known == text), None)
    if kind is None:
        raise UsageError(f"{text!r} is no request", remedy=f"known: {', '.join(KINDS)}")
    return kind


def day_of(text: str | None) -> date | None:
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


def check_files(*paths: Path | None, overwrite: bool) -> None:
    """Refuse files that are there, before anything is done; raises UsageError."""
    named = [path for path in paths if path is not None]
    if len({located(path) for path in named}) < len(named):
        raise UsageError(
            f"--out and --receipt both name {named[0]}", remedy="give each a file of its own"
        )
    for path in named:
        refuse_existing(path, overwrite=overwrite)
