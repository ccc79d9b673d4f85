"""The certificate and its authority are replaced, whatever is switched off in between."""

from __future__ import annotations

import os
import pty
import queue
import select
import shutil
import signal
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator import backup
from coordinator.config import CoordinatorConfig
from coordinator.control import changing_keys, renewing
from coordinator.control.announcements import AUTHORITIES, Announcements
from coordinator.control.authorities import StatedAuthorities
from coordinator.control.renewing import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    CERTIFICATE_KEY_FILE,
    NEXT_FILE,
    SWITCHING_FILE,
    NextCertificate,
)
from coordinator.control.rotating import rotate
from coordinator.control.shown_certificate import ShownCertificate
from coordinator.service import serving
from coordinator.service.certificates import make_server_certificate, new_certificate
from coordinator.service.followed_certificate import FollowedCertificate
from coordinator.service.gateway import Gateway, GatewayConfig
from coordinator.service.serving import CoordinatorService
from coordinator.service.superlink import SuperLinkConfig
from coordinator.shown.certificate import certificate_shown, waits_words
from coordinator.store.coordinator_store import CoordinatorStore
from machine.certificates import pem
from machine.locks import held
from protocol.control.authorities import Authorities, certifies, read_authorities
from protocol.errors import ConfigError, FedsegError, StoreError
from protocol.signing import public_bytes
from tests.control.commands import operator
from tests.coordinator.test_service import FakeSuperLink
from tests.end_to_end.transport_support import wait_for
from tests.kills import killed_before_every_call
from tests.partner_node.nodes import shell
from tests.shell import Shell

__all__ = ["shell"]

NOW = datetime.now(UTC).replace(microsecond=0)
PATIENCE_S = 20.0


@pytest.fixture
def folder(shell: Shell, tmp_path: Path) -> Path:
    operator(shell).json(
        "init", "--legal-name", "Trust", "--contact", "ops@trust.example", "--host", "127.0.0.1",
        "--port", "0", "--dir", tmp_path / "c",
    )  # fmt: skip
    return tmp_path / "c"


@pytest.fixture
def opened_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signing key is decrypted once: that takes longer than all that is killed."""
    key = CoordinatorConfig.load(folder).signing_key()
    monkeypatch.setattr(CoordinatorConfig, "signing_key", lambda _: key)


def certificate(name: str = "coordinator", *, days: int = 30) -> NextCertificate:
    return new_certificate(name=name, hosts=["127.0.0.1"], now=NOW, lifetime_days=days)


@contextmanager
def opened(folder: Path) -> Iterator[tuple[CoordinatorConfig, CoordinatorStore]]:
    config = CoordinatorConfig.load(folder)
    with closing(config.open_store()) as store:
        yield config, store


def renewed(folder: Path, made: NextCertificate) -> Authorities:
    with opened(folder) as (config, store):
        return renewing.renew(config, store, made, now=datetime.now(UTC))


def switched(folder: Path, *, without_waiting: bool = False) -> None:
    with opened(folder) as (config, store):
        renewing.switch(config, store, without_waiting=without_waiting, now=datetime.now(UTC))


def trusted(folder: Path) -> tuple[x509.Certificate, ...]:
    """What nodes are told to trust: the same by hand and online, under the key in force."""
    there = read_authorities((folder / AUTHORITY_FILE).read_bytes())
    with opened(folder) as (config, store):
        stated = StatedAuthorities(store).newest()
        shown = ShownCertificate.read(config)
        if stated is not None:
            stated.verify(public_bytes(config.signing_key()))
            assert stated.certificates == there
    assert any(certifies(one, shown.chain) for one in there), "nobody is cut off"
    return there


def in_force(folder: Path) -> x509.Certificate:
    return ShownCertificate.read(CoordinatorConfig.load(folder)).chain[0]


def code_of(action: object) -> str:
    with pytest.raises(FedsegError) as caught:
        action()  # type: ignore[operator]
    assert caught.value.remedy
    return caught.value.code


def test_the_next_one_waits_and_takes_the_place_of_the_one_in_force(folder: Path) -> None:
    before, authorities, made = in_force(folder), trusted(folder), certificate()
    first = renewed(folder, made)
    assert in_force(folder) == before
    assert trusted(folder) == (*authorities, made.authority)
    again = certificate()
    second = renewed(folder, again)
    assert second.number > first.number
    assert trusted(folder) == (*authorities, again.authority), "what waited before is forgotten"
    switched(folder)
    assert in_force(folder) == again.certificate
    assert trusted(folder) == (again.authority,)
    assert not (folder / NEXT_FILE).exists() and not (folder / SWITCHING_FILE).exists()
    assert (folder / CERTIFICATE_KEY_FILE).stat().st_mode & 0o777 == 0o600
    with opened(folder) as (config, store):
        assert waits_words(config, store) == ""
    assert code_of(lambda: switched(folder)) == "E-SWITCH-NOTHING"


def test_nothing_waits_that_nodes_cannot_be_told_of(folder: Path) -> None:
    passphrase = folder / "keys" / "passphrase"
    passphrase.rename(folder / "away")
    assert code_of(lambda: renewed(folder, certificate())).startswith("E-")
    assert not (folder / NEXT_FILE).exists(), "it would stop whoever serves"
    (folder / "away").rename(passphrase)
    with opened(folder) as (config, store):
        renewing.settled(config, store)
        assert StatedAuthorities(store).newest() is None
        assert certificate_shown(config, store).values["next"] is None


@pytest.mark.usefixtures("opened_once")
def test_what_cannot_be_stated_leaves_what_waited(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Authorities:
        raise StoreError("the disk is full", remedy="make room")

    before, first = trusted(folder), certificate()
    for waits in ((), (first.authority,)):
        with monkeypatch.context() as patch:
            patch.setattr(StatedAuthorities, "state", full)
            assert code_of(lambda: renewed(folder, certificate())) == "E-STORE"
        assert trusted(folder) == (*before, *waits)
        with opened(folder) as (config, _):
            coming = renewing.waiting(config)
        assert (coming and coming.certificate) == (first.certificate if waits else None)
        renewed(folder, first)


@pytest.mark.usefixtures("opened_once")
def test_renewing_that_is_killed_is_ended_by_whoever_serves(folder: Path) -> None:
    before, authorities, made = in_force(folder), trusted(folder), certificate()
    waited = 0
    for _ in killed_before_every_call(lambda: renewed(folder, made)):
        assert in_force(folder) == before
        assert authorities[0] in read_authorities((folder / AUTHORITY_FILE).read_bytes())
        there = (folder / NEXT_FILE).exists()
        with opened(folder) as (config, store):
            renewing.settled(config, store)  # as `serve` does
        assert trusted(folder) == ((*authorities, made.authority) if there else authorities)
        assert there or not waited, "what waits does not vanish"
        waited += there
    assert waited
    assert trusted(folder) == (*authorities, made.authority)


@pytest.mark.usefixtures("opened_once")
def test_a_switch_that_is_killed_is_ended_by_whoever_serves(folder: Path, tmp_path: Path) -> None:
    before, made = in_force(folder), certificate()
    renewed(folder, made)
    shutil.copytree(folder, tmp_path / "waits")
    decisions = []
    for _ in killed_before_every_call(lambda: switched(folder)):
        decisions.append(not (folder / NEXT_FILE).exists())
        with opened(folder) as (config, store):
            renewing.settled(config, store)
        assert in_force(folder) == (made.certificate if decisions[-1] else before)
        authorities = trusted(folder)
        assert authorities[-1] == made.authority and len(authorities) == 2 - decisions[-1]
        if decisions[-1]:
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "waits", folder)
    assert decisions == sorted(decisions), "whatever comes after the decision is ended"
    assert sum(decisions) > 5 and not decisions[0]
    assert in_force(folder) == made.certificate and trusted(folder) == (made.authority,)


def test_whoever_serves_ends_what_was_begun_as_nobody_else_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that ends the same may be made at that moment."""
    locked = []

    def look(*_: object, **__: object) -> None:
        with held(folder / "keys" / "changing.lock") as ours:
            locked.append(not ours)

    for name in ("finish", "check_in_force", "settle"):
        monkeypatch.setattr(renewing, name, look)
    with opened(folder) as (config, store):
        renewing.settled(config, store)
    assert locked == [True, True, True]


def test_a_switch_that_is_killed_is_ended_by_calling_it_again(folder: Path) -> None:
    made = certificate()
    renewed(folder, made)
    (folder / NEXT_FILE).rename(folder / SWITCHING_FILE)
    (folder / CERTIFICATE_KEY_FILE).write_bytes(made.key)
    switched(folder)
    assert in_force(folder) == made.certificate and trusted(folder) == (made.authority,)


def test_after_the_signing_key_is_replaced_it_is_stated_under_the_new_one(folder: Path) -> None:
    made = certificate()
    before = renewed(folder, made)
    rotate(CoordinatorConfig.load(folder), now=NOW)
    with opened(folder) as (config, store):
        renewing.settled(config, store)
        after = StatedAuthorities(store).newest()
    assert after is not None and after.number > before.number
    switched(folder)
    rotate(CoordinatorConfig.load(folder), now=NOW)
    with opened(folder) as (config, store):
        renewing.settled(config, store)
    assert trusted(folder) == (made.authority,)


def test_a_service_that_starts_waits_for_a_command_that_changes_keys(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing_keys, "_CHANGED_S", 0.05)
    begun, may_end = threading.Event(), threading.Event()

    def changing() -> None:
        with changing_keys.changing_keys(CoordinatorConfig.load(folder)):
            begun.set()
            may_end.wait(30)

    command = threading.Thread(target=changing)
    command.start()
    assert begun.wait(30)
    assert code_of(lambda: renewed(folder, certificate())) == "E-USAGE", "another command does not"
    threading.Timer(0.5, may_end.set).start()
    with opened(folder) as (config, store):
        renewing.settled(config, store)
    command.join(30)


def test_of_partners_by_hand_nothing_is_known_and_they_get_the_file(
    shell: Shell, folder: Path
) -> None:
    with opened(folder) as (_, store):
        store._database.ask("INSERT INTO admitted VALUES ('north', 'ecdsa-sha2-nistp384 AAAA', '')")
    ours = operator(shell)
    data = ours.json("certificate", "renew", "--dir", folder)
    assert (data["by_hand"], data["not_taken"]) == (["north"], [])
    refused = ours.refused("certificate", "switch", "--dir", folder, status=3)
    assert refused["code"] == "E-SWITCH-WAITS" and "north" in refused["message"]
    assert AUTHORITY_FILE in refused["remedy"] and "--without NAME" in refused["remedy"]
    with opened(folder) as (config, store):
        assert "not taken yet by north" in waits_words(config, store), "as the console says"
        assert "Not known of north" in " ".join(map(str, certificate_shown(config, store).parts))
    said = ours("certificate", "switch", "--without-waiting", "--dir", folder).out
    assert f"Give north {folder / AUTHORITY_FILE} by hand" in " ".join(said.split())


def test_whoever_is_named_is_not_waited_for_and_all_others_are(shell: Shell, folder: Path) -> None:
    with opened(folder) as (_, store):
        for name, key in (("north", "AAAA"), ("south", "AAAB")):
            store._database.ask(
                "INSERT INTO admitted VALUES (?, ?, '')", name, f"ecdsa-sha2-nistp384 {key}"
            )
    ours, at = operator(shell), ("--dir", folder)
    said = ours("certificate", "renew", *at).out
    assert "certificate switch --without north --without south" in " ".join(said.split())
    switch = ("certificate", "switch", *at, "--without", "north")
    refused = ours.refused(*switch, status=3)
    assert refused["code"] == "E-SWITCH-WAITS"
    assert "south" in refused["message"] and "north" not in refused["message"]
    assert "nobody" in ours.refused(*switch, "--without", "nobody", status=2)["message"]
    assert (folder / NEXT_FILE).exists()
    assert ours.json(*switch, "--without", "south")["by_hand"] == ["north", "south"]


def test_who_lacks_the_authority_is_said_though_the_switch_was_switched_off(
    shell: Shell, folder: Path
) -> None:
    with opened(folder) as (_, store):
        store._database.ask("INSERT INTO admitted VALUES ('north', 'ecdsa-sha2-nistp384 AAAA', '')")
    ours, at = operator(shell), ("--dir", folder)
    assert ours.json("certificate", "renew", *at)["by_hand"] == ["north"]
    assert ours.json("certificate", "show", *at)["switching"] is False
    (folder / NEXT_FILE).rename(folder / SWITCHING_FILE)
    assert ours.json("certificate", "show", *at)["switching"] is True
    assert "A switch was begun and not ended" in " ".join(
        ours("certificate", "show", *at).out.split()
    )
    said = " ".join(ours("certificate", "switch", *at).out.split())
    assert f"Give north {folder / AUTHORITY_FILE} by hand" in said
    assert ours.json("certificate", "show", *at)["switching"] is False


def test_a_statement_gets_the_number_that_nodes_ask_for(shell: Shell, folder: Path) -> None:
    """One was made once under a clock that was years ahead, and is not in the backup put back."""
    ours, at, ahead = operator(shell), ("--dir", folder), 9_000_000_000_000
    first = ours.json("certificate", "renew", *at)["number"]
    assert first < ahead
    assert ours.json("certificate", "renew", *at, "--at-least", ahead)["number"] == ahead
    assert ours.json("certificate", "renew", *at)["number"] == ahead + 1
    switched(folder)
    stated = ours.json(
        "certificate", "trust", folder / AUTHORITY_FILE, *at, "--at-least", 2 * ahead
    )
    assert stated["number"] == 2 * ahead
    ours.refused("certificate", "renew", *at, "--at-least", 2**53, status=2)


def test_a_certificate_of_ones_own_has_its_authorities_stated(shell: Shell, folder: Path) -> None:
    with opened(folder) as (_, store):
        store._database.ask("INSERT INTO admitted VALUES ('north', 'ecdsa-sha2-nistp384 AAAA', '')")
    own = make_server_certificate(
        folder / "own", name="own", hosts=["127.0.0.1"], now=NOW, lifetime_days=30
    )
    settings, ours = folder / "coordinator.toml", operator(shell)
    text = settings.read_text()
    for old, new in (("coordinator.crt", "own.crt"), ("coordinator.key", "own.key"),
                     ("coordinator-ca.crt", "own-ca.crt")):  # fmt: skip
        text = text.replace(f'"tls/{old}"', f'"own/{new}"')
    settings.write_text(text)
    before, other = own.authority.read_bytes(), folder / "next-ca.crt"
    other.write_bytes(pem(certificate("next").authority))
    at = ("--dir", folder)
    refused = ours.refused("certificate", "trust", other, *at, status=2)
    assert refused["code"] == "E-AUTHORITIES" and "cut off" in refused["message"]
    assert ours.refused("certificate", "trust", own.certificate, *at, status=2)
    data = ours.json("certificate", "trust", own.authority, other, *at)
    for_north = Path(data["root_certificates"])
    both = read_authorities(for_north.read_bytes())
    assert both == read_authorities(before + other.read_bytes()) and for_north != own.authority
    for_north.unlink()  # switched off before it was written
    with opened(folder) as (config, store):
        renewing.settled(config, store)
    assert read_authorities(for_north.read_bytes()) == both
    said = " ".join(ours("certificate", "trust", own.authority, other, *at).out.split())
    assert f"Give north {for_north} by hand" in said and "and all others have the file" in said
    said = " ".join(ours("certificate", "trust", own.authority, *at).out.split())
    assert "Replace the certificate" not in said and "Give north" in said
    said = " ".join(ours("certificate", "show", *at).out.split())
    assert "Every partner that joined has taken that." in said
    data = ours.json("certificate", "trust", own.authority, other, *at)
    shown = ours.json("certificate", "show", *at)
    assert shown["authorities"]["number"] == data["number"]
    assert len(shown["authorities"]["certificates"]) == 2
    assert own.authority.read_bytes() == before, "the operator's files are left alone"
    over = new_certificate(
        name="over", hosts=["127.0.0.1"], now=NOW - timedelta(days=9), lifetime_days=1
    )
    other.write_bytes(pem(over.authority))
    refused = ours.refused("certificate", "trust", own.authority, other, *at, status=2)
    assert "has ended" in refused["message"]
    with opened(folder) as (config, store):
        assert not renewing.made_here(config) and renewing.waiting(config) is None
        assert code_of(lambda: renewing.renew(config, store, certificate(), now=NOW)) == "E-CONFIG"


def test_while_one_waits_no_other_authorities_are_stated(shell: Shell, folder: Path) -> None:
    renewed(folder, certificate())
    refused = operator(shell).refused(
        "certificate", "trust", folder / AUTHORITY_FILE, "--dir", folder, status=2
    )
    assert refused["code"] == "E-SWITCH-FIRST"


def test_an_authority_that_has_ended_is_not_stated_beside_the_next(folder: Path) -> None:
    made_before = new_certificate(
        name="coordinator", hosts=["127.0.0.1"], now=NOW - timedelta(days=9), lifetime_days=1
    )
    (folder / AUTHORITY_FILE).write_bytes(pem(made_before.authority))
    (folder / CERTIFICATE_FILE).write_bytes(pem(made_before.certificate))
    (folder / CERTIFICATE_KEY_FILE).write_bytes(made_before.key)
    made = certificate()
    assert renewed(folder, made).certificates == (made.authority,)


def test_a_backup_has_the_one_that_waits(folder: Path, tmp_path: Path) -> None:
    made = certificate()
    renewed(folder, made)
    (folder / NEXT_FILE).rename(folder / SWITCHING_FILE)
    backup.back_up(CoordinatorConfig.load(folder), tmp_path / "a.tar", now=NOW, version="1")
    assert in_force(folder) == made.certificate, "what was begun is ended first"
    again = certificate()
    renewed(folder, again)
    config = CoordinatorConfig.load(folder)
    backup.back_up(config, tmp_path / "b.tar", now=NOW, version="1")
    passphrase = (folder / "keys" / "passphrase").read_bytes()
    other = tmp_path / "other"
    backup.restore(tmp_path / "b.tar", other, elsewhere=True)
    (other / "keys" / "passphrase").write_bytes(passphrase)
    (other / "keys" / "passphrase").chmod(0o600)
    assert trusted(other) == (made.authority, again.authority)
    switched(other)
    assert in_force(other) == again.certificate


def test_the_number_grows_though_the_clock_goes_back(folder: Path) -> None:
    key = Ed25519PrivateKey.generate()
    with opened(folder) as (_, store):
        stated, one = StatedAuthorities(store), certificate().authority
        first = stated.state([one], key, now=NOW)
        assert first.number == NOW.timestamp() * 1_000
        assert stated.state([one], key, now=NOW).number == first.number + 1
        assert stated.state([one], key, now=NOW - timedelta(days=9)).number == first.number + 2
        assert stated.state([one], key, now=NOW + timedelta(days=9)).number > first.number + 3


# --- while the coordinator serves ----------------------------------------------------------------


@pytest.fixture
def gateway(folder: Path) -> Iterator[Gateway]:
    config = CoordinatorConfig.load(folder)
    found = Gateway(
        GatewayConfig(certificate=config.certificate, key=config.key, upstream=folder / "nobody"),
        is_admitted=lambda _: True,
    )
    found.start()
    yield found
    found.stop()


def shown_by(gateway: Gateway) -> x509.Certificate:
    return shown_at(gateway.address)


def shown_at(address: str) -> x509.Certificate:
    host, port = address.split(":")
    text = ssl.get_server_certificate((host, int(port)))
    return x509.load_pem_x509_certificate(text.encode("ascii"))


def test_a_serving_port_shows_the_certificate_that_is_in_force(
    folder: Path, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    before, made = shown_by(gateway), certificate()
    with opened(folder) as (config, store):
        store._database.ask("INSERT INTO enrolled VALUES ('k', 'north', ?, '', '', '')", b"")
        followed = FollowedCertificate(config, store)
        followed.look([gateway.renew])
        renewed(folder, made)
        followed.look([gateway.renew])
        assert shown_by(gateway) == before, "it waits"
        (folder / NEXT_FILE).rename(folder / SWITCHING_FILE)
        config.key.write_bytes(made.key)  # switched off after one file of two
        for _ in range(3):
            followed.look([gateway.renew])
        assert shown_by(gateway) == before
        assert caplog.text.count("is shown still") == 1
        number = Announcements(store).last()
        switched(folder, without_waiting=True)
        assert Announcements(store).last() > number
        number = Announcements(store).last()
        followed.look([gateway.renew])
        assert shown_by(gateway) == made.certificate
        (line,) = Announcements(store).after(number, "north")
        assert line.kind == AUTHORITIES, "nodes ask again, as it is told from now on"
        assert "cut off" not in caplog.text
        followed.look([gateway.renew])
        assert Announcements(store).last() == line.number
        other = certificate("other")
        config.certificate.write_bytes(pem(other.certificate))
        config.key.write_bytes(other.key)
        followed.look([gateway.renew])
        assert shown_by(gateway) == other.certificate
        assert "cut off" in caplog.text


def test_where_the_store_is_away_the_ports_are_renewed_once_and_nodes_told_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, renewals = 0.0, []
    with opened(folder) as (config, store):
        store._database.ask("INSERT INTO enrolled VALUES ('k', 'north', ?, '', '', '')", b"")
        followed = FollowedCertificate(config, store, clock=lambda: now)
        made = certificate()
        config.certificate.write_bytes(pem(made.certificate))
        config.key.write_bytes(made.key)

        def away(_: StatedAuthorities) -> None:
            raise StoreError("the server is away", code="E-STORE-CONNECT")

        with monkeypatch.context() as patch:
            patch.setattr(StatedAuthorities, "announce", away)
            for _ in range(3):
                followed.look([lambda: renewals.append(now)])
        number = Announcements(store).last()
        assert len(renewals) == 1
        assert caplog.text.count("will be looked at again") == 1
        assert "the certificate of before" not in caplog.text, "the ports show the new one"
        now += 11.0
        for _ in range(2):
            followed.look([lambda: renewals.append(now)])
        assert len(Announcements(store).after(number, "north")) == 1 and len(renewals) == 1


def test_at_the_start_and_daily_is_said_that_nodes_do_not_trust_the_certificate(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = [0.0]
    with opened(folder) as (config, store):
        StatedAuthorities(store).state(
            [certificate("other").authority], config.signing_key(), now=NOW
        )
        followed = FollowedCertificate(config, store, clock=lambda: at[0])
        for at[0], times in ((0.0, 1), (86_399.0, 1), (86_400.0, 2)):
            followed.look([])
            assert caplog.text.count("is of none of the authorities") == times
            assert "ends at" not in caplog.text
        soon = certificate(days=29)
        config.certificate.write_bytes(pem(soon.certificate))
        config.key.write_bytes(soon.key)
        followed.look([])
        assert caplog.text.count("ends at") == 1


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_passphrase(folder: Path) -> None:
    """Whoever serves at a terminal would wait for an answer for ever."""
    path = folder / CERTIFICATE_KEY_FILE
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    ours = Gateway(
        GatewayConfig(certificate=folder / CERTIFICATE_FILE, key=path, upstream=folder / "nobody"),
        is_admitted=lambda _: True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # threads of libraries, which the child does not need
        child, terminal = pty.fork()
    if child == 0:
        try:
            ours.renew()
        except ConfigError as error:
            os.write(1, f"refused: {error}\n".encode())
        finally:
            os._exit(0)
    said = b""
    try:
        while b"\n" not in said:
            assert select.select([terminal], [], [], PATIENCE_S)[0], "nothing more is said"
            said += os.read(terminal, 4_096)
            assert b"pass phrase" not in said
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)
    assert b"cannot use certificate" in said


class NoSuperLink(FakeSuperLink):
    """Carries nothing."""

    def __init__(self, config: SuperLinkConfig) -> None:
        super().__init__()
        self.socket = config.directory / "nobody"

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def is_alive(self) -> bool:
        return True


def test_whoever_serves_ends_what_was_begun_and_shows_what_is_switched_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "SuperLink", NoSuperLink)
    made, stop, ports = certificate(), threading.Event(), queue.Queue[tuple[str, str]]()
    renewed(folder, made)
    (folder / NEXT_FILE).rename(folder / SWITCHING_FILE)
    (folder / CERTIFICATE_KEY_FILE).write_bytes(made.key)
    service = CoordinatorService(
        config=CoordinatorConfig.load(folder), announce=lambda *both: ports.put(both)
    )
    serves = threading.Thread(target=service.serve, args=(stop,))
    serves.start()
    try:
        both = ports.get(timeout=PATIENCE_S)
        assert [shown_at(address) for address in both] == [made.certificate] * 2
        assert trusted(folder) == (made.authority,)
        again = certificate()
        renewed(folder, again)
        assert [shown_at(address) for address in both] == [made.certificate] * 2
        switched(folder)
        wait_for(
            lambda: [shown_at(address) for address in both] == [again.certificate] * 2,
            timeout_s=PATIENCE_S,
            what="the new certificate",
        )
    finally:
        stop.set()
        serves.join(PATIENCE_S)
