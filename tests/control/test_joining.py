"""The commands of both sides: invite, join, compare the code, admit; and what goes wrong."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from machine.certificates import client_certificate, pem
from machine.files import write_file
from partner_node.cli import joining
from partner_node.config.node_config import NodeConfig
from partner_node.control import joining as enrolling
from partner_node.control import presence
from partner_node.control.channel import Channel
from partner_node.control.presence import Standing, open_channel, present, renew_in_time, show_up
from partner_node.home import NodeHome
from partner_node.membership import CERTIFICATE_FILE, Membership
from protocol.control.calls import ENROL
from protocol.control.invitation import Invitation
from protocol.errors import ConfigError, TransportError
from tests.control.commands import invited, join_words, line_of, member, operator, shell
from tests.control.lab import FILE, RUNS_PORT, Lab, lab, no_run, serving
from tests.end_to_end.transport_support import wait_for
from tests.shell import Shell

__all__ = ["lab", "member", "shell"]

PATIENCE_S = 20.0


def test_a_partner_joins_by_one_text_and_one_code(shell: Shell, lab: Lab, tmp_path: Path) -> None:
    text = invited(shell, lab, "north")
    assert len(text) <= 200
    assert line_of(shell, lab, "north")["state"] == "invited"
    folder = tmp_path / "north"
    data = shell.json(*join_words(text, folder))
    assert (data["partner"], data["coordinator"]) == ("north", "Segment Trust")
    line = line_of(shell, lab, "north")
    assert (line["state"], line["code"]) == ("waits for its code", data["code"])
    done = operator(shell).json(
        "partner", "admit", "--code", data["code"].lower(), "--dir", lab.config.directory
    )
    assert done == {"admitted": ["north"], "replaced": {}}
    line = line_of(shell, lab, "north")
    assert line["state"] == "admitted"
    home = NodeHome.load(folder)
    with open_channel(home, retries=False) as channel:
        assert show_up(channel).admitted
    assert line_of(shell, lab, "north")["version"]
    assert line_of(shell, lab, "north")["seen_at"] > line["seen_at"]


def test_a_node_that_joined_has_all_that_init_makes_and_no_absolute_path_to_itself(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    folder = tmp_path / "whole"
    shell.json(*join_words(invited(shell, lab, "whole"), folder, "--unit", "visits=units"))
    config = NodeConfig.load(folder / "node.toml")
    assert config.node.partner == "whole"
    assert config.coordinator.address == f"127.0.0.1:{RUNS_PORT}"
    assert config.coordinator.control == lab.port.address
    assert config.coordinator.root_certificates.read_bytes() == lab.roots
    assert config.data.units == {"visits": "units"}
    assert str(folder) not in (folder / "node.toml").read_text()
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*")}
    assert modes["keys"] == 0o700
    assert modes["keystore.json"] == modes["passphrase"] == modes["node.crt"] == 0o600
    membership = Membership.load(folder)
    assert membership is not None
    assert membership.contact == "ops@trust.example"
    status = shell.json("status", "--dir", folder)
    assert status["joined"]["code"] == membership.code
    assert membership.code in shell("status", "--dir", folder).out


def test_a_damaged_record_of_the_coordinator_is_named(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shell.json(*join_words(invited(shell, lab, "damaged"), folder))
    path = folder / "membership.json"
    path.write_bytes(path.read_bytes().replace(b"v1", b"v9"))
    error = shell.refused("status", "--dir", folder, status=2)
    assert "membership.json" in error["message"]
    assert "backup" in error["remedy"]


def test_an_invitation_may_be_a_file(shell: Shell, lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "invitation.txt"
    data = operator(shell).json(
        "partner", "invite", "by-file", "--out", file, "--dir", lab.config.directory
    )
    assert [one["invitation"] for one in data["invitations"]] == [None]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shell.json(*join_words(file, tmp_path / "by-file"))


def test_a_join_that_was_cut_off_goes_on_with_the_same_node(
    shell: Shell, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator kept the card, the answer was lost: nothing is used up."""
    text, folder = invited(shell, lab, "cut"), tmp_path / "cut"
    real = Channel.call

    def lost(self: Channel, name: str, request: object, reply: type) -> object:
        found = real(self, name, request, reply)  # type: ignore[type-var]
        if name == ENROL:
            raise TransportError("no answer", code="E-CONTROL-AWAY")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Channel, "call", lost)
        assert shell.refused(*join_words(text, folder), status=1)["code"] == "E-CONTROL-AWAY"
    assert Membership.load(folder) is None
    keys = (folder / "keys" / "keystore.json").read_bytes()
    data = shell.json(*join_words(text, folder))
    assert (folder / "keys" / "keystore.json").read_bytes() == keys
    assert line_of(shell, lab, "cut")["code"] == data["code"]
    error = shell.refused(*join_words(text, folder), status=2)
    assert "joined already" in error["message"]


def test_a_node_of_another_coordinator_is_never_joined_over(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    folder = tmp_path / "there"
    words = join_words("x", folder)[2:]
    shell.json("init", *words, "--partner", "there", "--coordinator", "a:1",
               "--root-certificates", "ca.pem")  # fmt: skip
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    error = shell.refused(*join_words(invited(shell, lab, "there"), folder), status=2)
    assert "exists already" in error["message"]
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_an_invitation_for_another_partner_is_not_used_in_a_folder(
    shell: Shell, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mixed"
    with monkeypatch.context() as patch:
        patch.setattr(Channel, "call", _away_at_enrol(Channel.call))
        shell.refused(*join_words(invited(shell, lab, "mixed"), folder), status=1)
    error = shell.refused(*join_words(invited(shell, lab, "other"), folder), status=2)
    assert error["code"] == "E-CARD"
    assert "delete it" in error["remedy"]


def test_joining_looks_at_the_first_customers_and_says_what_is_wrong_with_them(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    data = tmp_path / "customers.csv"
    data.write_text("customer,visits\nc1,3\n")
    words = join_words(invited(shell, lab, "looks"), tmp_path / "looks")
    words[words.index("--id-column") + 1] = "cust"
    found = shell.json(*words, "--data", data)["warnings"]
    assert len(found) == 1 and "cust" in found[0] and "node.toml" in found[0]
    words = join_words(invited(shell, lab, "sound"), tmp_path / "sound")
    words[words.index("--id-column") + 1] = "customer"
    assert shell.json(*words, "--data", data)["warnings"] == []


def test_a_node_that_did_not_join_yet_does_not_serve(
    shell: Shell, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, text = tmp_path / "early", invited(shell, lab, "early")
    with monkeypatch.context() as patch:
        patch.setattr(Channel, "call", _away_at_enrol(Channel.call))
        shell.refused(*join_words(text, folder), status=1)
    done = shell("serve", "--dir", folder)
    assert done.code == 2
    assert "E-NO-CONTROL" in done.err
    assert "has not joined" in done.err


def test_an_invitation_that_another_node_used_leaves_nothing_in_the_way_of_the_right_one(
    shell: Shell, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = invited(shell, lab, "taken")
    shell.json(*join_words(used, tmp_path / "first"))
    folder = tmp_path / "east"
    assert shell.refused(*join_words(used, folder), status=3)["code"] == "E-INVITATION-USED"
    assert not folder.exists()
    folder.mkdir()
    (folder / "customers.csv").write_text("id\n")

    enrol = enrolling.enrol

    def meanwhile(*words: object, **named: object) -> bytes:
        (folder / "keys" / "copied-just-now").write_text("of somebody else")
        return enrol(*words, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(enrolling, "enrol", meanwhile)
        assert shell.refused(*join_words(used, folder), status=3)["code"] == "E-INVITATION-USED"
    left = [path.name for path in folder.rglob("*") if path.is_file()]
    assert sorted(left) == ["copied-just-now", "customers.csv"]
    (folder / "keys" / "copied-just-now").unlink()
    (folder / "customers.csv").unlink()
    assert shell.refused(*join_words(used, folder), status=3)["code"] == "E-INVITATION-USED"
    assert folder.is_dir(), "it was there before: perhaps somebody stands in it"
    data = shell.json(*join_words(invited(shell, lab, "right"), folder))
    assert data["partner"] == "right"


def _away_at_enrol(real: object) -> object:
    def call(self: Channel, name: str, request: object, reply: type) -> object:
        if name == ENROL:
            raise TransportError("no answer", code="E-CONTROL-AWAY")
        return real(self, name, request, reply)  # type: ignore[operator]

    return call


@pytest.mark.parametrize(
    ("text", "code"),
    [("no invitation", "E-INVITATION"), ("", "E-INVITATION"), ("none.txt", "E-INVITATION")],
)
def test_what_is_no_invitation_makes_no_folder(
    shell: Shell, tmp_path: Path, text: str, code: str
) -> None:
    error = shell.refused(*join_words(text, tmp_path / "n"), status=3)
    assert error["code"] == code
    assert "no file that is there" in error["message"]
    assert not (tmp_path / "n").exists()


def test_a_wrong_option_or_a_port_that_is_away_makes_no_folder_and_uses_nothing_up(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    text, folder = invited(shell, lab, "careful"), tmp_path / "careful"
    away = replace(Invitation.from_text(text), address="127.0.0.1:1").to_text()
    assert shell.refused(*join_words(away, folder), status=1)["code"] == "E-CONTROL-AWAY"
    shell.refused(*join_words(text, folder, "--kind", "xlsx"), status=2)
    shell.refused(*join_words(text, folder, "--contact", ""), status=2)
    assert [p for p in folder.rglob("*") if p.is_file()] == []
    shell.json(*join_words(text, folder))


def test_an_operator_withdraws_and_removes_with_one_command(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    op, at = operator(shell), ("--dir", lab.config.directory)
    text = invited(shell, lab, "west")
    done = op.json("partner", "remove", "west", *at)
    assert (done["was_invited"], done["had_joined"]) == (True, False)
    assert shell.refused(*join_words(text, tmp_path / "west"), status=1)["code"] == (
        "E-INVITATION-REFUSED"
    )
    data = shell.json(*join_words(invited(shell, lab, "west"), tmp_path / "west"))
    op.json("partner", "admit", "--code", data["code"], *at)
    done = op.json("partner", "remove", "west", *at)
    assert (done["was_admitted"], done["had_joined"]) == (True, True)
    assert op.refused("partner", "remove", "west", *at, status=2)["remedy"]
    with pytest.raises(TransportError), open_channel(NodeHome.load(tmp_path / "west"),
                                                     retries=False) as channel:  # fmt: skip
        raise _refusal(channel)


def _refusal(channel: Channel) -> Exception:
    try:
        show_up(channel)
    except Exception as error:
        assert getattr(error, "code", "") == "E-CALLER"
        return TransportError("shut out")
    return AssertionError("a removed node is answered")


def test_an_unknown_code_and_no_code_admit_nobody(shell: Shell, lab: Lab) -> None:
    op, at = operator(shell), ("--dir", lab.config.directory)
    error = op.refused("partner", "admit", "--code", "ZZZZ-ZZZZ", *at, status=2)
    assert error["code"] == "E-CONTROL-CODE"
    assert "remove" in error["remedy"]
    assert "whom to admit" in op.refused("partner", "admit", *at, status=2)["message"]


def test_several_partners_are_invited_at_once_or_none(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    op, at = operator(shell), ("--dir", lab.config.directory)
    found = op.json("partner", "invite", "first", "second", *at)["invitations"]
    assert [one["partner"] for one in found] == ["first", "second"]
    for one in found:
        shell.json(*join_words(one["invitation"], tmp_path / one["partner"]))
    for words in (
        ("third", "Fourth!"),
        ("third", "third"),
        ("third", "fourth", "--out", tmp_path / "one.txt"),
    ):
        assert op.refused("partner", "invite", *words, *at, status=2)["remedy"]
    listed = op.json("partner", "list", *at)["partners"]
    assert "third" not in {one["partner"] for one in listed}
    shell.patch.setenv("COLUMNS", "80")
    lines = op("partner", "list", *at).out.splitlines()
    codes = [one["code"] for one in listed if one["code"]]
    assert codes and all(any(code in line for line in lines) for code in codes)
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    assert not (tmp_path / "one.txt").exists()


def test_an_invitation_names_a_name_of_the_certificate(shell: Shell, lab: Lab) -> None:
    op, at = operator(shell), ("--dir", lab.config.directory)
    error = op.refused("partner", "invite", "a", "--name", "other.example", *at, status=2)
    assert "127.0.0.1" in error["message"]
    assert "renew --name" in error["remedy"]


def test_a_draft_takes_the_cards_of_admitted_partners_that_joined(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    op, at = operator(shell), ("--dir", lab.config.directory)
    for name in ("drafted", "second", "waits"):
        data = shell.json(*join_words(invited(shell, lab, name), tmp_path / name))
        if name != "waits":
            op.json("partner", "admit", "--code", data["code"], *at)
    done = op("agreement", "draft", "--joined", "--out", tmp_path / "a.yaml", *at)
    text = (tmp_path / "a.yaml").read_text()
    assert "id: drafted" in text
    assert "id: waits" not in text
    warned = done.err.partition("not admitted yet, and so in no draft: ")[2]
    assert "waits" in warned
    assert "drafted" not in warned
    assert "agreement propose" in " ".join(done.out.split())
    again = ("agreement", "draft", "--joined", "--out", tmp_path / "a.yaml", *at)
    assert "--out, or delete" in op.refused(*again, status=2)["remedy"]


def test_a_draft_of_one_admitted_partner_is_refused_and_says_who_waits(
    shell: Shell, tmp_path: Path
) -> None:
    op, out = operator(shell), tmp_path / "few.yaml"
    with serving(tmp_path / "control", store=FILE) as own:
        at = ("--dir", own.config.directory)
        for name in ("first", "waits"):
            data = shell.json(*join_words(invited(shell, own, name), tmp_path / name))
            if name == "first":
                op.json("partner", "admit", "--code", data["code"], *at)
        error = op.refused("agreement", "draft", "--joined", "--out", out, *at, status=2)
    assert "needs 2 partners at least; admitted: first; " in error["message"]
    assert error["message"].endswith("not admitted yet: waits")
    assert "partner admit --code" in error["remedy"]
    assert not out.exists()


def test_a_draft_of_partners_that_joined_has_one_at_least(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    op, at = operator(shell), ("--dir", tmp_path / "new")
    op.json(
        "init", "--legal-name", "x", "--contact", "x", "--port", "9443", "--by-hand", *at,
    )  # fmt: skip
    out = tmp_path / "nobody.yaml"
    error = op.refused("agreement", "draft", "--joined", "--out", out, *at, status=2)
    assert "no partner that joined is admitted" in error["message"]
    assert not out.exists()


def test_a_short_code_is_in_one_piece_however_narrow_the_terminal_is(
    shell: Shell, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "the-partner-with-a-long-name-that-joined"
    data = shell.json(*join_words(invited(shell, lab, name), tmp_path / name))
    monkeypatch.setenv("COLUMNS", "60")
    listed = operator(shell)("partner", "list", "--dir", lab.config.directory).out
    assert data["code"] in listed
    assert "…" not in listed


# --- serving ---------------------------------------------------------------------------------


def short_lived(home: NodeHome, lab: Lab, *, days: int) -> bytes:
    authority = lab.port.prepared.authority
    now = datetime.now(UTC)
    certificate = pem(
        client_certificate(
            home.keystore().node_key.public_key(), name="member",
            issuer="fedseg nodes authority", issuer_key=authority._key,
            start=now - timedelta(hours=1), end=now + timedelta(days=days),
        )
    )  # fmt: skip
    write_file(home.keys_folder / CERTIFICATE_FILE, certificate, mode=0o600)
    return certificate


def test_a_certificate_is_renewed_two_months_before_its_end(member: NodeHome, lab: Lab) -> None:
    path = member.keys_folder / CERTIFICATE_FILE
    now = datetime.now(UTC)
    for days, renewed in ((61, False), (59, True)):
        before = short_lived(member, lab, days=days)
        with open_channel(member, retries=False) as channel:
            assert renew_in_time(member, channel, now=now) is renewed
        assert (path.read_bytes() != before) is renewed
    end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    assert end - now > timedelta(days=360)
    with open_channel(member, retries=False) as channel:
        assert show_up(channel).admitted


def test_a_serving_node_shows_up_and_renews(
    member: NodeHome, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    before = short_lived(member, lab, days=9)
    with present(member, no_run):
        wait_for(
            lambda: "certificate was renewed" in caplog.text, timeout_s=PATIENCE_S, what="renewal"
        )
    assert caplog.text.count("control: admitted") == 1
    assert (member.keys_folder / CERTIFICATE_FILE).read_bytes() != before


def test_a_node_serves_on_while_the_control_port_is_away(
    member: NodeHome, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file, port = member.config.file, member.config.coordinator.control
    written = file.read_text()
    assert written.count(f'control = "{port}"') == 1
    file.write_text(written.replace(f'control = "{port}"', 'control = "127.0.0.1:1"'))
    with present(member, no_run, first_wait_s=0.02, most_wait_s=0.02):
        wait_for(lambda: "E-CONTROL-AWAY" in caplog.text, timeout_s=PATIENCE_S, what="the log")
    assert caplog.text.count("E-CONTROL-AWAY") == 1


def test_the_end_of_serving_waits_for_no_answer(
    member: NodeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that nobody answers is cut off, so that no node waits with its end."""
    closed, asked, cut = threading.Event(), threading.Event(), []
    waiting: list[Channel] = []

    def close(self: Channel) -> None:
        if self in waiting:  # readiness has a connection of its own
            closed.set()

    def ask(channel: Channel) -> Standing:
        waiting.append(channel)
        asked.set()
        cut.append(closed.wait(PATIENCE_S / 4))
        raise TransportError("cut off")

    monkeypatch.setattr(Channel, "close", close)
    monkeypatch.setattr(presence, "show_up", ask)
    with present(member, no_run):
        assert asked.wait(PATIENCE_S)
    assert cut == [True]


def test_a_node_made_by_hand_is_in_no_control_plane(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "by-hand"
    shell.json("init", *join_words("x", folder)[2:], "--partner", "by-hand", "--coordinator",
               "a:1", "--root-certificates", "ca.pem")  # fmt: skip
    home = NodeHome.load(folder)
    with pytest.raises(ConfigError) as caught:
        open_channel(home)
    assert caught.value.code == "E-NO-CONTROL"
    with present(home, no_run):
        pass
    assert joining.AUTHORITY_FILE not in {p.name for p in folder.rglob("*")}
