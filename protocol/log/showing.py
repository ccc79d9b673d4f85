"""Showing a log to others: signed checkpoints of it, proofs of its entries, and checks of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import FedsegError, LogError
from protocol.log.checking import LogReader, check_states
from protocol.log.checkpoints import Checkpoint
from protocol.log.names import key_of_log
from protocol.log.notes import MAX_NOTE_BYTES, Ed25519Verifier, Note, VerifierKey, sign_ed25519
from protocol.log.proofs import LogProof
from protocol.log.rows import LogRows
from protocol.log.tree import check_consistency, consistency_proof, inclusion_proof

MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + (1 << 18)


def signed_checkpoint(log: LogRows, party: str, key: Ed25519PrivateKey) -> Note:
    """The log's state now, signed by the key of its party."""
    size = log.size
    name = key_of_log(party, key.public_key().public_bytes_raw()).name
    checkpoint = Checkpoint(name, size, log.root(size))
    return sign_ed25519(Note(checkpoint.to_text()), name, key)


def proof_of(log: LogRows, number: int, note: Note) -> LogProof:
    """The proof that an entry is in the log of a checkpoint; its bytes go along, as extra data.

    Raises:
        LogError: There is no such entry (E-LOG-UNKNOWN).
    """
    entry, size = log.entry(number), Checkpoint.from_text(note.text).size
    return LogProof(number, tuple(inclusion_proof(number, size, log)), note, entry)


def verified_checkpoint(data: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint in a note that one of some logs' keys signed under its own name.

    Raises:
        MalformedError: It is none.
        LogError: No such key signed it, or it is about another log (E-LOG-ORIGIN).
    """
    note = Note.parse(data)
    signers = note.verified([Ed25519Verifier(key) for key in keys])
    checkpoint = Checkpoint.from_text(note.text)
    if checkpoint.origin not in {key.name for key in signers}:
        raise LogError(
            f"the checkpoint is of {checkpoint.origin!r}, and another log's key signed it",
            code="E-LOG-ORIGIN",
            remedy="ask for the checkpoint of the log that is meant",
        )
    return checkpoint


def check_follows(log: LogReader, old: Checkpoint, new: Checkpoint) -> list[bytes]:
    """Check by the log's hashes that the state `old` begins `new`; the proof.

    Raises:
        LogError: It does not (E-LOG-CONSISTENCY), or the log is shorter (E-LOG-SHORT).
    """
    if new.size > log.size:
        raise LogError(
            f"the log has {log.size} entries, and a signed checkpoint of it has {new.size}",
            code="E-LOG-SHORT",
            remedy="take a copy of the log that is as new",
        )
    if old.size > new.size:
        old, new = new, old
    proof = consistency_proof(old.size, new.size, log)
    check_consistency(old.size, new.size, proof, old.root, new.root)
    return proof


def check_continues(log: LogReader, kept: bytes | None, name: str) -> None:
    """Check that a log continues a kept checkpoint, which a newer one is about to replace.

    Whoever kept it could show by it that the log is another one, or shorter: that is not written
    over.

    Args:
        kept: The file's bytes; nothing is checked where there is none.
        name: The file, for errors.

    Raises:
        LogError: The log is not the one that it was (E-LOG-FORKED), or shorter (E-LOG-SHORT).
        MalformedError: The file is no checkpoint (E-LOG-FORMAT).
    """
    if kept is None:
        return
    try:
        check_states(log, [Checkpoint.from_text(Note.parse(kept).text)])
    except FedsegError as error:
        raise type(error)(
            f"{name} is kept: {error.message}",
            code=error.code,
            remedy=f"name another file or folder. {error.remedy}",
        ) from error
