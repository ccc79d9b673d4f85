"""Every command either changes nothing, and stands in a table, or is in the log of people."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import Any, Final

import click
import pytest

from coordinator.cli import app as coordinator_app
from partner_node.cli import app as node_app
from tests.commands import commands_of

PROGRAMS: Final = {"fedseg-coordinator": coordinator_app, "fedseg-node": node_app}
#: What reads alone, shows, or writes what it shows into a file that the caller names.
READS: Final = {
    "fedseg-coordinator": {
        "agreement draft", "agreement lint", "agreement list", "agreement show", "agreement status",
        "agreement builds status", "certificate show", "key show", "key export", "partner list",
        "partner diligence list", "partner diligence show", "release list", "release show",
        "evidence record", "evidence arrangement", "evidence processor", "evidence registry",
        "evidence answers", "release export", "run plan", "run watch", "run list", "run show",
        "state check", "log show", "log checkpoint", "log verify", "log prove", "log check-proof",
        "log consistency", "log export", "user list", "user log", "compliance status",
        "compliance watch",
    },
    "fedseg-node": {
        "agreement show", "agreement proposals", "agreement builds list", "budget show",
        "budget forecast", "budget recompute", "check", "consent status", "consent explain",
        "consent unmatched", "data check", "data preview", "egress list", "egress show",
        "feedback list", "key show", "key export", "log show", "log checkpoint", "log verify",
        "evidence record", "evidence dpia", "evidence arrangement", "evidence processor",
        "evidence ccpa", "evidence registry", "evidence answers", "evidence verify",
        "evidence attacks",
        "evidence verifier",
        "log prove", "log check-proof", "log consistency", "log export", "log witness",
        "retention list", "rights list", "rights check-receipt",
        "notice render", "notice words", "notice list", "notice show", "notice verify",
        "notice centre",
        "segments list", "segments releases", "segments show", "segments compare",
        "segments trend", "segments picture", "segments exports", "state check", "status",
        "user list", "user log", "compliance status", "compliance watch", "staff list",
    },
}  # fmt: skip
#: What makes the folder that has the log, and what serves until it is stopped: each that is done
#: there, and by whom, is noted by itself.
MAKES_OR_SERVES: Final = {
    "fedseg-coordinator": {"init", "serve", "console"},
    "fedseg-node": {"init", "serve", "console"},
}
#: Acts under another name than that of the command.
NOTED_AS: Final = {
    "segments export": "export segments",
    "segments assign": "export segments",
    "segments refuse": "export refuse",
    "run schedule": "schedule pause",
}


def all_of(program: str) -> dict[str, Callable[..., Any]]:
    """The function that is called by the words of each command."""
    found = {" ".join(path): one for path, one in commands_of(PROGRAMS[program])}
    return {
        words: one.callback
        for words, one in found.items()
        if one.callback is not None and words and not isinstance(one, click.Group)
    }


def acts_of(function: Callable[..., Any], seen: set[str] | None = None) -> Iterator[str]:
    """What a function notes, or a function of its module that it calls; ``*`` for a variable."""
    seen = set() if seen is None else seen
    while hasattr(function, "__wrapped__"):  # a decorator that notes has the act in its closure
        names, cells = function.__code__.co_freevars, function.__closure__ or ()
        held = {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
        if isinstance(held.get("act"), str):
            yield held["act"]
        function = function.__wrapped__
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    module = sys.modules[function.__module__]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", None) or getattr(call.func, "id", "")
        if name in ("noted", "_noted"):
            yield _text_of(call.args[1])
        other = getattr(module, name, None)
        if inspect.isfunction(other) and other.__module__ == module.__name__ and name not in seen:
            seen.add(name)
            yield from acts_of(other, seen)


def _text_of(word: ast.expr) -> str:
    parts = word.values if isinstance(word, ast.JoinedStr) else [word]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)


def is_noted(words: str, function: Callable[..., Any]) -> bool:
    """Whether a command notes what it does, under its own words or those of `NOTED_AS`."""
    act = NOTED_AS.get(words, words)
    return any(fnmatch(act, one.partition(" --")[0]) for one in acts_of(function) if one != "*")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_that_changes_anything_is_in_the_log_of_people(program: str) -> None:
    commands = all_of(program)
    unnoted = READS[program] | MAKES_OR_SERVES[program]
    assert unnoted <= commands.keys(), "the tables name commands that there are"
    noted = {words for words, function in commands.items() if is_noted(words, function)}
    assert commands.keys() - unnoted == noted


def test_a_command_that_notes_nothing_is_found() -> None:
    def nothing() -> None:
        """Change something."""

    def something() -> None:
        noted(None, "state reset", "")

    def noted(*_: object) -> None:
        """Note it."""

    assert not is_noted("state reset", nothing)
    assert is_noted("state reset", something)
    assert not is_noted("state move", something)
