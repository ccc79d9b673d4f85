"""To whom root gives what it makes, without being root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: A file that was given away, and the user and group that have it then.
Given = tuple[Path, int, int]


@contextmanager
def noting_who_gets(*, root: bool) -> Iterator[list[Given]]:
    """Note what is given away in the block, as if by root or by another account; nothing is."""
    given: list[Given] = []

    def noted(file: int, user: int, group: int) -> None:
        given.append((Path(f"/proc/self/fd/{file}").readlink(), user, group))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 0 if root else 1_000)
        patch.setattr(os, "fchown", noted)
        yield given


def to_owner_of(folder: Path, *made: Path) -> list[Given]:
    """What `noting_who_gets` notes when these are given to whoever has a folder."""
    whose = folder.stat()
    return [(path, whose.st_uid, whose.st_gid) for path in made]
