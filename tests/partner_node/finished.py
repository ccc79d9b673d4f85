"""Folders with a node in them that are finished once a process, and copied for each test."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest

from partner_node import cli

T = TypeVar("T")


class Finished:
    """Gives out copies of what functions leave in a folder."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._made: dict[Callable[[Path], Any], tuple[Path, Any]] = {}

    def copy(self, make: Callable[[Path], T], target: Path) -> T:
        """Have in `target` what `make` would leave there, and return what it returned."""
        if make not in self._made:
            folder = self._factory.mktemp("finished")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                self._made[make] = folder, make(folder)
            gc.collect()  # closes the stores that commands left to the end of their process
        folder, made = self._made[make]
        shutil.copytree(folder, target, symlinks=True, dirs_exist_ok=True)
        _move(folder, target)
        return made


def command(*words: object) -> None:
    """Call the command line in this process, where it does what it is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fedseg-node", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0, words


def _move(old: Path, new: Path) -> None:
    """A node knows the paths of its data, and of the files that it has written."""
    for state in new.rglob("node.db"):
        with closing(sqlite3.connect(state)) as database, database:
            for column in ("path", "home"):
                database.execute(
                    f"UPDATE exports SET {column} = replace({column}, ?, ?)", (str(old), str(new))
                )
    for config in new.rglob("node.toml"):
        config.write_text(config.read_text().replace(str(old), str(new)))
    for path in filter(Path.is_file, new.rglob("*")):
        assert os.fsencode(old) not in path.read_bytes(), f"{path} names {old}"
