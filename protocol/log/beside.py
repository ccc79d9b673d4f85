"""What travels beside the messages of a run: states of logs' seals, and cosignatures of them.

A node tells its newest state, proofs that it follows from what its witnesses hold, and which states
of the others it cosigned. The coordinator passes to each node what the others told. Whoever reads
it trusts nothing of it: notes and cosignatures are signed, and what lacks one is passed over.
SPEC.md, section 18.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.canonical import JSON, parse_json
from protocol.errors import MalformedError
from protocol.limits import MAX_PARTNERS
from protocol.log.seals import hashes_of
from protocol.log.text import malformed
from protocol.log.witness import Proof
from protocol.strict import Fields

#: Most bytes of either kind.
MAX_BESIDE_BYTES: Final = 1 << 18
#: Most bytes of a log's note: a checkpoint with the log's own signature.
MAX_STATE_BYTES: Final = 1024
_MAX_NUMBER: Final = 2**53 - 1
_PARTY: Final = r"[a-z][a-z0-9-]{0,39}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """A cosignature/v1 (Ed25519), and of which state it is.

    Attributes:
        party: In what a node tells, whose log it is of; in what it is passed, who cosigned its own.
        size, root: The state of the log of seals.
        time: Seconds since 1970, by the cosigner's clock.
        signature: 64 bytes.
    """

    party: str
    size: int
    root: bytes
    time: int
    signature: bytes

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "party": self.party,
            "size": self.size,
            "root": self.root.hex(),
            "time": self.time,
            "signature": self.signature.hex(),
        }

    @staticmethod
    def read(fields: Fields) -> Cosigned:
        """Read it; raises MalformedError."""
        found = Cosigned(
            party=fields.text("party", max_length=40, pattern=_PARTY),
            size=fields.integer("size", at_least=1, at_most=_MAX_NUMBER),
            root=fields.hex("root", size=32),
            time=fields.integer("time", at_least=0, at_most=_MAX_NUMBER),
            signature=fields.hex("signature", size=64),
        )
        fields.finish()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a node tells.

    Attributes:
        note: Its newest state, signed; empty before the first.
        proofs: From the states that its witnesses hold.
        cosigned: The newest that it cosigned of each other party.
    """

    note: str = ""
    proofs: tuple[Proof, ...] = ()
    cosigned: tuple[Cosigned, ...] = ()

    def to_bytes(self) -> bytes:
        """It as JSON."""
        return _json(
            {
                "note": self.note,
                "proofs": [_proof_values(one) for one in self.proofs],
                "cosigned": [one.to_dict() for one in self.cosigned],
            }
        )

    @staticmethod
    def from_bytes(data: bytes) -> Told:
        """Read it; nothing in it is checked but its form. Raises MalformedError."""
        fields = _fields(data)
        found = Told(
            note=fields.text_or_nothing("note", max_length=MAX_STATE_BYTES),
            proofs=tuple(
                _proof(one) for one in fields.objects("proofs", at_least=0, at_most=MAX_PARTNERS)
            ),
            cosigned=_cosigned(fields),
        )
        fields.finish()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Another party's newest state, and a proof from what the reader holds; None without one."""

    party: str
    note: str
    proof: Proof | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What a node is passed: the others' states, and their cosignatures of its own."""

    shown: tuple[Shown, ...] = ()
    cosigned: tuple[Cosigned, ...] = ()

    def to_bytes(self) -> bytes:
        """It as JSON."""
        return _json(
            {
                "notes": [
                    {
                        "party": one.party,
                        "note": one.note,
                        "proof": None if one.proof is None else _proof_values(one.proof),
                    }
                    for one in self.shown
                ],
                "cosigned": [one.to_dict() for one in self.cosigned],
            }
        )

    @staticmethod
    def from_bytes(data: bytes) -> Passed:
        """Read it; nothing in it is checked but its form. Raises MalformedError."""
        fields = _fields(data)
        shown = []
        for one in fields.objects("notes", at_least=0, at_most=MAX_PARTNERS):
            has_proof = one.has("proof") and one.values["proof"] is not None
            shown.append(
                Shown(
                    party=one.text("party", max_length=40, pattern=_PARTY),
                    note=one.text("note", max_length=MAX_STATE_BYTES),
                    proof=_proof(one.object("proof")) if has_proof else None,
                )
            )
            one.finish()
        found = Passed(shown=tuple(shown), cosigned=_cosigned(fields))
        fields.finish()
        if len({one.party for one in shown}) != len(shown):
            raise malformed("two states of one party's seals")
        return found


def passed_to(party: str, told: Sequence[tuple[str, Told]]) -> Passed:
    """What a node is passed of what each party told last, with the proof that it can use.

    Args:
        party: Whose node it is.
    """
    held = {
        one.party: one.size for name, own in told if name == party for one in own.cosigned
    }  # what it said last that it holds of each
    others = [(name, one) for name, one in told if name != party]
    shown = tuple(
        Shown(party=name, note=one.note, proof=_from(held.get(name, 0), one.proofs))
        for name, one in others
        if one.note
    )
    cosigned = tuple(
        Cosigned(party=name, size=own.size, root=own.root, time=own.time, signature=own.signature)
        for name, one in others
        for own in one.cosigned
        if own.party == party
    )
    return Passed(shown=shown, cosigned=cosigned)


def _from(size: int, proofs: Sequence[Proof]) -> Proof | None:
    return next((one for one in proofs if one.size == size), None)


def _json(values: JSON) -> bytes:
    """JSON in one form; not RFC 8785, whose library takes long and which nothing signed needs."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def _fields(data: bytes) -> Fields:
    what = "what travels beside a message"
    return Fields(parse_json(data, max_bytes=MAX_BESIDE_BYTES, what=what), what)


def _cosigned(fields: Fields) -> tuple[Cosigned, ...]:
    listed = fields.objects("cosigned", at_least=0, at_most=MAX_PARTNERS)
    found = tuple(Cosigned.read(one) for one in listed)
    if len({one.party for one in found}) != len(found):
        raise MalformedError("two cosignatures by one party, or of one party's log")
    return found


def _proof(fields: Fields) -> Proof:
    found = Proof(
        size=fields.integer("from", at_least=0, at_most=_MAX_NUMBER), hashes=hashes_of(fields)
    )
    fields.finish()
    return found


def _proof_values(proof: Proof) -> dict[str, Any]:
    return {"from": proof.size, "hashes": [one.hex() for one in proof.hashes]}
