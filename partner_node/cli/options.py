"""Options that every command of the node accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Directory = Annotated[
    Path, typer.Option("--dir", envvar="FEDSEG_NODE_DIR", help="The node's folder.")
]
HERE = Path("fedseg-node")
