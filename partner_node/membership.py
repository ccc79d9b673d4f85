"""What a node keeps of the coordinator that it joined by invitation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from machine.files import open_regular, write_file
from protocol.canonical import canonical_json, parse_json
from protocol.errors import ConfigError, MalformedError
from protocol.signing import PUBLIC_KEY_BYTES
from protocol.strict import Fields

FILE_NAME: Final = "membership.json"
#: In the folder of the node's keys: the certificate by which the control port knows this node.
CERTIFICATE_FILE: Final = "node.crt"
#: In the node's folder: the authorities of the coordinator's certificate.
AUTHORITY_FILE: Final = "coordinator-ca.crt"
_SCHEMA: Final = "fedseg/membership/v1"
_MAX_BYTES: Final = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The coordinator, as it introduced itself.

    Attributes:
        coordinator_key: Its Ed25519 key, which agreements name.
        code: The short code that its operator was told.
    """

    legal_name: str
    contact: str
    coordinator_key: bytes
    code: str

    @property
    def words(self) -> str:
        """Whom the node joined, with the short code."""
        return f"Joined {self.legal_name} ({self.contact}); short code {self.code}."

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "legal_name": self.legal_name,
            "contact": self.contact,
            "coordinator_key": self.coordinator_key.hex(),
            "code": self.code,
        }

    def save(self, directory: Path) -> None:
        """Write it into the node's folder."""
        values = {"schema": _SCHEMA, **self.to_dict()}
        write_file(directory / FILE_NAME, canonical_json(values), mode=0o600)

    @staticmethod
    def load(directory: Path) -> Membership | None:
        """Read it from the node's folder; None where the node did not join by invitation.

        Raises:
            ConfigError: The file is damaged.
        """
        path = directory / FILE_NAME
        try:
            with open_regular(path) as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        try:
            return Membership.read(parse_json(data, max_bytes=_MAX_BYTES, what=FILE_NAME))
        except MalformedError as error:
            raise ConfigError(
                f"{path}: {error.message}", remedy="put it back from a backup"
            ) from error

    @staticmethod
    def read(values: dict[str, Any]) -> Membership:
        """Check what a file or a coordinator said; raises MalformedError."""
        fields = Fields(values, "membership")
        fields.one_of("schema", (_SCHEMA,))
        found = Membership(
            legal_name=fields.line("legal_name", max_length=200),
            contact=fields.line("contact", max_length=200),
            coordinator_key=fields.hex("coordinator_key", size=PUBLIC_KEY_BYTES),
            code=fields.text("code", max_length=9, pattern=r"[0-9A-Z]{4}-[0-9A-Z]{4}"),
        )
        fields.finish()
        return found
