from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
