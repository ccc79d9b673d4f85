from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from machine.locks import held

HOLDS = """
import sys
from pathlib import Path
from machine.locks import held
with held(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    sys.stdin.read()
"""


def test_one_process_holds_a_lock_at_a_time_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with held(path) as ours:
            assert not ours
        other.kill()
        other.wait(60)
        with held(path, wait_s=60) as ours:
            assert ours, "a killed process holds nothing"


def test_a_lock_is_free_again_after_its_block_and_not_within_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path) as first, held(path) as second:
        assert (first, second) == (True, False)
    with held(path) as again:
        assert again
    assert path.read_bytes() == b""
    assert path.stat().st_mode & 0o077 == 0


def test_a_lock_that_is_given_back_meanwhile_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        other.stdout.readline()
        other.communicate("", timeout=60)
        with held(path, wait_s=60) as ours:
            assert ours


def test_who_only_looks_is_in_nobodys_way_who_looks_too(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, shared=True) as one, held(path, shared=True) as other:
        assert one and other
        with held(path) as ours:
            assert not ours
    with held(path), held(path, shared=True) as free:
        assert not free


def test_a_lock_that_root_makes_belongs_to_whoever_has_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    for _ in range(2):
        with held(tmp_path / "lock") as ours:
            assert ours
    folder = tmp_path.stat()
    assert given == [(folder.st_uid, folder.st_gid)], "one that is there stays whose it is"


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "lock").symlink_to(elsewhere)
    for _ in range(2):
        with pytest.raises(OSError, match="symbolic links"), held(tmp_path / "lock"):
            raise AssertionError
        elsewhere.touch()
    assert elsewhere.stat().st_size == 0


@pytest.mark.parametrize("there", [True, False])
def test_where_the_file_system_is_only_read_a_lock_is_held_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    real = os.open

    def only_read(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and not (flags & os.O_EXCL and there):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *rest, **named)

    path = tmp_path / "lock"
    if there:
        path.touch()
    monkeypatch.setattr(os, "open", only_read)
    with held(path) as ours, held(path) as other:
        assert (ours, other) == (True, not there)
