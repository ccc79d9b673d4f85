"""A program's commands, imported only when called, so that `--help` and `--version` are fast."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any, ClassVar, Final

import click
import typer
from typer.core import TyperGroup

_DISTRIBUTION: Final = "fedseg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to import a command from.

    Attributes:
        module: The module, imported when the command is called.
        name: A `typer.Typer` in it, or the function that is the command.
        help: Its line in the program's help: the first line of the command's own help.
    """

    module: str
    name: str = "app"
    help: str


class Later(click.Command):
    """A command that is not imported yet."""

    def __init__(self, name: str, place: Place) -> None:
        super().__init__(name, help=place.help)
        self._place = place
        self._loaded: click.Command | None = None

    def loaded(self) -> click.Command:
        """The command itself, imported by the first call."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _load(self) -> click.Command:
        found = getattr(import_module(self._place.module), self._place.name)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            single.command(self.name)(found)
            return _flowing(typer.main.get_command(single))
        group = typer.main.get_group(found)
        group.name = self.name
        return _flowing(group)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context of the command itself; imports it."""
        return self.loaded().make_context(info_name, args, parent, **extra)


def _flowing(command: click.Command) -> click.Command:
    """A command whose help is folded where the terminal ends, and not where its source does."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _flowing(inner)
    return command


class _Program(TyperGroup):
    later: ClassVar[Mapping[str, Later]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of their table."""
        return [*self.later, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`; None when there is none."""
        return self.later.get(cmd_name) or super().get_command(ctx, cmd_name)


def program(name: str, *, help: str, commands: Mapping[str, Place]) -> typer.Typer:
    """A program with the option ``--version``.

    Args:
        name: What people type to call it.
        help: First lines of its help.
        commands: Where to import its commands from, by name; more can be registered on the result.
    """
    later = {word: Later(word, place) for word, place in commands.items()}
    app = typer.Typer(
        name=name,
        cls=type("Program", (_Program,), {"later": later}),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )

    def show(wanted: bool) -> None:
        if wanted:
            print(f"{name} {metadata.version(_DISTRIBUTION)}")  # noqa: T201
            raise typer.Exit

    asked = typer.Option(
        False, "--version", help="Print the version and exit.", callback=show, is_eager=True
    )

    @app.callback(help=help)
    def options(version: bool = asked) -> None:
        """Accept the program's own options."""

    return app
