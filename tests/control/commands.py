"""The commands of both sides, at the control port of `lab`; fixtures are imported by test files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from partner_node.control import channel
from partner_node.home import NodeHome
from protocol.agreement.governance import SEGMENTATION
from tests.control.lab import Lab
from tests.end_to_end.deployment import cheap_key_stores
from tests.shell import Shell


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "customers.csv").write_text("customer_id,visits\na,1\n")
    (tmp_path / "consents.csv").write_text(
        "customer_id,event,time,purpose,notice\n"
        f"a,ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1\n"
    )
    # A refused handshake looks as a port that is away, and is tried again.
    monkeypatch.setitem(channel._RETRIES, "initialBackoff", "0.01s")
    monkeypatch.setitem(channel._RETRIES, "maxBackoff", "0.01s")
    with cheap_key_stores():
        yield Shell(capsys, monkeypatch)


def operator(shell: Shell) -> Shell:
    return Shell(shell.capsys, shell.patch, program="fedseg-coordinator")


def join_words(invitation: object, folder: Path, *more: object) -> list[object]:
    return [
        "join", invitation, "--dir", folder, "--legal-name", "North GmbH", "--contact",
        "office@north.example", "--jurisdiction", "DE", "--data", "customers.csv", "--id-column",
        "customer_id", "--youngest-customer", "18", *more,
    ]  # fmt: skip


def invited(shell: Shell, lab: Lab, partner: str) -> str:
    data = operator(shell).json("partner", "invite", partner, "--dir", lab.config.directory)
    (made,) = data["invitations"]
    return str(made["invitation"])


def line_of(shell: Shell, lab: Lab, partner: str) -> dict[str, Any]:
    data = operator(shell).json("partner", "list", "--dir", lab.config.directory)
    (line,) = [one for one in data["partners"] if one["partner"] == partner]
    return dict(line)


@pytest.fixture
def member(shell: Shell, lab: Lab, tmp_path: Path) -> NodeHome:
    """An admitted node that joined."""
    data = shell.json(*join_words(invited(shell, lab, "member"), tmp_path / "member"))
    operator(shell).json(
        "partner", "admit", "--code", data["code"], "--replace", "--dir", lab.config.directory
    )
    return NodeHome.load(tmp_path / "member")
