"""The authorities that nodes trust, stated online: who says so, and who takes what."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control import renewing
from coordinator.control.authorities import StatedAuthorities, outstanding
from coordinator.control.renewing import AUTHORITY_FILE, CERTIFICATE_FILE, NextCertificate
from coordinator.control.standing import shut_out
from coordinator.service.certificates import new_certificate
from machine.certificates import pem
from partner_node.control.authorities import take_authorities
from partner_node.control.belonging import open_channel
from partner_node.control.presence import present
from partner_node.home import NodeHome
from partner_node.store.authorities import TakenAuthorities
from protocol.agreement.hand_over import HandOver
from protocol.control.authorities import Authorities
from protocol.control.calls import AUTHORITIES
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import FedsegError
from tests.control.commands import invited, join_words, member, operator, shell
from tests.control.lab import Lab, enrolled, greeted, new_node, no_run, serving
from tests.control.parties import lying
from tests.end_to_end.transport_support import wait_for
from tests.shell import Shell

__all__ = ["member", "shell"]

PATIENCE_S = 20.0
AT = "2026-03-01T09:00:00Z"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A port of its own for each test: certificates are replaced."""
    with serving(tmp_path / "lab") as found:
        yield found


@dataclass
class Waiting:
    """A certificate that waits, and what was in force before."""

    next: NextCertificate
    before: x509.Certificate
    stated: Authorities


@pytest.fixture
def waiting(lab: Lab) -> Waiting:
    (before,) = x509.load_pem_x509_certificates(lab.roots)
    made = certificate()
    stated = renewing.renew(lab.config, lab.store, made, now=datetime.now(UTC))
    return Waiting(made, before, stated)


def certificate(*, days: int = 30) -> NextCertificate:
    return new_certificate(
        name="coordinator", hosts=["127.0.0.1"], now=datetime.now(UTC), lifetime_days=days
    )


def state(lab: Lab, *certificates: x509.Certificate) -> Authorities:
    """A statement of the coordinator, whatever its ports show."""
    key = lab.config.signing_key()
    return StatedAuthorities(lab.store).state(certificates, key, now=datetime.now(UTC))


def signed(
    lab: Lab, *certificates: x509.Certificate, number: int, key: Ed25519PrivateKey | None = None
) -> Authorities:
    return Authorities.sign(certificates, key or lab.config.signing_key(), number=number)


def taken(home: NodeHome) -> str:
    """Have a node ask; the code with which it refuses."""
    home = NodeHome.load(home.directory)
    try:
        with open_channel(home, retries=False) as channel:
            take_authorities(home, channel)
    except FedsegError as error:
        return error.code
    return ""


def trusted(home: NodeHome) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((home.directory / "coordinator-ca.crt").read_bytes())


def number_of(home: NodeHome) -> int:
    with closing(home.store(home.keystore())) as store:
        found = TakenAuthorities(store).load()
    return 0 if found is None else found.number


def told(monkeypatch: pytest.MonkeyPatch, statement: Authorities) -> None:
    """Have whoever answers say this, as somebody can who has the key of the certificate."""

    def tell(reply: v1.AuthoritiesReply) -> None:
        reply.envelope = statement.to_bytes()

    lying(monkeypatch, AUTHORITIES, tell)


def test_a_node_trusts_the_next_authority_beside_the_one_in_force_then_alone(
    lab: Lab, member: NodeHome, shell: Shell
) -> None:
    assert taken(member) == "" and number_of(member) == 0, "nothing was stated"
    before = trusted(member)
    data = operator(shell).json("certificate", "renew", "--dir", lab.config.directory)
    assert data["not_taken"] == ["member"] and data["by_hand"] == []
    refused = operator(shell).refused(
        "certificate", "switch", "--dir", lab.config.directory, status=3
    )
    assert refused["code"] == "E-SWITCH-WAITS" and "member" in refused["message"]
    assert taken(member) == ""
    both = trusted(member)
    assert both[:-1] == before and len(both) == 2
    assert number_of(member) == data["number"]
    shown = operator(shell).json("certificate", "show", "--dir", lab.config.directory)
    assert shown["authorities"]["not_taken"] == [] and shown["next"]["expires"] == data["expires"]
    (line,) = operator(shell).json("partner", "list", "--dir", lab.config.directory)["partners"]
    assert line["authorities"] == data["number"]
    open_one = lab.invite("guest")
    done = operator(shell).json("certificate", "switch", "--dir", lab.config.directory)
    assert (done["not_taken"], done["by_hand"], done["invitations"]) == ([], [], ["guest"])
    lab.port.renew()  # as `serve` does when it sees the file
    assert taken(member) == ""
    assert trusted(member) == both[1:]
    assert (lab.config.directory / AUTHORITY_FILE).read_bytes() == pem(both[1])
    with pytest.raises(FedsegError, match="E-CONTROL-FINGERPRINT"):
        greeted(open_one)
    assert greeted(lab.invite("guest")).authority == pem(both[1])


def test_nobody_but_the_coordinators_key_in_force_says_whom_a_node_trusts(
    lab: Lab, member: NodeHome, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, thief = trusted(member), Ed25519PrivateKey.generate()
    number = waiting.stated.number + 1
    strange = signed(lab, waiting.before, certificate().authority, number=number, key=thief)
    with monkeypatch.context() as patch:
        told(patch, strange)
        assert taken(member) == "E-AUTHORITIES-SIGNATURE"
    both = strange.envelope.signed_by(lab.config.signing_key())
    with monkeypatch.context() as patch:
        told(patch, Authorities.from_bytes(both.to_bytes()))
        assert taken(member) == "E-AUTHORITIES-SIGNATURE", "nobody signs beside it"
    assert (trusted(member), number_of(member)) == (before, 0)


def test_a_key_that_was_handed_over_states_nothing_any_more(
    lab: Lab, member: NodeHome, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = lab.config.signing_key(), Ed25519PrivateKey.generate()
    member.hand_overs.take([HandOver.make(old, new, partner="", number=1, at=AT)])
    assert taken(member) == "E-AUTHORITIES-SIGNATURE"
    anew = signed(lab, *waiting.stated.certificates, number=waiting.stated.number, key=new)
    with monkeypatch.context() as patch:
        told(patch, anew)
        assert taken(member) == ""
    assert len(trusted(member)) == 2


def test_an_old_statement_brings_no_authority_back(
    lab: Lab, member: NodeHome, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert taken(member) == ""
    number, both = number_of(member), trusted(member)
    for earlier in (number - 1, number):
        old = signed(lab, waiting.before, certificate().authority, number=earlier)
        with monkeypatch.context() as patch:
            told(patch, old)
            assert taken(member) == "E-AUTHORITIES-OLD"
    assert (trusted(member), number_of(member)) == (both, number)


def test_a_node_takes_no_authorities_that_would_cut_it_off(
    lab: Lab, member: NodeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, other = trusted(member), certificate().authority
    statement = signed(lab, other, number=9)
    with monkeypatch.context() as patch:
        told(patch, statement)
        assert taken(member) == "E-AUTHORITIES-CUT"
    assert (trusted(member), number_of(member)) == (before, 0)
    state(lab, other)
    assert taken(member) == "", "and the coordinator does not tell it"
    assert (trusted(member), number_of(member)) == (before, 0)
    assert greeted(lab.invite("guest")).authority == pem(before[0]), "nor whoever joins"


def test_an_authority_that_has_ended_is_not_taken(
    lab: Lab, member: NodeHome, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = new_certificate(
        name="over", hosts=["127.0.0.1"], now=datetime.now(UTC) - timedelta(days=9), lifetime_days=1
    )
    statement = signed(lab, waiting.before, over.authority, number=waiting.stated.number + 1)
    with monkeypatch.context() as patch:
        told(patch, statement)
        assert taken(member) == "E-AUTHORITIES"
    assert len(trusted(member)) == 1


def test_a_file_that_was_put_back_is_told_and_mended(
    lab: Lab, member: NodeHome, waiting: Waiting
) -> None:
    assert taken(member) == ""
    assert outstanding(lab.store).all == ()
    (member.directory / "coordinator-ca.crt").write_bytes(pem(waiting.before))
    with open_channel(member, retries=False) as channel:
        channel.call(AUTHORITIES, v1.AuthoritiesRequest(number=0), v1.AuthoritiesReply)
    assert outstanding(lab.store).online == ("member",)
    assert taken(member) == ""
    assert len(trusted(member)) == 2 and outstanding(lab.store).all == ()


def test_a_file_outside_the_nodes_folder_is_left_to_people(
    lab: Lab, member: NodeHome, waiting: Waiting, tmp_path: Path
) -> None:
    own = tmp_path / "company.pem"
    own.write_bytes(pem(waiting.before))
    settings = member.config.file
    named = f'root_certificates = "{own}"'
    settings.write_text(
        settings.read_text().replace('root_certificates = "coordinator-ca.crt"', named)
    )
    assert taken(member) == "E-AUTHORITIES-FILE"
    assert own.read_bytes() == pem(waiting.before)
    assert outstanding(lab.store).online == ("member",)
    assert len(trusted(member)) == 2, "what to add stands beside it"
    own.write_bytes(own.read_bytes() + pem(waiting.next.authority))
    assert taken(member) == ""
    assert outstanding(lab.store).all == ()
    own.unlink()
    own.symlink_to(member.directory / "coordinator-ca.crt")
    assert taken(member) == "", "a link to what has them"


def test_a_node_that_trusts_what_was_dropped_has_not_taken_that_and_asks_in_peace(
    lab: Lab,
    member: NodeHome,
    waiting: Waiting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, settings = tmp_path / "company.pem", member.config.file
    own.write_bytes(pem(waiting.before) + pem(waiting.next.authority))
    settings.write_text(
        settings.read_text().replace(
            'root_certificates = "coordinator-ca.crt"', f'root_certificates = "{own}"'
        )
    )
    assert taken(member) == ""
    renewing.switch(lab.config, lab.store, now=datetime.now(UTC))
    lab.port.renew()
    assert taken(member) == "E-AUTHORITIES-FILE"
    assert outstanding(lab.store).online == ("member",), "it trusts the one before still"
    beside = member.directory / "coordinator-ca.crt"
    assert beside.read_bytes() == pem(waiting.next.authority)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("all is done that can be")

    with monkeypatch.context() as patch:
        patch.setattr("partner_node.control.authorities.write_file", never)
        patch.setattr("partner_node.control.authorities.secured", never)
        assert taken(member) == "E-AUTHORITIES-FILE"
    own.write_bytes(pem(waiting.next.authority))
    assert taken(member) == ""
    assert outstanding(lab.store).all == ()


def test_a_link_in_the_nodes_folder_is_not_replaced(
    lab: Lab, member: NodeHome, waiting: Waiting, tmp_path: Path
) -> None:
    own, file = tmp_path / "company.pem", member.directory / "coordinator-ca.crt"
    file.rename(own)
    file.symlink_to(own)
    before = own.read_bytes()
    assert taken(member) == "E-AUTHORITIES-FILE"
    assert own.read_bytes() == before


def test_a_serving_node_takes_it_when_told(
    lab: Lab, member: NodeHome, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with present(member, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(lambda: "admitted" in caplog.text, timeout_s=PATIENCE_S, what="the node")
        made = renewing.renew(lab.config, lab.store, certificate(), now=datetime.now(UTC))
        wait_for(
            lambda: not outstanding(lab.store).all, timeout_s=PATIENCE_S, what="the new authority"
        )
    assert number_of(member) == made.number and len(trusted(member)) == 2


def test_a_serving_node_that_waits_to_be_admitted_takes_it_too(
    lab: Lab, shell: Shell, tmp_path: Path
) -> None:
    shell.json(*join_words(invited(shell, lab, "early"), tmp_path / "early"))
    home = NodeHome.load(tmp_path / "early")
    made = renewing.renew(lab.config, lab.store, certificate(), now=datetime.now(UTC))
    with present(home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(
            lambda: number_of(home) == made.number, timeout_s=PATIENCE_S, what="the new authority"
        )
    assert len(trusted(home)) == 2
    assert outstanding(lab.store).all == (), "nobody waits for it"


def test_whoever_joins_meanwhile_trusts_both(lab: Lab, waiting: Waiting) -> None:
    invitation = lab.invite("late")
    greeting = greeted(invitation)
    assert greeting.authority == waiting.stated.pem
    keystore, card = new_node("late")
    assert enrolled(invitation, greeting, keystore, card)


def test_whoever_is_removed_is_waited_for_no_longer(lab: Lab, waiting: Waiting) -> None:
    node = lab.join("gone")
    lab.admit(node)
    with lab.channel(node.identity) as channel:
        asked = v1.AuthoritiesRequest(number=5)
        channel.call(AUTHORITIES, asked, v1.AuthoritiesReply)
    assert outstanding(lab.store).online == ("gone",)
    shut_out(lab.store, "gone")
    assert outstanding(lab.store).all == () and not StatedAuthorities(lab.store).taken()


def test_a_coordinator_of_an_earlier_version_states_nothing(
    lab: Lab, member: NodeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partner_node.control.authorities.AUTHORITIES", "NoSuchCall")
    assert taken(member) == "" and number_of(member) == 0


def test_the_port_shows_the_new_certificate_to_whoever_connects_from_now_on(
    lab: Lab, member: NodeHome, waiting: Waiting
) -> None:
    old = open_channel(member, retries=False)
    with old:
        asked = v1.AuthoritiesRequest()
        assert old.call(AUTHORITIES, asked, v1.AuthoritiesReply).envelope
        renewing.switch(lab.config, lab.store, without_waiting=True, now=datetime.now(UTC))
        lab.port.renew()
        assert old.call(AUTHORITIES, asked, v1.AuthoritiesReply).envelope, "it goes on"
    host, port = lab.port.address.split(":")
    shown = ssl.get_server_certificate((host, int(port)))
    assert x509.load_pem_x509_certificate(shown.encode()) == waiting.next.certificate
    assert taken(member) == "E-LINK-TLS", "who did not take it gets the file by hand"
    (lab.config.directory / CERTIFICATE_FILE).write_bytes(pem(certificate().certificate))
    with pytest.raises(FedsegError, match="is not the key of"):
        lab.port.renew()
    shown = ssl.get_server_certificate((host, int(port)))
    assert x509.load_pem_x509_certificate(shown.encode()) == waiting.next.certificate
