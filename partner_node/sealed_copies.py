"""Opened seals beside a copy of a log, so that an auditor checks offline who saw which states.

For each agreement a folder ``seals/<agreement id>`` has `checkpoint`, the newest state of the seals
that most cosigned, and `opened`, a line for each seal: its nonce and the checkpoint that it seals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from machine.files import write_file
from machine.named_files import read_of_log
from partner_node.sealed_proofs import cosigned_note
from partner_node.store.node_store import NodeStore
from partner_node.store.seals import Seals, sealed_under
from partner_node.store.witnessed import Witnessed
from protocol.canonical import canonical_json, parse_canonical_json
from protocol.errors import LogError, MalformedError
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import cosigned_at, cosigner
from protocol.log.growing import Tiles
from protocol.log.names import party_of
from protocol.log.notes import MAX_NOTE_BYTES, Ed25519Verifier, Note, VerifierKey
from protocol.log.seals import NONCE_BYTES, seal
from protocol.log.text import malformed
from protocol.log.tree import leaf_hash, root
from protocol.strict import Fields

FOLDER: Final = "seals"
NOTE_FILE: Final = "checkpoint"
OPENED_FILE: Final = "opened"
_MAX_OPENED_BYTES: Final = 1 << 28
_MAX_LINE_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedSeals:
    """The seals of one agreement in a copy, checked.

    Attributes:
        sealed: The states of the log that were sealed, in order.
        cosigned: Who cosigned the newest of these seals, by name, and when, seconds since 1970.
    """

    agreement_id: str
    sealed: tuple[Checkpoint, ...]
    cosigned: dict[str, int]


def copy_seals(store: NodeStore, folder: Path, size: int) -> int:
    """Write the opened seals of a log's states up to a size beside its copy; how many files."""
    written = 0
    for name, data in seal_files(store, size):
        write_file(folder / FOLDER / name, data, mode=0o600)
        written += 1
    return written


def seal_files(store: NodeStore, size: int) -> Iterator[tuple[str, bytes]]:
    """The opened seals of a log's states up to a size: files by their path below `FOLDER`."""
    for agreement_id in sealed_under(store):
        seals, room = Seals(store, agreement_id), Witnessed(store, agreement_id)
        kept = [one for one in seals.since(0) if one.sealed.size <= size]
        newest = room.newest_most_cosigned(len(kept)) or len(kept)
        if not newest:
            continue
        lines = [
            canonical_json({"checkpoint": one.text, "nonce": one.nonce.hex()}) + b"\n"
            for one in kept[:newest]
        ]
        yield f"{agreement_id}/{OPENED_FILE}", b"".join(lines)
        yield f"{agreement_id}/{NOTE_FILE}", cosigned_note(seals, room, newest).to_bytes()


def copied_seals(
    folder: Path, keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey]
) -> list[CopiedSeals]:
    """The seals beside a copy; none where it was made without.

    Args:
        keys: Of the log, of which one signed its seals.
        witnesses: Keys that cosign; words of others are passed over.

    Raises:
        MalformedError: A file is not of its format.
        LogError: A signature does not hold (E-LOG-SIGNATURE), the log's key did not sign
            (E-LOG-UNSIGNED), a seal is of another log (E-LOG-ORIGIN), or opened seals are not those
            of their signed state (E-LOG-HASHES).
    """
    places = sorted(one for one in (folder / FOLDER).glob("*") if one.is_dir())
    return [_copied(place, keys, witnesses) for place in places]


def _copied(
    place: Path, keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey]
) -> CopiedSeals:
    note = Note.parse(read_of_log(place / NOTE_FILE, MAX_NOTE_BYTES))
    own = [VerifierKey(f"{key.name}/{place.name}", key.kind, key.public_key) for key in keys]
    found = note.verified([*map(Ed25519Verifier, own), *map(cosigner, witnesses)])
    state = Checkpoint.from_text(note.text)
    if state.origin not in {key.name for key in own if key in found}:
        raise LogError(
            f"the log's key did not sign its seals under {place.name}",
            code="E-LOG-UNSIGNED",
            remedy="Ask the log's keeper for another copy.",
        )
    tiles, sealed = Tiles(), []
    for line in read_of_log(place / OPENED_FILE, _MAX_OPENED_BYTES).splitlines():
        nonce, text = _opened(line)
        tiles.append(leaf_hash(seal(nonce, text)))
        sealed.append(Checkpoint.from_text(text))
        if party_of(sealed[-1].origin) != party_of(state.origin):
            raise LogError(f"a seal is of {sealed[-1].origin!r}", code="E-LOG-ORIGIN")
    if (tiles.size, root(tiles.size, tiles)) != (state.size, state.root):
        raise LogError(
            f"the opened seals under {place.name} are not those of their signed state",
            code="E-LOG-HASHES",
            remedy="Keep the copy, and ask for another one.",
        )
    times = {
        key.name: cosigned_at(data)
        for key, data in found.items()
        if key not in own and key.public_key not in {one.public_key for one in own}
    }
    return CopiedSeals(agreement_id=place.name, sealed=tuple(sealed), cosigned=times)


def _opened(line: bytes) -> tuple[bytes, str]:
    try:
        values = parse_canonical_json(line, max_bytes=_MAX_LINE_BYTES, what="an opened seal")
        fields = Fields(values, "opened seal")
        found = (
            fields.hex("nonce", size=NONCE_BYTES),
            fields.text("checkpoint", max_length=_MAX_LINE_BYTES),
        )
        fields.finish()
    except MalformedError as error:
        raise malformed(error.message) from error
    return found
