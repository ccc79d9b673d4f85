"""Logs of bounded size, in which no line comes again and again."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from machine import logs
from machine.logs import Repetitions, _LogFile, alike


def line(text: str, at: float, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("here", logging.INFO, "", 0, text, None, None)
    record.created = at
    record.__dict__ |= extra
    return record


def written(*lines: logging.LogRecord) -> list[str]:
    repetitions = Repetitions()
    return [record.getMessage() for record in lines if repetitions.filter(record)]


def test_a_line_is_written_once_a_minute_with_the_number_that_was_left_out() -> None:
    flood = [line("away", at / 100) for at in range(6_001)]
    assert written(*flood, line("here", 61)) == [
        "away",
        "away (and 5999 times more since the last)",
        "here",
    ]


def test_lines_that_count_as_the_same_are_written_once_whatever_they_name() -> None:
    same = alike("10.0.0.1", 403)
    flood = [line(f"key {number}", number / 100, **same) for number in range(100)]
    other = line("key 7", 1.0, **alike("10.0.0.2", 403))
    assert written(*flood, other) == ["key 0", "key 7"]


def test_a_clock_that_was_set_back_keeps_no_line_out() -> None:
    assert written(line("away", 1_000), line("away", 10)) == ["away", "away"]


def test_however_many_different_lines_there_are_few_are_remembered() -> None:
    repetitions = Repetitions()
    for number in range(3_000):
        assert repetitions.filter(line(str(number), 0))
    assert len(repetitions._lines) == 1_024


def test_full_files_are_renamed_and_the_oldest_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FULL_BYTES", 1_000)
    handler = _LogFile(tmp_path / "a.log")
    for number in range(1_000):
        handler.handle(line(f"line {number}", 0))
    handler.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4_000
    assert (tmp_path / "a.log").read_text().endswith("line 999\n")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_who_did_not_rename_the_full_file_writes_into_the_new_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FULL_BYTES", 1_000)
    ours, theirs = (_LogFile(tmp_path / "a.log") for _ in range(2))
    theirs.handle(line("theirs", 0))
    for number in range(500):
        ours.handle(line(f"line {number}", 0))
    theirs.handle(line("theirs, later", 0))
    assert (tmp_path / "a.log").read_text().endswith("line 499\ntheirs, later\n")
    ours.close()
    theirs.close()
