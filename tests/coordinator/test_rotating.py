"""The coordinator's signing key and its passphrase are replaced, whatever is switched off."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.backup import back_up
from coordinator.config import ACCOUNTS_FILE, KEY_FILE, CoordinatorConfig
from coordinator.control import changing_keys, rotating
from coordinator.control import passphrase as changing
from coordinator.control.authority import NodesAuthority
from coordinator.control.passphrase import change_passphrase
from coordinator.control.rotating import HAND_OVER_FILE, NEXT_FILE, finish, rotate
from coordinator.keystore import opened_with
from coordinator.next_version import next_version
from coordinator.runs.life import serve_lock
from coordinator.service.serving import CoordinatorService
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from machine.private_files import next_of
from protocol.agreement import hand_overs
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import HandOver
from protocol.agreement.stop import SignedStop
from protocol.errors import FedsegError
from protocol.signing import key_id, public_bytes
from simulations.agreement import signed_with
from simulations.federation import SOFTWARE
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values
from tests.control.commands import operator
from tests.partner_node.nodes import shell
from tests.shell import Shell
from tests.switching_off import SwitchedOffError, is_switched_off, switched_off_at

__all__ = ["shell"]

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
AT = "2026-03-01T09:00:00Z"
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([i + 1]) * 32) for i in range(3)]


#: What changes files while the passphrase is replaced.
PASSPHRASE_STEPS = tuple(
    (changing, name) for name in ("write_file", "replace_private_file", "remove_private_file")
)


@pytest.fixture
def folder(shell: Shell, tmp_path: Path) -> Path:
    operator(shell).json(
        "init", "--legal-name", "Trust", "--contact", "ops@trust.example", "--host", "127.0.0.1",
        "--port", "0", "--dir", tmp_path / "c",
    )  # fmt: skip
    return tmp_path / "c"


def published(folder: Path) -> Agreement:
    """An agreement of three partners with this coordinator."""
    config = CoordinatorConfig.load(folder)
    agreement = Agreement.from_dict(
        agreed_values(
            id="ours", effective="2026-01-01T00:00:00Z", expires="2027-01-01T00:00:00Z",
            parties=[agreed_party(f"p{i}", public_bytes(k)) for i, k in enumerate(KEYS)],
            coordinator_key=public_bytes(config.signing_key()),
            features=[agreed_feature("visits")], software=SOFTWARE.to_dict(),
        )
    )  # fmt: skip
    store = config.open_store()
    store.add_agreement(signed_with(agreement, KEYS))
    store.close()
    return agreement


def own_key(folder: Path) -> bytes:
    return public_bytes(CoordinatorConfig.load(folder).signing_key())


def known(folder: Path) -> list[HandOver]:
    store = CoordinatorConfig.load(folder).open_store()
    found = list(KeptHandOvers(store).load())
    store.close()
    return found


def noted(shell: Shell, folder: Path) -> list[tuple[str, str]]:
    """What was done by commands, and how it ended, by the log of people."""
    acts = operator(shell).json("user", "log", "--dir", folder)["acts"]
    return [(one["act"], one["outcome"]) for one in acts if one["outcome"] != "begun"]


def test_rotate_replaces_the_key_and_erases_the_old_one(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    agreed, old = published(folder), own_key(folder)
    found = operator(shell).json("key", "rotate", "--out", tmp_path / "h.json", "--dir", folder)
    new = own_key(folder)
    assert (found["old_key"], found["new_key"]) == (key_id(old), key_id(new))
    assert HandOver.from_bytes((tmp_path / "h.json").read_bytes()) == known(folder)[0]
    store = CoordinatorConfig.load(folder).open_store()
    now = store.agreement(agreed.hash)
    store.close()
    assert (now.keys.coordinator, now.coordinator.public_key) == (new, old)
    again = operator(shell).json("key", "rotate", "--dir", folder)
    assert noted(shell, folder) == [("key rotate", "done")] * 2
    assert again["number"] == 2
    shown = operator(shell).json("key", "show", "--dir", folder)
    assert shown["key"] == again["new_key"] and len(shown["hand_overs"]) == 2
    assert not (folder / NEXT_FILE).exists() and not (folder / HAND_OVER_FILE).exists()


@pytest.mark.parametrize("step", range(8))
def test_switched_off_at_any_step_one_key_is_in_force_and_what_was_begun_is_ended(
    folder: Path, step: int
) -> None:
    agreed, old = published(folder), own_key(folder)
    names = (
        "create_key", "write_private_file", "replace_private_file", "keep_hand_over",
        "remove_private_file",
    )  # fmt: skip

    with (
        pytest.raises(SwitchedOffError),
        switched_off_at(step, *((rotating, name) for name in names)),
    ):
        rotate(CoordinatorConfig.load(folder), now=NOW)
    config = CoordinatorConfig.load(folder)
    assert (own_key(folder) == old) == (step < 5)
    store = config.open_store()
    finish(config, store)  # as `serve` does
    assert store.agreement(agreed.hash).keys.coordinator == own_key(folder)
    store.close()
    later = "2026-03-01T10:00:00Z"
    if step < 5:
        rotate(config, now=NOW + timedelta(hours=1))
    (one,) = known(folder)
    assert (one.number, one.old_key) == (1, old), "no second one from the old key"
    assert own_key(folder) == one.new_key
    assert one.at == (later if step < 5 else AT), "from when on the old key was in force no more"
    assert not (folder / NEXT_FILE).exists() and not (folder / HAND_OVER_FILE).exists()


def test_the_key_is_not_replaced_while_a_process_serves_or_a_run_goes_on(
    shell: Shell, folder: Path
) -> None:
    agreed = published(folder)
    with serve_lock(folder) as free:
        assert free
        refused = operator(shell).refused("key", "rotate", "--dir", folder, status=2)
        assert "serves" in refused["message"]
    store = CoordinatorConfig.load(folder).open_store()
    store.request_run(bytes(16), agreed)
    store.close()
    refused = operator(shell).refused("key", "rotate", "--dir", folder, status=2)
    assert refused["code"] == "E-RUN-ACTIVE"
    assert known(folder) == []


def test_a_run_that_is_asked_for_while_the_key_is_replaced_is_under_the_new_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed, real = published(folder), rotating._check_no_run

    def asked(store: CoordinatorStore) -> None:
        real(store)
        store.request_run(bytes(16), agreed)

    monkeypatch.setattr(rotating, "_check_no_run", asked)
    rotate(CoordinatorConfig.load(folder), now=NOW)
    store = CoordinatorConfig.load(folder).open_store()
    store.begin_attempt(bytes(16))
    assert store.agreement_of_run(bytes(16)).keys.coordinator == own_key(folder)
    store.close()


def test_who_looks_whether_a_process_serves_keeps_no_key_from_being_replaced(
    folder: Path,
) -> None:
    looked, begin = threading.Event(), threading.Event()

    def look() -> None:
        with serve_lock(folder) as free:
            assert free
            looked.set()
            begin.wait(10)

    looking = threading.Thread(target=look)
    looking.start()
    assert looked.wait(10)
    leave = threading.Timer(0.1, begin.set)
    leave.start()
    assert rotate(CoordinatorConfig.load(folder), now=NOW).number == 1
    looking.join()


def test_a_folder_with_a_key_that_was_handed_over_serves_nothing(folder: Path) -> None:
    published(folder)
    before = (folder / KEY_FILE).read_bytes()
    rotate(CoordinatorConfig.load(folder), now=NOW)
    (folder / KEY_FILE).write_bytes(before)  # as on a second machine, or from an old backup
    stop = threading.Event()
    stop.set()  # else it would end at once
    with pytest.raises(FedsegError, match="E-KEY-ROTATED"):
        CoordinatorService(config=CoordinatorConfig.load(folder)).serve(stop)


def test_a_folder_with_a_key_that_was_handed_over_replaces_none(
    shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a second machine beside a server's database, where a replacement was begun, too."""
    published(folder)
    first = (folder / KEY_FILE).read_bytes()

    def off(*_: object) -> None:
        raise SwitchedOffError

    with monkeypatch.context() as patch:
        patch.setattr(rotating, "replace_private_file", off)
        with pytest.raises(SwitchedOffError):
            rotate(CoordinatorConfig.load(folder), now=NOW)
    left = [(folder / name).read_bytes() for name in (NEXT_FILE, HAND_OVER_FILE)]
    rotate(CoordinatorConfig.load(folder), now=NOW)  # at the other machine
    second = (folder / KEY_FILE).read_bytes()
    for name, data in zip((KEY_FILE, NEXT_FILE, HAND_OVER_FILE), (first, *left), strict=True):
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    refused = operator(shell).refused("key", "rotate", "--dir", folder, status=3)
    assert refused["code"] == "E-KEY-ROTATED"
    assert (folder / KEY_FILE).read_bytes() == first
    (folder / KEY_FILE).write_bytes(second)  # as the remedy says
    own, (one,) = own_key(folder), known(folder)
    found = operator(shell).json("key", "rotate", "--dir", folder)
    assert (found["number"], found["old_key"]) == (2, key_id(own))
    assert own == one.new_key and own_key(folder) == known(folder)[1].new_key


def test_a_hand_over_that_would_not_be_taken_replaces_no_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed, old = published(folder), own_key(folder)
    assert agreed.coordinator.public_key == old
    monkeypatch.setattr(hand_overs, "MAX_COUNT", 0)
    with pytest.raises(FedsegError, match="E-KEY-FULL"):
        rotate(CoordinatorConfig.load(folder), now=NOW)
    assert own_key(folder) == old and not (folder / HAND_OVER_FILE).exists()


def test_no_backup_is_made_while_the_passphrase_is_changed(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    left = folder / "keys/passphrase.new"
    left.write_bytes(b"a passphrase that was begun")
    left.chmod(0o600)
    words = ("state", "backup", tmp_path / "b.tar", "--dir", folder)
    refused = operator(shell).refused(*words, status=2)
    assert "key passphrase" in refused["remedy"] and not (tmp_path / "b.tar").exists()
    left.unlink()
    operator(shell).json(*words)


def test_no_backup_is_made_where_a_change_of_the_passphrase_was_killed_while_it_waited(
    folder: Path, tmp_path: Path
) -> None:
    config, begun = CoordinatorConfig.load(folder), threading.Event()
    assert config.passphrase_file is not None
    left = next_of(config.passphrase_file)
    errors: list[str] = []

    def back() -> None:
        begun.set()
        try:
            back_up(config, tmp_path / "b.tar", now=NOW, version="1")
        except FedsegError as error:
            errors.append(error.remedy)

    with changing_keys.changing_keys(config):
        waiting = threading.Thread(target=back)
        waiting.start()
        assert begun.wait(10)
        waiting.join(0.2)
        left.write_bytes(b"a passphrase that was begun")
        left.chmod(0o600)
    waiting.join(20)
    assert "key passphrase" in errors[0] and not (tmp_path / "b.tar").exists()


def test_a_partners_hand_over_is_taken_as_a_file_and_the_next_version_has_the_new_key(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    agreed = published(folder)
    new = Ed25519PrivateKey.generate()
    one = HandOver.make(KEYS[1], new, partner="p1", number=1, at=AT)
    (tmp_path / "h.json").write_bytes(one.to_bytes())
    accept = ("key", "accept", tmp_path / "h.json", "--dir", folder)
    assert operator(shell).json(*accept)["new"] and not operator(shell).json(*accept)["new"]
    fork = HandOver.make(KEYS[1], KEYS[0], partner="p1", number=1, at=AT)
    (tmp_path / "h.json").write_bytes(fork.to_bytes())
    refused = operator(shell).refused(*accept, status=3)
    assert refused["code"] == "E-KEY-FORK" and one.words in refused["message"]
    (shown,) = operator(shell).json("key", "show", "--dir", folder)["refused"]
    assert shown["new_key"] == key_id(fork.new_key), "it is kept for people"
    strange = HandOver.make(Ed25519PrivateKey.generate(), new, partner="p1", number=1, at=AT)
    (tmp_path / "h.json").write_bytes(strange.to_bytes())
    assert operator(shell).refused(*accept, status=3)["code"] == "E-KEY-REUSED"
    assert set(noted(shell, folder)) == {
        ("key accept", "done"), ("key accept", "E-KEY-FORK"), ("key accept", "E-KEY-REUSED"),
    }  # fmt: skip
    rotate(CoordinatorConfig.load(folder), now=NOW)
    store = CoordinatorConfig.load(folder).open_store()
    before = store.agreement(agreed.hash)
    store.close()
    written = next_version(before, cards=(), without=(), software=SOFTWARE, now=NOW)
    assert written.parties[1].public_key == public_bytes(new)
    assert written.coordinator.public_key == own_key(folder)


def test_a_stop_and_a_hand_over_wait_for_no_log(shell: Shell, folder: Path, tmp_path: Path) -> None:
    agreed = published(folder)
    (folder / ACCOUNTS_FILE).write_bytes(b"no database at all" * 999)
    stop = SignedStop.sign(agreed, KEYS[0], at=AT)
    (tmp_path / "stop.json").write_bytes(stop.to_bytes())
    one = HandOver.make(KEYS[1], Ed25519PrivateKey.generate(), partner="p1", number=1, at=AT)
    (tmp_path / "h.json").write_bytes(one.to_bytes())
    for words in (("key", "accept", "h.json"), ("agreement", "stop", "stop.json")):
        done = operator(shell)(*words[:2], tmp_path / words[2], "--dir", folder)
        assert done.code == 0 and "not in the log of people" in done.err
    store = CoordinatorConfig.load(folder).open_store()
    assert known(folder) == [one] and store.stops_of(agreed.hash) == [stop.to_bytes()]
    store.close()


def test_whoever_lacks_several_hand_overs_takes_each_in_its_order(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    published(folder)
    a, b = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    first = HandOver.make(KEYS[1], a, partner="p1", number=1, at=AT)
    second = HandOver.make(a, b, partner="p1", number=2, at=AT)
    file, out = tmp_path / "h.json", tmp_path / "again.json"
    file.write_bytes(second.to_bytes())
    refused = operator(shell).refused("key", "accept", file, "--dir", folder, status=3)
    assert refused["code"] == "E-KEY-STRANGER" and "--number" in refused["remedy"]
    for one in (first, second):
        file.write_bytes(one.to_bytes())
        assert operator(shell).json("key", "accept", file, "--dir", folder)["new"]
    export = ("key", "export", "p1", "--out", out, "--dir", folder)
    operator(shell).json(*export)
    assert HandOver.from_bytes(out.read_bytes()) == second
    operator(shell).json(*export, "--number", 1)
    assert HandOver.from_bytes(out.read_bytes()) == first
    refused = operator(shell).refused(*export, "--number", 3, status=2)
    assert "no hand-over 3 of p1" in refused["message"]


def test_a_key_that_was_handed_over_too_often_stays_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(CoordinatorConfig.load(folder), now=NOW)
    own = own_key(folder)
    monkeypatch.setattr(hand_overs, "MAX_NUMBER", 1)
    with pytest.raises(FedsegError, match="E-KEY-FULL"):
        rotate(CoordinatorConfig.load(folder), now=NOW)
    assert own_key(folder) == own and not (folder / NEXT_FILE).exists()


def test_a_place_where_nothing_can_be_written_is_refused_before_the_key_is_replaced(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    old = own_key(folder)
    refused = operator(shell).refused("key", "rotate", "--out", tmp_path, "--dir", folder, status=2)
    assert refused["code"] == "E-FILE"
    assert own_key(folder) == old and not known(folder)


def test_a_backup_has_the_key_in_force_and_its_hand_over(
    shell: Shell, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing_keys, "_CHANGED_S", 0.0)
    backup = tmp_path / "b.backup"
    words = ("state", "backup", backup, "--dir", folder)

    def off(*_: object, **__: object) -> None:
        refused = operator(shell).refused(*words, status=2)
        assert "another process changes the coordinator's keys" in refused["message"]
        raise SwitchedOffError

    with monkeypatch.context() as patch:
        patch.setattr(rotating, "keep_hand_over", off)
        with pytest.raises(SwitchedOffError):
            rotate(CoordinatorConfig.load(folder), now=NOW)
    assert not backup.exists() and not known(folder)
    operator(shell).json(*words)
    operator(shell).json("state", "restore", backup, "--dir", tmp_path / "back", "--elsewhere")
    (file,) = known(tmp_path / "back")
    (tmp_path / "back" / "keys" / "passphrase").write_bytes(
        (folder / "keys" / "passphrase").read_bytes()
    )
    (tmp_path / "back" / "keys" / "passphrase").chmod(0o600)
    assert own_key(tmp_path / "back") == own_key(folder) == file.new_key


# --- passphrase ----------------------------------------------------------------------------------


def test_every_key_opens_with_the_new_passphrase_alone(shell: Shell, folder: Path) -> None:
    config = CoordinatorConfig.load(folder)
    NodesAuthority.of(folder, config.passphrase(), now=NOW)
    before, old = own_key(folder), config.passphrase()
    found = operator(shell).json("key", "passphrase", "--dir", folder)
    assert len(found["keys"]) == 2
    assert noted(shell, folder) == [("key passphrase", "done")]
    assert own_key(folder) == before and config.passphrase() != old
    NodesAuthority.load(folder, config.passphrase())
    with pytest.raises(FedsegError, match="E-KEY-PASSPHRASE"):
        NodesAuthority.load(folder, old)


@pytest.mark.parametrize("step", range(5))
def test_switched_off_at_any_step_every_key_opens_and_the_same_command_goes_on(
    folder: Path, step: int
) -> None:
    config = CoordinatorConfig.load(folder)
    NodesAuthority.of(folder, config.passphrase(), now=NOW)
    before = own_key(folder)
    with pytest.raises(SwitchedOffError), switched_off_at(step, *PASSPHRASE_STEPS):
        change_passphrase(config, None)
    assert own_key(folder) == before
    opened_with(config.passphrases(), lambda p: NodesAuthority.load(folder, p))
    change_passphrase(config, None)
    assert own_key(folder) == before
    assert config.passphrase_file is not None and not next_of(config.passphrase_file).exists()
    NodesAuthority.load(folder, config.passphrase())


def test_killed_twice_with_two_passphrases_every_key_opens_with_one_that_is_kept(
    folder: Path,
) -> None:
    config = CoordinatorConfig.load(folder)
    NodesAuthority.of(folder, config.passphrase(), now=NOW)
    before = own_key(folder)

    def is_off_at(step: int, new: bytes) -> bool:
        return is_switched_off(partial(change_passphrase, config, new), step, *PASSPHRASE_STEPS)

    longest = 0
    for first in (2, 3):  # one key has the new passphrase; all have it, and no file
        for second in range(99):
            assert is_off_at(first, b"first passphrase %d.%d" % (first, second))
            off = is_off_at(second, b"second passphrase %d.%d" % (first, second))
            assert own_key(folder) == before, (first, second)
            opened_with(config.passphrases(), lambda p: NodesAuthority.load(folder, p))
            change_passphrase(config, None)
            assert config.passphrase_file is not None
            assert not next_of(config.passphrase_file).exists()
            NodesAuthority.load(folder, config.passphrase())
            if not off:
                longest = max(longest, second)
                break
    assert longest == 10, "the first change is ended before the second one begins"


def test_one_process_at_a_time_changes_keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CoordinatorConfig.load(folder)
    monkeypatch.setattr(changing_keys, "_CHANGED_S", 0.0)
    with changing_keys.changing_keys(config):
        for action in (
            lambda: change_passphrase(config, b"another passphrase"),
            lambda: rotate(config, now=NOW),
        ):
            with pytest.raises(FedsegError, match="another process changes"):
                action()


def test_the_folders_of_locks_that_root_makes_are_the_services(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`key rotate` as root before the first `serve` left one that the service cannot enter."""
    given: list[str] = []

    def noted(file: int, *_: int) -> None:
        given.append(Path(f"/proc/self/fd/{file}").readlink().name)

    config = replace(CoordinatorConfig.load(folder), directory=folder / "fresh")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", noted)
    with serve_lock(config.directory), changing_keys.changing_keys(config):
        pass
    assert given == ["fresh", "locks", "serve.lock", "keys", "changing.lock"]
