"""Makes `log_seals.json`: cosigned notes and seals, right and wrong, for any verifier.

`python -m tests.vectors.make_seals`, from the project. Everything follows from fixed keys.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.log import tree
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import cosign_ed25519
from protocol.log.entries import Entry
from protocol.log.names import key_of_log, key_of_seals, key_of_witness
from protocol.log.notes import Note, VerifierKey, sign_ed25519
from protocol.log.proofs import LogProof
from protocol.log.seals import Opened, seal
from protocol.log.text import to_base64
from tests.protocol.log.trees import kept

FILE: Final = str(Path(__file__).parent / "log_seals.json")
TIME: Final = 1_796_115_600
AGREEMENT: Final = "pilot"


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def public(number: int) -> bytes:
    return key(number).public_key().public_bytes_raw()


class Sealing:
    """A log of five entries, sealed three times, and cosigned by two others."""

    def __init__(self) -> None:
        self.key = key_of_seals("north", public(1), AGREEMENT)
        self.witnesses = [key_of_witness("south", public(2)), key_of_witness("west", public(3))]
        self.entries = [
            Entry(f"2026-12-01T09:00:0{at}.000000Z", "build",
                  {"agreement_hash": "ab" * 32, "build": f"{at:02x}" * 32}).to_bytes()
            for at in range(5)
        ]  # fmt: skip
        self.log = kept([tree.leaf_hash(one) for one in self.entries])
        self.nonces = [bytes([at]) * 32 for at in range(3)]
        self.checkpoint, self.later = self.state(3), self.state(5)
        texts = [self.state(size).to_text() for size in (1, 3, 5)]
        self.seals = [seal(*one) for one in zip(self.nonces, texts, strict=True)]
        self.seal_log = kept([tree.leaf_hash(one) for one in self.seals])
        self.note = self.cosigned(self.signed(3))
        self.opened = Opened(
            self.nonces[1], texts[1], 2, tuple(tree.inclusion_proof(2, 3, self.log)),
            self.entries[2],
        )  # fmt: skip
        self.proof = self.proved(self.opened)

    def state(self, size: int) -> Checkpoint:
        name = key_of_log("north", public(1)).name
        return Checkpoint(name, size, tree.root(size, self.log))

    def signed(self, size: int, *, by: int = 1, root: bytes | None = None) -> Note:
        root = tree.root(size, self.seal_log) if root is None else root
        note = Note(Checkpoint(self.key.name, size, root).to_text())
        return sign_ed25519(note, self.key.name, key(by))

    def cosigned(self, note: Note) -> Note:
        for number, one in enumerate(self.witnesses, 2):
            note = cosign_ed25519(note, one.name, key(number), TIME + number)
        return note

    def proved(self, opened: Opened, note: Note | None = None) -> LogProof:
        hashes = tuple(tree.inclusion_proof(1, 3, self.seal_log))
        return LogProof(1, hashes, note or self.note, opened.to_bytes())


def vectors() -> dict[str, Any]:
    """What the file holds."""
    made = Sealing()
    opened = made.opened
    other = key_of_log("west", public(3)).name
    foreign = opened.text.replace(made.checkpoint.origin, other)
    wrong = made.note.signatures[1]
    spoilt = replace(wrong, data=wrong.data[:-1] + bytes([wrong.data[-1] ^ 1]))
    late = replace(wrong, data=bytes(8) + wrong.data[8:])

    def case(
        comment: str,
        proof: LogProof,
        code: str = "",
        quorum: int = 2,
        witnesses: list[VerifierKey] | None = None,
        cosigned: dict[str, int] | None = None,
    ) -> dict[str, Any]:
        known = made.witnesses if witnesses is None else witnesses
        everybody = {one.name: TIME + at for at, one in enumerate(made.witnesses, 2)}
        return {
            "comment": comment, "proof": proof.to_bytes().decode(), "key": str(made.key),
            "witnesses": [str(one) for one in known], "quorum": quorum, "code": code,
            "cosigned": {} if code else everybody if cosigned is None else cosigned,
            "entry": "" if code else opened.entry.decode(),
        }  # fmt: skip

    def with_second(line: Any) -> Note:
        first, _, third = made.note.signatures
        return replace(made.note, signatures=(first, line, third))

    south = made.witnesses[0].name
    return {
        "comment": "Opened seals under cosigned notes. `proof` is a C2SP tlog-proof of a seal; its "
        "extra data open the seal. An empty `code` is a proof that holds; keys are vkeys.",
        "seals": [
            {"nonce": nonce.hex(), "checkpoint": made.state(size).to_text(), "seal": one.hex()}
            for nonce, size, one in zip(made.nonces, (1, 3, 5), made.seals, strict=True)
        ],
        "log_root": tree.root(5, made.log).hex(),
        "seals_root": tree.root(3, made.seal_log).hex(),
        "proofs": [
            case("two witnesses", made.proof),
            case(
                "one of them is a stranger", made.proof, quorum=1,
                witnesses=made.witnesses[:1], cosigned={south: TIME + 2},
            ),
            case("nobody is asked for", made.proved(opened, made.signed(3)), quorum=0, cosigned={}),
            case("too few witnesses", made.proved(opened, made.signed(3)), "E-LOG-QUORUM", 1),
            case(
                "the log's own key is no witness", made.proof, "E-LOG-QUORUM", 1,
                [key_of_witness("north", public(1))],
            ),
            case("another nonce", made.proved(replace(opened, nonce=bytes(32))),
                 "E-LOG-INCLUSION"),
            case("another checkpoint", made.proved(replace(opened, text=made.later.to_text())),
                 "E-LOG-INCLUSION"),
            case("another entry", made.proved(replace(opened, entry=made.entries[1])),
                 "E-LOG-INCLUSION"),
            case("a hash is missing", made.proved(replace(opened, hashes=opened.hashes[:-1])),
                 "E-LOG-INCLUSION"),
            case("another number", made.proved(replace(opened, index=1)), "E-LOG-INCLUSION"),
            case("the seal's own proof is of another", replace(made.proof, index=0),
                 "E-LOG-INCLUSION"),
            case("the log of another party", _resealed(made, foreign), "E-LOG-ORIGIN"),
            case("a spoilt cosignature", made.proved(opened, with_second(spoilt)),
                 "E-LOG-SIGNATURE"),
            case("a cosignature dated back", made.proved(opened, with_second(late)),
                 "E-LOG-SIGNATURE"),
            case("signed by another key", made.proved(opened, made.cosigned(made.signed(3, by=4))),
                 "E-LOG-UNSIGNED"),
            case("cosigned alone", made.proved(opened, replace(
                made.note, signatures=made.note.signatures[1:])), "E-LOG-UNSIGNED"),
            case("no opened seal", replace(made.proof, extra=b'{"schema":"fedseg/opened-seal/1"}'),
                 "E-LOG-FORMAT"),
            case("another root", made.proved(opened, made.cosigned(made.signed(3, root=bytes(32)))),
                 "E-LOG-INCLUSION"),
        ],
        "encoding": {"entry": "base64 in `entry` of the extra data", "example": to_base64(
            opened.entry)},
    }  # fmt: skip


def _resealed(made: Sealing, text: str) -> LogProof:
    """A proof whose seal is right, and of another party's log."""
    seals = [made.seals[0], seal(made.nonces[1], text), made.seals[2]]
    log = kept([tree.leaf_hash(one) for one in seals])
    note = made.cosigned(made.signed(3, root=tree.root(3, log)))
    hashes = tuple(tree.inclusion_proof(1, 3, log))
    return LogProof(1, hashes, note, replace(made.opened, text=text).to_bytes())


if __name__ == "__main__":
    text = json.dumps(vectors(), indent=1, ensure_ascii=False)
    Path(FILE).write_text(text + "\n", encoding="utf-8")
