"""What leaves beside a message: of logs alone. Read from its own bytes, as a manifest is."""

from __future__ import annotations

from protocol.agreement.document import Agreement
from protocol.errors import LogError, MalformedError
from protocol.log.beside import MAX_BESIDE_BYTES, Told
from protocol.log.checkpoints import Checkpoint
from protocol.log.names import key_of_seals
from protocol.log.notes import Ed25519Verifier, Note


def objection_to_beside(told: Told, data: bytes, agreement: Agreement, partner: int) -> str | None:
    """Why it may not leave; None when it may.

    Args:
        data: Its bytes.
        partner: This partner's number in the agreement.
    """
    if len(data) > MAX_BESIDE_BYTES:
        return f"what is said of logs has {len(data)} bytes"
    try:
        if Told.from_bytes(data) != told:
            return "what is said of logs has another form"
        objection = _objection_to_note(told, agreement, partner)
    except (LogError, MalformedError) as error:
        return f"what is said of logs: {error.message}"
    if objection is not None:
        return objection
    others = {party.id for at, party in enumerate(agreement.parties) if at != partner}
    strangers = sorted({one.party for one in told.cosigned} - others)
    return f"it cosigns the log of {strangers[0]}, no other party" if strangers else None


def _objection_to_note(told: Told, agreement: Agreement, partner: int) -> str | None:
    if not told.note:
        return "proofs without a state" if told.proofs else None
    party = agreement.parties[partner].id
    key = key_of_seals(party, agreement.keys.of(partner), agreement.id)
    note = Note.parse(told.note.encode("utf-8"))
    note.verified([Ed25519Verifier(key)])
    state = Checkpoint.from_text(note.text)
    if state.origin != key.name or state.extensions or len(note.signatures) != 1:
        return f"it says something of {state.origin}, not of the seals of this log alone"
    return None


def beside_words(told: Told) -> str:
    """What it says, in a line for people; empty where it says nothing."""
    parts = []
    if told.note:
        state = Checkpoint.from_text(Note.parse(told.note.encode("utf-8")).text)
        parts.append(f"seal {state.size} of the audit log")
    if told.cosigned:
        seen = ", ".join(f"{one.party} {one.size}" for one in told.cosigned)
        parts.append(f"cosigned seals of {seen}")
    return "; ".join(parts)
