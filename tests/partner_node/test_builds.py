"""Builds at a node: what is installed runs once every party signed it; no sooner, and by files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest

from partner_node.home import NodeHome
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement
from protocol.agreement.software import PROTOCOL, Software
from protocol.errors import AgreementError
from tests.partner_node.nodes import OTHERS, complete, node, open_node, shell
from tests.shell import Shell

__all__ = ["node", "shell"]

INSTALLED = Software.installed(metadata.version, resources.files)


@pytest.fixture
def older(shell: Shell, node: Path) -> Agreement:
    """An agreement in force that is for another build than the one that is installed."""
    software: dict[str, Any] = INSTALLED.to_dict() | {
        "sha256": "ab" * 32, "protocol": PROTOCOL, "added_by": "parties",
    }  # fmt: skip
    (node / "signed.json").write_bytes(complete(node, software=software))
    shell.json("agreement", "install", node / "signed.json", "--dir", node)
    return NodeHome.load(node).signed_agreement().agreement


def asked(node: Path) -> str:
    """The code with which a serving node refuses what is installed; empty when it does not."""
    served = open_node(node)
    try:
        served.agreement.check_software(served._software, added=lambda: served._added_builds())
    except AgreementError as error:
        return error.code
    finally:
        served.store.close()
    return ""


def test_what_is_installed_runs_once_every_party_signed_it(
    shell: Shell, node: Path, older: Agreement, tmp_path: Path
) -> None:
    assert asked(node) == "E-CODE"
    (tmp_path / "build.json").write_bytes(AddedBuild.draft(older, INSTALLED.build).to_bytes())
    done = shell.json(
        "agreement", "builds", "sign", "--file", "build.json", "--out", "mine.json", "--dir", node
    )
    assert not done["complete"]
    mine = AddedBuild.from_bytes((tmp_path / "mine.json").read_bytes())
    error = shell.refused("agreement", "builds", "accept", "mine.json", "--dir", node, status=3)
    assert error["code"] == "E-BUILD-UNSIGNED"
    assert "other-0, other-1" in error["message"]
    assert asked(node) == "E-CODE"
    for key in OTHERS:
        mine = mine.signed_by(key)
    (tmp_path / "all.json").write_bytes(mine.to_bytes())
    for is_new in (True, False):
        found = shell.json("agreement", "builds", "accept", "all.json", "--dir", node)
        assert found["new"] == is_new
    (entry,) = shell.json("log", "show", "--kind", "build", "--dir", node)["entries"]
    assert entry["build"] == mine.build.sha256.hex()
    acts = shell.json("user", "log", "--dir", node)["acts"]
    noted = [(a["act"], a["outcome"]) for a in acts if "builds" in a["act"]]
    assert [one for one in noted if one[1] != "begun"] == [
        ("agreement builds sign", "done"),
        *[("agreement builds accept", "E-BUILD-UNSIGNED")] * 2,
        *[("agreement builds accept", "done")] * 2,
    ]
    assert asked(node) == ""
    listed = shell.json("agreement", "builds", "list", "--dir", node)
    assert [(b["sha256"], b["state"]) for b in listed["builds"]] == [
        ("ab" * 32, "agreed"), (INSTALLED.sha256.hex(), "added"),
    ]  # fmt: skip
    assert listed["installed"] == INSTALLED.build.to_dict() | {"protocol": PROTOCOL}
    checks = shell("check", "--dir", node, "--format", "json").envelope["data"]
    assert "E-CODE" not in str(checks)
    said = " ".join(shell("agreement", "show", "--dir", node).out.split())
    assert "may run beside it once every party has signed its hash" in said


def test_what_was_written_into_the_database_is_verified_when_it_is_read(
    node: Path, older: Agreement
) -> None:
    home = NodeHome.load(node)
    draft = AddedBuild.draft(older, INSTALLED.build).signed_by(OTHERS[0])
    with closing(sqlite3.connect(home.state_file)) as state, state:
        state.execute(
            "INSERT INTO builds VALUES (?, ?, '', ?)",
            (older.hash, draft.hash, draft.to_bytes()),
        )
    assert asked(node) == "E-BUILD-UNSIGNED"


def test_what_to_sign_is_named_in_one_way(shell: Shell, node: Path, older: Agreement) -> None:
    for words in ((), ("ab" * 32, "--file", "x"), ("--file", "x"), ("ab" * 32, "--out", "x")):
        error = shell.refused("agreement", "builds", "sign", *words, "--dir", node, status=2)
        assert "one of two" in error["message"]
