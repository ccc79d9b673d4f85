"""That other partners saw the state of a receipt's checkpoint: the seal of it, opened.

SPEC.md, sections 18.1 and 19.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

from protocol.errors import LogError
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import cosigned_at, cosigner
from protocol.log.notes import ED25519, MAX_NOTE_BYTES, Ed25519Verifier, VerifierKey
from protocol.log.proofs import LogProof
from protocol.log.seals import NONCE_BYTES, seal
from protocol.receipts.text import malformed
from protocol.strict import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The opened seal of a checkpoint, and the proof that partners cosigned it.

    Attributes:
        nonce: Of the seal, 32 bytes.
        proof: That the seal is in the log of seals, under a note that partners cosigned.
    """

    nonce: bytes
    proof: LogProof

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"nonce": self.nonce.hex(), "proof": self.proof.to_bytes().decode("utf-8")}

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Read it; nothing of it is checked. Raises MalformedError."""
        proof = fields.text("proof", max_length=MAX_NOTE_BYTES)
        found = cls(
            nonce=fields.hex("nonce", size=NONCE_BYTES),
            proof=LogProof.parse(proof.encode("utf-8")),
        )
        fields.finish()
        if found.proof.extra is not None:
            raise malformed("the proof of a receipt's seal has extra data")
        return found

    def check(
        self, text: str, log: VerifierKey, witnesses: Collection[VerifierKey]
    ) -> dict[str, int]:
        """Check that the seal of the checkpoint with this text is among the log's seals.

        A key counts once, under however many names it signed, and the log's own never.

        Args:
            log: The log's key.
            witnesses: Keys that cosign; those of strangers are passed over.

        Returns:
            Who cosigned it, by name, and when by their clocks, seconds since 1970.

        Raises:
            MalformedError: It is no such proof (E-LOG-FORMAT).
            LogError: E-LOG-ORIGIN the seals are of another log; E-LOG-UNSIGNED the log's key did
                not sign them; E-LOG-SIGNATURE a known key's signature is wrong; E-LOG-INCLUSION
                the seal is not in them.
        """
        origin = Checkpoint.from_text(self.proof.note.text).origin
        if not origin.startswith(f"{log.name}/"):
            raise LogError(
                f"the seals are of {origin!r}, not of {log.name!r}",
                code="E-LOG-ORIGIN",
                remedy="Ask for the receipt from the log that is meant.",
            )
        own = Ed25519Verifier(VerifierKey(origin, ED25519, log.public_key))
        others = [cosigner(one) for one in witnesses if one.public_key != log.public_key]
        self.proof.check(seal(self.nonce, text), origin=origin, log=own, witnesses=others)
        signed = self.proof.note.verified([own, *others])
        times: dict[bytes, tuple[str, int]] = {}
        for key, data in signed.items():
            if key != own.key:
                times.setdefault(key.public_key, (key.name, cosigned_at(data)))
        return dict(times.values())
