"""Showing a node's audit log to others: its key, signed checkpoints, proofs, copies in files.

A copy is laid out as C2SP tlog-tiles says (`checkpoint`, `tile/…`), so that other programs read it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from machine.files import open_regular, write_file
from partner_node.store.audit_log import AuditLog
from protocol.errors import FedsegError, LogError, UsageError
from protocol.log.checking import LogReader, check_states
from protocol.log.checkpoints import Checkpoint
from protocol.log.copies import CopiedLog, copied_files
from protocol.log.names import key_of_log
from protocol.log.notes import (
    MAX_NOTE_BYTES,
    Ed25519Verifier,
    Note,
    VerifierKey,
    sign_ed25519,
)
from protocol.log.proofs import LogProof
from protocol.log.tree import check_consistency, consistency_proof, inclusion_proof
from protocol.signing import public_bytes

CHECKPOINT_FILE: Final = "checkpoint"
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + (1 << 18)


def signed_checkpoint(log: AuditLog, party: str, key: Ed25519PrivateKey) -> Note:
    """The log's state now, signed by the node's key."""
    size = log.size
    name = key_of_log(party, public_bytes(key)).name
    checkpoint = Checkpoint(name, size, log.root(size))
    return sign_ed25519(Note(checkpoint.to_text()), name, key)


def proof_of(log: AuditLog, number: int, note: Note) -> LogProof:
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


def read_file(path: Path, most: int) -> bytes:
    """A file that somebody named, of at most some bytes.

    Raises:
        UsageError: It cannot be read, or has more.
    """
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            code="E-LOG-FILE",
            remedy="correct the path",
        ) from error
    if len(data) > most:
        raise UsageError(
            f"{path} has more than {most} bytes",
            code="E-LOG-FILE",
            remedy="name the right file",
        )
    return data


def open_copy(folder: Path, keys: Sequence[VerifierKey]) -> tuple[CopiedLog, Checkpoint]:
    """The log in a folder and its checkpoint; raises as `verified_checkpoint`."""
    data = read_file(folder / CHECKPOINT_FILE, MAX_NOTE_BYTES)
    checkpoint = verified_checkpoint(data, keys)
    copied = CopiedLog(lambda path, most: read_file(folder / path, most), checkpoint.size)
    return copied, checkpoint


def check_continues(log: LogReader, file: Path) -> None:
    """Check that a log continues the checkpoint in a file that a newer one is to replace.

    Whoever kept it could show by it that the log is another one, or shorter: that is not written
    over. Nothing is checked where there is no file.

    Raises:
        LogError: The log is not the one that it was (E-LOG-FORKED), or shorter (E-LOG-SHORT).
        MalformedError: The file is no checkpoint (E-LOG-FORMAT).
        UsageError: It cannot be read.
    """
    if not os.path.lexists(file):
        return
    data = read_file(file, MAX_NOTE_BYTES)
    try:
        check_states(log, [Checkpoint.from_text(Note.parse(data).text)])
    except FedsegError as error:
        raise type(error)(
            f"{file} is kept: {error.message}",
            code=error.code,
            remedy=f"name another file or folder. {error.remedy}",
        ) from error


def copy_log(log: AuditLog, note: Note, folder: Path) -> int:
    """Write a log as of a checkpoint into a folder, the checkpoint last; how many files.

    A copy of an earlier state in the same folder becomes this one; raises as `check_continues`
    where one of another log is there, or of more than this log has. Its files are closed to other
    accounts: the log names people, and says when customers asked for what.
    """
    check_continues(log, folder / CHECKPOINT_FILE)
    size, written = Checkpoint.from_text(note.text).size, 0
    for path, data in copied_files(log, size):
        write_file(folder / path, data, mode=0o600)
        written += 1
    write_file(folder / CHECKPOINT_FILE, note.to_bytes(), mode=0o600)
    return written + 1
