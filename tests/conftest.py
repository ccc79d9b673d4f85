"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import hypothesis
import pytest
import typer

# Rich keeps the width that the environment has when a console is made: tests set their own later.
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)

from tests import effort  # workers are started with the seed that it sets

hypothesis.settings.register_profile("commit", derandomize=True, max_examples=50)
hypothesis.settings.register_profile("long", print_blob=True)
hypothesis.settings.load_profile("long" if effort.LONG else "commit")


@pytest.fixture(autouse=True, scope="session")
def commands_built_once() -> Iterator[None]:
    """A process builds its commands once; tests that call hundreds in one process do so too."""
    built: list[tuple[typer.Typer, click.Command]] = []
    build = typer.main.get_command

    def once(app: typer.Typer) -> click.Command:
        for known, command in built:
            if known is app:
                return command
        built.append((app, build(app)))
        return built[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", once)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have hypothesis draw from the seed that is printed; a commit's draws are always the same."""
    if effort.LONG and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(effort.SEED)


#: Tests that were left to ``make test-long``: of this process, then of the worker that knows most.
LEFT = pytest.StashKey[int]()


#: Files that take most of a minute, longest first: begun last, one would be waited for by a worker
#: that has nothing left to do.
LONGEST: Final = (
    "partner_node/test_sources.py",
    "partner_node/test_consent_databases.py",
    "browser/test_node_console.py",
    "partner_node/test_mutations.py",
    "partner_node/test_line_values.py",
    "partner_node/test_rights.py",
    "partner_node/test_data_quality.py",
    "simulations/test_cli.py",
    "partner_node/test_hostile_input.py",
    "partner_node/test_node_cli.py",
    "coordinator/test_run_driver.py",
    "partner_node/test_private_files.py",
    "control/test_mutations.py",
    "control/test_agreements.py",
)
_PLACES: Final = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only a long run does, and put the longest files first."""
    left = [] if effort.LONG else [item for item in items if item.get_closest_marker("long")]
    config.stash[LEFT] = len(left)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item.get_closest_marker("long") is None]
    items.sort(key=lambda item: _PLACES.get(item.path, len(_PLACES)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells how many tests it left out."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["left"] = session.config.stash.get(LEFT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Workers all collect the same tests."""
    left = getattr(node, "workeroutput", {}).get("left", 0)
    node.config.stash[LEFT] = max(left, node.config.stash.get(LEFT, 0))


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    left = config.stash.get(LEFT, 0)
    return [f"{left} tests are left to make test-long"] if left else []


def pytest_report_header() -> str:
    again = f"{effort.SEED_VARIABLE}={effort.SEED}"
    if effort.LONG:
        return f"random counts: full (make test-long), again with {again}"
    return f"random counts: those of a commit (make test-long has the full ones), {again}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What was not tested here is said last, where nobody overlooks it."""
    if left := config.stash.get(LEFT, 0):
        terminalreporter.line(f"{left} tests are left to make test-long")
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    reasons: dict[str, list[str]] = {}
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    terminalreporter.section("NOT TESTED HERE", sep="!", red=True, bold=True)
    for reason, tests in sorted(reasons.items()):
        named = f"{tests[0]} and {len(tests) - 1} more" if len(tests) > 1 else tests[0]
        terminalreporter.line(f"{len(tests)} skipped: {reason} ({named})", red=True)
