"""What a command imports: modules are counted, because seconds depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import click
import pytest
import typer

import coordinator.cli
import partner_node.cli
import simulations.cli
from machine.commands import Later
from tests.commands import commands_of

pytestmark = pytest.mark.slow

APPS = {
    "fedseg-node": partner_node.cli.app,
    "fedseg-coordinator": coordinator.cli.app,
    "fedseg-simulate": simulations.cli.app,
}
TABLES = {
    "fedseg-node": partner_node.cli.COMMANDS,
    "fedseg-coordinator": coordinator.cli.COMMANDS,
    "fedseg-simulate": simulations.cli.COMMANDS,
}
PACKAGES = {
    "fedseg-node": "partner_node",
    "fedseg-coordinator": "coordinator",
    "fedseg-simulate": "simulations",
}
#: What takes long to import.
DATA = {"duckdb", "pyarrow", "scipy", "sklearn", "adbc_driver_manager", "pymysql", "psycopg"}
FLOWER = {"flwr", "grpc"}
#: Of the 370 or so that a help text takes nearly all are Python's own, Rich's and Typer's.
MOST_MODULES = 400

#: Modules of commands, and which of `DATA` and `FLOWER` they may import before they have work.
COMMANDS = {
    "partner_node.cli.setup": set(),
    "partner_node.cli.joining": set(),
    "partner_node.cli.service": set(),
    "partner_node.cli.agreement": set(),
    "partner_node.cli.keys": set(),
    "partner_node.cli.segments": set(),
    "partner_node.cli.exports": set(),
    "partner_node.cli.egress": set(),
    "partner_node.cli.log": set(),
    "partner_node.cli.compliance": set(),
    "partner_node.cli.staff": set(),
    "partner_node.cli.evidence": set(),
    "partner_node.cli.budget": set(),
    "partner_node.cli.notice": set(),
    "partner_node.cli.rights": set(),
    "partner_node.cli.feedback": set(),
    "partner_node.cli.retention": set(),
    "partner_node.cli.state": set(),
    "partner_node.cli.user": set(),
    "partner_node.cli.consent": DATA,
    "partner_node.cli.data": DATA,
    "coordinator.cli.setup": set(),
    "coordinator.cli.certificate": set(),
    "coordinator.cli.service": set(),
    "coordinator.cli.agreement": set(),
    "coordinator.cli.keys": set(),
    "coordinator.cli.partner": set(),
    "coordinator.cli.run": set(),
    "coordinator.cli.release": set(),
    "coordinator.cli.evidence": set(),
    "coordinator.cli.compliance": set(),
    "coordinator.cli.log": set(),
    "coordinator.cli.state": set(),
    "coordinator.cli.user": set(),
    "simulations.cli.cluster": set(),
    "simulations.cli.attack": set(),
    "simulations.cli.generate": set(),
    "simulations.cli.demo": set(),
}


def imported_by(program: str) -> set[str]:
    """Every module that is there after a program has run in a Python of its own."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import contextlib, io, json, sys\n"
            f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
            f"    {program}\n"
            f"print(json.dumps(sorted(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(told.stdout))


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("program", APPS)
def test_help_and_version_import_no_command(program: str, option: str) -> None:
    package = PACKAGES[program]
    found = imported_by(f"sys.argv = ['x', {option!r}]; from {package}.cli import main; main()")
    assert not tops(found) & (DATA | FLOWER | {"numpy", "cryptography"})
    assert len(found) < MOST_MODULES
    ours = {name for name in found if name.startswith(tuple(f"{p}." for p in PACKAGES.values()))}
    assert ours <= {f"{p}.cli" for p in PACKAGES.values()}


@pytest.mark.parametrize("command", TABLES["fedseg-simulate"])
def test_the_help_of_a_simulation_imports_no_numbers(command: str) -> None:
    found = imported_by(
        f"sys.argv = ['x', {command!r}, '--help']; from simulations.cli import main; main()"
    )
    assert f"simulations.cli.{command}" in found
    assert not tops(found) & (DATA | FLOWER | {"numpy", "cryptography"})
    assert len(found) < MOST_MODULES


@pytest.mark.parametrize("allowed", [set(), DATA], ids=["nothing that takes long", "data"])
def test_a_command_imports_only_what_it_uses(allowed: set[str]) -> None:
    """In one Python for all that may import the same: what none may, one alone may not either."""
    modules = [module for module, may in COMMANDS.items() if may == allowed]
    assert modules
    found = imported_by("; ".join(f"import {module}" for module in modules))
    assert found >= {*modules}
    assert tops(found) & (DATA | FLOWER) <= allowed


def test_every_command_may_import_nothing_that_takes_long_or_all_of_the_data() -> None:
    assert all(may in (set(), DATA) for may in COMMANDS.values())


def test_a_command_that_imports_what_takes_long_is_found() -> None:
    assert tops(imported_by("import partner_node.cli.setup; import duckdb")) & DATA == {"duckdb"}


def test_an_epsilon_is_the_librarys_and_imports_no_more_of_it_than_it_uses() -> None:
    epsilon = (
        "from protocol.privacy.accounting import RHO_ONE, epsilon_of; epsilon_of(RHO_ONE, 0.1)"
    )
    found = imported_by(epsilon)
    assert "dp_accounting.rdp.rdp_privacy_accountant" in found
    heavy = {"dp_accounting.pld", "scipy.signal", "scipy.stats", "scipy.optimize"}
    assert not found & heavy
    # Whoever asks for the library afterwards gets the whole of it, with the same accountant.
    whole = (
        "from dp_accounting import ZCDpEvent; from dp_accounting.rdp import RdpAccountant; "
        "one = RdpAccountant(); one.compose(ZCDpEvent(1.0, 0.0)); "
        "assert one.get_epsilon(0.1) == epsilon_of(RHO_ONE, 0.1); "
        "from protocol.privacy.renyi import accountant_of_zcdp; "
        "assert type(accountant_of_zcdp(1.0)) is RdpAccountant"
    )
    assert imported_by(f"{epsilon}; {whole}") >= heavy


def later(program: str) -> list[Later]:
    group = typer.main.get_command(APPS[program])
    assert isinstance(group, click.Group)
    context = click.Context(group)
    found = [group.get_command(context, name) for name in group.list_commands(context)]
    return [command for command in found if isinstance(command, Later)]


@pytest.mark.parametrize("program", APPS)
def test_a_programs_help_says_of_each_command_what_the_command_says(program: str) -> None:
    commands = later(program)
    assert [command.name for command in commands] == list(TABLES[program])
    for command in commands:
        itself = command.loaded()
        assert (command.name, command.help) == (itself.name, (itself.help or "").split("\n\n")[0])


def test_every_command_that_is_imported_later_is_in_the_table_above() -> None:
    places = [place for table in TABLES.values() for place in table.values()]
    assert {place.module for place in places} <= set(COMMANDS)


@pytest.mark.parametrize("program", APPS)
def test_the_version_is_that_of_the_distribution(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    group = typer.main.get_command(APPS[program])
    assert group.main(["--version"], standalone_mode=False) == 0
    assert capsys.readouterr().out == f"{program} {metadata.version('fedseg')}\n"


@pytest.mark.parametrize("program", APPS)
def test_help_is_folded_where_the_terminal_ends(program: str) -> None:
    """And not where a line of its source does, which leaves ragged lines at 80 columns."""
    commands = commands_of(APPS[program])
    found = [(path, command.help or "") for path, command in commands if path]
    assert len(found) > 2
    assert [path for path, text in found if "\n" in text.replace("\n\n", "")] == []
