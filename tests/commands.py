"""Every command of a program, however late it is imported."""

from __future__ import annotations

from collections.abc import Iterator

import click
import typer

from machine.commands import Later

Named = tuple[tuple[str, ...], click.Command]


def commands_of(app: typer.Typer) -> list[Named]:
    """Each command with the words that call it; the program itself first."""
    return list(_within(typer.main.get_command(app), ()))


def leaves(commands: list[Named]) -> list[tuple[str, ...]]:
    """The words of those commands that have no commands of their own."""
    return [path for path, command in commands if path and not isinstance(command, click.Group)]


def child_of(group: click.Group, context: click.Context, name: str) -> click.Command | None:
    """A command of a group, imported."""
    found = group.get_command(context, name)
    return found.loaded() if isinstance(found, Later) else found


def _within(command: click.Command, path: tuple[str, ...]) -> Iterator[Named]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = child_of(command, context, name)
            assert child is not None, (path, name)
            yield from _within(child, (*path, name))
