"""Commands that invite, renew the certificate and copy the state are in the log of people."""

from __future__ import annotations

from pathlib import Path

from tests.control.commands import operator
from tests.coordinator.test_rotating import folder, noted
from tests.partner_node.nodes import shell
from tests.shell import Shell

__all__ = ["folder", "shell"]


def test_invitations_certificates_and_copies_of_the_state_are_noted(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    where = ("--dir", folder)
    settings = folder / "coordinator.toml"
    settings.write_text(settings.read_text().replace("control_port = 0", "control_port = 9"))
    operator(shell).json("partner", "invite", "north", "south", *where)
    operator(shell).json("certificate", "renew", "--name", "segments.example", *where)
    operator(shell).json("state", "backup", tmp_path / "c.backup", *where)
    done = [("partner invite", "done"), ("certificate renew", "done")]
    assert noted(shell, folder) == [*done, ("state backup", "done")]
    error = operator(shell)("state", "move", "--to", "sqlite", *where, "--format", "json")
    assert error.code != 0, "it is there"
    assert noted(shell, folder)[-1] == ("state move", error.envelope["data"]["code"])
    operator(shell).json("state", "restore", tmp_path / "c.backup", "--dir", tmp_path / "again")
    assert noted(shell, tmp_path / "again") == [*done, ("state restore", "done")]
