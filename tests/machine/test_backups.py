"""Backups: whole or not at all, whatever is damaged and whenever a process is killed."""

from __future__ import annotations

import io
import json
import sqlite3
import stat
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from machine.backups import (
    BackupError,
    Manifest,
    gathered,
    put_back,
    read_backup,
    write_backup,
)
from machine.database import Database
from protocol.errors import FedsegError, StoreError, UsageError
from tests.kills import killed_before_every_call

CONTENTS = {
    "settings": ("thing.toml", b"state = 1\n"),
    "state": ("data/thing.db", bytes(range(256)) * 40),
    "key": ("keys/key.pem", b"secret"),
}


def write(out: Path, contents: Mapping[str, tuple[str, bytes]] = CONTENTS) -> Manifest:
    return write_backup(
        out, contents, kind="thing", whose="Op", made_at="2026-11-30T08:00:00Z", version="1"
    )


def places(folder: Path) -> Mapping[str, Path]:
    return {role: folder / path for role, (path, _) in CONTENTS.items()}


def restore(file: Path, folder: Path) -> Manifest:
    return put_back(
        file, folder, kind="thing", settings="thing.toml", places=places, check=lambda _: None
    )


def found(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


RESTORED = dict(CONTENTS.values())


def test_what_is_put_back_is_what_was_backed_up_and_private(tmp_path: Path) -> None:
    manifest = write(tmp_path / "b.tar")
    assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600
    assert restore(tmp_path / "b.tar", tmp_path / "new" / "folder") == manifest
    folder = tmp_path / "new" / "folder"
    assert found(folder) == RESTORED
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()} == {0o600}
    assert {stat.S_IMODE(p.stat().st_mode) for p in [folder, *folder.rglob("*")] if p.is_dir()} == {
        0o700
    }


def test_a_backup_is_never_written_over_a_file_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(UsageError, match="exists already"):
            write(tmp_path / name)
    assert (tmp_path / "there").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("there", ["a file in it", "a file", "another state"])
def test_nothing_is_restored_over_what_is_there(tmp_path: Path, there: str) -> None:
    write(tmp_path / "b.tar")
    folder = tmp_path / "folder"
    if there == "a file":
        folder.write_bytes(b"mine")
    else:
        folder.mkdir()
        (folder / "thing.toml").write_bytes(b"mine")
    with pytest.raises(UsageError, match="nothing is restored over it"):
        restore(tmp_path / "b.tar", folder)
    kept = folder if there == "a file" else folder / "thing.toml"
    assert kept.read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tar", "folder"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write(tmp_path / "b.tar")
    (tmp_path / "folder").mkdir()
    restore(tmp_path / "b.tar", tmp_path / "folder")
    assert found(tmp_path / "folder") == RESTORED


def test_a_part_that_stood_outside_is_put_back_there_and_over_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "etc" / "key.pem"
    write(tmp_path / "b.tar")

    def elsewhere(folder: Path) -> Mapping[str, Path]:
        return {**places(folder), "key": outside}

    def again(folder: Path) -> None:
        put_back(
            tmp_path / "b.tar", folder, kind="thing", settings="thing.toml", places=elsewhere,
            check=lambda _: None, elsewhere=True,
        )  # fmt: skip

    again(tmp_path / "one")
    assert outside.read_bytes() == b"secret"
    again(tmp_path / "two")  # the same bytes are there: a killed process may have put them
    outside.write_bytes(b"another")
    with pytest.raises(UsageError, match="nothing is restored over it"):
        again(tmp_path / "three")
    assert outside.read_bytes() == b"another"
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize("name", ["/absolute", "../beside", "keys/../../beside", "link/key"])
def test_a_backup_does_not_say_which_files_outside_the_folder_are_written(
    tmp_path: Path, name: str
) -> None:
    """Its settings do: whoever made it may have written them for this machine's other files."""
    outside = tmp_path / "outside"
    outside.mkdir()
    write(tmp_path / "b.tar")

    def elsewhere(folder: Path) -> Mapping[str, Path]:
        if name.startswith("link"):
            (folder / "link").symlink_to(outside)
        return {
            **places(folder),
            "key": outside / "key" if name == "/absolute" else folder / name,
        }

    before = {path: path.is_file() for path in tmp_path.rglob("*")}
    with pytest.raises(UsageError) as caught:
        put_back(
            tmp_path / "b.tar", tmp_path / "new", kind="thing", settings="thing.toml",
            places=elsewhere, check=lambda _: None,
        )  # fmt: skip
    assert caught.value.code == "E-ELSEWHERE"
    assert {path: path.is_file() for path in tmp_path.rglob("*")} == before


def test_a_backup_that_was_cut_anywhere_or_has_a_wrong_byte_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b.tar")
    whole = (tmp_path / "b.tar").read_bytes()
    bad = tmp_path / "bad.tar"
    in_use = sum(512 + -(-len(part) // 512) * 512 for part in _parts(whole))
    for length in range(0, in_use, 256):
        bad.write_bytes(whole[:length])
        with pytest.raises(BackupError):
            read_backup(bad, kind="thing")
    for place in range(512, in_use, 499):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        bad.write_bytes(changed)
        try:
            _, contents = read_backup(bad, kind="thing")
        except BackupError:
            continue
        # Bytes that fill up a block, or say whose a file was, are nobody's.
        assert {role: data for role, (_, data) in CONTENTS.items()} == contents


def _parts(archive: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [opened.extractfile(entry).read() for entry in opened]  # type: ignore[union-attr]


def altered(path: Path, **values: Any) -> None:
    """A backup whose manifest says something else."""
    with tarfile.open(path) as opened:
        parts = {e.name: opened.extractfile(e).read() for e in opened}  # type: ignore[union-attr]
    manifest = json.loads(parts["manifest.json"]) | values
    parts["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w") as made:
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize(
    "values",
    [
        {"schema": "fedseg/backup/v9"},
        {"parts": []},
        {"parts": "all"},
        {"parts": [{"role": "state"}]},
        {
            "parts": [
                {"role": f"part-{i}", "path": "x", "bytes": 0, "sha256": ""} for i in range(99)
            ]
        },
        {"whose": 1},
        {"made_at": None},
    ],
    ids=str,
)
def test_a_manifest_that_says_something_else_is_refused(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    write(tmp_path / "b.tar")
    altered(tmp_path / "b.tar", **values)
    with pytest.raises(BackupError):
        read_backup(tmp_path / "b.tar", kind="thing")


def test_what_is_no_backup_or_of_something_else_says_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").touch()
    for name in ("text", "empty"):
        with pytest.raises(BackupError, match="is no whole backup"):
            read_backup(tmp_path / name, kind="thing")
    for name in ("nowhere", "."):
        with pytest.raises(UsageError, match="cannot be read"):
            read_backup(tmp_path / name, kind="thing")
    write(tmp_path / "b.tar")
    with pytest.raises(BackupError, match="of a thing, not of a node"):
        read_backup(tmp_path / "b.tar", kind="node")


def test_a_link_or_a_folder_in_a_backup_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b.tar")
    data = _parts((tmp_path / "b.tar").read_bytes())
    with tarfile.open(tmp_path / "b.tar", "w") as made:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(data[0])
        made.addfile(entry, io.BytesIO(data[0]))
        entry = tarfile.TarInfo("settings")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(entry)
    with pytest.raises(BackupError):
        read_backup(tmp_path / "b.tar", kind="thing")


def test_a_state_that_cannot_be_used_leaves_no_folder(tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise StoreError("it is of a newer version")

    write(tmp_path / "b.tar")
    with pytest.raises(StoreError):
        put_back(
            tmp_path / "b.tar", tmp_path / "folder", kind="thing", settings="thing.toml",
            places=places, check=refuse,
        )  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["b.tar"]


def test_a_backup_that_is_killed_leaves_none_and_the_next_one_works(tmp_path: Path) -> None:
    for _ in killed_before_every_call(lambda: write(tmp_path / "b.tar")):
        if (tmp_path / "b.tar").exists():  # killed after it was named
            read_backup(tmp_path / "b.tar", kind="thing")
            (tmp_path / "b.tar").unlink()
    assert [p.name for p in tmp_path.iterdir()] == ["b.tar"]
    restore(tmp_path / "b.tar", tmp_path / "folder")
    assert found(tmp_path / "folder") == RESTORED


def test_restoring_that_is_killed_leaves_no_half_folder_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    write(tmp_path / "b.tar")
    folder = tmp_path / "folder"
    for _ in killed_before_every_call(lambda: restore(tmp_path / "b.tar", folder)):
        if folder.exists():  # killed after it was named
            assert found(folder) == RESTORED
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()
    assert found(folder) == RESTORED
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tar", "folder"]


def test_a_missing_part_is_named_unless_it_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "thing.toml").write_bytes(b"x")
    there = {"settings": tmp_path / "thing.toml", "card": tmp_path / "card.json"}
    contents = gathered(tmp_path, there, read={}, may_lack=("card",))
    assert contents == {"settings": ("thing.toml", b"x")}
    with pytest.raises(FedsegError, match=r"card\.json cannot be read"):
        gathered(tmp_path, there, read={}, may_lack=())


def test_a_snapshot_is_one_moment_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    schema = ("CREATE TABLE t (a INTEGER) STRICT; PRAGMA user_version = 1;",)
    with closing(Database(path, name="x", migrations=schema, remedy="")) as database:
        for number in range(100):
            database.ask("INSERT INTO t VALUES (?)", number)
        with closing(Database(path, name="x", migrations=schema, remedy="")) as other:
            with other.transaction():
                other.ask("DELETE FROM t WHERE a < 50")
                data = database.snapshot()  # what is not committed is not in it
            later = database.snapshot()
    for snapshot, count in ((data, 100), (later, 50)):
        (tmp_path / "copy.db").write_bytes(snapshot)
        with closing(sqlite3.connect(tmp_path / "copy.db")) as opened:
            assert opened.execute("SELECT count(*) FROM t").fetchone() == (count,)
            assert opened.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_damaged_database_is_in_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    schema = ("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT) STRICT; PRAGMA user_version = 1;",)
    with closing(Database(path, name="x", migrations=schema, remedy="bring it back")) as database:
        for number in range(5_000):
            database.ask("INSERT INTO t VALUES (?, ?)", number, f"{number:100d}")
    data = bytearray(path.read_bytes())
    for page in range(3, len(data) // 4096 - 1, 7):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    with (
        closing(Database(path, name="x", migrations=schema, remedy="bring it back")) as opened,
        pytest.raises(StoreError),
    ):
        opened.snapshot()
