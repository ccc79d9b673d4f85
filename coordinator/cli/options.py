"""Options that many commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        envvar="FEDSEG_COORDINATOR_DIR",
        help="The coordinator's folder.",
        show_default=True,
    ),
]
RunArgument = Annotated[
    str, typer.Argument(help="Run id, or its first digits; the newest run when left out.")
]
HERE = Path("fedseg-coordinator")
