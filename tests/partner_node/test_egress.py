"""The egress gate: what leaves is written down, checked, and held where a person decides."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.patience import Patience
from partner_node.consent.local_rules import NoRules
from partner_node.egress import gate as gate_module
from partner_node.egress.check import (
    Grounds,
    _objection_to_noise,
    objection_to_content,
    objection_to_sending,
)
from partner_node.egress.gate import EgressGate
from partner_node.egress.manifest import Manifest
from partner_node.egress.records import (
    APPROVED,
    EXPIRED,
    FREE,
    OVER,
    REFUSED,
    WAITING,
    Manifests,
    Written,
)
from partner_node.egress.settings import HOLDS, EgressSection
from partner_node.egress.words import STATE_WORDS, held_words, manifest_values, manifest_words
from partner_node.node import Node
from partner_node.store.ledger import Ledger
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.errors import FedsegError, RuleError, RunFailedError, StoreError, UsageError
from protocol.messages import (
    Ack,
    Announce,
    Masked,
    Open,
    Propose,
    Publish,
    Roster,
    Stop,
    open_request,
    sign_request,
)
from protocol.noised_queries import VotesQuery
from protocol.partner_round import PartnerRound
from protocol.partner_state import Phase
from protocol.privacy.accounting import rho_for
from protocol.privacy.mechanisms import share_variance
from protocol.privacy.terms import PrivacyTerms
from protocol.queries import customer_vectors
from protocol.replies import ACCEPT, ACK, APPROVAL, HELLO, KINDS, MASKED, READY
from protocol.signing import key_id
from simulations.federation import SOFTWARE, EphemeralSealer, FeatureTerms, Federation
from tests.partner_node.killed_nodes import CrashingStore, SpyCustomers

FEATURES = [FeatureTerms(name=name, min="0", max="10") for name in ("visits", "spent")]
CUSTOMERS = 30
#: Questions that a run under noise asks.
ROUNDS = 4
RUN_ID = b"\x11" * 16
WITH_NOISE = PrivacyTerms(
    epsilon=Decimal("2"), delta=Decimal("0.00001"), rho=rho_for(2.0, 1e-5), runs=3,
    spare_rounds=1, max_partners_per_customer=1,
)  # fmt: skip
ANSWERS = EgressSection(hold="answers", hold_hours=2)
SIGNED = EgressSection(hold="signed", hold_hours=2)


class Lab:
    """A federation whose partner 0 has a node on disk, with a gate of its own settings."""

    def __init__(
        self, folder: Path, *, privacy: PrivacyTerms | None = WITH_NOISE,
        egress: EgressSection | None = None,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(5)
        data = [rng.uniform(0, 10, (CUSTOMERS, 2)) for _ in range(4)]
        self.fed = Federation(
            data, FEATURES, n_clusters=2, max_rounds=ROUNDS, privacy=privacy, min_customers=5,
            plan="lloyd-dp" if privacy else "lloyd-exact",
            patience=Patience(grace_s=40, resend_s=1),
        )  # fmt: skip
        self.path = folder / "node.db"
        self.sealer = EphemeralSealer()
        self.customers = SpyCustomers(customer_vectors(self.fed.scale.to_grid(data[0])))
        self.now = datetime.now(UTC)
        self.egress = egress
        self.left: list[bytes] = []
        self.node = self.reopened()
        self.fed.exchange.tamper_reply = self._note

    def _note(self, node: int, message: bytes) -> bytes:
        if node == 0:
            self.left.append(message)
        return message

    def reopened(self) -> Node:
        """The node as after a restart of its process."""
        self.store = CrashingStore(self.path, self.sealer)
        self.node = Node(
            self.fed.signed, self.fed.partner_keys[0], self.store, self.customers, NoRules(),
            software=SOFTWARE, egress=self.egress, clock=lambda: self.now,
        )  # fmt: skip
        self.fed.nodes[0] = self.node
        return self.node

    @property
    def manifests(self) -> Manifests:
        return Manifests(self.store)

    @property
    def written(self) -> list[Written]:
        """Every manifest on disk."""
        rows = self.store.ask("SELECT number FROM manifests ORDER BY number")
        return [self.manifests.get(number) for (number,) in rows]

    def decide(self, number: int, decision: str) -> Written:
        with self.store.transaction():
            return self.manifests.decide(
                number, decision, now=stamp(self.now), by="anna", account="",
                counts=lambda _who, _account: True,
            )  # fmt: skip

    def signed(self, request: Any) -> bytes:
        return sign_request(request, self.fed.coordinator_key)

    def opening(self) -> bytes:
        return self.signed(Open(agreement_hash=self.fed.agreement.hash, run_id=RUN_ID))

    def request_to(self, kind: type, *, number: int = 0) -> bytes:
        """A run's request of a kind to partner 0, the first or a later one, not delivered."""
        key = self.fed.agreement.coordinator.public_key
        kept: list[bytes] = []

        def catch(node: int, message: bytes) -> bytes:
            request = open_request(message, coordinator_key=key)
            wanted = isinstance(request, kind) and number == getattr(request, "round", number)
            if node == 0 and wanted:
                kept.append(message)
                raise InterruptedError
            return message

        self.fed.exchange.tamper_request = catch
        with pytest.raises(InterruptedError):
            self.fed.run()
        self.fed.exchange.tamper_request = None
        return kept[0]

    def announcement(self) -> bytes:
        return self.request_to(Announce)

    def refusal(self, message: bytes) -> FedsegError:
        with pytest.raises(FedsegError) as caught:
            self.node.handle(message)
        return caught.value

    def on_disk(self) -> tuple[Any, ...]:
        return self.store.egress(), self.written, self.store.runs()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


# --- manifests -------------------------------------------------------------------------------


@pytest.mark.parametrize("privacy", [WITH_NOISE, None])
def test_every_message_that_leaves_has_a_manifest_of_its_very_bytes(
    tmp_path: Path, privacy: PrivacyTerms | None
) -> None:
    lab = Lab(tmp_path, privacy=privacy)
    lab.fed.run()
    written = lab.written
    assert [w.manifest.sha256 for w in written] == [hashlib.sha256(m).hexdigest() for m in lab.left]
    assert [w.manifest.n_bytes for w in written] == [len(m) for m in lab.left]
    rounds = len(lab.left) - 4
    assert [w.manifest.kind for w in written] == [HELLO, READY, *[MASKED] * rounds, APPROVAL, ACK]
    assert [w.manifest.round for w in written[2:-2]] == list(range(rounds))
    assert [r.manifest for r in lab.store.egress()] == [w.number for w in written]
    assert {w.times for w in written} == {1}
    assert {w.state(stamp(lab.now)) for w in written} == {FREE}


def test_an_answers_manifest_says_question_bounds_noise_cost_customers_and_receiver(
    lab: Lab,
) -> None:
    lab.node.handle(lab.announcement())
    manifest = lab.written[-1].manifest
    question = manifest.question
    assert question is not None
    (charge,) = Ledger(lab.store).charges()
    (run,) = lab.store.runs()
    agreement = lab.fed.agreement
    assert question.words == charge.asked
    assert manifest.vector_length == 2 * (2 + 1)
    assert (question.low, question.high) == (-question.high, question.high)
    assert question.high % agreement.parties[0].max_customers == 0
    assert question.share_variance == charge.share_variance
    assert question.share_variance == share_variance(
        3 * charge.share_variance, partners=4, colluding=1
    )
    assert question.cost == charge.cost
    assert question.participants == tuple(p.id for p in agreement.parties)
    assert manifest.customers == CUSTOMERS
    assert manifest.receiver == "Simulated coordinator"
    assert manifest.receiver_key == key_id(agreement.coordinator.public_key)
    assert (manifest.run_id, manifest.agreement_hash) == (run.run_id, agreement.hash)
    assert lab.customers.reads == 1, "the gate looks at no customer"


@pytest.mark.parametrize("privacy", [WITH_NOISE, None])
def test_a_manifest_is_read_back_as_it_was_and_shown_in_words(
    tmp_path: Path, privacy: PrivacyTerms | None
) -> None:
    lab = Lab(tmp_path, privacy=privacy)
    lab.fed.run()
    now = stamp(lab.now)
    for written in lab.written:
        assert Manifest.from_dict(written.manifest.to_dict()) == written.manifest
        values = manifest_values(written, now)
        assert values["sha256"] == written.manifest.sha256
        assert values["state"] == FREE
        assert manifest_words(written, now)
    answer = next(w for w in lab.written if w.manifest.kind == MASKED)
    noise = manifest_values(answer, now)["question"]["noise"]
    assert ("standard deviation" if privacy else "exact totals: not anonymous") in noise


def test_a_message_that_is_sent_again_has_one_manifest(lab: Lab) -> None:
    asked = lab.announcement()
    first = lab.node.handle(asked)
    assert {lab.node.handle(asked), lab.reopened().handle(asked)} == {first}
    answers = [w for w in lab.written if w.manifest.kind == MASKED]
    assert [w.times for w in answers] == [3]
    again = [r for r in lab.store.egress() if r.manifest == answers[0].number]
    assert [r.customers for r in again] == [CUSTOMERS, None, None]
    assert len({r.sha256 for r in again}) == 1
    assert len({(r.run_id, r.round) for r in again}) == 1


def test_a_manifest_that_was_changed_by_hand_is_an_error_of_ours(lab: Lab) -> None:
    lab.node.handle(lab.opening())
    lab.store.ask("UPDATE manifests SET manifest = '{}'")
    with pytest.raises(StoreError, match="manifest of message 1 cannot be read"):
        lab.manifests.get(1)


# --- what is checked -------------------------------------------------------------------------

QUESTION_LIES: dict[str, Any] = {
    "words": "the average income",
    "low": -1,
    "high": 1 << 60,
    "sensitivity_squared": 1,
    "share_variance": 9,
    "participants": ("partner-0", "partner-1"),
    "cost": 2,
}
LIES: dict[str, Any] = {
    "kind": "ROWS",
    "partner": 1,
    "belongs_to": bytes(32),
    "head": bytes(32),
    "vector_length": 5,
    "n_bytes": 7,
    "sha256": "0" * 64,
    "run_id": bytes(16),
    "round": 7,
    "context": bytes(32),
    "agreement_id": "other",
    "agreement_version": 9,
    "agreement_hash": bytes(32),
    "receiver": "Somebody else",
    "receiver_key": "0" * 64,
    "customers": 4,
    "release": bytes(32),
    "question": None,
}
MORE_LIES = [("customers", None), ("customers", CUSTOMERS + 1), ("kind", HELLO)]


def lying(patch: pytest.MonkeyPatch, lie: Callable[[Manifest], Manifest]) -> None:
    """Have partner 0's gate make manifests that say something else of answers."""
    true = Manifest.of

    def of(*args: Any, **named: Any) -> Manifest:
        manifest = true(*args, **named)
        ours = manifest.partner == 0 and manifest.kind in (MASKED, APPROVAL)
        return lie(manifest) if ours else manifest

    patch.setattr(gate_module.Manifest, "of", staticmethod(of))


def check_nothing_leaves(lab: Lab, asked: bytes, patch: pytest.MonkeyPatch) -> None:
    """A message is refused without a trace, and leaves once nothing is wrong any more."""
    before = lab.on_disk()
    charged = len(Ledger(lab.store).charges())
    assert lab.refusal(asked).code == "E-EGRESS"
    left, written, runs = lab.on_disk()
    assert (left, written) == before[:2]
    assert [r.state["answers"] for r in runs] == [r.state["answers"] for r in before[2]]
    patch.undo()
    assert lab.node.handle(asked)
    assert len(Ledger(lab.store).charges()) <= charged + 1


@pytest.mark.slow
@pytest.mark.parametrize(("fact", "lie"), [*LIES.items(), *MORE_LIES])
def test_an_answer_whose_manifest_is_not_as_agreed_does_not_leave(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, fact: str, lie: object
) -> None:
    asked = lab.announcement()
    lying(monkeypatch, lambda m: replace(m, **{fact: lie}))  # type: ignore[arg-type]
    check_nothing_leaves(lab, asked, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("fact", "lie"), QUESTION_LIES.items())
@pytest.mark.parametrize("privacy", [WITH_NOISE, None])
def test_an_answer_to_another_question_than_the_agreed_plans_does_not_leave(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    privacy: PrivacyTerms | None,
    fact: str,
    lie: object,
) -> None:
    lab = Lab(tmp_path, privacy=privacy)
    asked = lab.announcement()
    lying(
        monkeypatch,
        lambda m: replace(m, question=replace(m.question, **{fact: lie})),  # type: ignore
    )
    check_nothing_leaves(lab, asked, monkeypatch)


@pytest.mark.parametrize("fact", ["share_variance", "cost", "sensitivity_squared", "high"])
def test_an_answer_that_claims_more_than_the_agreed_plan_gives_does_not_leave(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, fact: str
) -> None:
    """More noise than there is would be read by whoever approves it."""
    asked = lab.announcement()

    def more(manifest: Manifest) -> Manifest:
        said = manifest.question
        assert said is not None
        return replace(manifest, question=replace(said, **{fact: getattr(said, fact) + 1}))

    lying(monkeypatch, more)
    check_nothing_leaves(lab, asked, monkeypatch)


def test_every_fact_of_a_manifest_is_checked() -> None:
    assert {*LIES, "acknowledges"} == set(Manifest.__slots__)
    assert set(QUESTION_LIES) == set(gate_module.Question.__slots__)


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": bytes(16)},
        {"share_variance": 9},
        {"sensitivity_squared": 1},
        {"group": 2},
        {"honest": 1},
        {"cost": 1},
        None,
    ],
)
def test_an_answer_that_the_ledger_was_not_charged_for_does_not_leave(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any] | None
) -> None:
    asked = lab.announcement()
    charge_of = Ledger.charge_of

    def changed(ledger: Ledger, context: bytes) -> Any:
        charge = charge_of(ledger, context)
        assert charge is not None, "it is charged before it is answered"
        return None if change is None else replace(charge, **change)

    monkeypatch.setattr(Ledger, "charge_of", changed)
    check_nothing_leaves(lab, asked, monkeypatch)


def _signed_by_another(run: PartnerRound, reply: bytes) -> bytes:
    masked, _, _ = Masked.parse(reply, length=2 * 3)
    return masked.signed(Ed25519PrivateKey.generate())


def _longer(run: PartnerRound, reply: bytes) -> bytes:
    masked, _, _ = Masked.parse(reply, length=2 * 3)
    return replace(masked, vector=masked.vector + bytes(8)).signed(run._key)


def _of_another_round(run: PartnerRound, reply: bytes) -> bytes:
    masked, _, _ = Masked.parse(reply, length=2 * 3)
    return replace(masked, context=bytes(32)).signed(run._key)


@pytest.mark.slow
@pytest.mark.parametrize(
    "forge",
    [
        _signed_by_another,
        _longer,
        _of_another_round,
        lambda run, reply: run.state.hello,
        lambda run, reply: run.state.joined.ready,
        lambda run, reply: Ack(partner=0).to_bytes(),
        lambda run, reply: b"customer_id,visits\nc1,5\n",
        lambda run, reply: reply + b"\0",
        lambda run, reply: b"",
    ],
)
def test_bytes_that_are_not_the_agreed_answer_do_not_leave(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, forge: Callable[[PartnerRound, bytes], bytes]
) -> None:
    asked = lab.announcement()
    masked = PartnerRound.masked
    monkeypatch.setattr(
        PartnerRound, "masked", lambda self, ask, sums: forge(self, masked(self, ask, sums))
    )
    check_nothing_leaves(lab, asked, monkeypatch)


def _approval_request(lab: Lab) -> bytes:
    """The announcement that asks for the signature on the release."""
    return lab.request_to(Announce, number=ROUNDS)


@pytest.mark.parametrize("fact", ["release", "customers", "context", "belongs_to"])
def test_the_signature_on_another_release_does_not_leave(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, fact: str
) -> None:
    asked = _approval_request(lab)
    lying(monkeypatch, lambda m: replace(m, **{fact: {"customers": 30}.get(fact, b"x" * 32)}))  # type: ignore[arg-type]
    check_nothing_leaves(lab, asked, monkeypatch)


def test_a_signature_over_something_else_does_not_leave(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _approval_request(lab)
    approve = PartnerRound.approve

    def forged(self: PartnerRound, ask: Any) -> bytes:
        reply = approve(self, ask)
        return reply[:-1] + bytes([reply[-1] ^ 1])

    monkeypatch.setattr(PartnerRound, "approve", forged)
    check_nothing_leaves(lab, asked, monkeypatch)


@pytest.mark.parametrize("fact", ["customers", "release", "kind", "partner", "receiver_key"])
def test_keys_that_say_more_than_keys_do_not_leave(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, fact: str
) -> None:
    true = Manifest.of
    values: dict[str, Any] = LIES | {"kind": MASKED}
    monkeypatch.setattr(
        gate_module.Manifest,
        "of",
        staticmethod(lambda *a, **n: replace(true(*a, **n), **{fact: values[fact]})),
    )
    assert lab.refusal(lab.opening()).code == "E-EGRESS"
    assert lab.on_disk() == ([], [], [])
    monkeypatch.undo()
    assert lab.node.handle(lab.opening())


@pytest.mark.parametrize("change", ["reply", "manifest"])
def test_what_was_written_down_leaves_again_with_the_same_bytes_alone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    asked = lab.announcement()
    first = lab.node.handle(asked)
    egress = lab.store.egress()
    if change == "reply":
        masked, _, _ = Masked.parse(first, length=2 * 3)
        other = replace(masked, commitment=bytes(32)).signed(lab.fed.partner_keys[0])
        monkeypatch.setattr(PartnerRound, "_said", lambda self, state, announce: other)
    else:
        lab.store.ask("UPDATE manifests SET manifest = replace(manifest, 'simulation', 'other')")
    assert lab.refusal(asked).code == "E-EGRESS"
    assert lab.store.egress() == egress
    monkeypatch.undo()
    if change == "reply":
        assert lab.node.handle(asked) == first


def test_the_coordinator_learns_the_code_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lying(monkeypatch, lambda m: replace(m, customers=4))
    lab.fed.run()  # goes on without it
    assert len(lab.left) == 3, "HELLO, READY, and an ACK of the stop"
    assert {r.code for r in Refusals(lab.store).all()} == {"E-EGRESS"}


# --- hold for approval -----------------------------------------------------------------------


def held(tmp_path: Path, egress: EgressSection = ANSWERS) -> tuple[Lab, bytes, int]:
    """A lab with an answer that waits, its announcement, and its number."""
    lab = Lab(tmp_path, egress=egress)
    asked = lab.announcement()
    lab.left.clear()
    assert lab.refusal(asked).code == "E-EGRESS-HELD"
    return lab, asked, lab.written[-1].number


def test_a_held_answer_is_computed_noised_and_charged_once_and_stays_here(tmp_path: Path) -> None:
    lab, asked, number = held(tmp_path)
    egress, charges = lab.store.egress(), Ledger(lab.store).charges()
    assert len(charges) == 1
    assert [r.what[:5] for r in egress] == ["HELLO", "READY"]
    lab.customers.prepared = lab.customers.prepared[:9]
    for node in (lab.node, lab.reopened()):
        with pytest.raises(RuleError, match=f"message {number} waits") as caught:
            node.handle(asked)
        assert caught.value.code == "E-EGRESS-HELD"
        assert f"egress approve {number}" in caught.value.remedy
    assert (lab.store.egress(), Ledger(lab.store).charges()) == (egress, charges)
    assert lab.customers.reads == 1
    (waiting,) = lab.manifests.held()
    assert (waiting.state(stamp(lab.now)), waiting.manifest.customers) == (WAITING, CUSTOMERS)


def test_an_approved_answer_leaves_with_the_bytes_that_were_shown(tmp_path: Path) -> None:
    lab, asked, number = held(tmp_path)
    shown = lab.manifests.get(number).manifest
    lab.customers.prepared = lab.customers.prepared[:9]
    decided = lab.decide(number, APPROVED)
    assert (decided.state(stamp(lab.now)), decided.times) == (APPROVED, 0)
    replies = {lab.node.handle(asked), lab.reopened().handle(asked)}
    assert len(replies) == 1
    assert hashlib.sha256(replies.pop()).hexdigest() == shown.sha256
    assert lab.customers.reads == 1
    last = [r for r in lab.store.egress() if r.manifest == number]
    assert [r.customers for r in last] == [CUSTOMERS, None]
    assert last[0].what.startswith("MASKED: noised")


def test_an_approval_outlasts_the_time_limit(tmp_path: Path) -> None:
    lab, asked, number = held(tmp_path)
    lab.decide(number, APPROVED)
    lab.now += timedelta(hours=3)
    assert lab.node.handle(asked)


def test_a_refused_answer_stays_here_for_good(tmp_path: Path) -> None:
    lab, asked, number = held(tmp_path)
    lab.decide(number, REFUSED)
    egress = lab.store.egress()
    for hours in (0, 3):
        lab.now += timedelta(hours=hours)
        assert lab.refusal(asked).code == "E-EGRESS-REFUSED"
        lab.reopened()
    assert lab.store.egress() == egress
    assert lab.customers.reads == 1


def test_an_answer_that_nobody_approves_in_time_is_refused_by_itself(tmp_path: Path) -> None:
    lab, asked, number = held(tmp_path)
    lab.now += timedelta(hours=2, seconds=-1)
    assert lab.refusal(asked).code == "E-EGRESS-HELD"
    lab.now += timedelta(seconds=1)
    assert lab.refusal(asked).code == "E-EGRESS-EXPIRED"
    assert lab.manifests.get(number).state(stamp(lab.now)) == EXPIRED
    with pytest.raises(RuleError, match="its time was up") as caught:
        lab.decide(number, APPROVED)
    assert caught.value.code == "E-EGRESS-DECIDED"
    assert lab.refusal(asked).code == "E-EGRESS-EXPIRED"


def test_other_settings_do_not_free_what_waits(tmp_path: Path) -> None:
    lab, asked, _ = held(tmp_path)
    lab.egress = None
    lab.reopened()
    assert lab.refusal(asked).code == "E-EGRESS-HELD"


@pytest.mark.parametrize("first", [APPROVED, REFUSED])
@pytest.mark.parametrize("second", [APPROVED, REFUSED])
def test_nothing_is_decided_twice(tmp_path: Path, first: str, second: str) -> None:
    lab, _, number = held(tmp_path)
    lab.decide(number, first)
    with pytest.raises(RuleError, match=f"it was {first} at") as caught:
        lab.decide(number, second)
    assert caught.value.code == "E-EGRESS-DECIDED"
    assert lab.manifests.get(number).decision == first


def test_what_needs_no_approval_or_is_unknown_cannot_be_decided(tmp_path: Path) -> None:
    lab, _, number = held(tmp_path)
    with pytest.raises(RuleError, match="it needed none"):
        lab.decide(1, REFUSED)
    with pytest.raises(UsageError, match=f"no message number {number + 1}"):
        lab.decide(number + 1, APPROVED)


def test_what_waits_is_not_needed_any_more_when_its_run_ends(tmp_path: Path) -> None:
    lab, asked, number = held(tmp_path)
    (run,) = lab.store.runs()
    lab.node.handle(lab.signed(Stop(run_id=run.run_id, reason="E-GRACE")))
    assert lab.manifests.get(number).state(stamp(lab.now)) == OVER
    with pytest.raises(RuleError, match="its run has ended"):
        lab.decide(number, APPROVED)
    assert lab.refusal(asked).code == "E-RUN-ABORTED"


@pytest.mark.parametrize(("crash", "commits_before"), [("before", 1), ("after", 1), ("after", 0)])
def test_killed_while_an_answer_is_held_at_most_one_ever_leaves(
    tmp_path: Path, crash: str, commits_before: int
) -> None:
    lab = Lab(tmp_path, egress=ANSWERS)
    asked = lab.announcement()
    lab.store.crash, lab.store.commits_before = crash, commits_before
    with pytest.raises(SystemExit):
        lab.node.handle(asked)
    lab.reopened()
    assert lab.refusal(asked).code == "E-EGRESS-HELD"
    (waiting,) = lab.manifests.held()
    lab.decide(waiting.number, APPROVED)
    replies = {lab.node.handle(asked), lab.reopened().handle(asked)}
    assert [hashlib.sha256(r).hexdigest() for r in replies] == [waiting.manifest.sha256]
    assert len(Ledger(lab.store).charges()) == 1


@pytest.mark.parametrize("crash", ["before", "after"])
def test_killed_while_it_is_decided_the_decision_is_whole_or_not_there(
    tmp_path: Path, crash: str
) -> None:
    lab, asked, number = held(tmp_path)
    lab.store.crash = crash
    with pytest.raises(SystemExit):
        lab.decide(number, REFUSED)
    lab.reopened()
    code = "E-EGRESS-HELD" if crash == "before" else "E-EGRESS-REFUSED"
    assert lab.refusal(asked).code == code


def test_the_sealed_answer_is_not_in_the_database_in_clear(tmp_path: Path) -> None:
    lab, asked, number = held(tmp_path)
    lab.decide(number, APPROVED)
    reply = lab.node.handle(asked)
    lab.store.close()
    vector = Masked.parse(reply, length=6)[0].vector
    on_disk = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert vector not in on_disk
    assert vector.hex().encode() not in on_disk


@pytest.mark.parametrize(
    ("hold", "kinds"), [("none", set()), ("answers", {MASKED}), ("signed", {MASKED, APPROVAL})]
)
def test_each_setting_holds_what_it_says_and_the_run_ends_with_a_release(
    tmp_path: Path, hold: str, kinds: set[str]
) -> None:
    lab = Lab(tmp_path, egress=EgressSection(hold=hold))
    sleep = lab.fed.clock.sleep

    def sleep_and_approve(seconds: float) -> None:
        sleep(seconds)
        for written in lab.manifests.held():
            if written.state(stamp(lab.now)) == WAITING:
                lab.decide(written.number, APPROVED)

    lab.fed.clock.sleep = sleep_and_approve  # type: ignore[method-assign]
    shown: list[dict[str, Any]] = []
    run = lab.fed.run(on_progress=shown.append)
    assert "partner-0" in run.release.release.participants
    assert {w.manifest.kind for w in lab.manifests.held()} == kinds
    codes = {code for p in shown for code in p["refusals"].values()}
    assert codes == ({"E-EGRESS-HELD"} if kinds else set())
    assert {w.times for w in lab.written} == {1}
    assert hold in HOLDS


def test_a_run_goes_on_without_a_partner_that_refuses(tmp_path: Path) -> None:
    lab = Lab(tmp_path, egress=ANSWERS)
    sleep = lab.fed.clock.sleep

    def sleep_and_refuse(seconds: float) -> None:
        sleep(seconds)
        for written in lab.manifests.held():
            if written.state(stamp(lab.now)) == WAITING:
                lab.decide(written.number, REFUSED)

    lab.fed.clock.sleep = sleep_and_refuse  # type: ignore[method-assign]
    release = lab.fed.run().release.release
    assert release.participants == ("partner-1", "partner-2", "partner-3")
    assert not any(r.what.startswith("MASKED") for r in lab.store.egress())
    assert lab.fed.clock.now_s < 20, "a refusal is not waited for"


def test_a_run_whose_answers_nobody_approves_ends_after_the_grace_time_and_says_why(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path, egress=ANSWERS, privacy=None)
    with pytest.raises(RunFailedError, match="partner-0 refused with E-EGRESS-HELD") as caught:
        lab.fed.run()
    assert "nobody there has approved" in caught.value.message


def test_held_messages_are_listed_with_what_became_of_them(tmp_path: Path) -> None:
    lab, _, number = held(tmp_path)
    now = stamp(lab.now)
    assert held_words([], now) == []
    (table,) = held_words(lab.manifests.held(), now)
    assert table.row_count == 1  # type: ignore[attr-defined]
    assert "waits for approval until" in "".join(
        str(c)
        for c in table.columns[-1]._cells  # type: ignore[attr-defined]
    )
    assert set(STATE_WORDS) == {FREE, WAITING, APPROVED, REFUSED, EXPIRED, OVER}
    assert manifest_words(lab.manifests.get(number), now)[1:]


def test_a_database_of_before_manifests_keeps_its_records(tmp_path: Path, lab: Lab) -> None:
    lab.node.handle(lab.opening())
    lab.store.ask("UPDATE egress SET manifest = NULL")
    lab.store.ask("DELETE FROM manifests")
    with sqlite3.connect(lab.path) as connection:
        assert connection.execute("SELECT count(*) FROM egress").fetchone() == (1,)
    connection.close()
    (record,) = lab.reopened().store.egress()
    assert (record.manifest, record.what) == (None, "HELLO: fresh keys")
    assert lab.node.handle(lab.opening()), "it is written down when it leaves again"
    assert [r.manifest for r in lab.store.egress()] == [None, 2]


# --- guards that no forged message reaches first ---------------------------------------------


#: By kind: to which requests it may reply, and from which phases of a run it may leave.
LEAVES: dict[str, tuple[set[type], set[str]]] = {
    HELLO: ({Open}, {"greeted", "ready", "running", "done"}),
    READY: ({Roster}, {"ready", "running", "done"}),
    ACCEPT: ({Propose}, {"ready", "running"}),
    MASKED: ({Announce}, {"running", "done"}),
    APPROVAL: ({Announce}, {"running", "done"}),
    ACK: ({Publish, Stop}, {"done", "aborted"}),
}


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, ...]]:
    """By kind: what the gate checked of a message that left partner 0 in a run with a drop-out."""
    lab = Lab(tmp_path_factory.mktemp("passed"))
    found: dict[str, tuple[Any, ...]] = {}
    check = EgressGate._check

    def keep(manifest: Manifest, data: bytes, reply: Any, grounds: Grounds) -> None:
        check(manifest, data, reply, grounds)
        if grounds.partner == 0:
            found[manifest.kind] = (manifest, data, reply, grounds)

    def fall_silent(node: int, message: bytes) -> bytes | None:
        return None if node == 3 and b"fedseg/v1/announce" in message else message

    lab.fed.exchange.tamper_request = fall_silent
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EgressGate, "_check", staticmethod(keep))
        lab.fed.run()
    return found


@pytest.mark.parametrize("kind", LEAVES)
def test_a_message_leaves_a_run_in_those_phases_alone_that_it_belongs_to(
    passed: dict[str, tuple[Any, ...]], kind: str
) -> None:
    manifest, data, reply, grounds = passed[kind]
    state = grounds.run.state
    try:
        for grounds.run.state in (None, *(replace(state, phase=phase) for phase in Phase)):
            objection = objection_to_sending(manifest, data, reply, grounds)
            if grounds.run.phase in LEAVES[kind][1]:
                assert objection is None
            else:
                assert "may not leave a run that is" in str(objection), grounds.run.phase
    finally:
        grounds.run.state = state


@pytest.mark.parametrize("kind", LEAVES)
def test_a_message_replies_to_those_requests_alone_that_ask_for_it(
    passed: dict[str, tuple[Any, ...]], kind: str
) -> None:
    manifest, data, reply, grounds = passed[kind]
    requests = [one[3].request for one in passed.values()]
    requests.append(Stop(run_id=grounds.run.run_id, reason="E-GRACE"))
    assert {type(request) for request in requests} == set().union(*(r for r, _ in LEAVES.values()))
    for request in requests:
        objection = objection_to_sending(manifest, data, reply, replace(grounds, request=request))
        if type(request) in LEAVES[kind][0]:
            assert objection is None
        else:
            assert "is no reply to this request" in str(objection), request


def test_every_kind_of_message_is_walked_through() -> None:
    assert set(LEAVES) == set(KINDS)
    assert set(BELONGS_TO) == set(KINDS)


#: By kind: in which of its fields a message says what it belongs to, and which set it signs.
BELONGS_TO = {
    HELLO: ("run_id",),
    READY: ("run_hash", "head"),
    ACCEPT: ("run_hash", "head"),
    MASKED: ("context",),
    APPROVAL: ("run_hash",),
    ACK: (),
}


@pytest.mark.parametrize("kind", BELONGS_TO)
def test_a_message_leaves_the_run_round_and_set_alone_that_it_belongs_to(
    passed: dict[str, tuple[Any, ...]], kind: str
) -> None:
    manifest, _, reply, grounds = passed[kind]
    said = [getattr(reply.message, name) for name in BELONGS_TO[kind]]
    assert [fact for fact in (manifest.belongs_to, manifest.head) if fact] == said
    assert objection_to_content(manifest, reply, grounds) is None
    for fact in ("belongs_to", "head"):
        for lie in (bytes(32), b"") if getattr(manifest, fact) else (bytes(32),):
            objection = objection_to_content(replace(manifest, **{fact: lie}), reply, grounds)
            assert objection == "it says that it belongs to another run, set or round"


def test_an_exact_answer_does_not_leave_where_noise_was_agreed(lab: Lab) -> None:
    lab.node.handle(lab.announcement())
    question = lab.written[-1].manifest.question
    assert question is not None
    exact = VotesQuery(candidates=np.zeros((2, 2), dtype=np.int64), variance=0)
    objection = _objection_to_noise(question, exact, _greeting_of(lab))
    assert objection == "the agreement asks for noise, the question has none"


def _greeting_of(lab: Lab) -> Grounds:
    """Grounds on which only the agreement matters."""
    request = Open(agreement_hash=lab.fed.agreement.hash, run_id=lab.store.runs()[0].run_id)
    run = lab.node._round_of(request)
    return Grounds(agreement=lab.fed.agreement, partner=0, request=request, run=run, charge=None)
