"""Rows in temporary folders: gone at the end, and after a kill, never under a living process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from partner_node.sources.duckdb.sandbox import Sandbox
from partner_node.sources.duckdb.temporary_folders import PREFIX, YOUNG_S, temporary_folder

HOLDS = """
import sys, time
from pathlib import Path
from partner_node.sources.duckdb.temporary_folders import temporary_folder

with temporary_folder(Path(sys.argv[1])) as folder:
    (Path(folder) / "rows.tmp").write_text("SECRET")
    print(folder, flush=True)
    time.sleep(600)
"""


def holding(base: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a folder with rows, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(base)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def aged(folder: Path) -> None:
    """Have a folder be as old as one that nobody has just made."""
    before = time.time() - YOUNG_S - 1
    os.utime(folder, (before, before))


def test_a_folder_is_removed_at_its_end_also_when_something_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), temporary_folder(tmp_path) as folder:
        (Path(folder) / "rows.tmp").write_text("SECRET")
        assert Path(folder).parent == tmp_path
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(
    tmp_path: Path,
) -> None:
    process, folder = holding(tmp_path)
    try:
        aged(folder)
        with temporary_folder(tmp_path):
            assert (folder / "rows.tmp").exists(), "its process lives"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert (folder / "rows.tmp").exists(), "a kill leaves it"
        with Sandbox(temp_folder=tmp_path).temporary():
            assert not folder.exists()
    finally:
        process.kill()
        process.communicate()


def test_young_folders_links_and_other_names_stay(tmp_path: Path) -> None:
    base, elsewhere = tmp_path / "base", tmp_path / "elsewhere"
    young, other = base / f"{PREFIX}young", base / "rows-of-others"
    for folder in (young, other, elsewhere):
        folder.mkdir(parents=True)
        (folder / "rows").write_text("x")
    (base / f"{PREFIX}link").symlink_to(elsewhere)
    (base / f"{PREFIX}file").write_text("x")
    for folder in (other, elsewhere):
        aged(folder)
    with temporary_folder(base):
        pass
    for path in (young / "rows", other / "rows", elsewhere / "rows", base / f"{PREFIX}file"):
        assert path.exists()
    aged(young)
    with temporary_folder(base):
        pass
    assert not young.exists()
