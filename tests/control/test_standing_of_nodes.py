"""What a node's status says of now: whether it serves, hears the coordinator, and its run."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from partner_node import client_app
from partner_node.control.checking import NoChecking
from partner_node.control.presence import present
from partner_node.home import NodeHome
from partner_node.link.settings import LinkEvent
from partner_node.metrics.health import LinkState
from partner_node.serving import _note
from partner_node.shown.standing import open_runs, run_values, standing_words
from partner_node.store.heard import CONTROL, LINK, Heard, HeardRecords
from partner_node.store.node_store import NodeStore
from partner_node.store.readiness import Readiness
from partner_node.store.records import RunRecord
from partner_node.store.times import stamp
from protocol.partner_state import Phase
from simulations.federation import EphemeralSealer
from tests.control.commands import shell
from tests.control.lab import lab, no_run
from tests.control.parties import Signing, in_force, parties, signing
from tests.control.test_announcements import away
from tests.control.test_releases import run_without
from tests.end_to_end.transport_support import wait_for

__all__ = ["lab", "parties", "shell", "signing"]

PATIENCE_S = 20.0
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> str:
    return stamp(NOW + timedelta(seconds=seconds))


def record(phase: Phase, *, round: int = 2) -> RunRecord:
    return RunRecord(
        run_id=bytes([7]) * 16, run_hash=bytes(32), agreement_hash=bytes(32), phase=phase,
        round=round, reason="", started_at=at(-60), updated_at=at(-12), state={},
    )  # fmt: skip


def words(**parts: Any) -> list[str]:
    nothing: dict[str, Any] = {
        "serving": True, "heard": {}, "runs": [], "waiting": (), "readiness": (), "now": NOW,
    }  # fmt: skip
    return standing_words(**nothing | parts)


# --- what is kept --------------------------------------------------------------------------------


def test_a_state_keeps_its_beginning_and_the_last_word_of_the_coordinator_stays() -> None:
    records = HeardRecords(NodeStore(":memory:", EphemeralSealer()))

    def noted(second: float, *, reached: bool, code: str = "") -> tuple[object, ...]:
        records.note(CONTROL, reached=reached, code=code, now=at(second))
        one = records.all()[CONTROL]
        return one.reached, one.code, one.since, one.heard_at

    assert noted(0, reached=False, code="E-CONTROL-AWAY") == (False, "E-CONTROL-AWAY", at(0), "")
    assert noted(1, reached=True) == (True, "", at(1), at(1))
    assert noted(2, reached=True) == (True, "", at(1), at(2))
    assert noted(3, reached=False, code="E-CALLER") == (False, "E-CALLER", at(3), at(2))
    assert noted(4, reached=False, code="E-CONTROL-AWAY") == (
        False, "E-CONTROL-AWAY", at(3), at(2),
    )  # fmt: skip
    assert LINK not in records.all()


# --- in words ------------------------------------------------------------------------------------


def test_who_is_heard_and_who_is_not_is_said() -> None:
    heard = {
        LINK: Heard(
            channel=LINK, reached=False, code="E-LINK-AWAY", since=at(-90), heard_at=at(-95)
        ),
        CONTROL: Heard(channel=CONTROL, reached=True, code="", since=at(-600), heard_at=at(-5)),
    }
    assert words(heard=heard)[1:] == [
        "The link for runs is away (E-LINK-AWAY) for 1 min 30 s; heard 1 min 35 s ago.",
        "The control port is there since 2026-01-02 02:54 UTC; heard 5 s ago.",
    ]
    assert words(heard=heard, serving=False) == ["No process serves this node: fedseg-node serve."]


@pytest.mark.parametrize("phase", Phase)
def test_a_run_that_goes_on_says_what_it_waits_for_and_since_when(phase: Phase) -> None:
    found = open_runs([record(Phase.DONE), record(phase), record(phase)])
    if phase.over:
        assert found == []
        return
    (run,) = found  # the newest under its agreement
    values = run_values(run, ())
    assert (values["round"], values["since"]) == (3, at(-12))
    assert values["waits_for"].startswith("waits for ")
    (*_, line) = words(runs=[run])
    assert line.startswith("Run 07070707 goes on: round 3 was answered last; waits for ")
    assert line.endswith("for 12 s, since 03:03:53 UTC.")


def test_a_run_before_its_first_round_says_so() -> None:
    assert "no round has come yet" in words(runs=[record(Phase.GREETED, round=-1)])[-1]


def test_readiness_is_said_with_whether_the_coordinator_has_it() -> None:
    found = Readiness(
        agreement_hash=bytes(32), codes=("E-SOURCE",), since=at(-60), checked_at=at(-30), told=False
    )
    assert words(readiness=[found])[-1] == (
        "Ready for runs under 000000000000: E-SOURCE since 2026-01-02 03:03 UTC; checked "
        "2026-01-02 03:03 UTC, not told yet."
    )


# --- as it serves --------------------------------------------------------------------------------


def status(signing: Signing) -> dict[str, Any]:
    return signing.shell.json("status", "--dir", signing.home.directory)


def test_the_status_follows_the_control_port(signing: Signing) -> None:
    assert (status(signing)["serving"], status(signing)["coordinator"]) == (False, {})
    with signing.home.serving(), present(signing.home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(
            lambda: status(signing)["coordinator"].get(CONTROL, {}).get("reached") is True,
            timeout_s=PATIENCE_S,
            what="the control port",
        )
        assert status(signing)["serving"] is True
    assert status(signing)["serving"] is False
    signing.home.config.file.write_text(away(signing.home), encoding="utf-8")
    with present(NodeHome.load(signing.home.directory), no_run, first_wait_s=600, most_wait_s=600):
        wait_for(
            lambda: status(signing)["coordinator"][CONTROL]["code"] == "E-CONTROL-AWAY",
            timeout_s=PATIENCE_S,
            what="that nobody answers",
        )
    found = status(signing)["coordinator"][CONTROL]
    assert found["heard_at"]
    assert found["reached"] is False


def test_the_status_follows_the_link(signing: Signing) -> None:
    for kind, code, reached in (
        ("connected", None, True), ("answered", None, True), ("lost", "E-LINK-AWAY", False),
        ("refused", "E-SOURCE", False), ("connected", None, True), ("stopped", None, False),
    ):  # fmt: skip
        _note(signing.home, LinkState(), LinkEvent(kind=kind, code=code), NoChecking())  # type: ignore[arg-type]
        found = status(signing)["coordinator"][LINK]
        assert found["reached"] is reached, kind
    assert found["code"] == ""


def test_a_run_that_ended_without_this_node_goes_on_for_it_until_it_hears_of_that(
    signing: Signing,
) -> None:
    ended = run_without(signing, from_phase="acks")
    (run,) = status(signing)["open_runs"]
    assert run["run_id"] == ended.run_id.hex()
    assert run["agreement_hash"] == ended.agreement_hash.hex()
    assert run["round"] >= 1
    assert run["waits_for"].endswith("the next question or the release")
    ended.take()
    assert status(signing)["open_runs"] == []
    client_app._opened.pop(signing.home.directory.resolve()).nodes.store.close()


def test_readiness_is_in_the_status(signing: Signing) -> None:
    agreement = in_force(signing)
    assert status(signing)["readiness"] == []
    signing.shell("check", "--dir", signing.home.directory)
    (found,) = status(signing)["readiness"]
    assert (found["agreement_hash"], found["told"]) == (agreement.hash.hex(), True)
    with closing(signing.home.store(signing.home.keystore())) as store:
        assert store.runs() == []
