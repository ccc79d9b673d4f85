"""Lines that people and service managers read: folded in a terminal alone, objects where asked."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from machine import logs
from machine.console import _Lines, output
from machine.tables import Table
from protocol.errors import ConfigError
from tests.control.commands import operator
from tests.partner_node.nodes import shell
from tests.shell import Shell

__all__ = ["shell"]

LONG = "a line of many words " * 20


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(stream: io.StringIO, what: object) -> list[str]:
    _Lines(file=stream, width=80, highlight=False).print(what)
    return stream.getvalue().splitlines()


def test_a_line_of_text_is_folded_in_a_terminal_alone() -> None:
    assert printed(io.StringIO(), LONG) == [LONG]
    assert len(printed(Terminal(), LONG)) > 1


def test_a_table_is_as_wide_as_a_terminal_everywhere() -> None:
    table = Table("what")
    table.add_row(LONG)
    for stream in (io.StringIO(), Terminal()):
        assert len(printed(stream, table)[0]) == 80


@pytest.fixture
def broken(shell: Shell, tmp_path: Path) -> Path:
    """The folder of a coordinator with a line too many in its configuration."""
    folder = tmp_path / ("a folder with a long name " * 4).strip().replace(" ", "-")
    operator(shell).json(
        "init", "--legal-name", "Trust", "--contact", "ops@trust.example", "--host", "127.0.0.1",
        "--port", "0", "--dir", folder,
    )  # fmt: skip
    with (folder / "coordinator.toml").open("a") as file:
        file.write("no toml at all\n")
    return folder


def test_an_error_is_one_line_where_no_terminal_reads_it(shell: Shell, broken: Path) -> None:
    calls = operator(shell)
    calls.folds = False
    done = calls("console", "--dir", broken)
    first, way_out = done.err.splitlines()
    assert first.startswith("E-CONFIG: ") and len(first) > 100 and "Way out" in way_out


@pytest.mark.parametrize("words", [(), ("--nonsense",)])
def test_where_lines_are_objects_the_last_error_is_one_too(
    shell: Shell, broken: Path, words: tuple[str, ...]
) -> None:
    done = operator(shell)("console", "--dir", broken, "--log-format", "json", *words)
    (line,) = map(json.loads, done.err.splitlines())
    code = "E-USAGE" if words else "E-CONFIG"
    assert (line["level"], line["code"]) == ("ERROR", code)
    assert line["message"].startswith(f"{code}: ") and line["time"] and line["remedy"]
    assert done.out == ""


def test_warnings_are_objects_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "logs_json", True)
    output.warn(["look"])
    output.failure(ConfigError("wrong"))
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["level"], first["message"]) == ("WARNING", "Warning: look")
    assert "remedy" not in second


def test_what_libraries_and_threads_say_is_an_object_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    library = logging.getLogger("a library of somebody")
    library.addHandler(logging.StreamHandler(stream))
    try:
        logs.to_console(logs.LogFormat.JSON)
        library.warning("hear")
        thread = threading.Thread(target=_ends)
        thread.start()
        thread.join(10)
    finally:
        logging.captureWarnings(capture=False)
    heard, ended = map(json.loads, stream.getvalue().splitlines())
    assert (heard["logger"], heard["message"]) == (library.name, "hear")
    assert "unexpected LookupError at test_console.py:" in ended["message"]
    assert "a value" not in stream.getvalue()


def _ends() -> Any:
    raise LookupError("a value")
