"""Signed notes, checkpoints, cosignatures and proofs: made, checked, and altered."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from protocol.errors import FedsegError, LogError, MalformedError
from protocol.log import cosignatures, notes, tree
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import cosign_ed25519, cosign_ml_dsa, cosigned_at, cosigner
from protocol.log.notes import Ed25519Verifier, Note, VerifierKey, sign_ed25519
from protocol.log.proofs import LogProof
from tests.protocol.log.trees import kept

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "signed_note.json").read_text("utf-8"))
ORIGIN = "node.example/log"
TIME = 1_679_315_147
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([at]) * 32) for at in range(1, 5)]
QUANTUM = MLDSA44PrivateKey.from_seed_bytes(bytes(32))
ENTRIES = [b"entry %d" % at for at in range(7)]
TILES = kept([tree.leaf_hash(one) for one in ENTRIES])
CHECKPOINT = Checkpoint(ORIGIN, 7, tree.root(7, TILES))


def public(at: int) -> bytes:
    return KEYS[at].public_key().public_bytes_raw()


LOG = Ed25519Verifier(VerifierKey(ORIGIN, notes.ED25519, public(0)))
WITNESS = cosigner(VerifierKey("w1", cosignatures.ED25519_COSIGNATURE, public(1)))
SAME = cosigner(VerifierKey("w2", cosignatures.ED25519_COSIGNATURE, public(1)))
ITSELF = cosigner(VerifierKey("w3", cosignatures.ED25519_COSIGNATURE, public(0)))
SAFE = cosigner(
    VerifierKey("w4", cosignatures.ML_DSA_44_COSIGNATURE, QUANTUM.public_key().public_bytes_raw())
)
SIGNED = sign_ed25519(Note(CHECKPOINT.to_text()), ORIGIN, KEYS[0])
COSIGNED = cosign_ml_dsa(cosign_ed25519(SIGNED, "w1", KEYS[1], TIME), "w4", QUANTUM, TIME)
PROOF = LogProof(3, tuple(tree.inclusion_proof(3, 7, TILES)), COSIGNED)


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(FedsegError) as refused:
        act()
    return refused.value.code


def test_the_published_note_is_read_and_made_again() -> None:
    key = VerifierKey.parse(VECTOR["verifier_key"])
    assert str(key) == VECTOR["verifier_key"]
    data = VECTOR["note"].encode()
    note = Note.parse(data)
    assert list(note.verified([Ed25519Verifier(key)])) == [key]
    seed = base64.b64decode(VECTOR["seed_base64"])[1:]
    private = Ed25519PrivateKey.from_private_bytes(seed)
    assert sign_ed25519(Note(note.text), "PeterNeumann", private).to_bytes() == data


def test_no_part_of_a_verifier_key_and_no_changed_one_is_read() -> None:
    text = VECTOR["verifier_key"]
    for at in range(len(text)):
        assert code_of(lambda at=at: VerifierKey.parse(text[:at])) == "E-LOG-FORMAT"
        changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        assert code_of(lambda one=changed: VerifierKey.parse(one)) == "E-LOG-FORMAT"


def test_no_changed_byte_of_a_note_leaves_it_signed() -> None:
    data = SIGNED.to_bytes()
    for at in range(len(data)):
        for bit in (1, 128):
            changed = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            with pytest.raises((LogError, MalformedError)):
                Note.parse(changed).verified([LOG])
        with pytest.raises((LogError, MalformedError)):
            Note.parse(data[:at]).verified([LOG])


def test_strangers_are_passed_over_and_a_wrong_signature_of_a_known_key_is_not() -> None:
    both = sign_ed25519(SIGNED, "stranger", KEYS[2])
    assert list(both.verified([LOG])) == [LOG.key]
    assert code_of(lambda: SIGNED.verified([WITNESS])) == "E-LOG-UNSIGNED"
    wrong = both.with_signature(WITNESS.key, bytes(72))
    assert code_of(lambda: wrong.verified([LOG, WITNESS])) == "E-LOG-SIGNATURE"
    twice = sign_ed25519(SIGNED, ORIGIN, KEYS[0])
    assert code_of(lambda: twice.verified([LOG])) == "E-LOG-FORMAT"
    assert code_of(lambda: SIGNED.verified([LOG, LOG])) == "E-LOG-FORMAT"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\nno dash AAAAAAA=\n",
        "text\n\n— name\n".encode(),
        "text\n\n— na+me AAAAAAA=\n".encode(),
        "text\n\n— na\u2003me AAAAAAA=\n".encode(),
        "text\n\n— name AAAAAA==\n".encode(),
        "text\n\n— name AAAAAAB=\n".encode(),
        "text\n\n— name AAAAAAA=".encode(),
        "te\rxt\n\n— name AAAAAAA=\n".encode(),
        b"\xff\n\n\xe2\x80\x94 name AAAAAAA=\n",
        ("text\n\n" + "— name AAAAAAA=\n" * 257).encode(),
        b"x" * notes.MAX_NOTE_BYTES + "\n\n— name AAAAAAA=\n".encode(),
    ],
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    assert code_of(lambda: Note.parse(data)) == "E-LOG-FORMAT"


def test_a_checkpoint_comes_back_and_is_written_in_one_way() -> None:
    for one in (
        CHECKPOINT,
        replace(CHECKPOINT, extensions=("more",)),
        Checkpoint("o", 0, tree.EMPTY_ROOT),
    ):
        assert Checkpoint.from_text(one.to_text()) == one
    root = CHECKPOINT.to_text().split("\n")[2]
    for text in (
        "",
        f"o\n7\n{root}",
        f"\n7\n{root}\n",
        f"o\n07\n{root}\n",
        f"o\n+7\n{root}\n",
        f"o\n٧\n{root}\n",
        f"o\n{2**63}\n{root}\n",
        f"o\n7\n{root}\n\n",
        f"o\n7\n{root[:-4]}\n",
        f"o\n0\n{root}\n",
        "o\n7\n",
    ):
        assert code_of(lambda text=text: Checkpoint.from_text(text)) == "E-LOG-FORMAT"


def test_cosignatures_hold_for_their_time_name_and_checkpoint_alone() -> None:
    found = COSIGNED.verified([LOG, WITNESS, SAFE])
    assert set(found) == {LOG.key, WITNESS.key, SAFE.key}
    for one in (WITNESS, SAFE):
        data = found[one.key]
        assert cosigned_at(data) == TIME
        assert one.holds(COSIGNED.text, data)
        assert not one.holds(COSIGNED.text, (TIME + 1).to_bytes(8, "big") + data[8:])
        assert not one.holds(COSIGNED.text, (2**63).to_bytes(8, "big") + data[8:])
        assert not one.holds(COSIGNED.text, data[:-1])
        assert not one.holds(COSIGNED.text, data[:8])
        assert not one.holds(replace(CHECKPOINT, size=8).to_text(), data)
        assert not one.holds(replace(CHECKPOINT, origin="other").to_text(), data)
        assert not one.holds("no checkpoint\n", data)
    renamed = cosigner(replace(SAFE.key, name="w5"))
    assert not renamed.holds(COSIGNED.text, found[SAFE.key])
    assert code_of(lambda: cosigner(LOG.key)) == "E-LOG-FORMAT"
    assert code_of(lambda: Ed25519Verifier(WITNESS.key)) == "E-LOG-FORMAT"
    assert code_of(lambda: cosign_ed25519(SIGNED, "w", KEYS[1], 2**63)) == "E-LOG-FORMAT"


def check(proof: LogProof, entry: bytes = ENTRIES[3], quorum: int = 2) -> Checkpoint:
    return proof.check(entry, origin=ORIGIN, log=LOG, witnesses=[WITNESS, SAFE], quorum=quorum)


def test_a_proof_comes_back_and_checks() -> None:
    for one in (PROOF, replace(PROOF, extra=b"more"), replace(PROOF, extra=b"x" * 100)):
        assert LogProof.parse(one.to_bytes()) == one
        assert check(one) == CHECKPOINT


def test_a_proof_of_something_else_is_refused() -> None:
    assert code_of(lambda: check(PROOF, b"another")) == "E-LOG-INCLUSION"
    assert code_of(lambda: check(replace(PROOF, index=2))) == "E-LOG-INCLUSION"
    assert code_of(lambda: check(PROOF, quorum=3)) == "E-LOG-QUORUM"
    unsigned = replace(PROOF, note=replace(COSIGNED, signatures=COSIGNED.signatures[1:]))
    assert code_of(lambda: check(unsigned)) == "E-LOG-UNSIGNED"
    other = lambda: PROOF.check(ENTRIES[3], origin="other", log=LOG)  # noqa: E731
    assert code_of(other) == "E-LOG-ORIGIN"


def test_one_key_under_two_names_is_one_witness_and_the_log_is_none() -> None:
    note = cosign_ed25519(cosign_ed25519(COSIGNED, "w2", KEYS[1], TIME), "w3", KEYS[0], TIME)
    proof = replace(PROOF, note=note)
    ask = lambda: proof.check(  # noqa: E731
        ENTRIES[3], origin=ORIGIN, log=LOG, witnesses=[WITNESS, SAME, ITSELF], quorum=2
    )
    assert code_of(ask) == "E-LOG-QUORUM"


def test_no_changed_byte_of_a_proof_leaves_it_whole() -> None:
    data = replace(PROOF, note=SIGNED).to_bytes()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        for one in (changed, data[:at]):
            with pytest.raises((LogError, MalformedError)):
                check(LogProof.parse(one), quorum=0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"index 3", b"index 03"),
        (b"index 3\n", b""),
        (b"@v1", b"@v2"),
        (b"index", b"extra AAB=\nindex"),
        (b"index 3\n", b"index 3\n" + b"AAAA\n"),
        (
            b"index 3\n",
            b"index 3\n"
            + base64.b64encode(bytes(32))
            + b"\n"
            + (base64.b64encode(bytes(32)) + b"\n") * 62,
        ),
    ],
)
def test_what_is_no_proof_is_refused(old: bytes, new: bytes) -> None:
    data = PROOF.to_bytes()
    assert data.count(old) == 1
    assert code_of(lambda: LogProof.parse(data.replace(old, new))) == "E-LOG-FORMAT"
