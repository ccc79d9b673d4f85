"""A coordinator's state made on a server, moved there and back, backed up and put back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coordinator import backup, moving
from coordinator.config import CoordinatorConfig
from coordinator.runs.life import run_lock, serve_lock
from coordinator.store.content import Content, content_of
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RoundRow, Traffic
from machine.backups import STATE, read_backup
from protocol.errors import StoreError
from tests.federations import small_federation
from tests.kills import killed_before_every_call
from tests.shell import Shell
from tests.store_servers import Server, new_settings

pytestmark = pytest.mark.slow

INIT = ("init", "--legal-name", "Op", "--contact", "ops@operator.example")
RUN = b"\x01" * 16
FEDERATION = small_federation()


def restored(folder: Path) -> Content:
    """What a state has that was put back, but for the mark that it was."""
    found = content(folder)
    facts = [row for row in found["outside_facts"] if row[0] != "restored"]
    assert len(facts) == len(found["outside_facts"]) - 1
    return found | {"outside_facts": facts}


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(capsys, monkeypatch, program="fedseg-coordinator")


@pytest.fixture
def url(store_server: Server) -> str:
    return store_server.url(schema=store_server.schema())


def fill(store: CoordinatorStore) -> None:
    """A run under way, with numbers, texts and bytes of every kind."""
    agreement = FEDERATION.agreement
    store.add_agreement(FEDERATION.signed)
    store.request_run(RUN, agreement)
    store.append_input(RUN, "received", bytes(range(256)), store.chain_at_start(RUN, agreement))
    store.save_round(RUN, RoundRow(round=0, partners=3, seconds=0.1 + 0.2, inertia=None, length=9))
    store.save_traffic(RUN, [Traffic(partner="Ä%s", messages=1, bytes_up=1 << 40, bytes_down=0)])
    store.report_progress(RUN, {"doing": "it's 100 %, \\ and ?"})


def content(folder: Path) -> Content:
    with closing(CoordinatorConfig.load(folder).open_store()) as store:
        return content_of(store)


@pytest.fixture
def home(shell: Shell, tmp_path: Path) -> Path:
    """A coordinator whose state is in its folder."""
    shell.json(*INIT, "--dir", "c")
    with closing(CoordinatorConfig.load(tmp_path / "c").open_store()) as store:
        fill(store)
    return tmp_path / "c"


# --- on a server from the start ----------------------------------------------------------------


def test_a_coordinator_begins_on_a_server(
    shell: Shell, store_server: Server, url: str, tmp_path: Path
) -> None:
    shell.json(*INIT, "--dir", "c", "--store", url)
    assert not list((tmp_path / "c").glob("coordinator.db*"))
    with closing(CoordinatorConfig.load(tmp_path / "c").open_store()) as store:
        fill(store)
    found = shell.json("state", "check", "--dir", "c")
    assert found == {"state": f"database 'postgres' at {store_server.socket}", "sound": True}
    assert [run["run_id"] for run in shell.json("run", "list", "--dir", "c")["runs"]] == [RUN.hex()]


def test_a_second_coordinator_does_not_begin_in_the_same_place(
    shell: Shell, url: str, tmp_path: Path
) -> None:
    shell.json(*INIT, "--dir", "c", "--store", url)
    error = shell.refused(*INIT, "--dir", "d", "--store", url, status=1)
    assert error["code"] == "E-STORE-TAKEN"
    assert not (tmp_path / "d").exists()
    assert content(tmp_path / "c")


def test_options_that_contradict_each_other_are_refused(
    shell: Shell, url: str, tmp_path: Path
) -> None:
    with_password = url.replace("postgres@", "postgres:s3cret@")
    error = shell.refused(*INIT, "--dir", "c", "--store", with_password, status=2)
    assert error["code"] == "E-STORE-URL"
    assert "s3cret" not in str(error)
    shell.refused(*INIT, "--dir", "c", "--store-password-env", "X", status=2)
    shell.refused(
        *INIT, "--dir", "c", "--store", url, "--store-password-env", "X",
        "--store-password-file", "y", status=2,
    )  # fmt: skip
    assert not (tmp_path / "c").exists()


# --- moving ------------------------------------------------------------------------------------


def test_a_state_is_moved_to_a_server_and_back(
    shell: Shell, store_server: Server, home: Path, url: str
) -> None:
    before, settings = content(home), (home / "coordinator.toml").read_text()
    moved = shell.json("state", "move", "--to", url, "--dir", home)
    assert moved["to"] == f"database 'postgres' at {store_server.socket}"
    assert not list(home.glob("coordinator.db*"))
    assert content(home) == before
    assert "[store]" in (home / "coordinator.toml").read_text()
    shell.json("state", "move", "--to", "sqlite", "--dir", home)
    assert (home / "coordinator.toml").read_text() == settings
    assert content(home) == before
    assert (home / "coordinator.db").stat().st_mode & 0o777 == 0o600
    schema = url.rpartition("%3D")[2]
    left = store_server.run("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    assert left == []
    shell.json("state", "move", "--to", url, "--dir", home)
    assert content(home) == before


def test_a_state_is_not_moved_to_where_it_is_or_from_server_to_server(
    shell: Shell, home: Path, url: str
) -> None:
    shell.refused("state", "move", "--to", "sqlite", "--dir", home, status=2)
    shell.json("state", "move", "--to", url, "--dir", home)
    shell.refused("state", "move", "--to", url, "--dir", home, status=2)


def test_a_state_is_not_moved_while_it_is_served_or_a_run_is_driven(
    shell: Shell, home: Path, url: str
) -> None:
    words = ("state", "move", "--to", url, "--dir", home)
    with serve_lock(home):
        assert "stop it first" in shell.refused(*words, status=2)["remedy"]
    with run_lock(home, RUN):
        shell.refused(*words, status=2)
    shell.json(*words)


def test_a_state_is_not_moved_from_a_server_while_another_machine_serves_it(
    shell: Shell, home: Path, url: str
) -> None:
    shell.json("state", "move", "--to", url, "--dir", home)
    settings = CoordinatorConfig.load(home).store
    assert settings is not None
    with closing(settings.lease()) as other:
        other.hold()
        error = shell.refused("state", "move", "--to", "sqlite", "--dir", home, status=1)
    assert error["code"] == "E-STORE-IN-USE"
    assert not (home / "coordinator.db").exists()


def test_nothing_is_moved_over_an_earlier_state(shell: Shell, home: Path, url: str) -> None:
    shutil.copy(home / "coordinator.db", home / "copy.db")
    shell.json("state", "move", "--to", url, "--dir", home)
    (home / "copy.db").rename(home / "coordinator.db")
    before = (home / "coordinator.db").read_bytes()
    shell.refused("state", "move", "--to", "sqlite", "--dir", home, status=2)
    assert (home / "coordinator.db").read_bytes() == before
    assert content(home)


def test_a_command_that_had_the_file_open_when_it_was_moved_changes_nothing_there(
    shell: Shell, home: Path, url: str
) -> None:
    with closing(CoordinatorConfig.load(home).open_store()) as store:
        store.runs()
        shell.json("state", "move", "--to", url, "--dir", home)
        with pytest.raises(StoreError, match="moved elsewhere") as caught:
            store.fail(RUN, "E-STOPPED", "by the operator")
        assert caught.value.remedy
    with closing(CoordinatorConfig.load(home).open_store()) as store:
        assert not store.run(RUN).ended


def test_a_move_that_fails_leaves_everything_where_it_was(
    shell: Shell, home: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, settings = content(home), (home / "coordinator.toml").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(moving, "write_file", full)
        shell.refused("state", "move", "--to", url, "--dir", home, status=1)
    assert (home / "coordinator.toml").read_bytes() == settings
    assert content(home) == before
    shell.json("state", "move", "--to", url, "--dir", home)
    with monkeypatch.context() as patch:
        patch.setattr(moving, "write_file", full)
        shell.refused("state", "move", "--to", "sqlite", "--dir", home, status=1)
    assert content(home) == before
    assert CoordinatorConfig.load(home).store is not None


def test_a_move_that_is_killed_leaves_the_whole_state_where_the_settings_say(
    home: Path, store_server: Server, tmp_path: Path
) -> None:
    before = content(home)
    whole = shutil.copytree(home, tmp_path / "whole")
    wanted = [new_settings(store_server, home)]

    for _ in killed_before_every_call(
        lambda: moving.move(CoordinatorConfig.load(home), wanted[-1])
    ):
        assert content(home) == before
        if CoordinatorConfig.load(home).store is None:
            continue  # the next one begins again in the same schema
        shutil.rmtree(home)
        shutil.copytree(whole, home)
        wanted.append(new_settings(store_server, home))
    assert len(wanted) > 1
    assert content(home) == before
    assert CoordinatorConfig.load(home).store == wanted[-1]


def test_a_move_back_that_is_killed_leaves_the_whole_state_where_the_settings_say(
    home: Path, store_server: Server, tmp_path: Path
) -> None:
    before = content(home)
    whole = shutil.copytree(home, tmp_path / "whole")
    moving.move(CoordinatorConfig.load(home), new_settings(store_server, home))
    for _ in killed_before_every_call(lambda: moving.move(CoordinatorConfig.load(home), None)):
        assert content(home) == before
        if CoordinatorConfig.load(home).store is not None:
            continue  # the next one clears up what is there
        shutil.rmtree(home)
        shutil.copytree(whole, home)
        moving.move(CoordinatorConfig.load(home), new_settings(store_server, home))
    assert content(home) == before
    assert CoordinatorConfig.load(home).store is None
    assert [path.name for path in home.glob("coordinator.db*")] == ["coordinator.db"]


# --- backups -----------------------------------------------------------------------------------


@pytest.fixture
def on_server(shell: Shell, home: Path, url: str) -> Iterator[Path]:
    """A coordinator whose state is on a server."""
    shell.json("state", "move", "--to", url, "--dir", home)
    yield home


def test_a_backup_of_a_state_on_a_server_is_the_same_file_as_one_of_a_file(
    shell: Shell, on_server: Path, tmp_path: Path
) -> None:
    with closing(CoordinatorConfig.load(on_server).open_store()):  # as while it serves
        shell.json("state", "backup", "b.tar", "--dir", on_server)
    state = read_backup(tmp_path / "b.tar", kind="coordinator")[1][STATE]
    (tmp_path / "found.db").write_bytes(state)
    with closing(CoordinatorStore.in_file(tmp_path / "found.db")) as store:
        store.check()
        assert content_of(store) == content(on_server)


def test_a_backup_is_restored_onto_either_database(
    shell: Shell, store_server: Server, on_server: Path, tmp_path: Path
) -> None:
    before = content(on_server)
    shell.json("state", "backup", "b.tar", "--dir", on_server)
    shell.json("state", "restore", "b.tar", "--store", "sqlite", "--dir", "in-file")
    assert restored(tmp_path / "in-file") == before
    assert CoordinatorConfig.load(tmp_path / "in-file").store is None
    shutil.copy(on_server / "keys" / "passphrase", tmp_path / "in-file" / "keys" / "passphrase")
    shell.json("state", "backup", "file.tar", "--dir", "in-file")
    other = store_server.url(schema=store_server.schema())
    shell.json("state", "restore", "file.tar", "--store", other, "--dir", "elsewhere")
    assert restored(tmp_path / "elsewhere") == before
    assert {one.name for one in (tmp_path / "elsewhere").glob("*.db")} == {"accounts.db"}


def test_a_backup_goes_back_to_the_database_that_its_settings_name_once_that_is_empty(
    shell: Shell, store_server: Server, on_server: Path, url: str, tmp_path: Path
) -> None:
    before = content(on_server)
    shell.json("state", "backup", "b.tar", "--dir", on_server)
    words = ("state", "restore", "b.tar", "--dir", "again")
    assert shell.refused(*words, status=1)["code"] == "E-STORE-TAKEN"
    assert not (tmp_path / "again").exists()
    assert content(on_server) == before
    schema = url.rpartition("%3D")[2]
    store_server.run(f"DROP SCHEMA {schema} CASCADE")
    store_server.run(f"CREATE SCHEMA {schema}")
    assert shell.refused("run", "list", "--dir", on_server, status=1)["code"] == "E-STATE-LOST"
    shell.json(*words)
    assert restored(tmp_path / "again") == before


def test_restoring_onto_a_server_that_is_killed_leaves_no_half_and_the_next_one_works(
    shell: Shell, store_server: Server, on_server: Path, tmp_path: Path
) -> None:
    before = content(on_server)
    shell.json("state", "backup", "b.tar", "--dir", on_server)
    folder = tmp_path / "again"
    settings = new_settings(store_server, folder)

    def restore() -> Any:
        return backup.restore(tmp_path / "b.tar", folder, store=lambda _: settings)

    for _ in killed_before_every_call(restore):
        if folder.exists():  # killed after it was named
            assert restored(folder) == before
            shutil.rmtree(folder)
            settings = new_settings(store_server, folder)
    assert restored(folder) == before


def test_a_backup_is_one_moment_while_others_write(
    shell: Shell, on_server: Path, tmp_path: Path
) -> None:
    """Its rows are read table by table, all as its first statement saw them."""
    with (
        closing(CoordinatorConfig.load(on_server).open_store()) as writer,
        closing(CoordinatorConfig.load(on_server).open_store()) as reader,
    ):
        before = content_of(writer)
        database: Any = reader._database
        run, done = database._run, []

        def written_meanwhile(sql: str, *values: object) -> Any:
            found = run(sql, *values)
            if "FROM agreements" in sql and not done:
                done.append(True)
                writer.fail(RUN, "E-STOPPED", "by the operator")
            return found

        database._run = written_meanwhile
        data = reader.snapshot()
        assert done
        assert content_of(writer) != before
    (tmp_path / "found.db").write_bytes(data)
    with closing(sqlite3.connect(tmp_path / "found.db")) as found:
        assert found.execute("SELECT state FROM runs").fetchall() == [("requested",)]
        assert found.execute("SELECT count(*) FROM inputs").fetchall() == [(1,)]
