"""What people type and see, kept as it goes on, so that it can be told as a page."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.end_to_end.command_line import command, program
from tests.end_to_end.deployment import Serving, cheap_key_stores

#: Lines of a command's output that the page shows.
MOST_LINES: Final = 16
#: What differs from one telling to the next, and by what it is known.
_DIFFERS: Final = (
    (re.compile(r"fedseg-1-\S+"), "INVITATION"),
    (re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b"), "CODE"),
    (re.compile(r"\b[0-9a-f]{12,}\b…?"), "HASH"),
)


def plain(line: str) -> str:
    """A command without what differs each time.

    >>> plain("fedseg-coordinator partner admit --code 2VMB-K3VW")
    'fedseg-coordinator partner admit --code CODE'
    """
    for pattern, word in _DIFFERS:
        line = pattern.sub(word, line)
    return line


@dataclass
class Story:
    """A folder in which people work, and what they did so far.

    Attributes:
        folder: Where all of them work; commands name paths within it.
        shown: What is written in place of a text that is of the tests alone.
        counted: How many commands each role has given.
        commands: Each of them, as it is typed.
        page: The story so far, as Markdown: all commands, and what each kind of them printed when
            it was given first, up to `MOST_LINES`.
        pictures: What each picture of the page shows, by its path beside the page.
    """

    folder: Path
    shown: Mapping[str, str] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    commands: list[str] = field(default_factory=list)
    page: list[str] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    _seen: set[tuple[str, ...]] = field(default_factory=set)

    def tell(self, words: str) -> None:
        """Say something between commands."""
        self.page.append(words.strip())

    def show(self, path: str, words: str) -> None:
        """Have a picture on the page.

        Args:
            path: Where it lies, beside the page.
            words: What is on it, for whoever does not see it.
        """
        self.pictures[path] = words
        self.page.append(f"![{words}]({path})")

    def give(self, role: str, *words: object) -> str:
        """Have somebody give a command, which succeeds; what it prints.

        Args:
            role: Who gives it: ``operator``, or a partner.
        """
        side = "coordinator" if role == "operator" else "node"
        with cheap_key_stores():
            done = command(side, *words)
        if done.returncode != 0:
            raise AssertionError(f"{role}: {words}: {done.stderr}")
        self._keep(role, side, words, done.stdout)
        return done.stdout

    def serve(self, role: str, serving: Serving) -> None:
        """Have somebody start a process that serves."""
        serving.start()
        side = "coordinator" if role == "operator" else "node"
        self._keep(role, side, ("serve", "--dir", Path(serving.command[-1]).name), "")

    def _keep(self, role: str, side: str, words: tuple[object, ...], out: str) -> None:
        line = self._as_shown(shlex.join([Path(program(side)).name, *map(str, words)]))
        self.counted[role] += 1
        self.commands.append(line)
        if self.page and self.page[-1].startswith("```sh\n"):
            self.page[-1] = self.page[-1].removesuffix("```") + f"{line}\n```"
        else:
            self.page.append(f"```sh\n{line}\n```")
        kind = (side, *(plain(str(word)) for word in words[:2]))
        if out and kind not in self._seen:
            self._seen.add(kind)
            lines = self._as_shown(out.rstrip()).splitlines()
            more = ["…"] if len(lines) > MOST_LINES else []
            self.page.append("\n".join(["```", *lines[:MOST_LINES], *more, "```"]))

    def _as_shown(self, text: str) -> str:
        for own, instead in self.shown.items():
            text = text.replace(own, instead)
        return "\n".join(line.rstrip() for line in text.splitlines())

    def to_markdown(self) -> str:
        """The page."""
        return "\n\n".join(self.page) + "\n"


def pictures_of(page: str) -> dict[str, str]:
    """The pictures that a page of a story has: what each shows, by its path."""
    return {path: words for words, path in re.findall(r"^!\[(.*)\]\((.*)\)$", page, re.MULTILINE)}


def commands_of(page: str) -> list[str]:
    """The commands that a page of a story has, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]
