"""Invitations: a text that one partner joins with, once. SPEC.md, section 17.1.

The text carries 128 random bits, from which a P-256 key follows. Whoever knows them is invited: the
coordinator keeps the public half alone. The text also names the address of the control port, the
fingerprint of its certificate's key, and the time after which it is worth nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.canonical import exactly, label
from protocol.errors import MalformedError

MAX_CHARACTERS: Final = 200
SECRET_BYTES: Final = 16
FINGERPRINT_BYTES: Final = 32
MAX_ADDRESS: Final = 80
PREFIX: Final = "fedseg-1-"

_CHECK_BYTES: Final = 4
_TIME_BYTES: Final = 5
_HEAD_BYTES: Final = SECRET_BYTES + FINGERPRINT_BYTES + _TIME_BYTES
_LABEL: Final = label("control/invitation")
#: host:port; an IPv6 address stands in brackets.
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([1-9][0-9]{0,4})")
#: The order of P-256.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What one partner joins with.

    Attributes:
        secret: 16 random bytes.
        address: ``host:port`` of the control port.
        fingerprint: SHA-256 of the public key of the port's certificate, 32 bytes.
        expires: The end, in whole seconds since 1970 (UTC).
    """

    secret: bytes
    address: str
    fingerprint: bytes
    expires: int

    def __post_init__(self) -> None:
        exactly(self.secret, SECRET_BYTES, "an invitation's secret")
        exactly(self.fingerprint, FINGERPRINT_BYTES, "a fingerprint")
        check_address(self.address)

    def __repr__(self) -> str:
        return f"Invitation(address={self.address!r}, …)"

    @property
    def end(self) -> datetime:
        """The time after which it is worth nothing."""
        return datetime.fromtimestamp(self.expires, UTC)

    def key(self) -> ec.EllipticCurvePrivateKey:
        """The private key that follows from the secret."""
        return key_of(self.secret)

    def to_text(self) -> str:
        """The text that is handed over."""
        body = (
            self.secret
            + self.fingerprint
            + self.expires.to_bytes(_TIME_BYTES, "big")
            + self.address.encode("ascii")
        )
        data = base64.urlsafe_b64encode(body + _check(body))
        return PREFIX + data.rstrip(b"=").decode("ascii")

    @staticmethod
    def from_text(text: str) -> Invitation:
        """Read an invitation; blanks and line ends, as mail programs add them, are left out.

        Raises:
            MalformedError: It is none, or was not copied whole (E-INVITATION). The text is a
                secret: the message does not quote it.
        """
        plain = "".join(text.split())
        if len(plain) > MAX_CHARACTERS or not plain.startswith(PREFIX):
            raise _malformed(
                f"is no file that is there, and no text that begins with {PREFIX} and has "
                f"{MAX_CHARACTERS} characters at most"
            )
        body = _decoded(plain.removeprefix(PREFIX))
        body, check = body[:-_CHECK_BYTES], body[-_CHECK_BYTES:]
        if len(body) <= _HEAD_BYTES or check != _check(body):
            raise _malformed("was not copied whole")
        try:
            found = Invitation(
                secret=body[:SECRET_BYTES],
                fingerprint=body[SECRET_BYTES : SECRET_BYTES + FINGERPRINT_BYTES],
                expires=int.from_bytes(body[_HEAD_BYTES - _TIME_BYTES : _HEAD_BYTES], "big"),
                address=body[_HEAD_BYTES:].decode("ascii"),
            )
            found.end  # noqa: B018  # years beyond 9999 have no date
        except (UnicodeDecodeError, ValueError, OverflowError) as error:
            raise _malformed("names no address or no time") from error
        return found


def key_of(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """The P-256 key that follows from an invitation's 16 random bytes (HKDF-SHA256, RFC 5869).

    48 bytes are drawn, so that the number modulo the order is as good as uniform.
    """
    drawn = HKDF(algorithm=hashes.SHA256(), length=48, salt=None, info=_LABEL).derive(
        exactly(secret, SECRET_BYTES, "an invitation's secret")
    )
    return ec.derive_private_key(int.from_bytes(drawn, "big") % (_ORDER - 1) + 1, ec.SECP256R1())


def invitation_id(public_key: ec.EllipticCurvePublicKey) -> str:
    """By what the coordinator knows an invitation: a hash of its public key, 32 hex digits."""
    point = public_key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    return hashlib.sha256(_LABEL + point).hexdigest()[:32]


def check_address(address: str) -> None:
    """Refuse an address that no invitation can carry; raises MalformedError (E-INVITATION)."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[2]) > 65_535 or len(address) > MAX_ADDRESS:
        raise MalformedError(
            f"{address!r} is no address that an invitation can carry",
            code="E-INVITATION",
            remedy=f"name host:port in at most {MAX_ADDRESS} characters",
        )


def authority_name(public_key: ec.EllipticCurvePublicKey) -> str:
    """The name under which an invitation's key certifies the node that joins with it."""
    return f"fedseg invitation {invitation_id(public_key)}"


def _check(body: bytes) -> bytes:
    return hashlib.sha256(_LABEL + body).digest()[:_CHECK_BYTES]


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != text:
        raise _malformed("was not copied whole")
    return data


def _malformed(what: str) -> MalformedError:
    return MalformedError(
        f"the invitation {what}",
        code="E-INVITATION",
        remedy="copy it again, whole; or ask the operator for a new one",
    )
