"""Output of commands: tables for people, one JSON envelope for programs.

Some of what is printed comes from other organisations, so nothing is interpreted as markup. An
error never prints a traceback: its last line may quote a value, which may be a customer's.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
import traceback
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import typer
from rich.console import Console

from machine import envelope
from machine.shown import Shown
from protocol.errors import FedsegError, UsageError


class _Lines(Console):
    """A console that folds lines of text in a terminal alone: elsewhere a line stays one.

    A service manager takes each line for a message, and programs look for words in them. Tables are
    drawn as wide as a terminal everywhere.
    """

    def print(self, *objects: Any, soft_wrap: bool | None = None, **how: Any) -> None:
        """As `Console.print`; `soft_wrap` says that nothing is folded, None leaves it to us."""
        if soft_wrap is None:
            soft_wrap = not self._folds() and all(isinstance(one, str) for one in objects)
        super().print(*objects, soft_wrap=soft_wrap, **how)

    def _folds(self) -> bool:
        return self.file.isatty()


people = _Lines(highlight=False, markup=False, emoji=False)
diagnostics = _Lines(stderr=True, highlight=False, markup=False, emoji=False)


class Format(StrEnum):
    """The format of a command's standard output."""

    TEXT = "text"
    JSON = "json"


class Verbatim(str):
    """Text that is printed without wrapping, so that it can be copied."""

    __slots__ = ()


class Output:
    """Printer of results and errors.

    Attributes:
        format: As ``--format`` of the running command says.
        logs_json: Whether each line on standard error is an object, as ``--log-format`` of a
            command that serves says.
    """

    format: Format = Format.TEXT
    logs_json: bool = False

    def result(self, data: dict[str, Any], *text: object, refused: bool = False) -> None:
        """Print a command's result: `data` as JSON, or `text` for people.

        Args:
            refused: Whether the result is that a check failed.
        """
        if self.format is Format.JSON:
            print(envelope.refusal(data) if refused else envelope.success(data))  # noqa: T201
        else:
            for part in text:
                if part != "":
                    people.print(part, soft_wrap=isinstance(part, Verbatim) or None)

    def show(self, shown: Shown) -> None:
        """Print a result with its warnings."""
        self.warn(shown.warnings)
        self.result(shown.values, *shown.parts, refused=shown.refused)

    def warn(self, warnings: Sequence[str]) -> None:
        """Print warnings on standard error; a command also includes them in its JSON."""
        for warning in warnings:
            self.tell(f"Warning: {warning}", style="yellow", level="WARNING")

    def failure(self, error: FedsegError) -> None:
        """Print an error: on standard error, and as the JSON envelope when asked."""
        if self.logs_json:
            self.tell(str(error), level="ERROR", code=error.code, remedy=error.remedy)
        else:
            self.tell(error.diagnostics(), style="red")
        if self.format is Format.JSON:
            print(envelope.failure(error))  # noqa: T201

    def tell(
        self, text: str, *, style: str | None = None, level: str = "INFO", **more: str
    ) -> None:
        """Print a line on standard error, as lines of the log are where a command serves.

        Args:
            more: Fields of the object beside those of each line.
        """
        if self.logs_json:
            from machine.logs import json_line  # imported where somebody serves

            print(json_line(text, more, level=level, logger=__name__), file=sys.stderr)  # noqa: T201
        else:
            diagnostics.print(text, style=style)


output = Output()


def _set_format(value: Format) -> Format:
    output.format = value
    return value


FormatOption = typer.Option(
    Format.TEXT, "--format", help="What to print: text or json.", callback=_set_format
)


def run(app: typer.Typer) -> None:
    """Run a command line and end the process: 0 done, 1 failed, 2 usage, 3 refused by a rule."""
    output.format = Format.JSON if _json_asked("--format", sys.argv[1:]) else Format.TEXT
    output.logs_json = _json_asked("--log-format", sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    try:
        status = app(standalone_mode=False)
    except FedsegError as error:
        output.failure(error)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(1)
    except click.ClickException as error:
        if error.format_message():  # empty when no command is named and the help was shown
            output.failure(UsageError(error.format_message(), remedy="see --help"))
        sys.exit(2)
    except KeyboardInterrupt:
        output.tell("stopped")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader is gone
        sys.exit(1)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        output.failure(FedsegError(what, code="E-FILE", remedy="check the path and its rights"))
        sys.exit(1)
    except Exception as error:  # outermost loop: the place alone, never the message
        output.failure(
            FedsegError(
                f"unexpected {type(error).__name__} at {_place_of(error)}",
                code="E-INTERNAL",
                remedy="this is a defect in fedseg; report this line",
            )
        )
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _json_asked(option: str, arguments: Sequence[str]) -> bool:
    """Whether JSON is asked for, also for errors that are raised before options are parsed."""
    pairs = itertools.pairwise([*arguments, ""])
    return any(a == f"{option}=json" or (a, b) == (option, "json") for a, b in pairs)


def _place_of(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
