"""Every benchmark runs, with tiny sizes, and its tables can be shown and parsed."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import NAMES, main, put_into
from benchmarks.measure import Spread, Table, interleaved, ratios

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 400
QUICKEST = "consent"
BY_THEMSELVES = ("clustering_under_privacy",)
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_runs_and_prints_what_can_be_parsed(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--quick", "--format", "json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    check_printed(json.loads(done.stdout), name)


@pytest.mark.slow
def test_a_quick_benchmark_prints_what_can_be_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([QUICKEST, "--quick", "--format", "json"]) == 0
    check_printed(json.loads(capsys.readouterr().out), QUICKEST)


def check_printed(found: dict[str, Any], name: str) -> None:
    assert found["machine"]["cores"] >= 1
    assert found["tables"]
    for table in found["tables"]:
        assert table["name"] == name
        assert table["baseline"]
        for row in table["rows"]:
            for value in row.values():
                figure = value["median"] if isinstance(value, dict) else value
                assert isinstance(figure, str) or figure > 0


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", [*NAMES, *BY_THEMSELVES])
def test_each_benchmark_is_imported_and_can_be_run_quickly(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    if name in NAMES:
        assert inspect.signature(module.run).parameters["quick"].kind is KEYWORD_ONLY
    else:
        assert callable(module.main)


def test_every_benchmark_has_a_file_named_after_what_it_measures() -> None:
    files = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert set(NAMES) <= files


def test_the_measurements_document_shows_a_table_of_every_benchmark() -> None:
    text = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    assert "make bench" in text
    for name in NAMES:
        assert f"`{name}`" in text


def test_what_is_compared_is_measured_in_turns() -> None:
    order: list[str] = []

    def measured(name: str, figure: float) -> float:
        order.append(name)
        return figure

    taken = interleaved({"a": lambda: measured("a", 3.0), "b": lambda: measured("b", 1.5)}, turns=2)
    assert order == ["a", "b"] * 3  # the first turn warms up
    assert ratios(taken["a"], taken["b"]) == Spread(median=2.0, low=2.0, high=2.0, count=2)


def test_a_ratio_is_taken_turn_by_turn_not_from_medians() -> None:
    assert ratios([1.0, 10.0, 3.0], [1.0, 5.0, 1.0]).median == 2.0


def test_a_table_is_shown_as_markdown_with_its_baseline_and_notes() -> None:
    table = Table(
        name="x",
        title="Some seconds",
        baseline="other seconds",
        columns=("what", "s"),
        rows=(("ours", Spread(median=0.5, low=0.25, high=1.0, count=3)), ("other", 1234)),
        notes=("on one machine",),
    )
    assert table.to_markdown().splitlines() == [
        "**Some seconds.** Baseline: other seconds.",
        "",
        "| what | s |",
        "|---|---|",
        "| ours | 0.5 (0.25–1) |",
        "| other | 1,234 |",
        "",
        "- on one machine",
    ]


def test_tables_are_put_between_their_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n", encoding="utf-8")
    table = Table(name="x", title="T", baseline="B", columns=("c",), rows=((1,),))
    put_into(document, "x", {"cores": 2}, [table])
    put_into(document, "x", {"cores": 2}, [table])
    expected = (
        f"a\n<!-- begin x -->\nMachine: cores 2.\n\n{table.to_markdown()}\n<!-- end x -->\nb\n"
    )
    assert document.read_text(encoding="utf-8") == expected
    with pytest.raises(ValueError, match="no place for y"):
        put_into(document, "y", {}, [table])
