"""The node: what it checks before it reads a row, and what is on disk before a reply leaves."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.patience import Patience
from partner_node.consent.local_rules import NoRules, Rules
from partner_node.node import Node
from partner_node.store.node_store import MAX_GREETINGS, MAX_REPETITIONS
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.software import Software
from protocol.agreement.stop import SignedStop
from protocol.errors import FedsegError, RunFailedError, StoreError
from protocol.messages import (
    Announce,
    Hello,
    Open,
    Propose,
    Publish,
    Roster,
    Stop,
    open_request,
    sign_request,
)
from protocol.participants import Chain, Link
from protocol.queries import customer_vectors
from protocol.signed_agreement import SignedAgreement
from simulations.agreement import signed_with
from simulations.federation import (
    SOFTWARE,
    EphemeralSealer,
    FeatureTerms,
    Federation,
)
from tests.partner_node.killed_nodes import CrashingStore, SpyCustomers

FEATURES = [
    FeatureTerms(name="visits", min="0", max="10"),
    FeatureTerms(name="spent", min="0", max="100"),
]
RUN_ID = b"\x11" * 16


class Lab:
    """A federation whose partner 0 has a node on disk that can be opened again."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(8)
        data = [rng.uniform((0, 0), (10, 100), (20, 2)) for _ in range(3)]
        self.federation = Federation(
            data, FEATURES, n_clusters=3, max_rounds=4, min_customers=1,
            patience=Patience(grace_s=20, resend_s=1),
        )  # fmt: skip
        self.path = folder / "node.db"
        self.sealer = EphemeralSealer()
        self.customers = SpyCustomers(customer_vectors(self.federation.scale.to_grid(data[0])))
        self.now = datetime.now(UTC)
        self.rules: Rules = NoRules()
        self.node = self.reopened()

    def reopened(self, **changes: Any) -> Node:
        """The node as after a restart of its process."""
        options: dict[str, Any] = {"software": SOFTWARE, "clock": lambda: self.now} | changes
        self.store = CrashingStore(self.path, self.sealer)
        self.node = Node(
            self.federation.signed,
            self.federation.partner_keys[0],
            self.store,
            self.customers,
            self.rules,
            **options,
        )
        self.federation.nodes[0] = self.node
        return self.node

    def signed(self, request: Any) -> bytes:
        return sign_request(request, self.federation.coordinator_key)

    def open_message(self) -> bytes:
        return self.signed(Open(agreement_hash=self.federation.agreement.hash, run_id=RUN_ID))

    def run(self) -> Any:
        return self.federation.run()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def refusal(node: Node, message: bytes) -> FedsegError:
    with pytest.raises(FedsegError) as caught:
        node.handle(message)
    return caught.value


def test_a_node_starts_no_run_from_less_than_the_last_release_that_it_received(lab: Lab) -> None:
    older, last = (lab.run().release for _ in range(2))
    lab.reopened()
    for number, named in enumerate((b"", older.to_bytes())):
        request = Open(
            agreement_hash=lab.federation.agreement.hash, run_id=bytes([number]) * 16, last=named
        )
        assert refusal(lab.node, lab.signed(request)).code == "E-RUN-START"
        assert lab.store.run_by_id(request.run_id) is None
    start = lab.run().release.release.start
    assert start is not None
    assert start.release == last.release.hash


# --- what is checked first -------------------------------------------------------------------


def test_an_agreement_that_lacks_a_signature_makes_no_node(lab: Lab) -> None:
    signed = lab.federation.signed
    for keyid in signed.envelope.signatures:
        fewer = {k: v for k, v in signed.envelope.signatures.items() if k != keyid}
        lacking = SignedAgreement(
            agreement=signed.agreement, envelope=replace(signed.envelope, signatures=fewer)
        )
        with pytest.raises(FedsegError, match="E-AGR-UNSIGNED"):
            Node(
                lacking,
                lab.federation.partner_keys[0],
                lab.store,
                lab.customers,
                NoRules(),
                software=SOFTWARE,
            )


def test_a_key_of_no_party_makes_no_node(lab: Lab) -> None:
    stranger = Ed25519PrivateKey.generate()
    with pytest.raises(FedsegError, match="E-AGR-PARTY"):
        Node(
            lab.federation.signed, stranger, lab.store, lab.customers, NoRules(), software=SOFTWARE
        )


@pytest.mark.parametrize(
    ("days", "software", "code"),
    [
        (-36_600, SOFTWARE, "E-AGR-EXPIRED"),
        (36_600, SOFTWARE, "E-AGR-EXPIRED"),
        (-1, SOFTWARE, "E-AGR-CLOCK"),
        (0, Software(version="0.0.1", sha256=bytes(32)), "E-CODE"),
        (0, Software(version=SOFTWARE.version, sha256=bytes([1]) * 32), "E-CODE"),
    ],
)
def test_outside_the_agreement_nothing_is_read_or_remembered(
    lab: Lab, days: int, software: Software, code: str
) -> None:
    """In the midst of a run, at the announcement that asks for the customers."""
    asked = _announcement(lab)
    lab.now += timedelta(days=days)
    node = lab.reopened(software=software)
    before = lab.store.run_by_id(_run_of(lab)), lab.store.egress()
    assert refusal(node, asked).code == code
    assert lab.customers.reads == 0
    assert (lab.store.run_by_id(_run_of(lab)), lab.store.egress()) == before
    # That another agreement is meant comes first: it says nothing of this one's dates.
    other = lab.signed(Open(agreement_hash=bytes(32), run_id=RUN_ID))
    assert refusal(node, other).code == "E-AGR-OTHER"


def test_a_clock_may_be_set_back_by_five_minutes(lab: Lab) -> None:
    asked = _announcement(lab)
    lab.now -= timedelta(minutes=6)
    error = refusal(lab.node, asked)
    assert error.code == "E-AGR-CLOCK"
    assert "clock says" in error.message
    assert "set the clock" in error.remedy
    assert lab.customers.reads == 0
    lab.now += timedelta(minutes=2)
    assert lab.node.handle(asked)


def test_after_the_day_of_review_a_run_goes_on_but_none_begins(lab: Lab) -> None:
    asked = _announcement(lab)
    agreement = lab.federation.agreement
    values = agreement.to_dict() | {"review_by": "2000-01-02T00:00:00Z"}
    reviewed = Agreement.from_dict(values)
    assert reviewed.review_by < lab.now
    lab.node.agreement = replace(agreement, review_by=reviewed.review_by)
    begins = lab.signed(Open(agreement_hash=lab.node.agreement.hash, run_id=RUN_ID))
    assert refusal(lab.node, begins).code == "E-AGR-REVIEW"
    assert lab.customers.reads == 0
    lab.node.agreement = agreement
    assert lab.node.handle(asked)


def test_clocks_may_differ_by_minutes(lab: Lab) -> None:
    lab.now = lab.federation.agreement.expires + timedelta(minutes=4)
    assert lab.node.handle(lab.open_message())
    lab.now += timedelta(minutes=2)
    assert refusal(lab.node, lab.open_message()).code == "E-AGR-EXPIRED"


def test_a_stranger_that_signs_gets_nothing(lab: Lab) -> None:
    request = Open(agreement_hash=lab.federation.agreement.hash, run_id=RUN_ID)
    forged = sign_request(request, Ed25519PrivateKey.generate())
    assert refusal(lab.node, forged).code == "E-SIGNATURE"
    assert lab.store.runs() == []
    assert lab.store.egress() == []


def test_a_run_that_was_never_opened_is_unknown(lab: Lab) -> None:
    for request in (
        Stop(run_id=RUN_ID, reason="E-STOPPED"),
        Roster(run_id=RUN_ID, hellos=(), chain=b""),
    ):
        assert refusal(lab.node, lab.signed(request)).code == "E-RUN-OTHER"
    assert lab.store.runs() == []


# --- the reply is on disk first --------------------------------------------------------------


def _stop_at_announcement(lab: Lab) -> Callable[[int, bytes], bytes | None]:
    """Loses the first announcement to partner 0, and keeps it."""
    key = lab.federation.agreement.coordinator.public_key

    def tamper(node: int, message: bytes) -> bytes | None:
        if node == 0 and isinstance(open_request(message, coordinator_key=key), Announce):
            lab.kept = message  # type: ignore[attr-defined]
            raise InterruptedError
        return message

    return tamper


def _announcement(lab: Lab) -> bytes:
    """The announcement of a run's first round, which partner 0 has not seen."""
    lab.federation.exchange.tamper_request = _stop_at_announcement(lab)
    with pytest.raises(InterruptedError):
        lab.run()
    lab.federation.exchange.tamper_request = None
    kept: bytes = lab.kept  # type: ignore[attr-defined]
    return kept


def _run_of(lab: Lab) -> bytes:
    return lab.store.runs()[0].run_id


@pytest.mark.parametrize("stage", ["open", "announce"])
def test_killed_before_the_commit_nothing_is_remembered(lab: Lab, stage: str) -> None:
    message = _announcement(lab) if stage == "announce" else lab.open_message()
    before = lab.store.runs(), lab.store.egress()
    lab.store.crash = "before"
    with pytest.raises(SystemExit):
        lab.node.handle(message)
    node = lab.reopened()
    assert (lab.store.runs(), lab.store.egress()) == before
    assert node.handle(message)


@pytest.mark.parametrize("stage", ["open", "announce"])
def test_killed_after_the_commit_the_same_bytes_are_sent_again(lab: Lab, stage: str) -> None:
    message = _announcement(lab) if stage == "announce" else lab.open_message()
    sent = len(lab.store.egress())
    lab.store.crash = "after"
    lab.store.commits_before = 1 if stage == "announce" else 0
    with pytest.raises(SystemExit):
        lab.node.handle(message)
    reads = lab.customers.reads
    node = lab.reopened()
    replies = {node.handle(message) for _ in range(2)} | {lab.reopened().handle(message)}
    assert len(replies) == 1
    hashes = {r.sha256 for r in lab.store.egress()[sent:]}
    assert len(lab.store.egress()) == sent + 4
    assert len(hashes) == 1, "the reply before the kill was another one"
    assert lab.customers.reads == reads, "customers were read again for an old answer"


@pytest.mark.parametrize(("crash", "commits_before"), [("after", 0), ("before", 1)])
def test_killed_while_customers_are_counted_the_same_is_asked_again(
    lab: Lab, crash: str, commits_before: int
) -> None:
    message = _announcement(lab)
    sent = lab.store.egress()
    lab.store.crash, lab.store.commits_before = crash, commits_before
    with pytest.raises(SystemExit):
        lab.node.handle(message)
    node = lab.reopened()
    assert lab.store.egress() == sent
    assert len({node.handle(message), lab.reopened().handle(message)}) == 1


def test_the_reply_is_in_the_database_when_it_is_returned(lab: Lab) -> None:
    reply = lab.node.handle(lab.open_message())
    with sqlite3.connect(lab.path) as connection:
        row = connection.execute("SELECT n_bytes, what FROM egress").fetchone()
    connection.close()
    assert row == (len(reply), "HELLO: fresh keys")


def test_changed_data_do_not_change_an_answer_that_was_given(lab: Lab) -> None:
    """One mask never covers two answers, whatever happened to the data in between."""
    asked = _announcement(lab)
    first = lab.node.handle(asked)
    lab.customers.prepared = lab.customers.prepared[:5]
    assert lab.reopened().handle(asked) == first


def test_fresh_keys_are_drawn_for_every_run(lab: Lab) -> None:
    hellos = []
    for number in range(3):
        request = Open(agreement_hash=lab.federation.agreement.hash, run_id=bytes([number]) * 16)
        hellos.append(Hello.parse(lab.node.handle(lab.signed(request)))[0])
    assert len({hello.x25519 for hello in hellos}) == 3
    assert len({hello.kem for hello in hellos}) == 3


# --- refusals --------------------------------------------------------------------------------


def test_fewer_customers_than_agreed_are_refused_and_nothing_leaves(lab: Lab) -> None:
    asked = _announcement(lab)
    before = lab.store.egress()
    lab.customers.prepared = lab.customers.prepared[:0]
    vars(lab.node.agreement)["min_customers_per_partner"] = 1  # its hash is what it was
    refused = refusal(lab.node, asked)
    assert refused.code == "E-TOO-FEW"
    assert "0 customers are counted now, the agreement needs 1" in refused.message
    assert lab.store.egress() == before


def test_more_customers_than_agreed_are_refused_and_nothing_leaves(lab: Lab) -> None:
    asked = _announcement(lab)
    before = lab.store.runs(), lab.store.egress()
    lab.customers.prepared = np.vstack([lab.customers.prepared, lab.customers.prepared[:1]])
    refused = refusal(lab.node, asked)
    assert refused.code == "E-ROW-CAP"
    assert "21 customers" in refused.message
    assert "20" in refused.message
    assert [r.round for r in lab.store.runs()] == [r.round for r in before[0]]
    assert lab.store.egress() == before[1]


def test_a_source_that_fails_midway_can_be_asked_again(lab: Lab) -> None:
    asked = _announcement(lab)
    lab.customers.broken = True
    assert refusal(lab.node, asked).code == "E-SOURCE"
    lab.customers.broken = False
    assert lab.reopened().handle(asked)


def test_only_the_code_of_a_refusal_reaches_the_coordinator(lab: Lab) -> None:
    lab.customers.broken = True
    seen: list[str] = []
    pull = lab.federation.exchange.pull
    lab.federation.exchange.__class__ = type(
        "Spy",
        (type(lab.federation.exchange),),
        {
            "__slots__": (),
            "pull": lambda self, handles: _noted(pull(handles), seen),
        },
    )
    with pytest.raises(RunFailedError) as caught:
        lab.run()
    assert set(seen) == {"E-SOURCE"}
    assert "E-SOURCE" in caught.value.message
    assert "file is gone" not in caught.value.message


def _noted(replies: Any, seen: list[str]) -> Any:
    seen += [r.error for r in replies.values() if r.error is not None]
    return replies


def test_what_is_refused_is_remembered_with_its_run(lab: Lab) -> None:
    asked = _announcement(lab)
    lab.customers.broken = True
    refusal(lab.node, asked)
    refusal(lab.node, lab.signed(Open(agreement_hash=bytes(32), run_id=RUN_ID)))
    refusal(lab.node, b"nonsense")
    found = {(r.code, r.run_id) for r in Refusals(lab.reopened().store).all()}
    assert found == {("E-SOURCE", _run_of(lab)), ("E-AGR-OTHER", RUN_ID), ("E-MALFORMED", b"")}


def test_a_refusal_that_cannot_be_stored_is_a_refusal_all_the_same(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr(Refusals, "add", full)
    request = Open(agreement_hash=bytes(32), run_id=RUN_ID)
    assert refusal(lab.node, lab.signed(request)).code == "E-AGR-OTHER"


def test_rounds_answered_are_sum_queries_not_the_approval(lab: Lab) -> None:
    lab.node.handle(lab.open_message())
    assert lab.store.runs()[0].rounds_answered == 0
    release = lab.run().release.release
    assert lab.store.runs()[0].rounds_answered == release.rounds
    answered = [r for r in lab.store.egress() if r.what.startswith("MASKED")]
    assert len(answered) == release.rounds


def test_a_round_counts_as_soon_as_it_is_answered(lab: Lab) -> None:
    lab.node.handle(_announcement(lab))
    assert lab.store.runs()[0].rounds_answered == 1


def test_the_log_says_which_run_and_round_was_answered(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    lab.node.handle(_announcement(lab))
    run = _run_of(lab).hex()[:8]
    assert f"run {run}: answered with READY" in caplog.text
    assert f"run {run}, round 1: answered with MASKED" in caplog.text


def test_a_run_that_was_aborted_stays_aborted_after_a_restart(lab: Lab) -> None:
    asked = _announcement(lab)
    key = lab.federation.agreement.coordinator.public_key
    request = open_request(asked, coordinator_key=key)
    assert isinstance(request, Announce)
    lie = lab.signed(replace(request, head=b"\x00" * 32))
    code = refusal(lab.node, lie).code
    for node in (lab.node, lab.reopened()):
        assert refusal(node, asked).code == "E-RUN-ABORTED"
    (run,) = lab.store.runs()
    assert (run.phase, run.reason) == ("aborted", code)
    assert lab.customers.reads == 0
    opening = Open(agreement_hash=lab.federation.agreement.hash, run_id=run.run_id)
    assert refusal(lab.node, lab.signed(opening)).code == "E-RUN-ABORTED"


def test_stop_ends_the_run_here_and_says_why(lab: Lab) -> None:
    lab.node.handle(lab.open_message())
    stop = lab.signed(Stop(run_id=RUN_ID, reason="E-GRACE"))
    assert lab.node.handle(stop) == lab.reopened().handle(stop)
    (run,) = lab.store.runs()
    assert (run.phase, run.reason) == ("aborted", "E-GRACE")
    assert refusal(lab.node, lab.open_message()).code == "E-RUN-ABORTED"


def test_the_first_reason_for_a_runs_end_stays(lab: Lab) -> None:
    lab.node.handle(lab.open_message())
    for reason in ("E-GRACE", "E-LATE"):
        lab.node.handle(lab.signed(Stop(run_id=RUN_ID, reason=reason)))
    assert lab.store.runs()[0].reason == "E-GRACE"


def test_a_release_that_is_told_again_is_acknowledged_and_an_altered_one_is_not(lab: Lab) -> None:
    told: list[Publish] = []
    key = lab.federation.agreement.coordinator.public_key

    def note(node: int, message: bytes) -> bytes:
        request = open_request(message, coordinator_key=key)
        if node == 0 and isinstance(request, Publish):
            told.append(request)
        return message

    lab.federation.exchange.tamper_request = note
    lab.run()
    lab.federation.exchange.tamper_request = None
    again = lab.node.handle(lab.signed(told[0]))
    for altered in (told[0].release.replace(b'"signatures"', b'"signature"'), b"x"):
        request = Publish(run_hash=told[0].run_hash, release=altered)
        refusal(lab.node, lab.signed(request))
    assert lab.node.handle(lab.signed(told[0])) == again
    assert [run.phase for run in lab.store.runs()] == ["done"]
    assert [envelope for _, envelope in lab.store.releases()] == [told[0].release]


def test_a_stop_does_not_undo_a_release(lab: Lab) -> None:
    lab.run()
    (run,) = lab.store.runs()
    lab.node.handle(lab.signed(Stop(run_id=run.run_id, reason="E-LATE")))
    assert [r.phase for r in lab.store.runs()] == ["done"]
    assert len(lab.store.releases()) == 1


# --- a whole run -----------------------------------------------------------------------------


def test_egress_lists_everything_that_left_and_how_many_customers_it_counted(lab: Lab) -> None:
    left: list[int] = []

    def note(node: int, message: bytes) -> bytes:
        if node == 0:
            left.append(len(message))
        return message

    lab.federation.exchange.tamper_reply = note
    run = lab.run()
    egress = lab.store.egress()
    assert [r.n_bytes for r in egress] == left
    assert [r.customers for r in egress] == [None, None, *[20] * run.rounds, None, None]
    assert [r.what.split(":")[0] for r in egress] == [
        "HELLO", "READY", *["MASKED"] * run.rounds, "APPROVAL", "ACK",
    ]  # fmt: skip
    assert lab.store.releases()[0][1] == run.release.to_bytes()


def test_the_agreement_is_kept_with_its_releases(lab: Lab) -> None:
    assert lab.store.agreement(lab.federation.agreement.hash) is None
    lab.run()
    kept = lab.store.agreement(lab.federation.agreement.hash)
    assert kept is not None
    assert kept.verify() == lab.federation.agreement


def test_a_node_restarted_before_every_message_takes_part_all_the_same(lab: Lab) -> None:
    def restart(node: int, message: bytes) -> bytes:
        if node == 0:
            lab.store.close()
            lab.reopened()
        return message

    lab.federation.exchange.tamper_request = restart
    release = lab.run().release.verify(lab.federation.agreement)
    assert "partner-0" in release.participants


def test_the_log_names_no_customer_and_no_number_of_theirs(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    asked = _announcement(lab)
    lab.customers.prepared = np.vstack([lab.customers.prepared] * 2)
    refusal(lab.node, asked)
    lab.node.handle(lab.signed(Stop(run_id=_run_of(lab), reason="E-STOPPED")))
    said = [r.getMessage() for r in caplog.records if r.name.startswith("partner_node")]
    said = [re.sub(r"run [0-9a-f]+", "run", line) for line in said]  # hex digits may be any
    assert not any("40" in line or "20 " in line for line in said)


def test_a_run_goes_on_with_a_driver_that_never_saw_the_node(lab: Lab) -> None:
    """The node was asked in round 0 by a driver that died; the next one gets the same bytes."""
    run_ids: list[bytes] = []
    request_run = lab.federation.store.request_run
    lab.federation.store.request_run = lambda run_id, a: (  # type: ignore[method-assign]
        run_ids.append(run_id),
        request_run(run_id, a),
    )[1]
    _announcement(lab)
    signed = lab.federation.drive(run_ids[0])
    assert signed.verify(lab.federation.agreement).participants == (
        "partner-0", "partner-1", "partner-2",
    )  # fmt: skip


# --- what a later run or agreement ends ------------------------------------------------------


def _secrets_kept(lab: Lab) -> list[bool]:
    """Of each run, newest first: whether its messages could be opened with what is stored."""
    names = ("x_private", "kem_seed", "kem_secrets", "pair_keys")
    return [any(run.state[name] for name in names) for run in lab.store.runs()]


def _next_version(lab: Lab) -> SignedAgreement:
    earlier = lab.federation.agreement
    later = replace(earlier, version=2, supersedes=earlier.hash)
    return signed_with(later, lab.federation.partner_keys)


def test_the_set_of_a_later_run_ends_every_earlier_one_and_forgets_its_keys(lab: Lab) -> None:
    key = lab.federation.agreement.coordinator.public_key
    lab.node.handle(lab.open_message())  # never gets a roster
    lost: list[bytes] = []

    def lose_first_release(node: int, message: bytes) -> bytes | None:
        request = open_request(message, coordinator_key=key)
        if node != 0 or not isinstance(request, Publish):
            return message
        lost.append(request.run_hash)
        return None if request.run_hash == lost[0] else message

    lab.federation.exchange.tamper_request = lose_first_release
    lab.run()
    assert [r.phase for r in lab.store.runs()] == ["running", "aborted"]
    assert _secrets_kept(lab) == [True, False]
    lab.run()
    assert [(r.phase, r.reason) for r in lab.store.runs()] == [
        ("done", ""), ("aborted", "E-RUN-SUPERSEDED"), ("aborted", "E-RUN-SUPERSEDED"),
    ]  # fmt: skip
    assert _secrets_kept(lab) == [False, False, False]
    assert refusal(lab.node, lab.open_message()).code == "E-RUN-ABORTED"


def test_what_is_kept_goes_with_a_run_that_another_supersedes(lab: Lab) -> None:
    lab.node.handle(lab.open_message())  # never gets a roster
    seen: list[list[str]] = []
    lab.node._run_over = lambda: seen.append([run.phase for run in lab.store.runs()])
    lab.run()
    assert len(seen) == 2
    assert seen[0][1] == "aborted", "stored before"
    assert seen[0][0] not in ("done", "aborted")
    assert seen[1] == ["done", "aborted"]


def test_what_is_kept_goes_when_the_agreement_is_stopped(lab: Lab) -> None:
    asked = _announcement(lab)
    seen: list[str] = []
    lab.node._run_over = lambda: seen.append("forgotten")
    stop = SignedStop.sign(
        lab.federation.agreement, lab.federation.partner_keys[1], at="2026-01-15T00:00:00Z"
    )
    with lab.store.transaction():  # as a command does in another process
        lab.store.note_stop(stop, now=stamp(lab.now))
    assert seen == []
    assert refusal(lab.node, asked).code == "E-WITHDRAWN"
    assert seen == ["forgotten"]


def test_a_run_opened_later_lives_on_when_an_earlier_one_gets_its_roster(lab: Lab) -> None:
    opened: list[bytes] = []
    key = lab.federation.agreement.coordinator.public_key

    def open_another(node: int, message: bytes) -> bytes | None:
        if node == 0 and isinstance(open_request(message, coordinator_key=key), Roster):
            opened.append(lab.node.handle(lab.open_message()))
        return message

    lab.federation.exchange.tamper_request = open_another
    lab.run()
    assert [r.phase for r in lab.store.runs()] == ["greeted", "done"]
    assert lab.node.handle(lab.open_message()) == opened[0]


def test_whoever_opens_runs_without_end_fills_no_disk(lab: Lab) -> None:
    """Four hundred made 6 MB; runs that a roster follows are bounded by the chain."""
    opened = []
    sizes = []
    entries = lab.store.log.size
    for number in range(3 * MAX_GREETINGS):
        run_id = number.to_bytes(16, "big")
        opened.append(
            lab.node.handle(
                lab.signed(Open(agreement_hash=lab.federation.agreement.hash, run_id=run_id))
            )
        )
        sizes.append(_size(lab))
    assert len(set(opened)) == len(opened)
    assert len(lab.store.runs()) == MAX_GREETINGS + 1
    assert len(lab.store.egress()) == MAX_GREETINGS + 1
    assert lab.store.ask("SELECT count(*) FROM manifests") == [(MAX_GREETINGS + 1,)]
    assert max(sizes[MAX_GREETINGS:]) < 1.5 * sizes[MAX_GREETINGS]
    assert lab.store.log.size == entries, "which forgets nothing"
    lab.run()  # and the node takes part all the same
    assert lab.store.runs()[0].phase == "done"


def test_a_run_that_was_begun_is_not_forgotten_however_many_are_opened(lab: Lab) -> None:
    lab.run()
    agreed = lab.federation.agreement.hash
    known = lab.store.run_hashes(agreed)
    ((_, last),) = lab.store.releases()
    for number in range(MAX_GREETINGS + 5):
        opening = Open(agreement_hash=agreed, run_id=number.to_bytes(16, "big"), last=last)
        lab.node.handle(lab.signed(opening))
    assert set(known) <= set(lab.store.run_hashes(lab.federation.agreement.hash))


def test_whoever_asks_for_one_message_without_end_fills_no_disk(lab: Lab) -> None:
    """The first sending stays on record, and the latest repetitions."""
    answers = {lab.node.handle(lab.open_message()) for _ in range(3 * MAX_REPETITIONS)}
    assert len(answers) == 1
    sendings = lab.store.egress()
    assert len(sendings) == MAX_REPETITIONS + 1
    assert [record.customers for record in sendings] == [None] * len(sendings)
    numbers = [number for (number,) in lab.store.ask("SELECT number FROM egress ORDER BY number")]
    latest = range(2 * MAX_REPETITIONS + 1, 3 * MAX_REPETITIONS + 1)
    assert numbers == [1, *latest]


def _size(lab: Lab) -> int:
    """Bytes that a node's state takes on the disk."""
    return sum(path.stat().st_size for path in lab.path.parent.glob(f"{lab.path.name}*"))


def test_older_runs_end_in_the_transaction_that_signs_the_newer_set(lab: Lab) -> None:
    lab.node.handle(lab.open_message())
    key = lab.federation.agreement.coordinator.public_key

    def crash(node: int, message: bytes) -> bytes | None:
        if node == 0 and isinstance(open_request(message, coordinator_key=key), Roster):
            lab.store.crash = "before"
        return message

    lab.federation.exchange.tamper_request = crash
    with pytest.raises(SystemExit):
        lab.run()
    lab.reopened()
    assert [r.phase for r in lab.store.runs()] == ["greeted", "greeted"]


def test_the_next_agreement_ends_the_runs_of_the_one_before(lab: Lab) -> None:
    asked = _announcement(lab)
    signed = _next_version(lab)
    key = lab.federation.partner_keys[0]
    node = Node(
        signed, key, lab.store, lab.customers, NoRules(), software=SOFTWARE, clock=lambda: lab.now
    )
    with lab.store.transaction():
        lab.store.end_runs_outside([node.agreement.hash], now=stamp(lab.now))
    assert [r.reason for r in lab.store.runs()] == ["E-RUN-SUPERSEDED"]
    assert _secrets_kept(lab) == [False]
    assert refusal(node, asked).code == "E-AGR-OTHER"
    assert refusal(lab.reopened(), asked).code == "E-RUN-ABORTED"


@pytest.mark.parametrize("kind", ["announce", "propose", "publish", "roster", "stop", "open"])
def test_a_run_of_another_agreement_is_refused_before_anything_is_read_of_it(
    lab: Lab, kind: str
) -> None:
    asked = _announcement(lab)
    key = lab.federation.agreement.coordinator.public_key
    announce = open_request(asked, coordinator_key=key)
    assert isinstance(announce, Announce)
    run_hash, run_id = announce.run_hash, _run_of(lab)
    signed = _next_version(lab)
    chain = Chain(agreement_hash=signed.agreement.hash, n_partners=3).extended(
        Link(run_hash=run_hash, members=frozenset(range(3)))
    )
    requests: dict[str, Any] = {
        "announce": announce,
        "propose": Propose(run_hash=run_hash, chain=chain.to_bytes()),
        "publish": Publish(run_hash=run_hash, release=b"x"),
        "roster": Roster(run_id=run_id, hellos=(b"",) * 3, chain=chain.to_bytes()),
        "stop": Stop(run_id=run_id, reason="E-STOPPED"),
        "open": Open(agreement_hash=signed.agreement.hash, run_id=run_id),
    }
    node = Node(
        signed, lab.federation.partner_keys[0], lab.store, lab.customers, NoRules(),
        software=SOFTWARE,
        clock=lambda: lab.now,
    )  # fmt: skip
    assert refusal(node, lab.signed(requests[kind])).code == "E-AGR-OTHER"
    assert lab.customers.reads == 0
    assert lab.store.chain(signed.agreement).links == ()
