"""`log …` of the coordinator: what an auditor of the processor sees, and what is noticed."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.config import STORE_FILE, CoordinatorConfig
from coordinator.control.outside_facts import note_facts
from coordinator.store.admitted_nodes import AdmittedNodes
from tests.control.commands import operator
from tests.coordinator.test_rotating import folder  # noqa: F401 - a fixture
from tests.partner_node.nodes import shell  # noqa: F401 - a fixture
from tests.shell import Shell


def admit(folder: Path, *names: str) -> None:
    with closing(CoordinatorConfig.load(folder).open_store()) as store:
        for name in names:
            AdmittedNodes(store).admit({name: f"ecdsa-sha2-nistp384 {name}"})


@pytest.fixture
def logging(folder: Path) -> Path:
    """A coordinator's folder with a log of four entries."""
    admit(folder, "north", "south", "west")
    return folder


def test_entries_are_shown_of_some_kinds_or_the_newest(shell: Shell, logging: Path) -> None:
    show = (operator(shell), "log", "show", "--dir", logging)
    whole = show[0].json(*show[1:])
    assert [one["kind"] for one in whole["entries"]] == ["log-begun", *["partner-admitted"] * 3]
    few = show[0].json(*show[1:], "--kind", "partner-admitted", "--kind", "stop", "--last", 2)
    assert [one["partner"] for one in few["entries"]] == ["south", "west"]
    assert "partner west" in show[0](*show[1:]).out


def test_a_checkpoint_kept_elsewhere_shows_what_was_cut_off(
    shell: Shell, logging: Path, tmp_path: Path
) -> None:
    run, where = operator(shell), ("--dir", logging)
    kept = tmp_path / "kept.checkpoint"
    first = run.json("log", "checkpoint", "--out", kept, *where)
    assert first["origin"].startswith("fedseg/coordinator/") and first["size"] == 4
    admit(logging, "east")
    later = tmp_path / "later.checkpoint"
    run.json("log", "checkpoint", "--out", later, *where)
    assert run.json("log", "verify", "--checkpoint", kept, *where)["size"] == 5
    assert len(run.json("log", "consistency", kept, later, *where)["proof"]) > 0
    with closing(sqlite3.connect(logging / STORE_FILE)) as connection, connection:
        connection.execute("DELETE FROM log_entries WHERE number > 2")
        connection.execute("DELETE FROM log_hashes WHERE position > 2")
    assert run.refused("log", "verify", "--checkpoint", kept, *where, status=3)["code"] == (
        "E-LOG-SHORT"
    )
    before = kept.read_bytes()
    assert run.refused("log", "checkpoint", "--out", kept, *where, status=3)["code"] == (
        "E-LOG-SHORT"
    )
    assert kept.read_bytes() == before, "it shows what was cut off"


def test_an_entry_that_was_changed_is_noticed(shell: Shell, logging: Path) -> None:
    with closing(sqlite3.connect(logging / STORE_FILE)) as connection, connection:
        connection.execute(
            "UPDATE log_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'west', 'east')"
            " AS BLOB) WHERE number = 3"
        )
    found = operator(shell).refused("log", "verify", "--dir", logging, status=3)
    assert found["code"] == "E-LOG-HASHES"


def test_a_copy_and_one_entry_are_checked_elsewhere(
    shell: Shell, logging: Path, tmp_path: Path
) -> None:
    run, where = operator(shell), ("--dir", logging)
    proof, copy = tmp_path / "entry.proof", tmp_path / "copy"
    key = run.json("log", "prove", 2, "--out", proof, *where)["key"]
    assert run.json("log", "check-proof", proof, "--key", key)["entry"]["partner"] == "south"
    node = shell.json("log", "check-proof", proof, "--key", key)
    assert node["entry"]["partner"] == "south", "a partner checks it with its own program"
    assert run.refused("log", "prove", 9, "--out", proof, *where, status=3)["code"] == (
        "E-LOG-UNKNOWN"
    )
    run.json("log", "export", copy, *where)
    assert run.json("log", "verify", "--log", copy, "--key", key)["size"] == 4
    assert shell.json("log", "verify", "--log", copy, "--key", key)["size"] == 4
    run.refused("log", "verify", "--log", copy, status=2)
    proof.write_bytes(proof.read_bytes().replace(b"index 2", b"index 1"))
    assert run.refused("log", "check-proof", proof, "--key", key, status=3)["code"] == (
        "E-LOG-INCLUSION"
    )


def test_settings_keys_and_restored_states_are_in_it_when_it_serves(
    shell: Shell, logging: Path, tmp_path: Path
) -> None:
    run = operator(shell)

    def serves(folder: Path) -> list[str]:
        config = CoordinatorConfig.load(folder)
        with closing(config.open_store()) as store:
            before = store.log.size
            note_facts(config, store)
        shown = run.json("log", "show", "--since", before, "--dir", folder)["entries"]
        return [one["kind"] + " " + one.get("changed", "") for one in shown]

    assert serves(logging) == ["settings ", "signing-key "]
    assert serves(logging) == []
    settings = logging / "coordinator.toml"
    settings.write_text(settings.read_text().replace("resend_s = 5", "resend_s = 6"))
    assert serves(logging) == ["settings runs.resend_s"]
    run.json("key", "rotate", "--dir", logging)
    shown = run.json("log", "show", "--last", 1, "--dir", logging)["entries"]
    assert shown[0]["kind"] == "key-handed-over"
    assert serves(logging) == ["signing-key "]
    before = tmp_path / "before.checkpoint"
    run.json("log", "checkpoint", "--out", before, "--dir", logging)
    run.json("state", "backup", tmp_path / "c.backup", "--dir", logging)
    run.json("state", "restore", tmp_path / "c.backup", "--dir", tmp_path / "again")
    passphrase = tmp_path / "again" / "keys" / "passphrase"
    shutil.copy(logging / "keys" / "passphrase", passphrase)
    assert serves(tmp_path / "again") == ["restored "]
    assert run.json("log", "verify", "--checkpoint", before, "--dir", tmp_path / "again")["size"]


def test_who_acted_is_in_it(shell: Shell, logging: Path) -> None:
    run, where = operator(shell), ("--dir", logging)
    run.json("partner", "remove", "west", *where)
    last = run.json("log", "show", "--last", 1, *where)["entries"][0]
    who = run.json("user", "log", *where)["acts"][-1]["who"]
    assert (last["kind"], last["by"]) == ("partner-removed", who)
    assert who
