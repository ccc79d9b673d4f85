"""A proof by a cosigned seal, checked, for people: what was where, and who saw that when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from machine.log_table import entries_words
from machine.named_files import read_of_log
from machine.shown import Shown
from machine.text import how_many
from partner_node.agreement_files import naming, read_agreement
from partner_node.sealed_copies import CopiedSeals
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.errors import LogError, UsageError
from protocol.log.checkpoints import Checkpoint
from protocol.log.entries import Entry
from protocol.log.names import key_of_seals, key_of_witness, party_of
from protocol.log.notes import VerifierKey
from protocol.log.proofs import LogProof
from protocol.log.seals import check_sealed
from protocol.log.tiles import MAX_ENTRY_BYTES


def keys_for(
    proof: LogProof, key: str | None, witnesses: Sequence[str], agreement: Path | None
) -> tuple[VerifierKey, list[VerifierKey]]:
    """The key of the seals that a proof is by, and those of witnesses.

    Args:
        key: The log's verifier key, as `log checkpoint` prints it.
        witnesses: Verifier keys of partners that cosign.
        agreement: A file that names the keys of all; its signatures are checked.

    Raises:
        UsageError: Neither a key nor an agreement is given, or the agreement has no such party.
    """
    origin = Checkpoint.from_text(proof.note.text).origin
    others = [VerifierKey.parse(one) for one in witnesses]
    if agreement is not None:
        agreed, public = _agreed(agreement)
        owner = party_of(origin)
        if owner not in public:
            raise UsageError(
                f"the proof is of {origin!r}, and no party of the agreement has that log",
                code="E-LOG-ORIGIN",
                remedy="name the agreement under which it was sealed, or the keys",
            )
        others += [key_of_witness(one, found) for one, found in public.items() if one != owner]
        if key is None:
            return key_of_seals(owner, public[owner], agreed.id), others
    if key is None:
        raise UsageError(
            "a proof by a seal is checked with keys", remedy="add --agreement FILE, or --key"
        )
    named = VerifierKey.parse(key)
    under = origin.removeprefix(named.name + "/") if origin.startswith(named.name + "/") else ""
    return VerifierKey(f"{named.name}/{under}", named.kind, named.public_key), others


def witnesses_of(
    witnesses: Sequence[str], agreement: Path | None, own: Sequence[VerifierKey]
) -> list[VerifierKey]:
    """The keys that cosign a log: those that are named, and an agreement's but the log's own.

    Args:
        own: The log's keys.
    """
    found = [VerifierKey.parse(one) for one in witnesses]
    if agreement is not None:
        mine = {key.public_key for key in own}
        public = _agreed(agreement)[1]
        found += [key_of_witness(one, key) for one, key in public.items() if key not in mine]
    return found


def _agreed(file: Path) -> tuple[Agreement, dict[str, bytes]]:
    """An agreement that all signed, and the key that it names for each party."""
    with naming(file):
        agreed = read_agreement(file).verify()
    return agreed, {party.id: agreed.keys.of(at) for at, party in enumerate(agreed.parties)}


def copied_values(seals: CopiedSeals) -> dict[str, Any]:
    """The checked seals of a copy as JSON values."""
    return {
        "agreement": seals.agreement_id,
        "seals": len(seals.sealed),
        "size": seals.sealed[-1].size if seals.sealed else 0,
        "cosigned": {name: time_words(at) for name, at in seals.cosigned.items()},
    }


def copied_words(seals: CopiedSeals) -> str:
    """Who cosigned the seals of a copy, for people."""
    values = copied_values(seals)
    seen = "; ".join(f"{name} at {at}" for name, at in values["cosigned"].items())
    return (
        f"Under {seals.agreement_id} the first {entries_words(values['size'])} were sealed, "
        f"cosigned by {seen or 'nobody that is known here'}."
    )


def time_words(seconds: int) -> str:
    """A cosigner's time, as records have it; as the number that it is where no calendar has it."""
    try:
        return stamp(datetime.fromtimestamp(seconds, UTC))
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def sealed_shown(
    proof: LogProof,
    key: VerifierKey,
    witnesses: Sequence[VerifierKey],
    quorum: int | None,
    entry: Path | None,
) -> Shown:
    """What a proof by a seal shows.

    Args:
        quorum: How many witnesses have to have cosigned; None for one where any is known.
        entry: A file with the entry's bytes, to be compared with those in the proof.

    Raises:
        MalformedError, LogError: It does not hold; as `check_sealed`.
    """
    asked = int(bool(witnesses)) if quorum is None else quorum
    found = check_sealed(proof, key, witnesses, asked)
    if entry is not None and read_of_log(entry, MAX_ENTRY_BYTES) != found.entry:
        raise LogError(f"{entry} is not the entry of the proof", code="E-LOG-INCLUSION")
    times = {name: time_words(at) for name, at in found.cosigned.items()}
    seen = [f"{name} cosigned a seal of it at {at}." for name, at in times.items()]
    return Shown(
        values={
            "origin": found.checkpoint.origin,
            "size": found.checkpoint.size,
            "root": found.checkpoint.root.hex(),
            "number": found.index,
            "entry": Entry.from_bytes(found.entry).to_dict(),
            "seals": {"origin": found.seals.origin, "size": found.seals.size},
            "cosigned": times,
        },
        parts=[
            f"Entry {found.index} is in the log of {found.checkpoint.origin}, of "
            f"{entries_words(found.checkpoint.size)}:",
            found.entry.decode("utf-8"),
            *seen,
            f"So it was written by then, unless {how_many(len(times), 'partner')} and the log's "
            "own say otherwise together."
            if times
            else "Nobody that is known here cosigned it.",
        ],
    )
