"""The demo that stays prints two consoles' addresses and who may sign in, and ends with Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from simulations.demo_consoles import on_free_ports
from tests.coordinator.consoles import World, fresh
from tests.machine.browsing import token_of
from tests.partner_node.consoles import cheap_keys
from tests.partner_node.nodes import installed, node, shell

__all__ = ["cheap_keys", "fresh", "installed", "node", "shell"]

# Python leaves SIGINT ignored when it is started so, as in the background.
STAYS = """
import signal, sys
from pathlib import Path
from rich.console import Console
from simulations.demo_consoles import stay_open
from simulations.demo_processes import sigterm_interrupts

signal.signal(signal.SIGINT, signal.default_int_handler)
out, coordinator, node = map(Path, sys.argv[1:])
with sigterm_interrupts():
    stay_open(out, coordinator, node, Console(width=400, markup=False, highlight=False))
print("left")
"""


def page_after_sign_in(url: str, name: str, password: str, code: str) -> str:
    """What somebody sees first, or why the sign-in was refused."""
    with httpx.Client(base_url=url, timeout=30, headers={"origin": url.rstrip("/")}) as browser:
        fields = {"name": name, "password": password, "code": code}
        token = token_of(browser.get("/sign-in").text)
        answer = browser.post("/sign-in", data={"form_token": token, **fields})
        return answer.text or browser.get("/", follow_redirects=True).text


@pytest.mark.slow
def test_two_consoles_stay_until_somebody_ends_the_demo(
    tmp_path: Path, fresh: World, installed: Path
) -> None:
    on_free_ports(fresh.directory / "coordinator.toml", installed / "node.toml")
    out = tmp_path / "out"
    out.mkdir()
    demo = subprocess.Popen(
        [sys.executable, "-c", STAYS, str(out), str(fresh.directory), str(installed)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert demo.stdout is not None
        said = ""
        while "until Ctrl-C" not in said:
            line = demo.stdout.readline()
            assert line, demo.stderr and demo.stderr.read()
            said += line
        urls = dict(re.findall(r"Console of the (\w+): (http://127\.0\.0\.1:\d+/)", said))
        rows = re.findall(r"│ (\w+) +│ (\w+) +│ ([\w-]+) +│ (\S+) +│ (\S+)", said)
        assert [row[:3] for row in rows] == [
            ("coordinator", "olga", "operator"),
            ("node", "dora", "data-protection-officer"),
            ("node", "mia", "marketer"),
        ]
        assert len({password for *_, password, _ in rows}) == 3
        for side, name, _, password, code in rows:
            assert f"{name}, " in page_after_sign_in(urls[side], name, password, code)
        assert "E-SIGN-IN" in page_after_sign_in(urls["node"], *rows[2][1:2], *rows[2][3:])
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=60)
        assert (demo.returncode, rest.strip()) == (0, "left"), errors
        for url in urls.values():
            with pytest.raises(httpx.ConnectError):
                httpx.get(url, timeout=5)
        assert not list(tmp_path.rglob("password-of-the-demo"))
    finally:
        demo.kill()
        demo.communicate()
