"""``kill -9`` while a file about customers is written leaves nothing that is not found again."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from partner_node import serving
from partner_node.home import NodeHome
from partner_node.segments import private_files
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.private_files import Leftovers, PrivateFiles, located
from partner_node.segments.retention import purge
from partner_node.store.node_store import NodeStore
from protocol.errors import RuleError, UsageError
from simulations.federation import EphemeralSealer
from tests.partner_node.test_rights import (  # noqa: F401 - fixtures
    counted,
    ids_in,
    ours,
    released,
    shell,
)
from tests.shell import Shell

pytestmark = pytest.mark.slow  # most tests start processes, to kill them

#: Calls the command line; stops in the `moment`th sync of a file or folder after the first draft
#: was opened, until `go` is there.
HOOK = """
import os, sys, time
from pathlib import Path
moment, go = int(sys.argv.pop(1)), Path(sys.argv.pop(1))
calls, drafts, fsync, opening = [], [], os.fsync, os.open
def opened(path, *others, **options):
    drafts.extend([path] if ".fedseg-" in str(path) else [])
    return opening(path, *others, **options)
def stopping(descriptor):
    fsync(descriptor)
    calls.extend([descriptor] if drafts else [])
    if drafts and len(calls) == moment:
        print("stopped", flush=True)
        for _ in range(6000):
            if go.exists():
                break
            time.sleep(0.01)
os.fsync, os.open = stopping, opened
from partner_node import cli
cli.main()
"""
#: The draft is whole; it has taken its place; its record is about to be forgotten.
WRITTEN, REPLACED, FORGETTING = 1, 2, 3
EXPORT = ("segments", "export", "--for", "evaluation")
#: The partner's own data, which nobody is taken out of here.
OWN_DATA = ("customers.csv", "consents.csv")


@contextmanager
def stopped(*words: object, moment: int, go: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of the command line that has stopped in mid-write; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOOK, str(moment), str(go), *map(str, words)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "stopped\n"
        yield process
    finally:
        process.kill()
        process.wait(timeout=30)
        process.stdout.close()


def killed(*words: object, moment: int, folder: Path) -> None:
    """``kill -9`` a command in mid-write."""
    with stopped(*words, moment=moment, go=folder / "never") as process:
        pass
    assert process.returncode == -9


def drafts(folder: Path) -> list[Path]:
    return sorted(folder.rglob(".fedseg-*"))


def files_that_name(subject: str, folder: Path) -> list[str]:
    """Files outside the node's state, other than the partner's own data, that hold an id."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.name in OWN_DATA or not path.is_file() or "node" in path.parts:
            continue
        if path.suffix == ".parquet":
            held = subject in ids_in(path)
        else:
            text = path.read_text(encoding="utf-8", errors="replace")
            held = any(f"{a}{subject}{b}" in text for a, b in ((",", ","), ("\n", ","), ('"', '"')))
        if held:
            found.append(path.name)
    return found


def store_of(folder: Path) -> NodeStore:
    home = NodeHome.load(folder)
    return home.store(home.keystore())


def after_retention(folder: Path) -> datetime:
    days = NodeHome.load(folder).signed_agreement().agreement.retention.assignments_days
    return datetime.now(UTC) + timedelta(days=days + 1)


# --- killed in mid-write -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["new.parquet", "deep/er/new.csv"])
def test_an_export_that_was_killed_leaves_nothing_of_a_customer_who_is_erased(
    shell: Shell, ours: Path, tmp_path: Path, name: str
) -> None:
    killed(*EXPORT, "--out", name, "--dir", ours, moment=WRITTEN, folder=tmp_path)
    (left,) = drafts(tmp_path)
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    renamed = left.rename(left.with_name("seen" + Path(name).suffix))
    assert "c7" in ids_in(renamed), "there is nothing to leave behind: the test shows nothing"
    renamed.rename(left)
    done = shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
    assert drafts(tmp_path) == []
    assert files_that_name("c7", tmp_path) == []
    assert store_of(ours).ask("SELECT * FROM drafts") == []
    # Its record was made before it could have appeared.
    assert done["files_gone"] == [str(tmp_path / name)]


@pytest.mark.parametrize("moment", [WRITTEN, REPLACED, FORGETTING])
def test_an_export_that_was_killed_is_gone_when_retention_ends(
    shell: Shell, ours: Path, tmp_path: Path, moment: int
) -> None:
    killed(*EXPORT, "--out", "new.csv", "--dir", ours, moment=moment, folder=tmp_path)
    assert bool(drafts(tmp_path)) == (moment == WRITTEN)
    assert (tmp_path / "new.csv").exists() == (moment != WRITTEN)
    with closing(store_of(ours)) as store:
        agreement = NodeHome.load(ours).signed_agreement().agreement
        purge(store, [agreement], datetime.now(UTC))
        assert drafts(tmp_path) == []
        assert store.ask("SELECT * FROM drafts") == []
        purge(store, [agreement], after_retention(ours))
        assert ExportRecords(store).all() == []
    assert files_that_name("c7", tmp_path) == []


@pytest.mark.parametrize("moment", [WRITTEN, REPLACED, FORGETTING])
def test_taking_somebody_out_that_was_killed_ends_when_it_is_called_again(
    shell: Shell, ours: Path, tmp_path: Path, moment: int
) -> None:
    words = ("rights", "erase", "--subject", "c7", "--dir", ours)
    killed(*words, moment=moment, folder=tmp_path)
    assert "c7" not in counted(ours)
    both = [ids_in(tmp_path / name) for name in ("all.csv", "all.parquet")]
    assert sum("c7" in ids for ids in both) == (2 if moment == WRITTEN else 1)
    done = shell.json(*words)
    assert len(done["taken_out_of"]) == (2 if moment == WRITTEN else 1)
    assert drafts(tmp_path) == []
    assert files_that_name("c7", tmp_path) == []
    rows = {e["customers"] for e in shell.json("segments", "exports", "--dir", ours)["exports"]}
    assert rows == {63}


@pytest.mark.parametrize("moment", [WRITTEN, REPLACED, FORGETTING])
def test_files_of_a_removal_that_was_killed_are_gone_when_retention_ends(
    shell: Shell, ours: Path, tmp_path: Path, moment: int
) -> None:
    killed("rights", "erase", "--subject", "c7", "--dir", ours, moment=moment, folder=tmp_path)
    with closing(store_of(ours)) as store:
        agreement = NodeHome.load(ours).signed_agreement().agreement
        found = purge(store, [agreement], after_retention(ours))
        assert set(found.deleted) == {str(tmp_path / name) for name in ("all.csv", "all.parquet")}
        assert ExportRecords(store).all() == []
    assert files_that_name("c7", tmp_path) == []
    assert files_that_name("c8", tmp_path) == []
    assert drafts(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "then"),
    [
        (("access", "--subject", "c7", "--out", "c7.json"), "import"),
        (("access", "--subject", "c7", "--out", "c7.json"), "access"),
        (("access", "--subject", "c7", "--out", "c7.json"), "serve"),
        (("export", "--subject", "c7", "--out", "c7.csv"), "export"),
        (("object", "--subject", "c7", "--receipt", "receipt.json"), "erase"),
    ],
)
def test_an_answer_that_was_killed_is_swept_by_whatever_deals_with_files_next(
    shell: Shell, ours: Path, tmp_path: Path, words: tuple[str, ...], then: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    moment = WRITTEN if words[0] != "object" else 1 + 2 * 3  # two files are written again before
    killed("rights", *words, "--dir", ours, moment=moment, folder=tmp_path)
    (left,) = drafts(tmp_path)
    assert left.stat().st_size
    for file in (ours / "state").iterdir():
        assert b"c7.json" not in file.read_bytes()
    match then:
        case "erase":
            shell.json("rights", "erase", "--subject", "c1", "--dir", ours)
        case "access":
            shell.json("rights", "access", "--subject", "c1", "--dir", ours)
        case "export":
            shell.json(*EXPORT, "--out", "other.csv", "--dir", ours)
        case "import":
            (tmp_path / "said.csv").write_text("customer_id,kind,at\n")
            shell.json("feedback", "import", "said.csv", "--dir", ours)
        case "serve":
            monkeypatch.setattr(serving, "serve_link", lambda *_, **__: None)
            serving.serve_node(ours, threading.Event())
    assert drafts(tmp_path) == []


# --- while a process lives -----------------------------------------------------------------------


def test_what_a_living_process_writes_is_left_alone_and_waited_for(
    shell: Shell, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = (*EXPORT, "--out", "new.csv", "--dir", ours)
    with stopped(*export, moment=WRITTEN, go=tmp_path / "go"):
        (left,) = drafts(tmp_path)
        with closing(store_of(ours)) as store:
            assert PrivateFiles(store).sweep() == Leftovers()
            purge(store, [NodeHome.load(ours).signed_agreement().agreement], datetime.now(UTC))
        monkeypatch.setattr(private_files, "LONGEST_WAIT_S", 0.1)
        error = shell.refused("rights", "erase", "--subject", "c7", "--dir", ours, status=2)
        assert "another process of this node has been writing" in error["message"]
        assert "call this command again" in error["remedy"]
        assert "c7" not in counted(ours), "the wish holds"
        shell.refused(*EXPORT, "--out", "other.csv", "--dir", ours, status=2)
        assert drafts(tmp_path) == [left]
        assert left.stat().st_size
    shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
    assert drafts(tmp_path) == []
    assert files_that_name("c7", tmp_path) == []


def test_whoever_is_erased_while_an_export_is_written_is_not_in_it(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    export = (*EXPORT, "--out", "new.csv", "--dir", ours)
    with stopped(*export, moment=WRITTEN, go=go) as process:
        later = threading.Timer(0.3, go.touch)
        later.start()
        done = shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
        later.join()
        assert process.wait(timeout=60) == 0
    assert str(tmp_path / "new.csv") in done["taken_out_of"]
    assert len(ids_in(tmp_path / "new.csv")) == 63
    assert files_that_name("c7", tmp_path) == []


def test_a_lock_that_nobody_holds_any_more_is_free_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    files = PrivateFiles(store)
    with files.held() as held, held.replacing(tmp_path / "a") as draft:
        draft.path.write_text("x")
        other = PrivateFiles(NodeStore(tmp_path / "node.db", EphemeralSealer()))
        assert other.sweep() == Leftovers()
        assert draft.path.exists()
    monkeypatch.setattr(private_files, "LONGEST_WAIT_S", -1)  # without waiting
    with other.held():
        assert (tmp_path / "a").read_text() == "x"


# --- what cannot be deleted ----------------------------------------------------------------------


def test_a_draft_whose_folder_is_not_there_is_named_until_it_can_be_deleted(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    (tmp_path / "stick").mkdir()
    killed(*EXPORT, "--out", "stick/new.csv", "--dir", ours, moment=WRITTEN, folder=tmp_path)
    (left,) = drafts(tmp_path)
    (tmp_path / "stick").rename(tmp_path / "pulled")
    for _ in range(2):
        done = shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
        assert str(left) in done["files_gone"]
    told = shell(*EXPORT, "--out", "more.csv", "--dir", ours)
    assert told.code == 0
    assert "bring the folder back" in " ".join(told.err.split())
    (tmp_path / "pulled").rename(tmp_path / "stick")
    done = shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
    assert str(left) not in done["files_gone"]
    assert files_that_name("c7", tmp_path) == []


def test_a_draft_that_cannot_be_deleted_is_named_and_the_wish_holds(
    shell: Shell, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(*EXPORT, "--out", "new.csv", "--dir", ours, moment=WRITTEN, folder=tmp_path)
    (left,) = drafts(tmp_path)
    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self == left:
            raise PermissionError(1, "not permitted")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    error = shell.refused("rights", "erase", "--subject", "c7", "--dir", ours, status=3)
    assert error["code"] == "E-SEGMENT-FILE"
    assert left.name in error["message"]
    assert "c7" not in counted(ours)
    assert "c7" not in ids_in(tmp_path / "all.csv"), "one file keeps nobody in another"
    warnings = shell.json(*EXPORT, "--out", "more.csv", "--dir", ours)["warnings"]
    assert left.name in warnings[0]
    agreement = NodeHome.load(ours).signed_agreement().agreement
    with closing(store_of(ours)) as store:
        with pytest.raises(RuleError) as caught:
            purge(store, [agreement], datetime.now(UTC))
        assert (caught.value.code, left.name in caught.value.message) == ("E-RETENTION", True)
        monkeypatch.undo()
        purge(store, [agreement], datetime.now(UTC))
    assert drafts(tmp_path) == []


def test_files_that_cannot_be_read_are_all_named_and_keep_nobody_in_the_others(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    for name in ("b.parquet", "c.parquet"):
        shell.json(*EXPORT, "--out", name, "--dir", ours)
        (tmp_path / name).write_bytes(b"not parquet")
    error = shell.refused("rights", "erase", "--subject", "c7", "--dir", ours, status=3)
    assert error["code"] == "E-SEGMENT-FILE"
    assert "b.parquet" in error["message"]
    assert "c.parquet" in error["message"]
    assert "c7" not in ids_in(tmp_path / "all.csv") + ids_in(tmp_path / "all.parquet")


# --- where and how -------------------------------------------------------------------------------


def test_folders_that_the_node_makes_and_files_in_them_are_for_its_account_alone(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        (ours / "segments").exists() and (ours / "segments").rmdir()
        shell.json("segments", "assign", "--dir", ours)
        shell.json(*EXPORT, "--out", "deep/er/new.csv", "--dir", ours)
    finally:
        os.umask(before)
    (written,) = (ours / "segments").iterdir()
    for folder in (ours / "segments", tmp_path / "deep", tmp_path / "deep" / "er"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (written, tmp_path / "deep" / "er" / "new.csv"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_in_the_place_of_a_link_is_found_where_it_is(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.csv").write_text("theirs")
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    shell.json(*EXPORT, "--out", "link.csv", "--overwrite", "--dir", ours)
    done = shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
    assert str(tmp_path / "link.csv") in done["taken_out_of"]
    assert files_that_name("c7", tmp_path) == []
    assert (tmp_path / "elsewhere.csv").read_text() == "theirs"


def test_a_place_is_absolute_and_its_own_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real" / "a").symlink_to("b")
    assert located(Path("folder/a")) == tmp_path.resolve() / "real" / "a"


def test_a_draft_is_on_record_for_every_process_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer = EphemeralSealer()
    store = NodeStore(tmp_path / "node.db", sealer)
    seen: list[tuple[bool, int]] = []
    opening = os.open

    def watched(path: Path | str, *others: int, **options: int) -> int:
        if ".fedseg-" in str(path):
            with closing(NodeStore(tmp_path / "node.db", sealer)) as other:
                recorded = len(other.ask("SELECT * FROM drafts"))
            seen.append((Path(path).exists(), recorded))
        return opening(path, *others, **options)

    monkeypatch.setattr(os, "open", watched)
    with PrivateFiles(store).held() as files, files.replacing(tmp_path / "a") as draft:
        draft.path.write_text("x")
    assert seen == [(False, 1)]
    assert (tmp_path / "a").read_text() == "x"
    assert store.ask("SELECT * FROM drafts") == []


def test_a_draft_that_fails_is_deleted_and_forgotten(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    (tmp_path / "a").write_text("before")
    with PrivateFiles(store).held() as files:
        with pytest.raises(ValueError, match="no"), files.replacing(tmp_path / "a") as draft:
            draft.path.write_text("half")
            assert len(store.ask("SELECT * FROM drafts")) == 1
            raise ValueError("no")
        with pytest.raises(UsageError), files.replacing(tmp_path / "a" / "b"):
            raise AssertionError("a file is no folder")
    assert (tmp_path / "a").read_text() == "before"
    assert drafts(tmp_path) == []
    assert store.ask("SELECT * FROM drafts") == []
