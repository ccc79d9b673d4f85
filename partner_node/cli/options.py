"""Options that every command of the node accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import UsageError

Directory = Annotated[
    Path, typer.Option("--dir", envvar="FEDSEG_NODE_DIR", help="The node's folder.")
]
HERE = Path("fedseg-node")
Under = Annotated[
    str | None,
    typer.Option("--under", help="The agreement's id, where several are in force here."),
]


def _an_id(subject: str) -> str:
    if not subject.strip():
        raise UsageError(
            f"the customer's id is {subject!r}, which nobody has",
            remedy="give it letter by letter as the data have it: --subject 4711",
        )
    return subject


Subject = Annotated[
    str, typer.Option(callback=_an_id, help="The customer's id, as the data have it.")
]

EscapeOption = Annotated[
    bool,
    typer.Option(
        "--escape-formulas",
        help="Write ids and other texts that a spreadsheet would work out with an apostrophe before"
        " them, in CSV.",
    ),
]
