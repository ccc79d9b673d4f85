"""How a command hands a document over: printed in one of several forms, or written into a file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from machine.console import Format, Verbatim, output
from machine.files import read_regular, write_file, write_new_file
from protocol.errors import UsageError


class Written(StrEnum):
    """In which form a document is printed or written."""

    TEXT = "text"
    JSON = "json"
    MD = "md"
    HTML = "html"
    JSONLD = "jsonld"
    YAML = "yaml"


def _set(written: Written) -> Written:
    output.format = Format.JSON if written is Written.JSON else Format.TEXT
    return written


WrittenOption: Final = typer.Option(
    Written.TEXT, "--format", help="What to print: text, json, md, html or jsonld.", callback=_set
)
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", help="File to write instead of the terminal: .md, .html, .jsonld, .json."
    ),
]
_MOST_BYTES: Final = 1 << 20
_BY_SUFFIX: Final = {
    f".{one}": one for one in (Written.MD, Written.HTML, Written.JSONLD, Written.JSON, Written.YAML)
}


def form_of(out: Path) -> Written:
    """In which form a file is written, by the end of its name; raises UsageError."""
    found = _BY_SUFFIX.get(out.suffix)
    if found is None:
        raise UsageError(
            f"{out} ends in none of {', '.join(_BY_SUFFIX)}", remedy="name one of these"
        )
    return found


def deliver(
    values: dict[str, Any],
    render: Callable[[Written], str],
    *,
    lines: Callable[[], Sequence[str]],
    words: str,
    written: Written,
    out: Path | None,
    is_public: bool,
) -> None:
    """Print a document, or write it and say so.

    Args:
        values: It as JSON values.
        render: It in a form other than text.
        lines: It for a terminal.
        words: How complete it is, said beside a file that is written.
        out: The file; its name says the form, and `written` what is printed about it.
        is_public: Anybody may read it; else a file of it is closed to other accounts.

    Raises:
        UsageError: The file's name says no form, or it cannot be written.
    """
    if out is not None:
        write_file(out, render(form_of(out)), mode=0o666 if is_public else 0o600)
        output.result(values | {"file": str(out)}, f"Wrote {out}.", words)
    elif written is Written.TEXT or written is Written.JSON:
        output.result(values, *(lines() if written is Written.TEXT else ()))
    else:
        output.result(values, Verbatim(render(written).rstrip()))


def write_new(file: Path, text: str) -> None:
    """Write a text that people go on with, mode 0600; raises UsageError where there is a file."""
    if os.path.lexists(file):
        raise UsageError(f"{file} is there already", remedy="name another file")
    write_new_file(file, text, mode=0o600)


def read_toml(file: Path, *, code: str) -> dict[str, Any]:
    """A small file in TOML that somebody named.

    Raises:
        UsageError: It cannot be read, has more than a mebibyte, or is not TOML (`code`).
    """
    try:
        return tomllib.loads(read_regular(file, _MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"{file}: {error.strerror}", remedy="correct the path or the file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{file} is not TOML: {error}", code=code, remedy="correct that place"
        ) from error
