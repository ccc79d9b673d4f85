"""`egress list|show|approve|refuse`: what they print, and what they say to wrong input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from partner_node.cli import egress as commands
from partner_node.egress.manifest import slot_of
from partner_node.egress.settings import EgressSection
from protocol.messages import Ack, Stop
from protocol.replies import read_reply
from tests.partner_node.held import installed, node, shell, waiting
from tests.partner_node.nodes import open_node
from tests.shell import Shell

__all__ = ["installed", "node", "shell", "waiting"]


def held_number(shell: Shell, folder: Path) -> int:
    (held,) = shell.json("egress", "list", "--dir", folder)["held"]
    number: int = held["number"]
    return number


def test_list_shows_what_left_and_what_waits_with_their_numbers(
    shell: Shell, waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shell.json("egress", "list", "--dir", waiting)
    assert [m["number"] for m in data["messages"]] == [1, 2, 4]
    assert [m["round"] for m in data["messages"]] == [0, 0, 1]
    (held,) = data["held"]
    assert held["round"] == 1  # from 1, as everybody counts; 0 is before the first
    assert (held["number"], held["state"], held["customers"]) == (3, "waiting", 2)
    assert held["question"]["words"].startswith("exact sums and counts")
    monkeypatch.setenv("COLUMNS", "80")
    out = shell("egress", "list", "--dir", waiting).out
    assert "Held for approval" in out
    assert all(word in out for word in ("waits for", "approval", "until"))
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_show_says_every_fact_in_words(
    shell: Shell, waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = shell.json("egress", "show", "3", "--dir", waiting)
    assert (values["kind"], values["customers"], values["vector_length"]) == ("MASKED", 2, 3)
    assert values["round"] == 1
    monkeypatch.setenv("COLUMNS", "80")
    done = shell("egress", "show", "3", "--dir", waiting)
    out = " ".join(done.out.split())
    for words in (
        "exact sums and counts", "own customers counted", "each sum from -", "before noise",
        "exact totals: not anonymous", "there is no budget", "Simulated coordinator",
        "simulation, version 1", "partner-0, partner-1, partner-2", "3 numbers",
        "egress approve 3", "round │ 1", f"{values['bytes']:,}",
    ):  # fmt: skip
        assert words in out, words
    assert max(map(len, done.out.splitlines())) <= 80
    folded = "".join(done.out.split()).replace("│", "")
    for name in ("sha256", "receiver_key", "agreement_hash", "run_id"):
        assert values[name] in folded, name
    greeting = shell("egress", "show", "1", "--dir", waiting).out
    assert "HELLO: fresh keys" in greeting
    assert "question" not in greeting


def test_status_names_what_waits_until_it_is_decided(shell: Shell, waiting: Path) -> None:
    assert shell.json("status", "--dir", waiting)["waiting_for_approval"] == [3]
    assert "Held for approval" in shell("status", "--dir", waiting).out
    shell.json("egress", "refuse", "3", "--dir", waiting)
    assert shell.json("status", "--dir", waiting)["waiting_for_approval"] == []
    assert "Held for approval" not in shell("status", "--dir", waiting).out


@pytest.mark.parametrize(("word", "state"), [("approve", "approved"), ("refuse", "refused")])
def test_a_decision_is_said_and_stays(shell: Shell, waiting: Path, word: str, state: str) -> None:
    number = held_number(shell, waiting)
    assert shell.json("egress", word, number, "--dir", waiting)["state"] == state
    for again in ("approve", "refuse"):
        error = shell.refused("egress", again, number, "--dir", waiting, status=3)
        assert error["code"] == "E-EGRESS-DECIDED"
        assert f"it was {state} at" in error["message"]
        assert error["remedy"]
    (held,) = shell.json("egress", "list", "--dir", waiting)["held"]
    assert held["state"] == state


def test_a_decision_is_said_in_words(shell: Shell, waiting: Path) -> None:
    assert "approved" in shell("egress", "approve", "3", "--dir", waiting).out


def test_what_cannot_be_decided_is_refused_with_the_reason(shell: Shell, waiting: Path) -> None:
    error = shell.refused("egress", "approve", "1", "--dir", waiting, status=3)
    assert (error["code"], "it needed none" in error["message"]) == ("E-EGRESS-DECIDED", True)
    for word in ("approve", "refuse", "show"):
        error = shell.refused("egress", word, "99", "--dir", waiting, status=2)
        assert error["code"] == "E-EGRESS-UNKNOWN"
        assert "no message number 99" in error["message"]
        assert "egress list" in error["remedy"]
        assert shell("egress", word, "0", "--dir", waiting).code == 2
        assert shell("egress", word, "three", "--dir", waiting).code == 2


def test_a_decision_is_in_the_audit_log(shell: Shell, waiting: Path) -> None:
    shell.json("egress", "approve", "3", "--dir", waiting)
    assert shell("egress", "refuse", "3", "--dir", waiting).code == 3
    (entry,) = shell.json("log", "show", "--kind", "decision", "--dir", waiting)["entries"]
    assert (entry["message"], entry["decision"]) == (3, "approved")
    assert entry["by"].endswith("(at the machine)")
    assert entry["sha256"] == shell.json("egress", "show", "3", "--dir", waiting)["sha256"]


def test_after_its_time_a_message_is_shown_as_not_approved(
    shell: Shell, waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.now(UTC) + timedelta(hours=25)
    monkeypatch.setattr(commands, "_now", lambda: later)
    (held,) = shell.json("egress", "list", "--dir", waiting)["held"]
    assert held["state"] == "expired"
    assert "not approved in time" in shell("egress", "show", "3", "--dir", waiting).out
    error = shell.refused("egress", "approve", "3", "--dir", waiting, status=3)
    assert error["code"] == "E-EGRESS-DECIDED"


def test_a_node_takes_its_setting_from_its_file(shell: Shell, installed: Path) -> None:
    file = installed / "node.toml"
    text = file.read_text()
    assert open_node(installed)._egress == EgressSection()
    file.write_text(text.replace('# hold = "none"', 'hold = "signed"'))
    assert open_node(installed)._egress == EgressSection(hold="signed")


def test_two_acknowledgements_of_different_requests_are_two_messages() -> None:
    reply: Any = read_reply(Ack(partner=1).to_bytes())
    stop = Stop(run_id=bytes(16), reason="E-GRACE")
    assert slot_of(reply, stop, bytes(16)) != slot_of(reply, stop, b"x" * 16)
