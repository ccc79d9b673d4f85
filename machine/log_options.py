"""Options of `serve` about its log, the same on both sides."""

from __future__ import annotations

from typing import Annotated

import typer

from machine.logs import LogFormat, LogLevel

FormatOfLog = Annotated[
    LogFormat,
    typer.Option("--log-format", help="What a line of the log is: text, or an object of JSON."),
]
LevelOfLog = Annotated[LogLevel, typer.Option("--log-level", help="The lowest that is logged.")]
