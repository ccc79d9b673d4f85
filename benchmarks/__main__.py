"""Run the benchmarks: ``python -m benchmarks [NAME …] [--quick] [--format text|json|markdown]``.

``--markdown`` prints the tables of `docs/measurements.md`; ``--into docs/measurements.md`` puts
them there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.measure import Table

#: In the order in which they run; what starts no processes comes first.
NAMES = (
    "local_answer", "consent", "choice_of_k", "follow_up", "expected_errors", "large_source",
    "receipts", "cosigned_rounds", "secure_sum", "secagg_plus", "evidence", "rounds_deployed",
    "whole_run", "idle", "abuse",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Where this is measured."""
    packages = ("numpy", "scikit-learn", "cryptography", "flwr")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "load_before": round(os.getloadavg()[0], 2),
        **{name: metadata.version(name) for name in packages},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def run(name: str, *, quick: bool) -> list[Table]:
    """One benchmark's tables."""
    tables: list[Table] = importlib.import_module(f"benchmarks.{name}").run(quick=quick)
    return tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME",
                        help="one of " + ", ".join(NAMES) + "; all when none is named")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it works")
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="put the tables into their places in a document"
    )
    parser.add_argument("--markdown", action="store_const", const="markdown", dest="format")
    options = parser.parse_args(arguments)
    where = machine()
    tables = []
    for name in options.names or NAMES:
        start = time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        found = run(name, quick=options.quick)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        tables.extend(found)
        if options.into is not None:
            put_into(options.into, name, where, found)
    if options.format == "json":
        print(json.dumps({"machine": where, "tables": [t.to_dict() for t in tables]}, indent=2))
    elif options.format == "markdown":
        print(markdown(where, tables))
    else:
        _show(where, tables)
    return 0


def markdown(where: dict[str, Any], tables: Sequence[Table]) -> str:
    """The tables as Markdown, with the machine that they were measured on."""
    said = ", ".join(f"{k} {v}" for k, v in where.items())
    return "\n\n".join([f"Machine: {said}.", *(table.to_markdown() for table in tables)])


def put_into(path: Path, name: str, where: dict[str, Any], tables: Sequence[Table]) -> None:
    """Replace what stands between a benchmark's two marks in a document.

    Raises:
        ValueError: The document has no such place.
    """
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no place for {name}")
    path.write_text(before + begin + markdown(where, tables) + "\n" + end + after, encoding="utf-8")


def _show(where: dict[str, Any], tables: Sequence[Table]) -> None:
    from rich import box
    from rich.console import Console

    from benchmarks.measure import shown
    from machine.tables import Table as RichTable

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(", ".join(f"{k} {v}" for k, v in where.items()))
    for table in tables:
        drawn = RichTable(
            *table.columns,
            title=f"{table.title}\nbaseline: {table.baseline}",
            title_justify="left",
            box=box.SIMPLE,
        )
        for row in table.rows:
            drawn.add_row(*(shown(cell) for cell in row))
        console.print(drawn)
        for note in table.notes:
            console.print(f"  {note}")


if __name__ == "__main__":
    sys.exit(main())
