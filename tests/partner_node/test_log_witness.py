"""`log witness`, `log accept`, proofs by cosigned seals: at the node, and offline elsewhere."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from partner_node.cosigning import Cosigning
from partner_node.home import NodeHome
from partner_node.metrics.health import LinkState
from partner_node.metrics.measuring import measure_node
from partner_node.store.node_store import NodeStore
from partner_node.store.seals import Seals
from protocol.log.beside import Cosigned, Passed, Shown
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import TIME_BYTES, cosign_ed25519
from protocol.log.names import key_of_seals, key_of_witness
from protocol.log.notes import Note, sign_ed25519
from protocol.signing import public_bytes
from tests.partner_node.nodes import OTHERS, installed, node, shell  # noqa: F401 - fixtures
from tests.partner_node.test_log_cli import add, changed
from tests.scraping import scraped
from tests.shell import Shell

TIME = 1_796_115_600
NAMES = ("other-0", "other-1")


@contextmanager
def cosigning_at(folder: Path) -> Iterator[tuple[Cosigning, NodeStore]]:
    home = NodeHome.load(folder)
    agreement, keystore = home.signed_agreement().agreement, home.keystore()
    with closing(home.store(keystore)) as store, store.transaction():
        at = agreement.index_of_key(keystore.identity_public)
        now = datetime.now(UTC)
        yield Cosigning(agreement, at, store, keystore.identity, now=now), store


def sealed(folder: Path, *messages: int, by: int = 2) -> None:
    """Seal the log for each message, and have the last seal cosigned by some others."""
    with cosigning_at(folder) as (cosigning, store):
        for message in messages:
            cosigning.seal(message, os.urandom)
        newest = Seals(store, "ours").newest()
        assert newest is not None
        found = []
        for at, name in list(enumerate(NAMES))[:by]:
            key = key_of_witness(name, public_bytes(OTHERS[at])).name
            note = cosign_ed25519(Note.parse(newest.note), key, OTHERS[at], TIME + at)
            found.append(
                Cosigned(
                    party=name, size=newest.state.size, root=newest.state.root, time=TIME + at,
                    signature=note.signatures[-1].data[TIME_BYTES:],
                )
            )  # fmt: skip
        cosigning.take(Passed(cosigned=tuple(found)).to_bytes())


def shown(folder: Path, size: int, root: bytes) -> None:
    """Show the node a state of the seals of the first other party."""
    key = key_of_seals(NAMES[0], public_bytes(OTHERS[0]), "ours")
    note = sign_ed25519(Note(Checkpoint(key.name, size, root).to_text()), key.name, OTHERS[0])
    one = Shown(party=NAMES[0], note=note.to_bytes().decode(), proof=None)
    with cosigning_at(folder) as (cosigning, _):
        cosigning.take(Passed(shown=(one,)).to_bytes())


def test_who_cosigned_how_far_is_shown(shell: Shell, installed: Path) -> None:
    (before,) = shell.json("log", "witness", "--dir", installed)["agreements"]
    assert (before["agreement"], before["seals"]) == ("ours", 0)
    assert [one["party"] for one in before["witnesses"]] == list(NAMES)
    assert {one["cosigned"] for one in before["witnesses"]} == {None}
    sealed(installed, 1, 2)
    sealed(installed, 3, by=1)
    shown(installed, 7, bytes(32))
    (after,) = shell.json("log", "witness", "--dir", installed)["agreements"]
    assert after["seals"] == 3
    assert [one["cosigned"] for one in after["witnesses"]] == [3, 2]
    assert after["witnesses"][0]["at"].startswith("2026-12-01T")
    assert [one["size"] for one in after["witnessed"]] == [7, None]
    text = shell("log", "witness", "--dir", installed).out
    assert "Agreement ours: 3 seals of this log" in text and "other-1" in text


def test_a_partner_that_saw_more_than_there_is_here_is_named(shell: Shell, installed: Path) -> None:
    """What a node sees whose state was restored from an older backup."""
    key = key_of_seals("north", NodeHome.load(installed).keystore().identity_public, "ours")
    note = Note(Checkpoint(key.name, 9, bytes(32)).to_text())
    name = key_of_witness(NAMES[0], public_bytes(OTHERS[0])).name
    made = cosign_ed25519(note, name, OTHERS[0], TIME).signatures[-1].data[TIME_BYTES:]
    one = Cosigned(party=NAMES[0], size=9, root=bytes(32), time=TIME, signature=made)
    with cosigning_at(installed) as (cosigning, _):
        cosigning.take(Passed(cosigned=(one,)).to_bytes())
    (found,) = shell.json("log", "witness", "--dir", installed)["agreements"]
    assert [(one["cosigned"], one["foreign"]) for one in found["witnesses"]] == [
        (None, 9), (None, None),
    ]  # fmt: skip
    assert (
        "a state of 9 seals that this log has not"
        in shell("log", "witness", "--dir", installed).out
    )


def test_a_fork_is_shown_until_a_person_accepts_it(shell: Shell, installed: Path) -> None:
    words = ("log", "accept", NAMES[0], "--dir", installed)
    assert shell.refused(*words, status=2)["code"] == "E-LOG-NO-FORK"
    shown(installed, 7, bytes(32))
    shown(installed, 7, b"\x01" * 32)
    found = shell.json("log", "witness", "--dir", installed)
    (fork,) = found["agreements"][0]["forks"]
    assert (fork["party"], fork["size"], fork["accepted_at"]) == (NAMES[0], 7, None)
    assert fork["known"] != fork["other"]
    assert "log accept other-0" in found["warnings"][0]
    assert found["warnings"] == shell.json("status", "--dir", installed)["warnings"]
    home = NodeHome.load(installed)
    assert scraped(lambda: measure_node(home, LinkState()), dict)[("fedseg_node_log_forks",)] == 1
    assert shell.json(*words)["accepted_by"]
    entries = shell.json("log", "show", "--dir", installed)["entries"]
    assert [one["kind"] for one in entries[-2:]] == ["log-forked", "log-accepted"]
    assert (entries[-1]["known"], entries[-1]["other"]) == ("00" * 32, "01" * 32)
    assert shell.json("log", "witness", "--dir", installed)["warnings"] == []
    assert shell.refused(*words, status=2)["code"] == "E-LOG-NO-FORK"
    acts = shell.json("user", "log", "--dir", installed)["acts"]
    assert ("log accept", NAMES[0], "done") in [
        (one["act"], one["about"], one["outcome"]) for one in acts
    ]


def test_an_entry_is_proved_by_a_cosigned_seal_and_checked_offline(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    words = ("log", "prove", 0, "--cosigned", "--out", proof, "--dir", installed)
    assert shell.refused(*words, status=3)["code"] == "E-LOG-NOT-COSIGNED"
    sealed(installed, 1, 2, by=1)
    sealed(installed, 3)
    sealed(installed, 4, by=1)
    add(installed, 0, 3)
    log = shell.json("log", "show", "--dir", installed)
    last = ("log", "prove", log["size"] - 1, *words[3:])
    assert shell.refused(*last, status=3)["code"] == "E-LOG-NOT-COSIGNED", "not sealed yet"
    said = shell.json(*words)
    assert said["size"] == 3, "the first state that most cosigned"
    agreement = tmp_path / "agreement.json"
    shutil.copy(installed / "agreement.json", agreement)
    shutil.rmtree(installed)

    check = ("log", "check-proof", proof)
    found = shell.json(*check, "--agreement", agreement, "--quorum", 2)
    assert found["entry"] == {k: v for k, v in log["entries"][0].items() if k != "number"}
    assert sorted(found["cosigned"].values()) == [
        "2026-12-01T09:00:00.000000Z", "2026-12-01T09:00:01.000000Z",
    ]  # fmt: skip
    text = shell(*check, "--agreement", agreement).out
    assert text.count("cosigned a seal of it at 2026-12-01T09:00:0") == 2
    keys = [str(key_of_witness(one, public_bytes(OTHERS[at]))) for at, one in enumerate(NAMES)]
    one = shell.json(*check, "--key", said["key"], "--witness", keys[0])
    assert len(one["cosigned"]) == 1
    none = shell(*check, "--key", said["key"])
    assert (none.code, "Nobody that is known here cosigned it" in none.out) == (0, True)
    error = shell.refused(*check, "--agreement", agreement, "--quorum", 3, status=3)
    assert error["code"] == "E-LOG-QUORUM"
    error = shell.refused(*check, "--key", keys[0], status=3)
    assert error["code"] in ("E-LOG-FORMAT", "E-LOG-UNSIGNED")
    assert shell(*check).code == 2, "keys come from elsewhere"
    (tmp_path / "entry").write_bytes(b"another")
    error = shell.refused(*check, "--agreement", agreement, "--entry", tmp_path / "entry", status=3)
    assert error["code"] == "E-LOG-INCLUSION"
    proof.write_bytes(proof.read_bytes().replace(b"\nindex 0\n", b"\nindex 1\n"))
    error = shell.refused(*check, "--agreement", agreement, status=3)
    assert error["code"] == "E-LOG-INCLUSION"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE seals SET nonce = zeroblob(32) WHERE number = 1", "E-LOG-HASHES"),
        ("UPDATE seals SET text = replace(text, char(10) || '4' || char(10),"
         " char(10) || '3' || char(10))", "E-LOG-HASHES"),
        ("UPDATE seals SET note = (SELECT note FROM seals WHERE number = 0) WHERE number = 2",
         "E-LOG-HASHES"),
        ("UPDATE seal_hashes SET hash = zeroblob(32) WHERE position = 2", "E-LOG-HASHES"),
        ("DELETE FROM seals WHERE number = 1", "E-LOG-HASHES"),
    ],
)  # fmt: skip
def test_seals_that_were_changed_are_noticed(
    shell: Shell, installed: Path, statement: str, code: str
) -> None:
    add(installed, 0, 1)
    sealed(installed, 1, 2, 3)
    found = shell.json("log", "verify", "--dir", installed)
    assert (found["seals"], found["size"]) == (3, 4)
    changed(installed, statement)
    assert shell.refused("log", "verify", "--dir", installed, status=3)["code"] == code


def test_a_tail_that_was_cut_off_is_noticed_by_the_nodes_own_seals(
    shell: Shell, installed: Path
) -> None:
    sealed(installed, 1)
    add(installed, 0, 20)
    sealed(installed, 2)
    changed(
        installed, "DELETE FROM log_entries WHERE number >= 10",
        "DELETE FROM log_hashes WHERE level = 0 AND position >= 10",
    )  # fmt: skip
    error = shell.refused("log", "verify", "--dir", installed, status=3)
    assert error["code"] == "E-LOG-SHORT"
    add(installed, 100, 120)
    error = shell.refused("log", "verify", "--dir", installed, status=3)
    assert error["code"] == "E-LOG-FORKED"


@pytest.fixture
def copied(shell: Shell, installed: Path, tmp_path: Path) -> SimpleNamespace:
    """A copy of a log with three seals, of which two partners cosigned the second, elsewhere."""
    sealed(installed, 1, 2)
    add(installed, 0, 5)
    sealed(installed, 3, by=1)
    said = shell.json("log", "export", tmp_path / "copy", "--dir", installed)
    agreement = tmp_path / "agreement.json"
    shutil.copy(installed / "agreement.json", agreement)
    shutil.rmtree(installed)
    folder = tmp_path / "copy"
    words = ("log", "verify", "--log", folder, "--key", said["key"], "--agreement", agreement)
    return SimpleNamespace(words=words, seals=folder / "seals" / "ours", files=said["files"])


def test_a_copy_has_its_seals_opened_and_says_who_cosigned_them(
    shell: Shell, copied: SimpleNamespace
) -> None:
    files = [one for one in copied.seals.parents[1].rglob("*") if one.is_file()]
    assert len(files) == copied.files
    found = shell.json(*copied.words)
    (one,) = found["cosigned"]
    assert (one["agreement"], one["seals"], found["seals"]) == ("ours", 2, 2)
    assert one["size"] < found["size"], "up to the state that most cosigned"
    assert sorted(one["cosigned"].values()) == [
        "2026-12-01T09:00:00.000000Z", "2026-12-01T09:00:01.000000Z",
    ]  # fmt: skip
    assert "were sealed, cosigned by fedseg/other-0/" in shell(*copied.words).out
    alone = shell(*copied.words[:-2])
    assert (alone.code, "by nobody that is known here" in alone.out) == (0, True)
    shutil.rmtree(copied.seals.parent)
    assert shell.json(*copied.words)["cosigned"] == [], "a copy of before"


@pytest.mark.parametrize(
    ("file", "old", "new", "code"),
    [
        ("opened", b'"nonce":"', b'"nonce":"00', "E-LOG-FORMAT"),
        ("opened", b"fedseg/north", b"fedseg/south", "E-LOG-ORIGIN"),
        ("opened", b'"checkpoint"', b'"Checkpoint"', "E-LOG-FORMAT"),
        ("checkpoint", b"/ours\n", b"/others\n", "E-LOG-UNSIGNED"),
        ("checkpoint", b"\n2\n", b"\n3\n", "E-LOG-SIGNATURE"),
        ("checkpoint", b"fedseg/north", b"fedseg/south", "E-LOG-UNSIGNED"),
    ],
)
def test_a_copys_seals_that_were_changed_are_noticed(
    shell: Shell, copied: SimpleNamespace, file: str, old: bytes, new: bytes, code: str
) -> None:
    path = copied.seals / file
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    error = shell.refused(*copied.words, status=3)["code"]
    assert error in (code, "E-LOG-SIGNATURE", "E-LOG-FORMAT")


def test_a_copys_seals_are_those_of_its_own_log(
    shell: Shell, copied: SimpleNamespace, tmp_path: Path
) -> None:
    """Left out, or of states that the log never had."""
    path = copied.seals / "opened"
    lines = path.read_bytes().splitlines(keepends=True)
    for changed_lines in (lines[:1], lines[::-1], lines + lines[-1:]):
        path.write_bytes(b"".join(changed_lines))
        assert shell.refused(*copied.words, status=3)["code"] == "E-LOG-HASHES"
    path.write_bytes(b"".join(lines))
    copied.seals.rename(copied.seals.with_name("others"))
    assert shell.refused(*copied.words, status=3)["code"] == "E-LOG-UNSIGNED"


def test_a_copy_whose_seals_the_log_did_not_sign_is_refused(
    shell: Shell, copied: SimpleNamespace
) -> None:
    path = copied.seals / "checkpoint"
    text, _, lines = path.read_bytes().partition(b"\n\n")
    others = b"".join(lines.splitlines(keepends=True)[1:])
    path.write_bytes(text + b"\n\n" + others)
    assert shell.refused(*copied.words, status=3)["code"] == "E-LOG-UNSIGNED"
