"""Tables of commands: each is one of `machine.tables`, and nothing in it is cut."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest

from machine.console import _Lines
from machine.tables import Table, folding_table

ROOT = Path(__file__).parents[2]
PACKAGES = ("coordinator", "machine", "partner_node", "protocol", "simulations", "benchmarks")


def lines_of(table: Table, width: int = 80) -> list[str]:
    stream = io.StringIO()
    _Lines(file=stream, width=width, highlight=False).print(table)
    return stream.getvalue().splitlines()


def test_nothing_else_draws_tables() -> None:
    found = set()
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [one.name for one in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{one.name}" for one in node.names]
                if any(f"{name}.".startswith("rich.table.") for name in names):
                    found.add(str(file.relative_to(ROOT)))
    assert found == {"machine/tables.py"}


@pytest.mark.parametrize("headers", [("partner", "what it said of itself"), ("a", "certificate")])
def test_long_cells_fold_and_headers_stay_whole_words(headers: tuple[str, ...]) -> None:
    table = folding_table(*headers, title="")
    table.add_row("x" * 300, "y" * 300)
    lines = lines_of(table)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert (text.count("x"), text.count("y")) == (300, 300)
    assert all(any(word in line for line in lines) for head in headers for word in head.split())


def test_a_column_that_is_not_wrapped_is_whole_however_much_stands_beside_it() -> None:
    table = Table("partner", "stands")
    table.add_column("short code", no_wrap=True)
    for header in ("seen last", "version"):
        table.add_column(header)
    table.add_row("p" * 60, "s" * 60, "MHSD-H2K", "z" * 60, "v" * 60)
    lines = lines_of(table)
    assert max(map(len, lines)) <= 80
    for whole in ("short code", "MHSD-H2K"):
        assert any(whole in line for line in lines)
    assert "…" not in "".join(lines)
