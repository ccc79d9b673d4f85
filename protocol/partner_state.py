"""What a partner keeps of a run from one message to the next. SPEC.md, section 12.

On disk all of it lies on one level, and what there is not is empty text, an empty list or -1, as
the first versions wrote it: runs that ended long ago are read like new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from protocol.clustering.plan import Plan, restore_plan
from protocol.errors import LocalProtocolError
from protocol.participants import Members
from protocol.state import fields_from_json, fields_to_json

#: A later run or another agreement took the place of a run.
SUPERSEDED: Final = "E-RUN-SUPERSEDED"


class Phase(StrEnum):
    """How far a run has come at a partner that sent its HELLO."""

    GREETED = "greeted"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """Whether the run has ended at this partner."""
        return self in (Phase.DONE, Phase.ABORTED)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """What could open the run's messages; forgotten at its end, and shown nowhere.

    Attributes:
        x_private, kem_seed: The private keys of the HELLO.
        noise_secret: This partner's noise is drawn from it.
        kem_secrets: What was encapsulated for each higher partner of the roster.
        pair_keys: The key shared with each member of a set that was active.
    """

    x_private: bytes
    kem_seed: bytes
    noise_secret: bytes = b""  # a run that began before there was noise has none
    kem_secrets: dict[int, bytes]
    pair_keys: dict[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The roster that this partner took, with its READY for the run's first set.

    Attributes:
        hellos: Of all partners of the agreement, empty for those that are absent.
        first_head: Head of the chain that ends in the first set.
    """

    run_hash: bytes
    hellos: tuple[bytes, ...]
    ready: bytes
    first_head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply given in the current round under one participant set."""

    head: bytes
    context: bytes
    members: Members
    reply: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRound:
    """The round answered last.

    Attributes:
        payload_hash: SHA-256 of what it was about.
        answer_hash: Of the exact answer, which must stay the same under every set; empty where
            noise hides what changed, and for an approval.
        answers: A reply for each set under which it was asked.
    """

    round: int
    payload_hash: bytes
    answer_hash: bytes
    answers: tuple[Answer, ...]


#: How parts that are not there are stored.
_FORGOTTEN: Final = {
    "x_private": "",
    "kem_seed": "",
    "noise_secret": "",
    "kem_secrets": {},
    "pair_keys": {},
}
_NOT_JOINED: Final = {"run_hash": "", "hellos": [], "ready": "", "first_head": ""}
_NO_ROUND: Final = {"round": -1, "payload_hash": "", "answer_hash": "", "answers": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerState:
    """A run at a partner, from its HELLO on.

    Attributes:
        hello: The partner's own.
        secret: The salts of its commitments come from it; kept for audits.
        secrets: None once the run has ended.
        joined: None before the roster.
        plan: Its state in the round answered last; None before the roster.
        certified: Head of the newest set that everyone in it was seen to sign; None before the
            first.
        last: None before the first round.
        aborted_with: Why the run was aborted, a code; empty unless it was.
        start: The signed bytes of the last release that OPEN named, which `begins_at` judges;
            empty when it named none.
        hand_overs: Those that OPEN named, `HandOvers.to_bytes`: the run's keys follow from them
            until its end; empty when it named none.
    """

    phase: Phase
    run_id: bytes
    hello: bytes
    secret: bytes = field(repr=False)
    secrets: Secrets | None
    joined: Joined | None = None
    plan: Plan | None = None
    certified: bytes | None = None
    last: LastRound | None = None
    aborted_with: str = ""
    start: bytes = b""
    hand_overs: bytes = b""

    @property
    def held(self) -> Secrets:
        """The secrets of a run that goes on."""
        if self.secrets is None:
            raise LocalProtocolError("this run has ended: its secrets are forgotten")
        return self.secrets

    def ended(self, phase: Phase, *, aborted_with: str = "") -> PartnerState:
        """The state at the run's end. `ended_from_outside` does the same to a stored one."""
        return replace(self, phase=phase, aborted_with=aborted_with, secrets=None)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values. It holds secrets: store it sealed."""
        return {
            "phase": self.phase.value,
            "aborted_with": self.aborted_with,
            "run_id": self.run_id.hex(),
            "hello": self.hello.hex(),
            "secret": self.secret.hex(),
            "plan": None if self.plan is None else self.plan.to_dict(),
            "certified": (self.certified or b"").hex(),
            **({"start": self.start.hex()} if self.start else {}),
            **({"hand_overs": self.hand_overs.hex()} if self.hand_overs else {}),
            **(_FORGOTTEN if self.secrets is None else fields_to_json(self.secrets)),
            **(_NOT_JOINED if self.joined is None else fields_to_json(self.joined)),
            **(_NO_ROUND if self.last is None else fields_to_json(self.last)),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PartnerState:
        """The state that `to_dict` gave."""
        return PartnerState(
            phase=Phase(values["phase"]),
            aborted_with=values["aborted_with"],
            run_id=bytes.fromhex(values["run_id"]),
            hello=bytes.fromhex(values["hello"]),
            secret=bytes.fromhex(values["secret"]),
            plan=None if values["plan"] is None else restore_plan(values["plan"]),
            certified=bytes.fromhex(values["certified"]) or None,
            start=bytes.fromhex(values.get("start", "")),
            hand_overs=bytes.fromhex(values.get("hand_overs", "")),
            secrets=fields_from_json(Secrets, values) if values["x_private"] else None,
            joined=fields_from_json(Joined, values) if values["ready"] else None,
            last=fields_from_json(LastRound, values) if values["round"] >= 0 else None,
        )


def ended_from_outside(state: Mapping[str, Any], *, code: str = SUPERSEDED) -> dict[str, Any]:
    """The stored state of an unfinished run, ended by what happened beside it.

    Args:
        state: What `PartnerState.to_dict` gave; neither the run's agreement nor a program that
            knows its plan need be at hand.
        code: Why; by default a later run or agreement took its place.

    Returns:
        The state aborted with `code`, without what could open the run's messages.
    """
    return {**state, **_FORGOTTEN, "phase": Phase.ABORTED.value, "aborted_with": code}
