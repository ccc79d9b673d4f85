"""`state backup` and `state restore` of a coordinator."""

from __future__ import annotations

import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coordinator import backup
from coordinator.config import CoordinatorConfig
from coordinator.control.authority import NodesAuthority
from coordinator.store.schema import MIGRATIONS
from machine.backups import read_backup, write_backup
from tests.federations import small_federation
from tests.shell import Shell

INIT = ("init", "--legal-name", "Op", "--contact", "ops@operator.example")


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(capsys, monkeypatch, program="fedseg-coordinator")


@pytest.fixture
def home(shell: Shell, tmp_path: Path) -> Path:
    """A coordinator with an agreement and a run that was asked for."""
    shell.json(*INIT, "--dir", "c")
    fed = small_federation()
    with closing(CoordinatorConfig.load(tmp_path / "c").open_store()) as store:
        store.add_agreement(fed.signed)
        store.request_run(b"\x01" * 16, fed.agreement)
    return tmp_path / "c"


def test_a_coordinator_that_was_put_back_is_the_one_that_was_backed_up(
    shell: Shell, home: Path, tmp_path: Path
) -> None:
    with closing(CoordinatorConfig.load(home).open_store()):  # as while it serves
        made = shell.json("state", "backup", "b.tar", "--dir", home)
    assert (made["kind"], made["whose"]) == ("coordinator", "Op")
    before = CoordinatorConfig.load(home)
    key, runs = before.signing_key(), before.open_store().runs()
    restored = shell.json("state", "restore", "b.tar", "--dir", "again")
    folder = tmp_path / "again"
    assert restored["passphrase_missing"] == "again/keys/passphrase"
    assert "E-RUN-START" in restored["not_known"][0]
    assert not (folder / "keys" / "passphrase").exists()
    (folder / "keys" / "passphrase").write_bytes((home / "keys" / "passphrase").read_bytes())
    (folder / "keys" / "passphrase").chmod(0o600)
    after = CoordinatorConfig.load(folder)
    assert after.signing_key().private_bytes_raw() == key.private_bytes_raw()
    assert after.open_store().runs() == runs
    for name in ("coordinator-ca.crt", "coordinator.crt", "coordinator.key"):
        assert (folder / "tls" / name).read_bytes() == (home / "tls" / name).read_bytes()
    databases = ("coordinator.db", "accounts.db")
    others = {p.name for p in folder.iterdir() if not p.name.startswith(databases)}
    assert others == {"coordinator.toml", "keys", "tls"}
    assert shell.json("state", "check", "--dir", folder)["sound"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nodes_that_joined_are_known_after_the_coordinator_was_put_back(
    shell: Shell, home: Path, tmp_path: Path
) -> None:
    """The authority that certifies them is in the backup; one that has none yet has none in it."""
    config = CoordinatorConfig.load(home)
    assert config.control is not None
    shell.json("state", "backup", "before.tar", "--dir", home)
    made = NodesAuthority.of(home, config.passphrase(), now=datetime.now(UTC))
    shell.json("state", "backup", "after.tar", "--dir", home)
    roles = [
        {part.role for part in read_backup(tmp_path / name, kind=backup.KIND)[0].parts}
        for name in ("before.tar", "after.tar")
    ]
    assert roles[1] - roles[0] == {"nodes-authority", "nodes-authority-key"}
    shell.json("state", "restore", "after.tar", "--dir", "again")
    again = NodesAuthority.load(tmp_path / "again", config.passphrase())
    assert again.certificate == made.certificate


def test_the_passphrase_is_in_no_backup(shell: Shell, home: Path, tmp_path: Path) -> None:
    shell.json("state", "backup", "b.tar", "--dir", home)
    passphrase = (home / "keys" / "passphrase").read_bytes().strip()
    assert len(passphrase) > 10
    assert passphrase not in (tmp_path / "b.tar").read_bytes()
    text = shell("state", "backup", "c.tar", "--dir", home).out
    said = " ".join(text.split())
    assert "Not in it: the passphrase of the signing key" in said
    assert "unencrypted, and so are the secrets of second factors" in said


def test_a_backup_that_nobody_could_open_is_refused(
    shell: Shell, home: Path, tmp_path: Path
) -> None:
    (home / "keys" / "passphrase").write_bytes(b"not the one that it was\n")
    assert shell.refused("state", "backup", "b.tar", "--dir", home, status=3)["remedy"]
    assert not (tmp_path / "b.tar").exists()


def test_nothing_is_restored_over_a_coordinator(shell: Shell, home: Path) -> None:
    shell.json("state", "backup", "b.tar", "--dir", home)
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    error = shell.refused("state", "restore", "b.tar", "--dir", home, status=2)
    assert "nothing is restored over it" in error["message"]
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before


def test_the_state_of_a_later_version_is_not_restored(
    shell: Shell, home: Path, tmp_path: Path
) -> None:
    with closing(CoordinatorConfig.load(home).open_store()) as store:
        store.ask("PRAGMA user_version = 9999")
        state = store.snapshot()
    assert len(MIGRATIONS) < 9999
    contents = {
        "settings": ("coordinator.toml", (home / "coordinator.toml").read_bytes()),
        "state": ("coordinator.db", state),
    }
    write_backup(
        tmp_path / "b.tar", contents, kind=backup.KIND, whose="Op", made_at="2026-11-30T08:00:00Z",
        version="9",
    )  # fmt: skip
    error = shell.refused("state", "restore", "b.tar", "--dir", "again", status=1)
    assert error["code"] == "E-STORE"
    assert not (tmp_path / "again").exists()


def test_a_certificate_of_the_operators_own_is_put_back_where_it_stood(
    shell: Shell, tmp_path: Path
) -> None:
    home = tmp_path / "by-hand"
    shell.json(*INIT, "--by-hand", "--dir", home)
    own = tmp_path / "own"
    own.mkdir()
    for name in ("coordinator.crt", "coordinator.key"):
        (home / "tls" / name).rename(own / name)
    settings = home / "coordinator.toml"
    settings.write_text(settings.read_text().replace('"tls/coordinator.', f'"{own}/coordinator.'))
    shell.json("state", "backup", "b.tar", "--dir", home)
    manifest, contents = read_backup(tmp_path / "b.tar", kind=backup.KIND)
    assert {p.path for p in manifest.parts} >= {str(own / "coordinator.crt")}
    assert "authority" not in contents
    for file in own.iterdir():
        file.unlink()
    words = ("state", "restore", "b.tar", "--dir", "again")
    error = shell.refused(*words, status=2)
    assert error["code"] == "E-ELSEWHERE"
    assert str(own / "coordinator.key") in error["message"]
    assert list(own.iterdir()) == []
    shell.json(*words, "--elsewhere")
    assert (own / "coordinator.key").read_bytes() == contents["certificate-key"]
    assert not (tmp_path / "again" / "tls").exists()
