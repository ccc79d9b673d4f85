"""The demo that stays: consoles of its coordinator and of a node, with people to sign in as."""

from __future__ import annotations

import re
import secrets
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Final, NoReturn

from rich.console import Console

from machine.files import write_file
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


def stay_open(out: Path, coordinator: Path, node: Path, console: Console) -> NoReturn:
    """Serve both consoles, and say where they are and who may sign in.

    Args:
        out: The demo's folder, for logs.
        coordinator, node: The folders of the two sides.

    Raises:
        KeyboardInterrupt: Somebody ended it. What serves may end by itself then, as Ctrl-C in a
            terminal goes to every process: whoever leaves in another way says that it ended early.
    """
    with ExitStack() as running:
        for side, directory in (("coordinator", coordinator), ("node", node)):
            people = {
                f"{name}, {role}": _account(side, directory, name, role)
                for name, role in _PEOPLE[side].items()
            }
            log = out / f"{directory.name}-console.log"
            running.enter_context(serving(side, directory, log, word="console"))
            console.print(f"Console of the {side}: {_url_in(log, side)}", soft_wrap=True)
            for who, (password, codes) in people.items():
                console.print(f"  {who}: password {password}", soft_wrap=True)
                console.print(f"    codes, each good once: {'  '.join(codes)}", soft_wrap=True)
        console.print("All of it stays until Ctrl-C.")
        while True:
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
