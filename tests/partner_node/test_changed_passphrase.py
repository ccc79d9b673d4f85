"""The passphrase of a node's key store is changed, and what opens when it was switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from machine.private_files import next_of
from partner_node import backup
from partner_node import passphrase as changing
from partner_node.home import NodeHome
from partner_node.keystore import Keystore
from partner_node.passphrase import change_passphrase
from protocol.errors import FedsegError
from tests.end_to_end.deployment import cheap_key_stores
from tests.partner_node.nodes import node, shell
from tests.shell import Shell
from tests.switching_off import SwitchedOffError, is_switched_off, switched_off_at

__all__ = ["node", "shell"]

NEW = b"another passphrase"


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with cheap_key_stores():
        yield


#: What changes files while the passphrase is replaced.
STEPS = ((changing, "write_file"), (Keystore, "save"), (changing, "remove_private_file"))


def key(directory: Path) -> bytes:
    return NodeHome.load(directory).keystore().identity_public


def written(tmp_path: Path, text: bytes = NEW + b"\n") -> Path:
    path = tmp_path / "new"
    path.write_bytes(text)
    path.chmod(0o600)
    return path


def test_the_keys_stay_and_the_old_passphrase_opens_nothing(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    file, store = node / "keys" / "passphrase", NodeHome.load(node).config.keys.store
    before, old = key(node), file.read_bytes().strip()
    backup = tmp_path / "b.backup"
    shell.json("state", "backup", backup, "--dir", node)
    shell.json("key", "passphrase", "--dir", node)
    drawn = file.read_bytes().strip()
    assert key(node) == before and drawn != old and len(drawn) >= 32
    with pytest.raises(FedsegError, match="E-KEY-PASSPHRASE"):
        Keystore.open(store, old)
    shell.json("key", "passphrase", "--new-file", written(tmp_path), "--dir", node)
    assert file.read_bytes() == NEW + b"\n" and file.stat().st_mode & 0o777 == 0o600
    assert key(node) == before and not next_of(file).exists()
    shell.json("state", "restore", backup, "--dir", tmp_path / "back", "--elsewhere")
    kept = tmp_path / "back" / store.relative_to(node)
    assert Keystore.open(kept, old).identity_public == before, "backups open with that of before"


def test_no_backup_is_made_in_the_midst_of_a_change(
    shell: Shell, node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys may be under a passphrase that another change throws away."""
    real, words = changing.write_file, ("state", "backup", tmp_path / "b.backup", "--dir", node)

    def killed(path: Path, data: bytes, *, mode: int) -> None:
        if path.name == "passphrase":  # the key store is under the new one
            raise SwitchedOffError
        real(path, data, mode=mode)

    def changed_meanwhile(directory: Path) -> Any:
        with monkeypatch.context() as patch, pytest.raises(SwitchedOffError):
            patch.setattr(changing, "write_file", killed)
            change_passphrase(NodeHome.load(directory), NEW)

    own = backup.changing_keys

    @contextmanager
    def waited_for(home: NodeHome) -> Iterator[None]:
        changed_meanwhile(home.directory)
        with own(home):
            yield

    with monkeypatch.context() as patch:
        patch.setattr(backup, "changing_keys", waited_for)
        error = shell.refused(*words, status=2)
    assert "key passphrase" in error["remedy"] and "being changed" in error["message"]
    assert not (tmp_path / "b.backup").exists()
    shell.json("key", "passphrase", "--dir", node)
    shell.json(*words)


def test_a_passphrase_that_is_too_short_is_refused(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    short = written(tmp_path, b"short")
    refused = shell.refused("key", "passphrase", "--new-file", short, "--dir", node, status=3)
    assert refused["code"] == "E-KEY-PASSPHRASE"
    with pytest.raises(FedsegError, match="E-KEY-PASSPHRASE"):
        change_passphrase(NodeHome.load(node), b"short")
    assert key(node) and not next_of(node / "keys" / "passphrase").exists()


@pytest.mark.parametrize("step", range(4))
def test_switched_off_at_any_step_the_node_opens_and_the_same_command_goes_on(
    node: Path, step: int
) -> None:
    before = key(node)
    with pytest.raises(SwitchedOffError), switched_off_at(step, *STEPS):
        change_passphrase(NodeHome.load(node), NEW)
    assert key(node) == before
    change_passphrase(NodeHome.load(node), NEW)
    file = node / "keys" / "passphrase"
    assert file.read_bytes() == NEW + b"\n" and not next_of(file).exists()
    assert key(node) == before


def test_killed_twice_with_two_passphrases_the_node_opens_with_one_that_is_kept(
    node: Path,
) -> None:
    before, file = key(node), node / "keys" / "passphrase"

    def is_off_at(step: int, new: bytes) -> bool:
        return is_switched_off(lambda: change_passphrase(NodeHome.load(node), new), step, *STEPS)

    longest = 0
    for first in (1, 2):  # the new passphrase is only beside the file, then the keys have it
        for second in range(99):
            assert is_off_at(first, b"first passphrase %d.%d" % (first, second))
            last = b"second passphrase %d.%d" % (first, second)
            off = is_off_at(second, last)
            assert key(node) == before, (first, second)
            change_passphrase(NodeHome.load(node), last)
            assert file.read_bytes() == last + b"\n" and not next_of(file).exists()
            assert key(node) == before
            if not off:
                longest = max(longest, second)
                break
    assert longest == 5, "the file first has what the key store was encrypted with"


def test_where_the_environment_has_it_the_new_one_has_to_be_given(
    shell: Shell, node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, file = node / "node.toml", node / "keys" / "passphrase"
    text = settings.read_text()
    line = next(one for one in text.splitlines() if one.startswith("passphrase_file"))
    settings.write_text(text.replace(line, 'passphrase_env = "NODE_PASSPHRASE"'))
    monkeypatch.setenv("NODE_PASSPHRASE", file.read_text().strip())
    before = key(node)
    assert shell.refused("key", "passphrase", "--dir", node, status=2)["code"] == "E-USAGE"
    shell.json("key", "passphrase", "--new-file", written(tmp_path), "--dir", node)
    with pytest.raises(FedsegError, match="E-KEY-PASSPHRASE"):
        key(node)
    monkeypatch.setenv("NODE_PASSPHRASE", NEW.decode())
    assert key(node) == before
