"""Commands that messages and docstrings name are commands that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from coordinator.cli import app as coordinator_app
from partner_node.cli import app as node_app
from simulations.cli import app as simulations_app
from tests.commands import child_of

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    "fedseg-coordinator": coordinator_app,
    "fedseg-node": node_app,
    "fedseg-simulate": simulations_app,
}
#: A program, and the words behind it that may be names of commands.
NAMED = re.compile(rf"({'|'.join(PROGRAMS)})((?: [a-z][a-z-]*)+)")
#: Where a text goes on in the next line of the source.
FOLD = re.compile(r'"\s*\n\s*f?"')


def unknown_in(source: str) -> Iterator[str]:
    """What a source names as a command and is none; words behind a command are its arguments."""
    for program, words in NAMED.findall(FOLD.sub("", source)):
        command: click.Command = typer.main.get_command(PROGRAMS[program])
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            found = child_of(command, click.Context(command), word)
            if found is None:
                yield f"{program}{words}"
                break
            command = found


@pytest.mark.parametrize("package", ["coordinator", "machine", "partner_node", "protocol"])
def test_every_command_that_a_message_names_is_there(package: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {unknown}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for unknown in unknown_in(path.read_text())
    }
    assert not found


def test_a_command_that_is_not_there_is_found() -> None:
    assert list(unknown_in('"see `fedseg-coordinator key "\n    "list`"'))
    assert not list(unknown_in("`fedseg-coordinator key show`, `fedseg-node join INVITATION`"))
