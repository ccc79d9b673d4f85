"""`state backup` and `state restore` of a node."""

from __future__ import annotations

import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from machine.backups import read_backup
from partner_node import backup
from partner_node.home import NodeHome
from partner_node.served_nodes import ServedNodes
from protocol.errors import StoreError
from tests.partner_node.nodes import installed, node, open_node, shell
from tests.shell import Shell

__all__ = ["installed", "node", "shell"]

#: No text of digits and letters, hexadecimal or base64, has it by chance.
CUSTOMER = "zo-00123-qx"


def contents_of(path: Path) -> bytes:
    """Names and contents of all files in a backup, without the archive's own numbers."""
    with tarfile.open(path) as archive:
        found = [(one.name.encode(), archive.extractfile(one)) for one in archive.getmembers()]
        return b"\n".join(part for n, f in found for part in (n, f.read() if f else b""))


def give_passphrase(old: Path, new: Path) -> None:
    passphrase = NodeHome.load(old).config.keys.passphrase_file
    wanted = NodeHome.load(new).config.keys.passphrase_file
    assert passphrase is not None
    assert wanted is not None
    assert not wanted.exists()
    wanted.write_bytes(passphrase.read_bytes())
    wanted.chmod(0o600)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_node_that_was_put_back_knows_what_it_knew(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    shell.json("rights", "object", "--subject", "b", "--dir", installed)
    home = NodeHome.load(installed)
    with closing(home.store(home.keystore())):  # as while it serves
        made = shell.json("state", "backup", "b.tar", "--dir", installed)
    assert (made["kind"], made["whose"]) == ("node", "north")
    roles = {part["role"] for part in made["parts"]}
    assert roles == {
        "settings", "keys", "state", "state-made", "agreement", "root-certificates", "partner-card",
        "accounts",
    }  # fmt: skip
    shell.json("rights", "object", "--subject", "c", "--dir", installed)  # after the backup
    requests = shell.json("rights", "list", "--dir", installed)["requests"]
    restored = shell.json("state", "restore", "b.tar", "--elsewhere", "--dir", "again")
    again = tmp_path / "again"
    assert restored["passphrase_missing"] == str(again / "keys" / "passphrase")
    assert any("objections" in what for what in restored["not_known"])
    give_passphrase(installed, again)
    assert shell.json("state", "check", "--dir", again)["sound"]
    assert shell.json("rights", "list", "--dir", again)["requests"] == requests[:1]
    assert len(requests) == 2
    old, new = NodeHome.load(installed).keystore(), NodeHome.load(again).keystore()
    assert old.identity_public == new.identity_public
    shell.json("agreement", "show", "--dir", again)
    open_node(again)


def test_the_log_says_that_a_state_was_put_back_or_began_anew(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    made = shell.json("state", "backup", "b.tar", "--dir", installed)
    shell.json("state", "restore", "b.tar", "--elsewhere", "--dir", "again")
    again = tmp_path / "again"
    give_passphrase(installed, again)
    words = ("log", "show", "--kind", "restored", "--dir", again)
    for _ in range(2):
        ServedNodes.open(again).store.close()
        (entry,) = shell.json(*words)["entries"]
        assert entry["made_at"] == made["made_at"]
    NodeHome.load(again).state_file.unlink()
    shell.json("state", "reset", "--yes", "--dir", again)
    ServedNodes.open(again).store.close()
    (entry,) = shell.json(*words)["entries"]
    assert entry["made_at"] == ""


def test_no_customer_and_no_passphrase_is_in_a_backup_in_clear(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    shell.json("rights", "object", "--subject", CUSTOMER, "--dir", installed)
    shell.json("state", "backup", "b.tar", "--dir", installed)
    data = contents_of(tmp_path / "b.tar")
    passphrase = NodeHome.load(installed).config.keys.passphrase_file
    assert passphrase is not None
    assert passphrase.read_bytes().strip() not in data
    assert CUSTOMER.encode() not in data
    text = " ".join(shell("state", "backup", "c.tar", "--dir", installed).out.split())
    for what in backup.LEFT_OUT:
        assert f"Not in it: {what}." in text


def test_nothing_is_restored_over_a_node(shell: Shell, installed: Path) -> None:
    shell.json("state", "backup", "b.tar", "--dir", installed)
    before = files(installed)
    error = shell.refused("state", "restore", "b.tar", "--dir", installed, status=2)
    assert "nothing is restored over it" in error["message"]
    assert files(installed) == before


def test_a_state_that_was_lost_is_in_no_backup(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    shell.json("status", "--dir", installed)
    for file in (installed / "state").glob("node.db*"):
        file.unlink()
    error = shell.refused("state", "backup", "b.tar", "--dir", installed, status=1)
    assert error["code"] == "E-STATE-LOST"
    assert not (tmp_path / "b.tar").exists()
    assert not (installed / "state" / "node.db").exists()


def test_a_node_without_an_agreement_yet_is_backed_up_too(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    made = shell.json("state", "backup", "b.tar", "--dir", node)
    assert "agreement" not in {part["role"] for part in made["parts"]}
    shell.json("state", "restore", "b.tar", "--elsewhere", "--dir", "again")
    give_passphrase(node, tmp_path / "again")
    assert shell.json("state", "check", "--dir", "again")["sound"]


def test_an_empty_database_is_not_put_back_for_a_nodes_state(
    shell: Shell, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside keys that were used it would be refused at every command."""
    shell.json("state", "backup", "b.tar", "--dir", installed)
    manifest, contents = read_backup(tmp_path / "b.tar", kind=backup.KIND)
    monkeypatch.setattr(
        "machine.backups.read_backup", lambda *_, **__: (manifest, contents | {"state": b""})
    )
    with pytest.raises(StoreError):
        backup.restore(tmp_path / "b.tar", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_files_of_segments_and_customers_data_stay_where_they_are(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    (installed / "segments").mkdir(exist_ok=True)
    (installed / "segments" / "assigned.csv").write_text(f"customer_id,segment\n{CUSTOMER},S1\n")
    shell.json("state", "backup", "b.tar", "--dir", installed)
    shell.json("state", "restore", "b.tar", "--elsewhere", "--dir", "again")
    names = {path.name for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert "assigned.csv" not in names
    assert "customers.csv" not in names
    assert CUSTOMER.encode() not in contents_of(tmp_path / "b.tar")
