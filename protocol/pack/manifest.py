"""What a pack says of itself: whose it is, when it was made, and the hash of every file in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.canonical import canonical_json, parse_canonical_json
from protocol.log.names import key_of_log
from protocol.log.notes import Note, sign_ed25519
from protocol.signing import public_bytes
from protocol.strict import Fields

SCHEMA: Final = "fedseg/pack/1"
MANIFEST: Final = "pack.json"
NOTE: Final = "pack.note"
MAX_BYTES: Final = 1 << 27
TIME: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"
_PARTY: Final = r"[a-z0-9][a-z0-9-]{0,39}"
_DIGEST: Final = r"[0-9a-f]{64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A pack's manifest.

    Attributes:
        party: Whose log it has.
        made_at: When, as its maker's clock said, ``YYYY-MM-DDTHH:MM:SSZ``.
        program: Version of fedseg that made it.
        files: SHA-256 of every other file in hex, by name; not of the manifest and its note.
    """

    party: str
    made_at: str
    program: str
    files: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """It as RFC 8785 JSON."""
        return canonical_json(
            {
                "schema": SCHEMA,
                "party": self.party,
                "made_at": self.made_at,
                "program": self.program,
                "files": dict(self.files),
            }
        )

    @staticmethod
    def from_bytes(data: bytes) -> Manifest:
        """Read it; raises MalformedError."""
        fields = Fields(parse_canonical_json(data, max_bytes=MAX_BYTES, what="a pack"), "pack")
        fields.one_of("schema", (SCHEMA,))
        listed = fields.object("files")
        found = Manifest(
            party=fields.text("party", max_length=40, pattern=_PARTY),
            made_at=fields.text("made_at", max_length=20, pattern=TIME),
            program=fields.text("program", max_length=100),
            files={
                name: listed.text(name, max_length=64, pattern=_DIGEST) for name in listed.values
            },
        )
        fields.finish()
        return found

    def note(self, key: Ed25519PrivateKey) -> Note:
        """A note that names the pack by its hash, signed under the name of the party's log."""
        name = key_of_log(self.party, public_bytes(key)).name
        return sign_ed25519(Note(note_text(name, self.to_bytes())), name, key)


def note_text(name: str, manifest: bytes) -> str:
    """The text that is signed for a manifest's bytes; no checkpoint has such a second line."""
    return f"{name}\npack {hashlib.sha256(manifest).hexdigest()}\n"
