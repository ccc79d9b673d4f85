"""A node's signing key is replaced: what is on disk after each step, and what holds then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from partner_node import client_app, rotating
from partner_node import home as at_home
from partner_node.agreement_files import read_agreement
from partner_node.hand_overs import KnownHandOvers
from partner_node.home import NodeHome
from partner_node.keystore import Keystore
from partner_node.rotating import renew, rotate
from partner_node.signing import Signing, note_signature
from partner_node.store.refused_hand_overs import RefusedHandOvers
from protocol.agreement import hand_overs
from protocol.agreement.hand_over import HandOver
from protocol.agreement.partner_card import PartnerCard
from protocol.canonical import frame
from protocol.errors import FedsegError
from protocol.messages import Open, Stop, sign_request
from protocol.signing import key_id, public_bytes
from tests.end_to_end.deployment import cheap_key_stores
from tests.partner_node.nodes import (
    COORDINATOR,
    OTHERS,
    installed,
    node,
    open_node,
    shell,
    successor,
)
from tests.shell import Shell
from tests.switching_off import SwitchedOffError

__all__ = ["installed", "node", "shell"]

AT = "2026-03-01T09:00:00Z"
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with cheap_key_stores():
        yield


def own_key(directory: Path) -> bytes:
    return NodeHome.load(directory).keystore().identity_public


def test_rotate_replaces_the_key_and_erases_the_old_one(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    old = own_key(installed)
    found = shell.json("key", "rotate", "--out", tmp_path / "h.json", "--dir", installed)
    new = own_key(installed)
    assert (found["old_key"], found["new_key"]) == (key_id(old), key_id(new))
    assert found["agreements"] == ["ours"] and found["number"] == 1 and not found["sent"]
    written = HandOver.from_bytes((tmp_path / "h.json").read_bytes())
    assert (written.partner, written.old_key, written.new_key) == ("north", old, new)
    card = PartnerCard.from_bytes((installed / "partner-card.json").read_bytes())
    assert card.public_key == new
    agreement = NodeHome.load(installed).signed_agreement().verify()
    assert agreement.index_of_key(new) == 0
    assert shell.json("agreement", "show", "--dir", installed)["version"] == 1
    again = shell.json("key", "rotate", "--dir", installed)
    assert again["number"] == 2 and own_key(installed) != new
    shown = shell.json("key", "show", "--dir", installed)
    assert [one["number"] for one in shown["hand_overs"]] == [1, 2]
    assert shown["key"] == again["new_key"]
    home = NodeHome.load(installed)
    assert home.keystore().next_identity is None


def test_every_hand_over_of_a_node_is_written_to_a_file_for_whoever_lacks_several(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    refused = shell.refused("key", "export", "h.json", "--dir", installed, status=2)
    assert "was not handed over" in refused["message"]
    keys = [own_key(installed)]
    for _ in range(2):
        rotate(NodeHome.load(installed), now=NOW)
        keys.append(own_key(installed))
    for number in (1, 2):
        words = ("key", "export", "h.json", "--number", number, "--dir", installed)
        assert shell.json(*words)["number"] == number
        one = HandOver.from_bytes((tmp_path / "h.json").read_bytes())
        assert (one.old_key, one.new_key) == (keys[number - 1], keys[number])
    assert shell.json("key", "export", "h.json", "--dir", installed)["number"] == 2
    refused = shell.refused("key", "export", "h.json", "--number", 3, "--dir", installed, status=2)
    assert "there are 1 to 2" in refused["remedy"]


def test_a_place_where_nothing_can_be_written_is_refused_before_the_key_is_replaced(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    old = own_key(installed)
    refused = shell.refused("key", "rotate", "--out", tmp_path, "--dir", installed, status=2)
    assert refused["code"] == "E-FILE"
    assert own_key(installed) == old and not NodeHome.load(installed).hand_overs.load()


def test_a_key_that_was_handed_over_too_often_stays_as_it_is(
    shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(NodeHome.load(installed), now=NOW)
    own = own_key(installed)
    monkeypatch.setattr(hand_overs, "MAX_NUMBER", 1)
    refused = shell.refused("key", "rotate", "--dir", installed, status=3)
    assert refused["code"] == "E-KEY-FULL" and "key renew" in refused["remedy"]
    assert own_key(installed) == own
    assert NodeHome.load(installed).keystore().next_identity is None, "nothing was begun"


def test_that_the_coordinator_lacks_the_hand_over_is_said_to_programs_too(
    shell: Shell, installed: Path
) -> None:
    found = shell.json("key", "rotate", "--dir", installed)
    assert not found["sent"]
    assert ["E-KEY-BEHIND" in one and "key export" in one for one in found["warnings"]] == [True]


@pytest.mark.parametrize("step", ["first save", "hand-over", "runs", "card", "last save"])
def test_switched_off_at_any_step_one_key_is_in_force_and_the_same_command_goes_on(
    installed: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old = own_key(installed)
    saves = iter([step == "first save", step == "last save"])
    real = Keystore.save

    def save(self: Keystore, *words: object, **more: object) -> None:
        real(self, *words, **more)  # type: ignore[arg-type]
        if next(saves, False):
            raise SwitchedOffError

    def off(*_: object, **__: object) -> None:
        raise SwitchedOffError

    with monkeypatch.context() as patch:
        patch.setattr(Keystore, "save", save)
        if step == "hand-over":
            patch.setattr(KnownHandOvers, "take", off)
        if step == "runs":
            patch.setattr(rotating, "_end_runs", off)
        if step == "card":
            patch.setattr(rotating, "write_card", off)
        with pytest.raises(SwitchedOffError):
            rotate(NodeHome.load(installed), now=NOW)
    home = NodeHome.load(installed)
    between = own_key(installed)
    assert home.signed_agreement().agreement.index_of_key(between) == 0
    assert (between == old) == (step in ("first save", "hand-over"))
    assert open_node(installed).partner == 0
    finished = step == "last save"
    done = rotate(home, now=NOW)
    assert done.hand_over.number == (2 if finished else 1), "no second one from the old key"
    assert len(NodeHome.load(installed).hand_overs.load()) == done.hand_over.number
    assert own_key(installed) == done.hand_over.new_key
    store = home.config.keys.store
    passphrase = (installed / "keys" / "passphrase").read_bytes().strip()
    assert Keystore.open(store, passphrase).next_identity is None


def test_a_key_is_not_replaced_while_a_run_goes_on_unless_it_is_to_end(
    shell: Shell, installed: Path
) -> None:
    opened = open_node(installed)
    agreed = opened.agreement
    opened.handle(sign_request(Open(agreement_hash=agreed.hash, run_id=b"r" * 16), COORDINATOR))
    opened.store.close()
    assert shell.refused("key", "rotate", "--dir", installed, status=2)["code"] == "E-KEY-RUN"
    store = NodeHome.load(installed).store(NodeHome.load(installed).keystore())
    with store.transaction():
        store.ask("UPDATE runs SET updated_at = '2026-01-01T00:00:00Z'")
    store.close()
    refused = shell.refused("key", "rotate", "--dir", installed, status=2)
    assert refused["code"] == "E-KEY-RUN", "a coordinator that was away goes on with its runs"
    assert "last at 2026-01-01T00:00:00Z" in refused["message"]
    assert own_key(installed) == agreed.keys.of(0)
    found = shell.json("key", "rotate", "--end-runs", "--dir", installed)
    assert found["runs_ended"] == [(b"r" * 16).hex()]
    store = NodeHome.load(installed).store(NodeHome.load(installed).keystore())
    run = store.run_by_id(b"r" * 16)
    store.close()
    assert run is not None and run.state["aborted_with"] == "E-KEY-ROTATED"


@pytest.mark.parametrize("step", ["first save", "runs", "card", "last save"])
def test_a_key_that_is_renewed_is_on_the_card_whatever_is_switched_off(
    installed: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old, home = own_key(installed), NodeHome.load(installed)
    saves = iter([step == "first save", step == "last save"])
    real = Keystore.save

    def save(self: Keystore, *words: object, **more: object) -> None:
        real(self, *words, **more)  # type: ignore[arg-type]
        if next(saves, False):
            raise SwitchedOffError

    def on_card() -> bytes:
        return PartnerCard.from_bytes((installed / "partner-card.json").read_bytes()).public_key

    def off(*_: object, **__: object) -> None:
        raise SwitchedOffError

    with monkeypatch.context() as patch:
        patch.setattr(Keystore, "save", save)
        if step == "runs":
            patch.setattr(rotating, "_end_runs", off)
        if step == "card":
            patch.setattr(rotating, "write_card", off)
        with pytest.raises(SwitchedOffError):
            renew(home, now=NOW)
    if step == "last save":
        assert on_card() == own_key(installed) != old
        return
    drawn = NodeHome.load(installed).keystore().next_identity
    assert own_key(installed) == old == on_card() and drawn is not None
    anew = renew(home, now=NOW).identity_public
    assert anew != public_bytes(drawn), "whoever stole the old key may have that one too"
    assert on_card() == own_key(installed) == anew
    assert NodeHome.load(installed).keystore().next_identity is None
    assert not home.hand_overs.load()


def test_a_key_is_renewed_whatever_a_rotation_had_begun(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(*_: object, **__: object) -> None:
        raise SwitchedOffError

    with monkeypatch.context() as patch:
        patch.setattr(rotating, "write_card", off)
        with pytest.raises(SwitchedOffError):
            rotate(NodeHome.load(installed), now=NOW)
    handed_over = own_key(installed)
    anew = renew(NodeHome.load(installed), now=NOW).identity_public
    assert own_key(installed) == anew != handed_over
    assert NodeHome.load(installed).keystore().next_identity is None


def test_a_serving_node_takes_its_new_key_up_by_itself(installed: Path) -> None:
    before = client_app.nodes_of(installed).nodes[0]
    rotate(NodeHome.load(installed), now=NOW)
    after = client_app.nodes_of(installed).nodes[0]
    assert after is not before
    assert public_bytes(after._key) == own_key(installed)
    hello = after.handle(
        sign_request(
            Open(
                agreement_hash=after.agreement.hash, run_id=b"s" * 16,
                hand_overs=after.agreement.hand_overs.to_bytes(),
            ),
            COORDINATOR,
        )
    )  # fmt: skip
    assert hello


def test_an_old_key_store_opens_no_node_any_more(installed: Path, tmp_path: Path) -> None:
    store = NodeHome.load(installed).config.keys.store
    stolen = store.read_bytes()
    rotate(NodeHome.load(installed), now=NOW)
    store.write_bytes(stolen)
    with pytest.raises(FedsegError, match="E-KEY-ROTATED"):
        open_node(installed)


def test_a_hand_over_is_accepted_as_a_file_by_whom_it_concerns(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    def file(one: HandOver) -> Path:
        (tmp_path / "one.json").write_bytes(one.to_bytes())
        return tmp_path / "one.json"

    new, later = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    first = HandOver.make(OTHERS[0], new, partner="other-0", number=1, at=AT)
    second = HandOver.make(new, later, partner="other-0", number=2, at=AT)
    refused = shell.refused("key", "accept", file(second), "--dir", installed, status=3)
    assert refused["code"] == "E-KEY-STRANGER", "in their order"
    assert shell.json("key", "accept", file(first), "--dir", installed)["new"]
    assert not shell.json("key", "accept", file(first), "--dir", installed)["new"]
    fork = HandOver.make(OTHERS[0], later, partner="other-0", number=1, at=AT)
    refused = shell.refused("key", "accept", file(fork), "--dir", installed, status=3)
    assert refused["code"] == "E-KEY-FORK"
    assert first.words in refused["message"] and fork.words in refused["message"]
    (noted,) = shell.json("key", "show", "--dir", installed)["refused"]
    assert (noted["new_key"], noted["refused_by"]) == (key_id(fork.new_key), "here")
    text = " ".join(shell("status", "--dir", installed).err.split())
    assert "E-KEY-FORK" in text and "ask other-0 which one they made" in text
    assert shell.json("key", "accept", file(second), "--dir", installed)["new"]
    keys = NodeHome.load(installed).signed_agreement().agreement.keys
    assert keys.of(1) == public_bytes(later)
    anew = Ed25519PrivateKey.generate()
    ours = HandOver.make(COORDINATOR, anew, partner="other-1", number=1, at=AT)
    refused = shell.refused("key", "accept", file(ours), "--dir", installed, status=3)
    assert refused["code"] == "E-KEY-PARTY"


def test_a_fork_that_comes_with_a_run_is_noted_for_people(installed: Path) -> None:
    opened, new = open_node(installed), Ed25519PrivateKey.generate()
    first, fork = (
        HandOver.make(OTHERS[0], key, partner="other-0", number=1, at=AT)
        for key in (new, Ed25519PrivateKey.generate())
    )
    NodeHome.load(installed).hand_overs.take([first])
    for _ in range(2):
        with pytest.raises(FedsegError, match="E-KEY-FORK"):
            opened._with_told(SimpleNamespace(hand_overs=frame(fork.to_bytes())))  # type: ignore[arg-type]
    (noted,) = RefusedHandOvers(opened.store).all()
    assert noted.hand_over == fork


def test_a_version_that_names_the_key_of_before_is_put_into_force_if_it_was_signed_here(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    file = tmp_path / "next.json"
    file.write_bytes(successor(installed))
    rotate(NodeHome.load(installed), now=NOW)
    refused = shell.refused("agreement", "install", file, "--dir", installed, status=3)
    assert refused["code"] == "E-KEY-ROTATED"
    home = NodeHome.load(installed)
    note_signature(home, Signing(copy=read_agreement(file), by="anna"), NOW)
    shell.json("agreement", "install", file, "--dir", installed)
    agreement = NodeHome.load(installed).signed_agreement().agreement
    assert agreement.version == 2 and agreement.index_of_key(own_key(installed)) == 0


def test_what_is_known_of_keys_is_in_the_backup(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    rotate(NodeHome.load(installed), now=NOW)
    shell.json("state", "backup", tmp_path / "b.backup", "--dir", installed)
    shell.json("state", "restore", tmp_path / "b.backup", "--dir", tmp_path / "back", "--elsewhere")
    assert len(NodeHome.load(tmp_path / "back").hand_overs.load()) == 1


def test_no_backup_is_made_while_the_key_is_being_replaced(
    shell: Shell, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_home, "_CHANGED_S", 0.0)
    backup, real = tmp_path / "b.backup", rotating.write_card

    def tried(*words: Any) -> None:
        refused = shell.refused("state", "backup", backup, "--dir", installed, status=2)
        assert "another process changes this node's keys" in refused["message"]
        real(*words)

    monkeypatch.setattr(rotating, "write_card", tried)
    rotate(NodeHome.load(installed), now=NOW)
    assert not backup.exists()
    shell.json("state", "backup", backup, "--dir", installed)


def test_a_damaged_file_of_hand_overs_is_named(installed: Path) -> None:
    rotate(NodeHome.load(installed), now=NOW)
    file = NodeHome.load(installed).hand_overs_file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(FedsegError, match="hand-overs is damaged"):
        NodeHome.load(installed).signed_agreement()


def test_the_old_key_of_a_coordinator_stops_no_run(installed: Path) -> None:
    opened = open_node(installed)
    new = Ed25519PrivateKey.generate()
    one = HandOver.make(COORDINATOR, new, partner="", number=1, at=AT)
    NodeHome.load(installed).hand_overs.take([one])
    stop = Stop(run_id=b"r" * 16, reason="E-GRACE")
    with pytest.raises(FedsegError, match="E-SIGNATURE"):
        opened.handle(sign_request(stop, COORDINATOR))
    opened.store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_in_a_services_folder_is_refused_and_leaves_nothing_of_its_own_there(
    shell: Shell, node: Path
) -> None:
    """Also in one that was made just now, and has no state yet."""
    for path in (node, *node.rglob("*")):
        os.chown(path, 12_345, 12_345)
    for words in (("key", "rotate"), ("key", "passphrase"), ("state", "backup", "x.tar")):
        error = shell.refused(*words, "--dir", node, status=3)
        assert (error["code"], "sudo -u '#12345'" in error["remedy"]) == ("E-KEY-MODE", True)
        assert "chown" not in error["remedy"]
    owners = {path.stat().st_uid for path in node.rglob("*")}
    assert owners == {12_345}
