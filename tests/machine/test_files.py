"""Files that are written whole and to last, or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from machine import files, private_files
from machine.files import (
    check_writable,
    create_file,
    make_folder_for_owner,
    new_for_owner,
    open_regular,
    replacing,
    write_file,
    write_new_file,
)
from protocol.errors import KeystoreError, UsageError
from tests.kills import killed_before_every_call
from tests.machine.given_away import noting_who_gets, to_owner_of

OLD, NEW = b"old" * 1_000, b"new and longer" * 1_000
DRAFTS = ".draft-*.part"


def drafts(folder: Path) -> list[Path]:
    return list(folder.rglob(DRAFTS))


def test_a_file_that_is_replaced_is_old_or_new_wherever_the_process_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    write_file(path, OLD)
    seen = set()
    for _ in killed_before_every_call(lambda: write_file(path, NEW)):
        assert path.read_bytes() in (OLD, NEW)
        seen.add(path.read_bytes())
        write_file(path, OLD)
        assert not drafts(tmp_path), "the next writer removes what a killed one left"
    assert seen == {OLD, NEW}, "no kill came after the file was replaced: nothing is shown"


def test_a_new_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "within" / "file"
    seen = set()
    for _ in killed_before_every_call(lambda: write_file(path, NEW)):
        seen.add(path.exists())
        if path.exists():
            assert path.read_bytes() == NEW
            path.unlink()
    assert seen == {True, False}


def test_a_file_that_is_made_once_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "key"
    seen = set()
    for _ in killed_before_every_call(lambda: create_file(path, NEW)):
        seen.add(path.exists())
        if path.exists():
            assert path.read_bytes() == NEW
            path.unlink()
    assert seen == {True, False}
    assert path.read_bytes() == NEW
    assert not drafts(tmp_path)


def test_a_file_that_is_made_once_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_file(path, OLD)
    with pytest.raises(FileExistsError):
        create_file(path, NEW)
    assert path.read_bytes() == OLD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not drafts(tmp_path)


def test_what_is_written_is_synced_before_it_has_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("write", "fsync", "replace", "link"):
        call = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, name=name, call=call, **o: (done.append(name), call(*a, **o))[1]
        )
    write_file(tmp_path / "replaced", NEW)
    create_file(tmp_path / "made", NEW)
    assert done == ["write", "fsync", "replace", "fsync", "write", "fsync", "link", "fsync"]


def test_a_draft_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as draft:
        draft.write_bytes(NEW)
        write_file(path, OLD)
        assert draft.exists()
    assert path.read_bytes() == NEW
    assert not drafts(tmp_path)


def test_a_draft_swept_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    lock = files.fcntl.flock
    swept: list[Path] = []

    def sweep_first(descriptor: int, operation: int) -> None:
        if not swept:
            swept.extend(drafts(tmp_path))
            swept[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(files.fcntl, "flock", sweep_first)
    write_file(path, NEW)
    assert len(swept) == 1
    assert path.read_bytes() == NEW


def test_a_draft_that_somebody_else_has_locked_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    lock = files.fcntl.flock
    others: list[int] = []

    def lock_first(descriptor: int, operation: int) -> None:
        if len(others) < 3:
            others.append(os.open(drafts(tmp_path)[0], os.O_RDONLY))
            lock(others[-1], files.fcntl.LOCK_EX)
        lock(descriptor, operation)

    monkeypatch.setattr(files.fcntl, "flock", lock_first)
    write_file(path, NEW)
    assert path.read_bytes() == NEW
    assert not drafts(tmp_path)
    others *= 0
    monkeypatch.setattr(files, "_MOST_DRAFTS", 3)
    with pytest.raises(UsageError, match="busy"):
        write_file(path, OLD)
    assert path.read_bytes() == NEW


def test_where_nothing_can_be_locked_files_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError("No locks available")

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    with replacing(tmp_path / "file") as draft:
        draft.write_bytes(NEW)
        write_file(tmp_path / "file", OLD)
    assert (tmp_path / "file").read_bytes() == NEW


def test_many_writers_of_one_file_leave_what_one_of_them_wrote(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = [bytes([i]) * 20_000 for i in range(8)]

    def write_often(data: bytes) -> None:
        for _ in range(20):
            write_file(path, data)

    threads = [threading.Thread(target=write_often, args=(data,)) for data in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert path.read_bytes() in texts
    assert not drafts(tmp_path)


def test_an_error_while_a_file_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, OLD)
    with pytest.raises(ZeroDivisionError), replacing(path) as draft:
        draft.write_bytes(NEW[:10])
        raise ZeroDivisionError
    assert path.read_bytes() == OLD
    assert not drafts(tmp_path)


def test_a_full_disk_leaves_the_old_file_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_file(path, OLD)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UsageError, match="No space left") as caught:
        write_file(path, NEW)
    assert caught.value.code == "E-FILE"
    assert "free room on its disk" in caught.value.remedy
    assert str(path) in caught.value.message
    monkeypatch.undo()
    assert path.read_bytes() == OLD
    assert not drafts(tmp_path)


def test_the_mode_is_the_umasks_but_never_wider_than_asked(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_file(tmp_path / "closed" / "private", NEW, mode=0o600)
        write_file(tmp_path / "open" / "public", NEW)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*")}
    assert modes == {"closed": 0o700, "private": 0o600, "open": 0o777, "public": 0o666}


def test_a_new_file_takes_no_other_s_place_nor_what_appeared_meanwhile(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "file", tmp_path / "elsewhere"
    path.symlink_to(elsewhere)
    with pytest.raises(UsageError, match="something of that name") as caught:
        write_new_file(path, NEW)
    assert (caught.value.code, elsewhere.exists()) == ("E-FILE", False)
    assert "what is there is kept" in caught.value.remedy
    path.unlink()
    with (
        pytest.raises(UsageError, match="File exists"),
        replacing(path, is_new=True) as draft,
    ):
        draft.write_bytes(NEW)
        path.write_bytes(OLD)
    assert path.read_bytes() == OLD
    assert not drafts(tmp_path)


def test_a_new_file_is_written_where_a_file_has_one_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(draft: Path, path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    write_new_file(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW
    with pytest.raises(UsageError, match="E-FILE"):
        write_new_file(tmp_path / "file", OLD)
    assert not drafts(tmp_path)


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "a b\n'"])
def test_a_file_of_any_name_can_be_written(tmp_path: Path, name: str) -> None:
    write_file(tmp_path / name, NEW)
    assert (tmp_path / name).read_bytes() == NEW


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(OLD)
    for path in (tmp_path / "folder", tmp_path / "file" / "within"):
        with pytest.raises(UsageError) as caught:
            write_file(path, NEW)
        assert caught.value.code == "E-FILE"
    assert not drafts(tmp_path)


def test_a_pipe_and_a_folder_are_no_files_and_are_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(OSError, match=r"Not a regular file|Is a directory"):
            open_regular(path)


def test_a_pipe_is_opened_without_waiting_for_who_writes_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    call = os.open
    monkeypatch.setattr(
        os, "open", lambda p, flags, *a: (opened.append(flags), call(p, flags, *a))[1]
    )
    write_file(tmp_path / "file", NEW)
    opened.clear()
    with open_regular(tmp_path / "file") as file:
        assert file.read() == NEW
    (flags,) = opened
    assert flags & os.O_NONBLOCK, "a pipe that nobody writes into would be waited for, for ever"


def test_a_program_that_is_started_meanwhile_does_not_hold_the_draft(tmp_path: Path) -> None:
    program = "import os; print(*map(os.path.realpath, os.scandir('/proc/self/fd')), sep='\\n')"
    with replacing(tmp_path / "file") as draft:
        other = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, close_fds=False, check=True,
        )  # fmt: skip
        assert str(draft) not in other.stdout.splitlines()


def test_a_place_is_tried_before_what_cannot_be_taken_back_is_done(tmp_path: Path) -> None:
    write_file(tmp_path / "file", OLD)
    for path in (tmp_path, tmp_path / "file" / "below", Path("/proc/none")):
        with pytest.raises(UsageError, match="E-FILE"):
            check_writable(path)
    for path in (tmp_path / "file", tmp_path / "new" / "file"):
        check_writable(path)
    assert (tmp_path / "file").read_bytes() == OLD and not drafts(tmp_path)
    assert not (tmp_path / "new" / "file").exists()


def test_a_folder_that_is_put_in_the_place_of_another_gets_no_file_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a folder in which root makes a file must not get one in another's."""
    folder, aside, foreign = tmp_path / "own", tmp_path / "aside", tmp_path / "foreign"
    folder.mkdir()
    foreign.mkdir()
    whose, owners = folder.stat(), []
    real_open, real_stat, real_fstat = os.open, os.stat, os.fstat

    def swapped(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        found = real_open(path, flags, *rest, **named)
        if flags & os.O_DIRECTORY:  # it was looked up: now its owner puts a link there
            folder.rename(aside)
            folder.symlink_to(foreign)
        return found

    monkeypatch.setattr(os, "open", swapped)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fstat", lambda file: owners.append(real_fstat(file)) or owners[-1])
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    os.close(new_for_owner(folder / "x"))
    assert real_stat(aside / "x").st_size == 0
    assert not list(foreign.iterdir())
    assert [one.st_ino for one in owners] == [whose.st_ino]


@pytest.mark.parametrize(
    ("owner", "folder", "caller", "told"),
    [
        (997, 997, 0, "sudo -u '#997' …"),
        (997, 0, 0, "sudo -u '#997' …; or, where nobody else needs it, chown 0 "),
        (997, 997, 1_000, "sudo -u '#997' …"),
        (0, 0, 997, "sudo -u root …"),
        (0, 997, 997, "chown 997 "),
        (1_000, 997, 997, "chown 997 "),
    ],
)
def test_whoever_calls_a_command_for_a_service_is_told_to_do_so_as_its_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, folder: int, caller: int, told: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0o600)

    def of(user: int) -> Any:
        return SimpleNamespace(st_mode=stat.S_IFREG | 0o600, st_uid=user)

    def name(user: int) -> Any:
        if user:
            raise KeyError(user)
        return SimpleNamespace(pw_name="root")

    with monkeypatch.context() as patch:
        patch.setattr(private_files.pwd, "getpwuid", name)
        patch.setattr(os, "geteuid", lambda: caller)
        patch.setattr(os, "fstat", lambda _: of(owner))
        patch.setattr(Path, "stat", lambda *_, **__: of(folder))
        with pytest.raises(KeystoreError) as caught:
            private_files.read_private_file(path, check_folder=False)
    assert caught.value.code == "E-KEY-MODE"
    assert f"belongs to user {owner}" in caught.value.message
    assert caught.value.remedy.removeprefix("run the command as whose it is: ").startswith(told)
    assert caught.value.remedy.count("chown") == told.count("chown")


@pytest.mark.parametrize("root", [True, False])
def test_a_folder_that_root_makes_belongs_to_whoever_has_the_one_above(
    tmp_path: Path, root: bool
) -> None:
    with noting_who_gets(root=root) as given:
        for _ in range(2):
            make_folder_for_owner(tmp_path / "a" / "b")
    made = to_owner_of(tmp_path, tmp_path / "a", tmp_path / "a" / "b")
    assert given == (made if root else []), "what is there stays whose it is"
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "c").write_bytes(b"")
    with pytest.raises(FileExistsError):
        make_folder_for_owner(tmp_path / "c")
