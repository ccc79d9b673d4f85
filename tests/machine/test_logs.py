"""Logs of bounded size, in which no line comes again and again."""

from __future__ import annotations

import io
import json
import logging
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from machine import logs
from machine.logs import LogFormat, LogLevel, Repetitions, _Json, _LogFile, about, alike


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


# --- lines of JSON --------------------------------------------------------------------------------


def json_line(text: str, *args: object, **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("a.b", logging.WARNING, "", 0, text, args, extra.pop("exc", None))
    record.created = 1_780_000_000.25
    record.__dict__ |= extra
    written = _Json().format(record)
    assert "\n" not in written
    found: dict[str, Any] = json.loads(written)
    return found


def test_a_line_of_json_says_what_a_line_of_text_says_and_no_more() -> None:
    assert json_line("link: %s\nE-LINK", "lost", secret="c-4711") == {
        "time": "2026-05-28T20:26:40.250+00:00",
        "level": "WARNING",
        "logger": "a.b",
        "message": "link: lost\nE-LINK",
    }


def test_a_line_of_json_says_which_run_agreement_and_partner_it_is_about() -> None:
    with about(agreement="ours", partner="north"):
        with about(run="0a" * 16):
            inside = json_line("x")
        outside = json_line("x")
    assert {k: inside[k] for k in ("run", "agreement", "partner")} == {
        "run": "0a" * 16, "agreement": "ours", "partner": "north",
    }  # fmt: skip
    assert (outside["agreement"], "run" in outside) == ("ours", False)
    assert "agreement" not in json_line("x")
    with about(partner="Anna Müller"):
        assert json_line("x")["partner"] == "other", "an id, never a free text"


def test_an_exception_stays_in_its_line() -> None:
    try:
        raise LookupError("gone")
    except LookupError:
        found = json_line("failed", exc=sys.exc_info())
    assert found["exception"].endswith("LookupError: gone")


@pytest.mark.parametrize(("level", "written"), [("info", ["b", "c"]), ("error", ["c"])])
def test_the_console_has_lines_of_the_wanted_form_from_a_level_on(
    level: str, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    monkeypatch.setattr(logging.getLogger("httpx"), "level", logging.NOTSET)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.to_console(LogFormat.JSON, LogLevel(level))
    here = logging.getLogger("here")
    monkeypatch.setattr(here, "_cache", {})
    here.info("b")
    here.error("c")
    logging.getLogger("httpx").info("a request")
    logging.getLogger().setLevel(logging.WARNING)
    assert [json.loads(one)["message"] for one in stream.getvalue().splitlines()] == written
