"""Nodes that cosign each other's logs, beside a coordinator and partners that lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from partner_node import cosigning
from partner_node.cosigning import Cosigning
from partner_node.egress.gate import EgressGate
from partner_node.egress.settings import EgressSection
from partner_node.node import Node
from partner_node.shown.egress import egress_shown, message_shown
from partner_node.store.node_store import NodeStore
from partner_node.store.seals import Seals
from partner_node.store.witnessed import Witnessed
from protocol.errors import RuleError, StoreError, UsageError
from protocol.log.beside import Cosigned, Passed, Shown, Told
from protocol.log.checking import check_log
from protocol.log.checkpoints import Checkpoint
from protocol.log.entries import Entry
from protocol.log.names import key_of_seals
from protocol.log.notes import Note, sign_ed25519
from protocol.log.seals import seal
from protocol.log.tree import leaf_hash, root
from protocol.log.witness import Proof
from protocol.signing import public_bytes
from simulations.federation import Federation
from tests.federations import small_federation

NORTH, SOUTH, WEST = "partner-0", "partner-1", "partner-2"


@pytest.fixture
def federation() -> Federation:
    found = small_federation()
    found.exchange.cosigned = True
    return found


def seals_of(node: Node) -> Seals:
    return Seals(node.store, node.agreement.id)


def room_of(node: Node) -> Witnessed:
    return Witnessed(node.store, node.agreement.id)


def kinds_of(node: Node) -> list[str]:
    log = node.store.log
    return [Entry.from_bytes(one).kind for one in log.entries(0, log.size)]


def newest(node: Node, party: str) -> Cosigned:
    found = room_of(node).newest(party)
    assert found is not None
    return found


def cosigning_of(federation: Federation, index: int) -> Cosigning:
    node, key = federation.nodes[index], federation.partner_keys[index]
    return Cosigning(node.agreement, index, node.store, key, now=federation._now)


def take(federation: Federation, index: int, passed: Passed | bytes) -> None:
    data = passed if isinstance(passed, bytes) else passed.to_bytes()
    with federation.nodes[index].store.transaction():
        cosigning_of(federation, index).take(data)


def test_after_a_run_each_has_cosigned_the_others_logs(federation: Federation) -> None:
    federation.run()
    for index, node in federation.nodes.items():
        size, others = seals_of(node).size, {NORTH, SOUTH, WEST} - {f"partner-{index}"}
        best = {party: found for party, (found, _) in room_of(node).best().items()}
        assert best.keys() == others
        assert min(best.values()) >= size - 2, "all but what the last messages had beside them"
        assert {newest(node, party).size for party in others} <= {size - 1, size}
    federation.run()
    for node in federation.nodes.values():
        for size in range(1, seals_of(node).size - 1):
            cosigners = {key.name for key, _, _ in room_of(node).cosignatures(size)}
            assert len(cosigners) == 2, f"seal {size}"


def test_of_many_partners_logs_are_witnessed_in_turns(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosigning, "MOST_AT_ONCE", 1)
    federation.run()
    for node in federation.nodes.values():
        room, size = room_of(node), seals_of(node).size
        best = [found for found, _ in room.best().values()]
        assert len(best) == 2 and min(best) >= size - 3, "everybody within two messages"
        counts = [len(room.cosignatures(at)) for at in range(1, size - 1)]
        assert sum(counts) < 2 * len(counts), "and not everybody with each"


def test_a_seal_is_a_state_of_the_log_and_its_number_tells_nothing_more(
    federation: Federation,
) -> None:
    federation.run()
    node = federation.nodes[0]
    seals = seals_of(node).since(0)
    messages = [one for one in node.store.egress() if not one.what.startswith("HELLO")]
    assert [one.message for one in seals] == [one.manifest for one in messages]
    check_log(node.store.log, [one.sealed for one in seals])
    leaves = [leaf_hash(seal(one.nonce, one.text)) for one in seals]
    assert seals_of(node).tile(0, 0, len(leaves)) == leaves
    assert seals[-1].state.root == root(len(seals), seals_of(node))
    sealed = Entry.from_bytes(node.store.log.entry(seals[-1].sealed.size - 1))
    assert sealed.kind == "left", "the message's own entry is under its seal"
    assert len({one.nonce for one in seals}) == len(seals)


def test_a_request_again_gets_the_same_message_and_no_other_seal(federation: Federation) -> None:
    asked: list[bytes] = []

    def note(node: int, message: bytes) -> bytes:
        if node == 0:
            asked.append(message)
        return message

    federation.exchange.tamper_request = note
    federation.run()
    node, before = federation.nodes[0], seals_of(federation.nodes[0]).size
    replies = {node.answer(asked[-1], b"") for _ in range(3)}
    assert len({reply for reply, _ in replies}) == 1
    assert all(beside for _, beside in replies)
    assert seals_of(node).size == before
    with node.store.transaction():  # something happens between two requests
        node.store.note_signed(b"\x01" * 32, now="2026-01-15", by="anna")
    node.answer(asked[-1], b"")
    assert seals_of(node).size == before, "else its size would tell that something did"


def test_what_leaves_beside_a_message_is_on_record_with_it(federation: Federation) -> None:
    sent: list[bytes] = []
    answer = federation.nodes[0].answer

    def note(message: bytes, beside: bytes) -> tuple[bytes, bytes]:
        reply, said = answer(message, beside)
        sent.append(said)
        return reply, said

    federation.nodes[0].answer = note  # type: ignore[method-assign]
    federation.run()
    records = federation.nodes[0].store.egress()
    assert [one.beside_sha256 for one in records] == [
        hashlib.sha256(one).hexdigest() for one in sent
    ]
    assert [one.beside_bytes for one in records] == [len(one) for one in sent]
    last = records[-1]
    assert "seal 5 of the audit log" in last.beside and f"{SOUTH} 4" in last.beside
    assert last.manifest is not None
    shown = message_shown(federation.nodes[0].store, last.manifest, federation._now)
    assert shown.values["beside"][0]["sha256"] == last.beside_sha256
    assert any("cosigned seals of" in str(part) for part in shown.parts)
    listed = egress_shown(federation.nodes[0].store, federation._now)
    assert listed.values["messages"][-1]["beside"]["bytes"] == last.beside_bytes


def test_a_message_that_is_held_has_nothing_beside_it(federation: Federation) -> None:
    node = federation.nodes[0]
    node._egress = EgressSection(hold="answers")
    asked: list[bytes] = []

    def note(at: int, message: bytes) -> bytes:
        if at == 0:
            asked.append(message)
        return message

    federation.exchange.tamper_request = note
    with pytest.raises(Exception, match="E-"):
        federation.run()
    left = [one for one in node.store.egress() if one.what.startswith("MASKED")]
    assert left == []
    assert seals_of(node).size == len(
        [one for one in node.store.egress() if not one.what.startswith("HELLO")]
    ), "one seal for each message that left, none for the held one"


def test_a_federation_of_nodes_with_and_without_runs(federation: Federation) -> None:
    """A node of an earlier version sends nothing, and is sent nothing."""
    sent: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    push = type(federation.exchange).push

    def note(self: Any, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        sent[node].append(beside)
        return push(self, node, message, ttl_s=ttl_s, beside=beside)

    old = federation.nodes[2]
    old.answer = lambda message, _: (old.handle(message), b"")  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(federation.exchange), "push", note)
        federation.run()
    assert not any(sent[2])
    assert sent[0][0] == b"" and all(sent[0][1:])
    assert room_of(federation.nodes[0]).best().keys() == {SOUTH}
    assert list(room_of(federation.nodes[0]).newest_of_all()) == [SOUTH]


@pytest.mark.parametrize("spoilt", [b"", b"{}", b"\xff" * 99, b"x" * 300_000])
def test_what_is_spoilt_on_the_way_costs_no_run(federation: Federation, spoilt: bytes) -> None:
    push = type(federation.exchange).push

    def spoil(self: Any, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        handle = push(self, node, message, ttl_s=ttl_s, beside=spoilt)
        if handle in self.waiting:
            self.waiting[handle] = replace(self.waiting[handle], beside=spoilt)
        return handle

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(federation.exchange), "push", spoil)
        federation.run()
    assert room_of(federation.nodes[0]).best() == {}
    federation.run()
    assert room_of(federation.nodes[0]).best() != {}, "and the next run makes up for it"


def other_state(federation: Federation, index: int, size: int, **about: Any) -> Shown:
    """Another state of a party's seals, signed by it: its second history."""
    key = about.get("key") or federation.partner_keys[index]
    agreement = federation.agreement
    origin = (
        about.get("origin")
        or key_of_seals(
            f"partner-{index}", public_bytes(federation.partner_keys[index]), agreement.id
        ).name
    )
    text = Checkpoint(origin, size, b"\x07" * 32, about.get("extensions", ())).to_text()
    note = sign_ed25519(Note(text), about.get("name", origin), key)
    return Shown(party=f"partner-{index}", note=note.to_bytes().decode(), proof=about.get("proof"))


def test_a_log_with_two_histories_is_caught_and_followed_once_people_accept(
    federation: Federation,
) -> None:
    federation.run()
    witness, room = federation.nodes[0], room_of(federation.nodes[0])
    before = newest(witness, SOUTH)
    other = other_state(federation, 1, before.size)
    for _ in range(3):
        take(federation, 0, Passed(shown=(other,)))
    (fork,) = room.forks()
    assert (fork.party, fork.accepted_at) == (SOUTH, "")
    assert {fork.other.decode(), fork.known.decode()} == {
        other.note, room.newest_of_all()[SOUTH].note.decode(),
    }  # fmt: skip
    assert kinds_of(witness).count("log-forked") == 1
    federation.run()  # which it does not keep from going on
    assert newest(witness, SOUTH) == before, "nothing of that log is cosigned"
    assert newest(witness, WEST).size > before.size

    with witness.store.transaction():
        note = Note.parse(fork.other)
        made = cosigning_of(federation, 0).cosigned(SOUTH, note)
        room.accept(SOUTH, made, at="2026-01-16", by="anna")
    assert room.fork(SOUTH) is None
    entry = Entry.from_bytes(witness.store.log.entry(witness.store.log.size - 1))
    assert (entry.kind, entry.about["by"], entry.about["size"]) == (
        "log-accepted", "anna", before.size,
    )  # fmt: skip
    assert newest(witness, SOUTH).root == b"\x07" * 32
    take(federation, 0, Passed(shown=(replace(other, note=fork.known.decode()),)))
    assert room.fork(SOUTH) is None, "the branch that was left accuses nobody again"
    with pytest.raises(UsageError, match="E-LOG-NO-FORK"), witness.store.transaction():
        room.accept(SOUTH, made, at="2026-01-16", by="anna")


@pytest.mark.parametrize(
    "about",
    [
        {"key": Ed25519PrivateKey.from_private_bytes(bytes(32))},
        {"origin": "fedseg/partner-1/0123456789abcdef/pilot"},
        {"extensions": ("more",)},
        {"name": "fedseg/partner-2"},
        {"proof": Proof(3, ())},
    ],
)
def test_what_is_not_signed_as_it_has_to_be_is_passed_over(
    federation: Federation, about: dict[str, Any]
) -> None:
    federation.run()
    before = newest(federation.nodes[0], SOUTH)
    size = before.size + ("proof" in about)
    take(federation, 0, Passed(shown=(other_state(federation, 1, size, **about),)))
    assert newest(federation.nodes[0], SOUTH) == before
    assert room_of(federation.nodes[0]).forks() == []


def test_a_state_with_lines_of_strangers_or_of_a_stranger_is_passed_over(
    federation: Federation,
) -> None:
    federation.run()
    before = newest(federation.nodes[0], SOUTH)
    shown = other_state(federation, 1, before.size)  # alone it would be evidence of a fork
    with_more = sign_ed25519(Note.parse(shown.note.encode()), "x", federation.partner_keys[2])
    for one in (
        replace(shown, note=with_more.to_bytes().decode()),
        replace(shown, party="stranger"),
        replace(shown, party=NORTH),
        replace(shown, party=WEST),
        replace(shown, note="no note"),
    ):
        take(federation, 0, Passed(shown=(one,)))
    assert newest(federation.nodes[0], SOUTH) == before
    assert room_of(federation.nodes[0]).forks() == []


def cosigned_by(federation: Federation, index: int, size: int, root_hash: bytes) -> Cosigned:
    """A cosignature by a partner of whatever state of the first one's seals."""
    name = key_of_seals(NORTH, public_bytes(federation.partner_keys[0]), federation.agreement.id)
    note = Note(Checkpoint(name.name, size, root_hash).to_text())
    made = cosigning_of(federation, index).cosigned(NORTH, note)
    return replace(made, party=f"partner-{index}")


def test_a_cosignature_counts_if_it_holds(federation: Federation) -> None:
    federation.run()
    room, seals = room_of(federation.nodes[0]), seals_of(federation.nodes[0])
    state = seals.of_size(seals.size)
    assert state is not None
    before = room.best()
    good = cosigned_by(federation, 1, seals.size, state.state.root)
    spoilt: list[Callable[[], Cosigned]] = [
        lambda: replace(good, signature=bytes(64)),
        lambda: replace(good, time=good.time + 1),
        lambda: replace(good, party=WEST),
        lambda: replace(good, party="stranger"),
        lambda: replace(good, size=good.size - 1),
    ]
    for one in spoilt:
        take(federation, 0, Passed(cosigned=(one(),)))
    assert room.best() == before
    take(federation, 0, Passed(cosigned=(good,)))
    assert room.best()[SOUTH] == (seals.size, good.time)
    assert room.best()[WEST] == before[WEST]


def test_a_cosignature_that_is_dated_ahead_waits_until_clocks_agree(
    federation: Federation,
) -> None:
    federation.run()
    room, seals = room_of(federation.nodes[0]), seals_of(federation.nodes[0])
    state = seals.of_size(seals.size)
    assert state is not None
    before, today = room.best(), federation._now
    federation._now = today + timedelta(hours=1)
    ahead = cosigned_by(federation, 1, seals.size, state.state.root)
    federation._now = today
    take(federation, 0, Passed(cosigned=(ahead,)))
    assert room.best() == before
    federation._now = today + timedelta(minutes=56)
    take(federation, 0, Passed(cosigned=(ahead,)))
    assert room.best()[SOUTH] == (seals.size, ahead.time)


def test_a_restored_backup_is_noticed_by_the_next_run_and_goes_on_once_accepted(
    federation: Federation, tmp_path: Path
) -> None:
    federation.run()
    restored = federation.nodes[1]
    sealer, backup = restored.store.sealer, restored.store.snapshot()
    federation.run()
    (tmp_path / "node.db").write_bytes(backup)
    restored.store = NodeStore(tmp_path / "node.db", sealer)
    federation.run()
    for number in (0, 2):
        assert [one.party for one in room_of(federation.nodes[number]).forks()] == [SOUTH]
    assert {one.is_ours for one in room_of(restored).said().values()} == {False}, "as it is told"
    check_log(restored.store.log, [one.sealed for one in seals_of(restored).since(0)])
    for number in (0, 2):
        with federation.nodes[number].store.transaction():
            cosigning_of(federation, number).accept(SOUTH, by="anna")
    federation.run()
    assert {one.is_ours for one in room_of(restored).said().values()} == {True}
    size = seals_of(restored).size
    assert min(found for found, _ in room_of(restored).best().values()) >= size - 2
    assert all(room_of(one).fork(SOUTH) is None for one in federation.nodes.values())


def test_a_witness_that_was_restored_catches_up(federation: Federation, tmp_path: Path) -> None:
    federation.run()
    restored = federation.nodes[1]
    sealer, backup = restored.store.sealer, restored.store.snapshot()
    federation.run()
    federation.run()
    (tmp_path / "node.db").write_bytes(backup)
    restored.store = NodeStore(tmp_path / "node.db", sealer)
    federation.run()
    size = seals_of(federation.nodes[0]).size
    assert newest(restored, NORTH).size >= size - 1
    assert room_of(federation.nodes[0]).best()[SOUTH][0] >= size - 2


def test_a_cosignature_of_another_state_of_that_size_is_not_ours(federation: Federation) -> None:
    federation.run()
    room, before = room_of(federation.nodes[0]), room_of(federation.nodes[0]).best()
    size = seals_of(federation.nodes[0]).size
    take(federation, 0, Passed(cosigned=(cosigned_by(federation, 1, size, bytes(32)),)))
    assert not room.said()[SOUTH].is_ours
    assert room.best() == before


def test_a_node_whose_state_was_restored_learns_that_others_saw_more(
    federation: Federation,
) -> None:
    federation.run()
    room, seals = room_of(federation.nodes[0]), seals_of(federation.nodes[0])
    take(federation, 0, Passed(cosigned=(cosigned_by(federation, 1, seals.size + 3, bytes(32)),)))
    said = room.said()
    assert (said[SOUTH].size, said[SOUTH].is_ours) == (seals.size + 3, False)
    assert said[WEST].is_ours
    assert room.best()[SOUTH][0] < seals.size


def test_what_fails_beside_a_message_is_undone_and_the_message_leaves(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    federation.run()
    node, before = federation.nodes[0], seals_of(federation.nodes[0]).size
    other = other_state(federation, 1, newest(node, SOUTH).size)

    def fail(self: Cosigning) -> Told:
        self.take(Passed(shown=(other,)).to_bytes())  # which owes the log an entry, and pays
        self._store.ask("INSERT INTO forks (agreement_id, party, found_at, known, other)"
                        " VALUES ('', '', '', x'', x'')")  # fmt: skip
        raise StoreError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Cosigning, "told", fail)
        federation.run()
    assert seals_of(node).size == before
    assert room_of(node).forks() == [] and "log-forked" not in kinds_of(node)
    assert "no room" in caplog.text
    check_log(node.store.log, [one.sealed for one in seals_of(node).since(0)])
    federation.run()
    assert seals_of(node).size > before


def test_seals_and_cosignatures_are_only_added_to(federation: Federation) -> None:
    federation.run()
    store = federation.nodes[0].store
    for table in ("seals", "seal_hashes", "cosignatures"):
        statements = (f"DELETE FROM {table}", f"UPDATE {table} SET agreement_id = 'other'")
        for statement in statements:
            with pytest.raises(StoreError, match="only added to"), store.transaction():
                store.ask(statement)


def test_nothing_but_logs_passes_beside_a_message(federation: Federation) -> None:
    federation.run()
    node = federation.nodes[0]
    with node.store.transaction():
        told = cosigning_of(federation, 0).told()
    gate = EgressGate(node.agreement, 0, node.store, EgressSection())
    stranger = replace(told.cosigned[0], party="stranger")
    foreign = other_state(federation, 1, 3).note
    extended = other_state(federation, 0, 3, extensions=("customer 4711",)).note
    unsigned = other_state(federation, 0, 3, key=federation.partner_keys[1]).note
    for changed in (
        replace(told, note=foreign),
        replace(told, note=unsigned),
        replace(told, note=extended),
        replace(told, note=""),
        replace(told, note="customer 4711"),
        replace(told, cosigned=(stranger,)),
        replace(told, cosigned=(replace(told.cosigned[0], party=NORTH),)),
        replace(told, proofs=(Proof(1, tuple(bytes(32) for _ in range(64))),)),
        Told(note="n" * 2000),
    ):
        with pytest.raises(RuleError, match="E-EGRESS"), node.store.transaction():
            gate.pass_beside(1, changed)
    with node.store.transaction():
        assert json.loads(gate.pass_beside(1, told))["note"] == told.note
