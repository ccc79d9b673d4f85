"""Commands that change keys, agreements and what is charged stand in the log of people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from partner_node.home import NodeHome
from protocol.agreement.hand_over import HandOver
from tests.end_to_end.deployment import cheap_key_stores
from tests.partner_node.nodes import OTHERS, complete, installed, node, shell
from tests.shell import Shell

__all__ = ["installed", "node", "shell"]


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with cheap_key_stores():
        yield


def noted(shell: Shell, folder: Path) -> list[tuple[str, str]]:
    """What was done at the machine, and how it ended."""
    acts = shell.json("user", "log", "--dir", folder)["acts"]
    assert all(one["who"].endswith("(at the machine)") for one in acts)
    return [(one["act"], one["outcome"]) for one in acts if one["outcome"] != "begun"]


def test_changes_of_keys_and_agreements_are_noted(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    where = ("--dir", installed)
    theirs = HandOver.make(
        OTHERS[0], Ed25519PrivateKey.generate(), partner="other-0", number=1,
        at="2026-11-30T12:00:00Z",
    )  # fmt: skip
    (tmp_path / "h.json").write_bytes(theirs.to_bytes())
    shell.json("key", "accept", tmp_path / "h.json", *where)
    shell.json("key", "rotate", *where)
    shell.json("key", "passphrase", *where)
    (tmp_path / "same.json").write_bytes(complete(installed, id="another"))
    shell.json("agreement", "install", tmp_path / "same.json", *where)
    (tmp_path / "no.json").write_bytes(complete(installed, id="another", version=2))
    assert shell("agreement", "install", tmp_path / "no.json", *where).code == 3
    shell.json("agreement", "stop", "--out", tmp_path / "stop.json", "--yes", *where)
    shell.json("budget", "cap", "--epsilon", "5", *where)
    assert shell("key", "renew", *where).code == 2
    shell.json("key", "renew", "--yes", *where)
    assert noted(shell, installed) == [
        ("agreement sign", "done"), ("agreement install", "done"), ("key accept", "done"),
        ("key rotate", "done"), ("key passphrase", "done"), ("agreement install", "done"),
        ("agreement install", "E-AGR-ROLLBACK"), ("agreement stop", "done"),
        ("budget cap", "done"), ("key renew", "done"),
    ]  # fmt: skip


def test_what_is_done_about_customers_files_and_state_is_noted_and_names_no_customer(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    where = ("--dir", installed)
    shell.json("rights", "object", "--subject", "00123", *where)
    error = shell.refused("rights", "refuse", "no-right", "--subject", "00123",
                          "--reason", "excessive", *where, status=2)  # fmt: skip
    (tmp_path / "said.csv").write_text("customer_id,kind,at\n")
    assert shell("feedback", "import", tmp_path / "said.csv", *where).code == 0
    shell.json("retention", "apply", *where)
    shell.json("state", "backup", tmp_path / "node.backup", *where)
    done = [("rights object", "done"), *[("rights refuse", error["code"])] * 2,
            ("feedback import", "done"), ("retention apply", "done")]  # fmt: skip
    assert noted(shell, installed)[2:] == [*done, ("state backup", "done")]
    acts = shell.json("user", "log", *where)["acts"]
    assert "00123" not in str(acts)
    (installed / "state" / "node.db").unlink()
    shell.json("state", "reset", "--yes", *where)
    assert noted(shell, installed)[-1] == ("state reset", "done")
    (tmp_path / "ca.pem").unlink()
    words = ("state", "restore", tmp_path / "node.backup", "--elsewhere")
    shell.json(*words, "--dir", tmp_path / "again")
    with closing(NodeHome.load(tmp_path / "again").roles_and_log()) as accounts:
        ended = [(act.act, act.outcome) for act in accounts.acts.all() if act.outcome != "begun"]
    assert ended[2:] == [*done, ("state restore", "done")]
