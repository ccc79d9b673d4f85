"""The demo that stays: consoles of its coordinator and of a node, with people to sign in as."""

from __future__ import annotations

import re
import secrets
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import Final

from rich.console import Console

from machine.files import write_file
from machine.tables import folding_table
from simulations.demo_processes import command, serving, until

#: Whom the demo makes accounts for, at each side, by name.
_PEOPLE: Final = {
    "coordinator": {"olga": "operator"},
    "node": {"dora": "data-protection-officer", "mia": "marketer"},
}
_PASSWORD_BYTES: Final = 12
_SAID: Final = re.compile(r"Console: (\S+/)\n")
_PORT: Final = re.compile(r"(?m)^(\[console\]\n(?:#.*\n)*?)# port = \d+$")


def on_free_ports(*configurations: Path) -> None:
    """Have each console choose a free port, so that no other program keeps the demo from one."""
    for path in configurations:
        changed, count = _PORT.subn(r"\1port = 0", path.read_text(encoding="utf-8"))
        if count != 1:
            raise ValueError(f"{path} has no [console] with a port")
        path.write_text(changed, encoding="utf-8")


def stay_open(out: Path, coordinator: Path, node: Path, console: Console) -> None:
    """Serve both consoles until Ctrl-C or SIGTERM, and say where they are and who may sign in.

    Args:
        out: The demo's folder, for logs.
        coordinator, node: The folders of the two sides.
    """
    with ExitStack() as running:
        table = folding_table(
            "console", "name", "role", "password", "codes, each good once", title="Sign in"
        )
        for side, directory in (("coordinator", coordinator), ("node", node)):
            for name, role in _PEOPLE[side].items():
                password, codes = _account(side, directory, name, role)
                table.add_row(side, name, role, password, " ".join(codes))
            log = out / f"{directory.name}-console.log"
            running.enter_context(serving(side, directory, log, word="console"))
            url = _url_in(log, side)
            console.print(f"Console of the {side}: {url}", soft_wrap=True)
        console.print(table)
        console.print("All of it stays until Ctrl-C.")
        with suppress(KeyboardInterrupt):
            Event().wait()


def _url_in(log: Path, side: str) -> str:
    """Where a console is reached, once it says so; raises RunFailedError after a minute."""
    until(lambda: bool(_SAID.search(log.read_text())), f"the console of the {side}; see {log}")
    found: str = _SAID.findall(log.read_text())[0]
    return found


def _account(side: str, directory: Path, name: str, role: str) -> tuple[str, list[str]]:
    """Make an account; its password and the codes that replace a second factor once each."""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    file = directory / "password-of-the-demo"
    write_file(file, password, mode=0o600)
    try:
        made = command(
            side, "user", "add", name, "--role", role, "--password-file", file, "--dir", directory
        )
    finally:
        file.unlink()
    return password, made["recovery_codes"]
