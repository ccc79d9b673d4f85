"""A run's state at a partner: what earlier versions stored is read, and means the same."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from protocol.clustering.lloyd_exact import LloydExact
from protocol.coordinator_round import Phase as phases
from protocol.errors import LocalProtocolError
from protocol.partner_round import PartnerRound
from protocol.partner_state import (
    Answer,
    Joined,
    LastRound,
    PartnerState,
    Phase,
    Secrets,
    ended_from_outside,
)

#: As the version before `PartnerState` wrote a run's first moments; long values are shortened.
GREETED: dict[str, Any] = {
    "phase": "greeted",
    "aborted_with": "",
    "run_id": "01" * 16,
    "run_hash": "",
    "x_private": "02" * 32,
    "kem_seed": "03" * 64,
    "secret": "04" * 32,
    "noise_secret": "05" * 32,
    "hello": "0607",
    "hellos": [],
    "kem_secrets": {},
    "ready": "",
    "first_head": "",
    "pair_keys": {},
    "certified": "",
    "plan": None,
    "round": -1,
    "payload_hash": "",
    "answer_hash": "",
    "answers": [],
}
PLAN: dict[str, Any] = {
    "plan": "lloyd-exact",
    "limit": [1 << 20],
    "max_rounds": 8,
    "seed": "08" * 32,
    "round": 1,
    "centroids": [[5], [-7]],
    "search": {"over": False, "before": 90, "best": None, "failures": 0},
    "result": None,
}
READY = GREETED | {
    "phase": "ready",
    "run_hash": "09" * 32,
    "hellos": ["0607", "", "0a"],
    "kem_secrets": {"2": "0b" * 32},
    "ready": "0c",
    "first_head": "0d" * 32,
    "plan": PLAN,
}
RUNNING = READY | {
    "phase": "running",
    "pair_keys": {"0": "0e" * 32, "2": "0f" * 32},
    "certified": "0d" * 32,
    "round": 1,
    "payload_hash": "10" * 32,
    "answer_hash": "11" * 32,
    "answers": [
        {"head": "0d" * 32, "context": "12" * 32, "members": [0, 1, 2], "reply": "13"},
        {"head": "14" * 32, "context": "15" * 32, "members": [0, 1], "reply": "16"},
    ],
}
FORGOTTEN = {
    "x_private": "",
    "kem_seed": "",
    "noise_secret": "",
    "kem_secrets": {},
    "pair_keys": {},
}
DONE = RUNNING | FORGOTTEN | {"phase": "done"}
ABORTED = GREETED | FORGOTTEN | {"phase": "aborted", "aborted_with": "E-GRACE"}
STORED = {"greeted": GREETED, "ready": READY, "running": RUNNING, "done": DONE, "aborted": ABORTED}


@pytest.mark.parametrize("phase", Phase)
def test_what_earlier_versions_stored_is_read_and_stored_again_as_it_was(phase: Phase) -> None:
    state = PartnerState.from_dict(json.loads(json.dumps(STORED[phase.value])))
    assert state.phase is phase
    assert json.loads(json.dumps(state.to_dict())) == STORED[phase.value]


def test_every_part_of_what_was_stored_keeps_its_meaning() -> None:
    state = PartnerState.from_dict(RUNNING)
    assert (state.run_id, state.hello, state.secret) == (b"\1" * 16, b"\6\7", b"\4" * 32)
    assert state.held == Secrets(
        x_private=b"\2" * 32,
        kem_seed=b"\3" * 64,
        noise_secret=b"\5" * 32,
        kem_secrets={2: b"\x0b" * 32},
        pair_keys={0: b"\x0e" * 32, 2: b"\x0f" * 32},
    )
    assert state.joined == Joined(
        run_hash=b"\x09" * 32,
        hellos=(b"\6\7", b"", b"\x0a"),
        ready=b"\x0c",
        first_head=b"\x0d" * 32,
    )
    assert isinstance(state.plan, LloydExact)
    assert (state.plan.round, state.plan.centroids.tolist()) == (1, [[5], [-7]])
    assert (state.certified, state.aborted_with) == (b"\x0d" * 32, "")
    first, second = (
        Answer(
            head=b"\x0d" * 32,
            context=b"\x12" * 32,
            members=frozenset({0, 1, 2}),
            reply=b"\x13",
        ),
        Answer(head=b"\x14" * 32, context=b"\x15" * 32, members=frozenset({0, 1}), reply=b"\x16"),
    )
    assert state.last == LastRound(
        round=1,
        payload_hash=b"\x10" * 32,
        answer_hash=b"\x11" * 32,
        answers=(first, second),
    )
    assert PartnerState.from_dict(ABORTED).aborted_with == "E-GRACE"


def test_what_there_is_not_yet_is_none() -> None:
    state = PartnerState.from_dict(GREETED)
    assert (state.joined, state.plan, state.certified, state.last) == (None, None, None, None)
    assert PartnerState.from_dict(READY).last is None
    assert PartnerState.from_dict(RUNNING | {"round": 0}).last is not None


def test_an_ended_run_holds_no_secrets() -> None:
    for stored in (DONE, ABORTED):
        state = PartnerState.from_dict(stored)
        assert state.secrets is None
        with pytest.raises(LocalProtocolError, match="forgotten"):
            _ = state.held


def test_nothing_that_prints_a_state_prints_its_secrets() -> None:
    state = PartnerState.from_dict(RUNNING)
    held = state.held
    for secret in (
        state.secret, held.x_private, held.kem_seed, held.noise_secret,
        *held.kem_secrets.values(), *held.pair_keys.values(),
    ):  # fmt: skip
        assert repr(secret)[2:-1] not in repr(state) + repr(held)
    assert repr(state.hello)[2:-1] in repr(state)


def test_a_run_that_began_before_there_was_noise_goes_on() -> None:
    stored = {name: value for name, value in RUNNING.items() if name != "noise_secret"}
    assert PartnerState.from_dict(stored).held.noise_secret == b""


def test_a_run_is_ended_from_outside_though_nothing_here_knows_its_plan() -> None:
    stored = RUNNING | {"plan": {"plan": "of-a-later-version"}}
    ended = ended_from_outside(stored, code="E-WITHDRAWN")
    assert ended == stored | FORGOTTEN | {"phase": "aborted", "aborted_with": "E-WITHDRAWN"}


def test_a_run_stores_in_every_phase_what_it_always_stored(lab: ModuleType) -> None:
    """A program of the version before reads it, and so do the tables made of stored runs."""
    run = lab.Federation(3, rounds=3).run()
    seen = set()
    for _ in range(100):
        run.step()
        for node in run.nodes:
            stored = json.loads(json.dumps(node.state.to_dict()))
            seen.add(stored["phase"])
            assert stored.keys() == STORED[stored["phase"]].keys() == GREETED.keys()
        if run.coordinator.phase == phases.ENDED:
            break
    assert seen == {"greeted", "ready", "running", "done"}


def test_a_run_that_is_not_open_has_nothing_to_store(lab: ModuleType) -> None:
    fed = lab.Federation(3)
    unopened = PartnerRound(fed.agreement, fed.keys[0], fed.empty_chain)
    assert unopened.phase is None
    with pytest.raises(LocalProtocolError, match="not open"):
        unopened.to_dict()
    with pytest.raises(LocalProtocolError, match="not open"):
        unopened.abort("E-GRACE")
