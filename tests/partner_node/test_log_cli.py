"""`log …`: what an auditor sees and checks, at the node and elsewhere, and what is noticed."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from machine.named_files import read_of_log, write_within
from partner_node.home import NodeHome
from partner_node.store.node_store import NodeStore
from protocol.errors import UsageError
from protocol.log.checking import check_log
from protocol.log.checkpoints import Checkpoint
from protocol.log.copies import exported_files, open_copied
from protocol.log.names import key_of_log
from protocol.log.notes import Ed25519Verifier, Note, sign_ed25519
from protocol.log.proofs import LogProof
from protocol.log.showing import proof_of, signed_checkpoint
from protocol.signing import public_bytes
from simulations.federation import EphemeralSealer
from tests import effort
from tests.partner_node.nodes import OTHERS, installed, node, shell  # noqa: F401 - fixtures
from tests.shell import Shell

AT = "2026-12-01T09:00:00.000000Z"


def add(folder: Path, first: int, last: int) -> None:
    home = NodeHome.load(folder)
    with closing(home.store(home.keystore())) as store, store.transaction():
        for number in range(first, last):
            store.note_signed(number.to_bytes(32, "big"), now=AT, by="anna")


@pytest.fixture
def logging(node: Path) -> Path:
    """A node's folder with a log of 301 entries."""
    add(node, 0, 300)
    return node


def checkpoint(shell: Shell, folder: Path, out: Path) -> dict[str, Any]:
    return shell.json("log", "checkpoint", "--out", out, "--dir", folder)


def state_of(folder: Path) -> Path:
    return NodeHome.load(folder).state_file


def changed(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(state_of(folder))) as state, state:
        for statement in statements:
            state.execute(statement)


def test_entries_are_shown(shell: Shell, logging: Path) -> None:
    all_of = shell.json("log", "show", "--dir", logging)
    assert (all_of["size"], len(all_of["entries"])) == (301, 301)
    assert all_of["entries"][0]["kind"] == "log-begun"
    assert all_of["entries"][0]["party"] == "north"
    some = shell.json("log", "show", "--since", 299, "--kind", "agreement-signed", "--dir", logging)
    assert [one["number"] for one in some["entries"]] == [299, 300]
    assert shell.json("log", "show", "--kind", "left", "--dir", logging)["entries"] == []
    newest = shell.json("log", "show", "--kind", "agreement-signed", "--last", 2, "--dir", logging)
    assert newest["entries"] == some["entries"]
    assert shell.json("log", "show", "--last", 301, "--dir", logging) == all_of
    text = shell("log", "show", "--since", 300, "--dir", logging).out
    assert "agreement-signed" in text and "by anna" in text and "1 entry of 301" in text
    assert "agreement hash 0000000000000000," in text, "a hash by its first digits"
    assert "earlier no, party north" in shell("log", "show", "--dir", logging).out


def test_a_log_is_whole_also_for_earlier_checkpoints(
    shell: Shell,
    logging: Path,
    tmp_path: Path,
) -> None:
    said = checkpoint(shell, logging, tmp_path / "old")
    assert said["origin"].startswith("fedseg/north/")
    assert said["key"].startswith(said["origin"] + "+")
    assert said["note"] == (tmp_path / "old").read_text()
    add(logging, 300, 700)
    checkpoint(shell, logging, tmp_path / "new")
    found = shell.json(
        "log", "verify", "--checkpoint", tmp_path / "old", "--checkpoint", tmp_path / "new",
        "--dir", logging,
    )  # fmt: skip
    assert [one["size"] for one in found["checkpoints"]] == [301, 701]
    assert (found["size"], found["root"]) == (701, found["checkpoints"][1]["root"])
    for words in (("old", "new"), ("new", "old"), ("old", "old")):
        paths = [tmp_path / word for word in words]
        assert shell("log", "consistency", *paths, "--dir", logging).code == 0
    assert "cut off" in shell("log", "verify", "--dir", logging).out


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE log_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'anna', 'otto') AS BLOB)"
         " WHERE number = 7", "E-LOG-HASHES"),
        ("DELETE FROM log_entries WHERE number = 7", "E-LOG-HASHES"),
        ("UPDATE log_hashes SET hash = zeroblob(32) WHERE level = 0 AND position = 300",
         "E-LOG-HASHES"),
        ("UPDATE log_hashes SET hash = zeroblob(32) WHERE level = 1", "E-LOG-HASHES"),
        ("UPDATE log_entries SET entry = x'7b7d' WHERE number = 7", "E-LOG-FORMAT"),
    ],
)  # fmt: skip
def test_what_was_changed_in_the_database_is_noticed(
    shell: Shell,
    logging: Path,
    statement: str,
    code: str,
) -> None:
    changed(logging, statement)
    assert shell.refused("log", "verify", "--dir", logging, status=3)["code"] == code


def test_entries_that_were_exchanged_are_noticed(shell: Shell, logging: Path) -> None:
    changed(
        logging, "UPDATE log_entries SET number = -1 WHERE number = 7",
        "UPDATE log_entries SET number = 7 WHERE number = 8",
        "UPDATE log_entries SET number = 8 WHERE number = -1",
    )  # fmt: skip
    assert shell.refused("log", "verify", "--dir", logging, status=3)["code"] == "E-LOG-HASHES"


def test_a_tail_that_was_cut_off_is_noticed_by_a_checkpoint_kept_elsewhere(
    shell: Shell,
    logging: Path,
    tmp_path: Path,
) -> None:
    checkpoint(shell, logging, tmp_path / "kept")
    changed(
        logging, "DELETE FROM log_entries WHERE number >= 290",
        "DELETE FROM log_hashes WHERE level = 0 AND position >= 290",
    )  # fmt: skip
    words = ("log", "verify", "--checkpoint", tmp_path / "kept", "--dir", logging)
    assert shell("log", "verify", "--dir", logging).code == 0
    assert shell.refused(*words, status=3)["code"] == "E-LOG-SHORT"
    checkpoint(shell, logging, tmp_path / "cut")
    add(logging, 1000, 1050)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-FORKED"
    both = (tmp_path / "kept", tmp_path / "cut")
    error = shell.refused("log", "consistency", *both, "--dir", logging, status=3)
    assert error["code"] == "E-LOG-CONSISTENCY"


def test_a_checkpoint_of_another_key_is_refused(
    shell: Shell,
    logging: Path,
    tmp_path: Path,
) -> None:
    home = NodeHome.load(logging)
    with closing(home.store(home.keystore())) as store:
        note = signed_checkpoint(store.log, "north", OTHERS[0])
        own = key_of_log("north", home.keystore().identity_public)
        said = Checkpoint(own.name, store.log.size, store.log.root())
    (tmp_path / "other").write_bytes(note.to_bytes())
    words = ("log", "verify", "--checkpoint", tmp_path / "other", "--dir", logging)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-UNSIGNED"
    earlier = key_of_log("north", public_bytes(OTHERS[0]))
    assert shell(*words, "--key", earlier).code == 0, "an earlier key of the same log"
    mixed = sign_ed25519(Note(said.to_text()), earlier.name, OTHERS[0])
    (tmp_path / "other").write_bytes(mixed.to_bytes())
    error = shell.refused(*words, "--key", earlier, status=3)
    assert error["code"] == "E-LOG-ORIGIN"


def test_a_log_goes_on_under_a_new_key(shell: Shell, installed: Path, tmp_path: Path) -> None:
    old = checkpoint(shell, installed, tmp_path / "old")
    assert old["size"] > 0
    shell.json("key", "rotate", "--dir", installed)
    add(installed, 0, 5)
    new = checkpoint(shell, installed, tmp_path / "new")
    assert old["origin"] != new["origin"]
    words = ("--checkpoint", tmp_path / "old", "--checkpoint", tmp_path / "new")
    assert shell("log", "verify", *words, "--dir", installed).code == 0
    paths = (tmp_path / "old", tmp_path / "new")
    assert shell("log", "consistency", *paths, "--dir", installed).code == 0


def test_a_proof_is_checked_offline(shell: Shell, logging: Path, tmp_path: Path) -> None:
    proof, entry = tmp_path / "proof", tmp_path / "entry"
    said = shell.json("log", "prove", 7, "--out", proof, "--entry", entry, "--dir", logging)
    shutil.rmtree(logging)
    for words in ((), ("--entry", entry)):
        found = shell.json("log", "check-proof", proof, "--key", said["key"], *words)
        assert (found["number"], found["entry"]["by"], found["size"]) == (7, "anna", 301)
    entry.write_bytes(entry.read_bytes().replace(b"anna", b"otto"))
    words = ("log", "check-proof", proof, "--key", said["key"], "--entry", entry)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-INCLUSION"
    stranger = key_of_log("north", public_bytes(OTHERS[0]))
    words = ("log", "check-proof", proof, "--key", stranger)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-UNSIGNED"


def test_an_entry_that_there_is_not_is_not_proved(
    shell: Shell,
    logging: Path,
    tmp_path: Path,
) -> None:
    words = ("log", "prove", 301, "--out", tmp_path / "proof", "--dir", logging)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-UNKNOWN"
    assert not (tmp_path / "proof").exists()
    words = ("log", "check-proof", tmp_path / "proof", "--key", "k")
    assert shell.refused(*words, status=2)["code"] == "E-LOG-FILE"


def test_what_is_copied_of_the_log_is_closed_to_other_accounts(
    shell: Shell, logging: Path, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        shell.json("log", "export", tmp_path / "copy", "--dir", logging)
        files = ("--out", tmp_path / "proof", "--entry", tmp_path / "entry")
        shell.json("log", "prove", 1, *files, "--dir", logging)
    finally:
        os.umask(before)
    written = [tmp_path / "proof", tmp_path / "entry", *(tmp_path / "copy").rglob("*")]
    assert [str(one) for one in written if one.stat().st_mode & 0o077] == []


def test_what_shows_that_a_log_is_another_or_shorter_is_never_written_over(
    shell: Shell, logging: Path, tmp_path: Path
) -> None:
    shutil.copytree(logging, tmp_path / "backup")
    copy, kept, mine = tmp_path / "copy", tmp_path / "kept", tmp_path / "mine"
    mine.write_bytes(b"mine")
    add(logging, 300, 310)
    for _ in range(2):  # the second takes the place of the first
        shell.json("log", "export", copy, "--dir", logging)
        checkpoint(shell, logging, kept)
        add(logging, 310, 311)
    shutil.rmtree(logging)
    shutil.copytree(tmp_path / "backup", logging)
    before = {one: one.read_bytes() for one in [kept, *copy.rglob("*")] if one.is_file()}
    for code in ("E-LOG-SHORT", "E-LOG-FORKED"):
        for words in (("export", copy), ("checkpoint", "--out", kept)):
            error = shell.refused("log", *words, "--dir", logging, status=3)
            assert error["code"] == code
            assert str(words[-1]) in error["message"]
        add(logging, 400, 430)
    words = ("log", "checkpoint", "--out", mine, "--dir", logging)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-FORMAT"
    assert {one: one.read_bytes() for one in before} == before
    assert mine.read_bytes() == b"mine"


def test_a_copy_is_checked_without_the_node(shell: Shell, logging: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    checkpoint(shell, logging, tmp_path / "kept")
    shell.json("log", "export", copy, "--dir", logging)
    add(logging, 300, 600)
    said = shell.json("log", "export", copy, "--dir", logging)
    shutil.rmtree(logging)
    words = ("log", "verify", "--log", copy, "--key", said["key"])
    found = shell.json(*words, "--checkpoint", tmp_path / "kept")
    assert (found["size"], found["root"]) == (601, said["root"])
    assert sorted(str(one.relative_to(copy)) for one in copy.rglob("*") if one.is_file()) == [
        "checkpoint", "tile/0/000", "tile/0/001", "tile/0/001.p/45", "tile/0/002.p/89",
        "tile/1/000.p/1", "tile/1/000.p/2", "tile/entries/000", "tile/entries/001",
        "tile/entries/001.p/45", "tile/entries/002.p/89",
    ]  # fmt: skip
    paths = (copy / "checkpoint", tmp_path / "kept")
    assert shell("log", "consistency", *paths, "--log", copy, "--key", said["key"]).code == 0
    assert shell("log", "verify", "--log", copy).code == 2, "the key comes from elsewhere"
    bundle = copy / "tile" / "entries" / "001"
    bundle.write_bytes(bundle.read_bytes().replace(b"anna", b"otto", 1))
    assert shell.refused(*words, status=3)["code"] == "E-LOG-HASHES"
    bundle.unlink()
    assert shell.refused(*words, status=2)["code"] == "E-LOG-FILE"


def test_what_others_vouch_for_is_not_read_again(
    shell: Shell, logging: Path, tmp_path: Path
) -> None:
    words = ("log", "verify", "--quick", "--dir", logging)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-NOT-COSIGNED"
    checkpoint(shell, logging, tmp_path / "kept")
    add(logging, 300, 305)
    whole = shell.json("log", "verify", "--dir", logging)
    kept = ("--checkpoint", tmp_path / "kept")
    found = shell.json(*words, *kept)
    assert (found["size"], found["root"]) == (whole["size"], whole["root"])
    assert found["known"] == whole["size"] - 5
    changed(
        logging,
        "UPDATE log_entries SET entry = CAST(replace(CAST(entry AS TEXT), 'anna', 'otto') AS BLOB)"
        f" WHERE number = {whole['size'] - 1}",
    )
    assert shell.refused(*words, *kept, status=3)["code"] == "E-LOG-HASHES"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(11))
    assert read_of_log(tmp_path / "large", 11) == bytes(11)
    with pytest.raises(UsageError, match="E-LOG-FILE"):
        read_of_log(tmp_path / "large", 10)


def test_a_backup_has_the_log_and_a_checkpoint_tells_of_an_older_state(
    shell: Shell,
    logging: Path,
    tmp_path: Path,
) -> None:
    shell.json("state", "backup", tmp_path / "backup", "--dir", logging)
    before = shell.json("log", "verify", "--dir", logging)
    add(logging, 300, 305)
    checkpoint(shell, logging, tmp_path / "kept")
    passphrase = (logging / "keys" / "passphrase").read_bytes()
    shutil.rmtree(logging)
    shell.json("state", "restore", tmp_path / "backup", "--elsewhere", "--dir", logging)
    if not (logging / "keys" / "passphrase").exists():
        (logging / "keys" / "passphrase").write_bytes(passphrase)
        (logging / "keys" / "passphrase").chmod(0o600)
    assert shell.json("log", "verify", "--dir", logging) == before
    words = ("log", "verify", "--checkpoint", tmp_path / "kept", "--dir", logging)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-SHORT"


def test_a_proof_takes_a_handful_of_tiles(tmp_path: Path) -> None:
    _check_proofs(tmp_path, 2_000)


@pytest.mark.long
def test_a_proof_of_a_million_entries_takes_a_handful_of_tiles(tmp_path: Path) -> None:
    _check_proofs(tmp_path, effort.count(20_000, 1_000_000))


def _check_proofs(folder: Path, count: int) -> None:
    """A log of `count` entries is proved with few reads, verified, and copied."""
    store = NodeStore(folder / "node.db", EphemeralSealer(), party="north")
    with store.transaction():
        for number in range(count - 1):
            store.note_signed(number.to_bytes(32, "big"), now=AT, by="anna")
    statements: list[str] = []
    note = signed_checkpoint(store.log, "north", OTHERS[0])
    store._connection.set_trace_callback(statements.append)
    proof = LogProof.parse(proof_of(store.log, count // 3, note).to_bytes())
    store._connection.set_trace_callback(None)
    assert len(statements) <= 10
    key = key_of_log("north", public_bytes(OTHERS[0]))
    log = Ed25519Verifier(key)
    assert proof.check(store.log.entry(count // 3), origin=key.name, log=log).size == count
    whole = check_log(store.log, [Checkpoint.from_text(note.text)])
    write_within(folder / "copy", exported_files(store.log, note))
    copied, said = open_copied(lambda path, most: read_of_log(folder / "copy" / path, most), [key])
    assert check_log(copied, [said]) == whole == (count, said.root)
    store.close()
