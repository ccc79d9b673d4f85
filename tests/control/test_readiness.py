"""Readiness: what a node tells of its preflight, which is codes alone, and who takes it."""

from __future__ import annotations

import re
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator.control.announcements import CHECK, Announcements
from coordinator.control.listening import Listening
from coordinator.control.nodes import EnrolledNodes, bare_key
from coordinator.control.proposals import Proposals
from coordinator.control.readiness import ReadinessRecords, ReadinessRow
from coordinator.store.times import stamp
from partner_node.control import checking
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.checking import Checking
from partner_node.control.presence import present
from partner_node.control.readiness import (
    check_readiness,
    note_readiness,
    tell_readiness,
    told_now,
)
from partner_node.home import NodeHome
from partner_node.link.flower_link import LinkEvent
from partner_node.metrics.health import LinkState
from partner_node.preflight import Item, Report
from partner_node.serving import _note
from partner_node.store import readiness as kept
from partner_node.store.heard import LINK, HeardRecords
from protocol.agreement.document import Agreement
from protocol.control.calls import READINESS
from protocol.control.readiness import ABOUT_CUSTOMERS, CODES, OF_ITSELF, OTHER, told_codes
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import RuleError, TransportError
from simulations.agreement import signed_with
from tests.control.commands import line_of, operator, shell
from tests.control.lab import JoinedNode, Lab, lab, no_run
from tests.control.parties import Parties, Signing, in_force, outcome, parties, signing
from tests.end_to_end.transport_support import wait_for
from tests.shell import Shell

__all__ = ["lab", "parties", "shell", "signing"]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def published(parties: Parties) -> Agreement:
    """Every party signs."""
    for node in parties.nodes:
        parties.sign(node)
    agreement = parties.draft.agreement
    found = Proposals(parties.lab.store).with_hash(agreement.hash)
    assert found is not None and found.complete
    return agreement


def tell(parties: Parties, node: JoinedNode, *codes: str, **fields: Any) -> str:
    """Say of a node what keeps it from runs; the code of the refusal."""
    values = {"hash": parties.draft.agreement.hash, "since": 1, "version": "1.0"} | fields
    request = v1.ReadinessRequest(codes=codes, **values)
    return outcome(parties.lab, node, READINESS, request, v1.ReadinessReply)


def row_of(lab: Lab, agreement: Agreement, node_key: str) -> ReadinessRow | None:
    return ReadinessRecords(lab.store).of(agreement.hash).get(bare_key(node_key))


def told_of(signing: Signing, agreement: Agreement) -> ReadinessRow | None:
    """What the coordinator has of the node with a folder."""
    lab = signing.parties.lab
    id = signing.home.config.node.partner
    (key,) = [row.node_key for row in EnrolledNodes(lab.store).all() if row.partner == id]
    return row_of(lab, agreement, key)


def found_here(home: NodeHome, agreement: Agreement) -> kept.Readiness | None:
    with closing(home.store(home.keystore())) as store:
        return kept.ReadinessRecords(store).of(agreement.hash)


def readiness_left(home: NodeHome) -> list[str]:
    """What the record of what left says of readiness."""
    with closing(home.store(home.keystore())) as store:
        return [one.what for one in store.egress() if one.what.startswith("READINESS")]


def failing(**codes: str) -> Report:
    """A preflight some of whose checks failed, with texts that must not leave."""
    return Report(
        items=tuple(
            Item(name=name, details="4711", problem=RuleError("customer 4711 is 17", code=code))
            for name, code in codes.items()
        )
    )


# --- which codes ---------------------------------------------------------------------------------


def test_with_noise_one_code_stands_for_all_that_may_hang_on_a_customer() -> None:
    for code in {*CODES, "E-NEW"} - OF_ITSELF:
        assert told_codes([], about_customers=[code], noised=True) == (ABOUT_CUSTOMERS,)
    for code in OF_ITSELF:
        assert told_codes([], about_customers=[code], noised=True) == (code,)


def test_every_code_that_may_be_told_is_raised_somewhere() -> None:
    files = [*ROOT.glob("partner_node/**/*.py"), *ROOT.glob("machine/**/*.py")]
    files += [f for f in ROOT.glob("protocol/**/*.py") if "control" not in f.parts]
    texts = " ".join(file.read_text(encoding="utf-8") for file in files)
    raised = set(re.findall(r'"(E-[A-Z]+(?:-[A-Z]+)*)"', texts))
    assert raised >= CODES - {OTHER}


def test_the_specification_lists_the_codes() -> None:
    text = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
    section = text.split("\n### 17.4")[1].split("\n## ")[0].split("\n### ")[0]
    assert set(re.findall(r"`(E-[A-Z-]+)`", section)) == CODES


# --- the coordinator -----------------------------------------------------------------------------


def test_a_node_tells_of_its_own_agreements_alone(parties: Parties) -> None:
    first = parties.nodes[0]
    assert tell(parties, first) == "E-PROPOSAL"  # not published yet
    agreement = published(parties)
    other = parties.lab.join(f"{agreement.id}-other")
    parties.lab.admit(other)
    assert tell(parties, other) == "E-PROPOSAL"
    assert tell(parties, first, "E-TLS") == ""
    found = row_of(parties.lab, agreement, first.card.node_key)
    assert found is not None
    assert (found.codes, found.version) == (("E-TLS",), "1.0")
    assert row_of(parties.lab, agreement, other.card.node_key) is None


def test_the_coordinator_keeps_known_codes_and_nothing_else(parties: Parties) -> None:
    agreement, node = published(parties), parties.nodes[0]
    assert tell(parties, node, "E-STORE", "customer 4711", "E-STORE", "E-X" * 99) == ""
    found = row_of(parties.lab, agreement, node.card.node_key)
    assert found is not None
    assert found.codes == (OTHER, "E-STORE")
    assert tell(parties, node, *("E-STORE",) * (len(CODES) + 1)) == "E-MALFORMED"


def test_nothing_is_so_since_a_time_that_is_to_come(parties: Parties) -> None:
    agreement, node = published(parties), parties.nodes[0]
    assert tell(parties, node, since=2**63) == ""
    found = row_of(parties.lab, agreement, node.card.node_key)
    assert found is not None
    assert found.since <= found.told_at <= stamp(datetime.now(UTC))


def test_a_node_that_is_forgotten_leaves_nothing_that_it_told(parties: Parties) -> None:
    agreement, (first, second, _) = published(parties), parties.nodes
    assert [tell(parties, first), tell(parties, second)] == ["", ""]
    EnrolledNodes(parties.lab.store).forget(first.card.id)
    assert row_of(parties.lab, agreement, first.card.node_key) is None
    assert row_of(parties.lab, agreement, second.card.node_key) is not None


def test_a_node_that_another_takes_the_place_of_leaves_nothing_either(parties: Parties) -> None:
    agreement, lab, first = published(parties), parties.lab, parties.nodes[0]
    assert tell(parties, first) == ""
    Listening(lab.store).begin(bare_key(first.card.node_key))
    second = lab.join(first.card.id)
    assert row_of(lab, agreement, first.card.node_key) is not None, "it is admitted still"
    lab.admit(second)
    third = lab.join(first.card.id)
    assert row_of(lab, agreement, first.card.node_key) is None
    assert bare_key(first.card.node_key) not in Listening(lab.store).all()
    known = {row.node_key for row in EnrolledNodes(lab.store).all()}
    assert {bare_key(node.card.node_key) for node in (second, third)} <= known


def test_until_a_version_is_effective_readiness_under_the_one_before_is_listed(
    parties: Parties, shell: Shell
) -> None:
    first, node = published(parties), parties.nodes[0]
    assert tell(parties, node) == ""
    second = replace(
        first, version=2, supersedes=first.hash, effective=NOW.replace(microsecond=0) + HOUR
    )
    keys = [one.keystore.identity for one in parties.nodes]
    parties.lab.store.add_agreement(signed_with(second, keys))
    (told,) = line_of(shell, parties.lab, node.card.id)["readiness"]
    assert (told["agreement"], told["agreement_hash"]) == (first.id, first.hash.hex())


# --- the node ------------------------------------------------------------------------------------


@pytest.mark.parametrize("noised", [False, True])
def test_what_a_node_tells_is_codes_alone(
    signing: Signing, noised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = in_force(signing)
    assert agreement.privacy is None
    report = failing(budget="E-BUDGET-SPENT", data="E-TOO-FEW", consent="E-NO-CONSENT")
    if noised:
        # Under the same hash, so that it is told: whether there is noise is all that is asked.
        under: Any = _Noised(agreement)
        monkeypatch.setattr(
            "partner_node.control.readiness.for_each_in_force", lambda _, note: note(under)
        )
    note_readiness(signing.home, report, now=NOW)
    with open_channel(signing.home, retries=False) as channel:
        tell_readiness(signing.home, channel)
    told = told_of(signing, agreement)
    assert told is not None
    exact = ("E-BUDGET-SPENT", "E-NO-CONSENT", "E-TOO-FEW")
    assert told.codes == (("E-BUDGET-SPENT", "E-SOURCE") if noised else exact)
    assert readiness_left(signing.home) == [f"READINESS: {', '.join(told.codes)}"]


class _Noised:
    privacy = "noise"

    def __init__(self, agreement: Agreement) -> None:
        self.id, self.hash = agreement.id, agreement.hash


def test_a_state_keeps_its_beginning_until_it_changes(signing: Signing) -> None:
    agreement = in_force(signing)
    later = [NOW.replace(microsecond=n) for n in (1, 2, 3)]
    for now, report in zip(later, [failing(), failing(), failing(data="E-SOURCE")], strict=True):
        note_readiness(signing.home, report, now=now)
        found = found_here(signing.home, agreement)
        assert found is not None
        begun = later[0] if not found.codes else later[2]
        assert (found.since[-7:], found.checked_at[-7:]) == (
            f"{begun.microsecond:06}Z",
            f"{now.microsecond:06}Z",
        )


def test_readiness_is_told_once_and_is_on_record_before_it_leaves(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = in_force(signing)
    note_readiness(signing.home, failing(), now=NOW)
    real, recorded = Channel.call, []

    def call(self: Channel, name: str, request: Any, reply: Any) -> Any:
        if name == READINESS:
            recorded.extend(readiness_left(signing.home))
            raise TransportError("away", code="E-CONTROL-AWAY")
        return real(self, name, request, reply)

    with monkeypatch.context() as patch:
        patch.setattr(Channel, "call", call)
        assert told_now(signing.home) is False
    assert recorded == ["READINESS: PASSED"]
    assert told_of(signing, agreement) is None
    assert told_now(signing.home) and told_now(signing.home)
    assert told_of(signing, agreement) is not None
    assert len(readiness_left(signing.home)) == 2


def test_an_agreement_that_is_refused_keeps_no_other_from_being_told(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = in_force(signing)
    refused: Any = _Noised(agreement)
    refused.hash = bytes(32)

    def place(one: Agreement) -> SimpleNamespace:
        return SimpleNamespace(agreement_here=lambda: one)

    monkeypatch.setattr(NodeHome, "places", lambda _: [place(refused), place(agreement)])
    note_readiness(signing.home, failing(), now=NOW)
    real = Channel.call

    def call(self: Channel, name: str, request: Any, reply: Any) -> Any:
        if name == READINESS and request.hash == refused.hash:
            raise RuleError("refused", code="E-CALLER")
        return real(self, name, request, reply)

    monkeypatch.setattr(Channel, "call", call)
    assert not told_now(signing.home)
    assert told_of(signing, agreement) is not None
    found = [found_here(signing.home, one) for one in (refused, agreement)]
    assert [one.told for one in found if one is not None] == [False, True]


def test_a_coordinator_that_knows_no_such_call_is_told_nothing_and_the_rest_goes_on(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = in_force(signing)
    note_readiness(signing.home, failing(), now=NOW)
    monkeypatch.setattr("partner_node.control.readiness.READINESS", "NoSuchCall")
    assert told_now(signing.home)
    assert told_of(signing, agreement) is None


def test_a_check_that_a_person_calls_is_told(signing: Signing) -> None:
    agreement = in_force(signing)
    done = signing.shell("check", "--dir", signing.home.directory, "--format", "json")
    data = done.envelope["data"]
    assert data["told"] is True
    codes = {one["code"] for one in data["checks"] if not one["passed"]}
    told = told_of(signing, agreement)
    assert told is not None
    assert set(told.codes) == codes
    assert "E-TRANSPORT" in codes  # nobody serves runs here


def test_a_check_against_a_proposal_is_nobodys_business(signing: Signing, tmp_path: Path) -> None:
    agreement = in_force(signing)
    file = tmp_path / "proposal.json"
    file.write_bytes(signing.parties.draft.to_bytes())
    signing.shell("check", "--agreement", file, "--dir", signing.home.directory)
    assert told_of(signing, agreement) is None


def test_a_check_is_due_when_wanted_and_seldom_for_the_operator(signing: Signing) -> None:
    now = [0.0]
    found = Checking(signing.home, clock=lambda: now[0])
    assert found.ask()
    assert not found.ask()
    now[0] = checking.ASKED_EVERY_S - 1
    assert not found.ask()
    now[0] += 1
    assert found.ask()


def _checked(home: NodeHome, code: str, *, at: datetime) -> None:
    note_readiness(home, failing(coordinator=code), now=at)


def _link(home: NodeHome, *, reached: bool, at: datetime) -> None:
    with closing(home.store(home.keystore())) as store:
        HeardRecords(store).note(LINK, reached=reached, now=stamp(at))


def test_what_was_not_reached_is_checked_anew_once_it_is_and_once_only(signing: Signing) -> None:
    home, _ = signing.home, in_force(signing)
    now, wanted = [0.0], []
    found = Checking(home, clock=lambda: now[0])
    found.want = lambda: wanted.append(now[0])  # type: ignore[method-assign]
    _checked(home, "E-TRANSPORT", at=NOW - HOUR)
    found.reached()
    assert wanted == [], "it never was"
    _link(home, reached=False, at=NOW - HOUR / 2)
    found.reached()
    assert wanted == [], "it is not"
    _link(home, reached=True, at=NOW)
    found.reached()
    assert wanted == [0.0]
    found._begun_at = 5.0
    now[0] = 5.0 + checking.REACHED_EVERY_S - 1
    found.reached()
    assert wanted == [0.0], "a check is just over"
    now[0] += 1
    found.reached()
    assert len(wanted) == 2
    _checked(home, "E-TRANSPORT", at=NOW + HOUR)
    found.reached()
    assert len(wanted) == 2, "the link stands since before the check"
    _checked(home, "E-BUDGET-SPENT", at=NOW - HOUR)
    found.reached()
    assert len(wanted) == 2, "which no connection mends"


def test_a_node_that_began_before_the_coordinator_is_ready_once_both_are_there(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = in_force(signing)
    reports = [failing(coordinator="E-TRANSPORT"), Report(items=())]
    monkeypatch.setattr("partner_node.control.readiness.preflight", lambda *_, **__: reports.pop(0))
    monkeypatch.setattr(checking, "REACHED_EVERY_S", 0.0)
    with present(signing.home, no_run, first_wait_s=600, most_wait_s=600) as checks:
        wait_for(
            lambda: bool((one := told_of(signing, agreement)) and one.codes),
            timeout_s=PATIENCE_S, what="what keeps it from runs",
        )  # fmt: skip
        _note(signing.home, LinkState(), LinkEvent(kind="connected"), checks)
        wait_for(
            lambda: (one := told_of(signing, agreement)) is not None and one.codes == (),
            timeout_s=PATIENCE_S, what="readiness",
        )  # fmt: skip
    assert reports == []


def test_a_check_that_meets_a_defect_tells_nothing_and_the_next_one_is_made(
    signing: Signing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Checking] = []
    found = Checking(signing.home)

    def broken(home: NodeHome) -> None:
        calls.append(found)
        found.want()
        if len(calls) == 2:
            found.end()
        raise ZeroDivisionError("customer 4711")

    monkeypatch.setattr(checking, "check_readiness", broken)
    found.keep()
    assert len(calls) == 2
    assert "ZeroDivisionError" in caplog.text
    assert "4711" not in caplog.text


def test_a_serving_node_checks_what_it_takes_up_and_when_the_operator_asks(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []
    real = check_readiness

    def noted(home: NodeHome) -> None:
        real(home)
        begun.append(time.monotonic())

    monkeypatch.setattr(checking, "check_readiness", noted)
    lab, id = signing.parties.lab, signing.home.config.node.partner
    with present(signing.home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(lambda: len(begun) == 1, timeout_s=PATIENCE_S, what="the check at the start")
        signing.agree()
        agreement = signing.parties.draft.agreement
        wait_for(lambda: bool(told_of(signing, agreement)), timeout_s=PATIENCE_S, what="readiness")
        checks = len(begun)
        for _ in range(2):  # the second wish comes too soon
            with lab.store.transaction():
                Announcements(lab.store).add(CHECK, [id])
        wait_for(lambda: len(begun) == checks + 1, timeout_s=PATIENCE_S, what="the wish")
        signing.propose_next(id=agreement.id, version=2, supersedes=agreement.hash.hex())
        signing.agree()
        newer = signing.parties.draft.agreement
        wait_for(lambda: bool(told_of(signing, newer)), timeout_s=PATIENCE_S, what="the next one")
    assert len(begun) == checks + 2


# --- the operator's commands ---------------------------------------------------------------------


def test_the_operator_asks_those_that_joined_and_sees_what_they_said(
    parties: Parties, shell: Shell
) -> None:
    agreement, node = published(parties), parties.nodes[0]
    directory = parties.lab.config.directory
    before = Announcements(parties.lab.store).last()
    data = operator(shell).json("partner", "check", node.card.id, "--dir", directory)
    assert [one["partner"] for one in data["asked"]] == [node.card.id]
    (line,) = Announcements(parties.lab.store).after(before, node.card.id)
    assert line.kind == CHECK
    refused = operator(shell).refused("partner", "check", "nobody", "--dir", directory, status=2)
    assert "nobody" in refused["message"]
    tell(parties, node, "E-SOURCE", since=1_700_000_000)
    (said,) = line_of(shell, parties.lab, node.card.id)["readiness"]
    assert said["agreement_hash"] == agreement.hash.hex()
    assert (said["passed"], said["codes"]) == (False, ["E-SOURCE"])
    assert said["since"].startswith("2023-11-14T22:13:20")
    assert "E-SOURCE" in operator(shell)("partner", "list", "--dir", directory).out


def test_readiness_of_a_version_that_was_superseded_is_not_shown(
    parties: Parties, shell: Shell
) -> None:
    first, node = published(parties), parties.nodes[0]
    tell(parties, node)
    agreement = replace(parties.draft.agreement, version=2, supersedes=first.hash)
    parties.draft = type(parties.draft).draft(agreement)
    parties.propose()
    published(parties)
    assert line_of(shell, parties.lab, node.card.id)["readiness"] == []
    tell(parties, node)
    (said,) = line_of(shell, parties.lab, node.card.id)["readiness"]
    assert said["agreement_version"] == 2
