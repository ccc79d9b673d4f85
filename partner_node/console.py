"""How the node's commands speak: tables for people, one JSON envelope for programs."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Any

import click
import typer
from rich.console import Console

from protocol import envelope
from protocol.errors import FedsegError, UsageError

people = Console(highlight=False)
diagnostics = Console(stderr=True, highlight=False)


class Format(StrEnum):
    """What a command prints on standard output."""

    TEXT = "text"
    JSON = "json"


class Output:
    """Where results go; `format` is set by ``--format`` of the command that runs."""

    format: Format = Format.TEXT

    def result(self, data: dict[str, Any], *text: object) -> None:
        """Print a command's result: `data` as JSON, or `text` for people."""
        if self.format is Format.JSON:
            print(envelope.success(data))  # noqa: T201
        else:
            for part in text:
                people.print(part)

    def failure(self, error: FedsegError) -> None:
        """Print an error: on standard error, and as the JSON envelope when asked."""
        diagnostics.print(error.diagnostics(), style="red", markup=False)
        if self.format is Format.JSON:
            print(envelope.failure(error))  # noqa: T201


output = Output()


def _set_format(value: Format) -> Format:
    output.format = value
    return value


FormatOption = typer.Option(
    Format.TEXT, "--format", help="What to print: text or json.", callback=_set_format
)


def run(app: typer.Typer) -> None:
    """Run a command line and end the process: 0 done, 1 failed, 2 usage, 3 refused by a rule."""
    output.format = Format.TEXT
    try:
        status = app(standalone_mode=False)
    except FedsegError as error:
        output.failure(error)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(1)
    except click.ClickException as error:
        output.failure(UsageError(error.format_message(), remedy="see --help"))
        sys.exit(2)
    except KeyboardInterrupt:
        diagnostics.print("stopped")
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
