"""Proofs of a node's entries by seals that others cosigned, and the check of its own seals."""

from __future__ import annotations

from bisect import bisect_right

from partner_node.store.node_store import NodeStore
from partner_node.store.seals import KeptSeal, Seals, sealed_under
from partner_node.store.witnessed import Witnessed
from protocol.errors import LogError
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import TIME_BYTES
from protocol.log.growing import Tiles
from protocol.log.notes import Note
from protocol.log.proofs import LogProof
from protocol.log.seals import Opened, seal
from protocol.log.tree import TILE_WIDTH, inclusion_proof, leaf_hash, root
from protocol.receipts.seen import Seen


def sealed_proof_of(store: NodeStore, number: int) -> LogProof:
    """The proof that an entry is under a seal that others cosigned.

    Of all agreements, and of all states of their seals, the one that most cosigned, and of these
    the earliest.

    Raises:
        LogError: There is no such entry (E-LOG-UNKNOWN), or nobody cosigned a seal over it
            (E-LOG-NOT-COSIGNED).
    """
    entry = store.log.entry(number)
    found = []
    for agreement_id in sealed_under(store):
        seals, room = Seals(store, agreement_id), Witnessed(store, agreement_id)
        first = _first_over(seals, number)
        size = None if first is None else room.most_cosigned(first.number + 1)
        if first is not None and size is not None:
            lines = room.cosignatures(size)
            found.append(
                (-len(lines), min(time for _, time, _ in lines), agreement_id, first, size)
            )
    if not found:
        raise LogError(
            f"entry {number} is under no seal that another partner cosigned",
            code="E-LOG-NOT-COSIGNED",
            remedy="what a run writes is cosigned in its next rounds and in the next run; "
            "`fedseg-node log witness` says how far each partner is",
        )
    _, _, agreement_id, first, size = min(found, key=lambda one: one[:3])
    seals = Seals(store, agreement_id)
    sealed = first.sealed
    opened = Opened(
        first.nonce,
        first.text,
        number,
        tuple(inclusion_proof(number, sealed.size, store.log)),
        entry,
    )
    hashes = tuple(inclusion_proof(first.number, size, seals))
    note = cosigned_note(seals, Witnessed(store, agreement_id), size)
    return LogProof(first.number, hashes, note, opened.to_bytes())


def checked_seals(store: NodeStore) -> list[Checkpoint]:
    """The states of the audit log that were sealed, after a check of the logs of seals.

    Raises:
        LogError: A seal, its hash, or a signed state of them do not belong together (E-LOG-HASHES).
    """
    found = []
    for agreement_id in sealed_under(store):
        tiles, seals = Tiles(), Seals(store, agreement_id)
        for one in seals.since(0):
            leaf = leaf_hash(seal(one.nonce, one.text))
            stored = seals.tile(0, one.number // TILE_WIDTH, one.number % TILE_WIDTH + 1)
            tiles.append(leaf)
            is_whole = list(stored[-1:]) == [leaf] and one.number == tiles.size - 1
            if not is_whole or one.state.root != root(tiles.size, tiles):
                raise LogError(
                    f"seal {one.number + 1} under {agreement_id} is not that of its state",
                    code="E-LOG-HASHES",
                    remedy="Keep it, find out who changed it, and compare it with what the others "
                    "cosigned.",
                )
            found.append(one.sealed)
    return found


def cosigned_states(store: NodeStore) -> list[Checkpoint]:
    """Under each agreement, the newest state of the audit log that others cosigned."""
    found = (newest_cosigned(store, one) for one in sealed_under(store))
    return [kept.sealed for kept in found if kept is not None]


def newest_cosigned(store: NodeStore, agreement_id: str) -> KeptSeal | None:
    """Of the seals that most others cosigned under an agreement the newest; None for none."""
    seals, room = Seals(store, agreement_id), Witnessed(store, agreement_id)
    return seals.of_size(room.newest_most_cosigned(seals.size) or 0)


def seen_seal(store: NodeStore, agreement_id: str, kept: KeptSeal) -> Seen:
    """A seal under an agreement, opened, with what others cosigned of the state with it."""
    seals, size = Seals(store, agreement_id), kept.number + 1
    hashes = tuple(inclusion_proof(kept.number, size, seals))
    note = cosigned_note(seals, Witnessed(store, agreement_id), size)
    return Seen(nonce=kept.nonce, proof=LogProof(kept.number, hashes, note))


def _first_over(seals: Seals, number: int) -> KeptSeal | None:
    """The first seal of a state in which an entry is; None where there is none yet."""

    def sealed_size(size: int) -> int:
        kept = seals.of_size(size)
        return 0 if kept is None else kept.sealed.size

    at = bisect_right(range(1, seals.size + 1), number, key=sealed_size)
    return seals.of_size(at + 1)


def cosigned_note(seals: Seals, room: Witnessed, size: int) -> Note:
    """A state of a node's seals with what others cosigned of it; raises LogError (E-LOG-SHORT)."""
    kept = seals.of_size(size)
    if kept is None:
        raise LogError(f"the log of seals has no state {size}", code="E-LOG-SHORT")
    note = Note.parse(kept.note)
    for key, time, signature in room.cosignatures(size):
        note = note.with_signature(key, time.to_bytes(TIME_BYTES, "big") + signature)
    return note
