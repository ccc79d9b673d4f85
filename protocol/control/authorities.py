"""The authorities that nodes shall trust for the public ports' certificate: a signed statement.

It is a DSSE envelope over RFC 8785 JSON, signed by the coordinator's signing key: whoever has the
key of the certificate alone makes no node trust another one. SPEC.md, section 17.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.canonical import canonical_json, parse_canonical_json
from protocol.errors import MalformedError, RuleError, SignatureError
from protocol.signing import Envelope
from protocol.strict import Fields

SCHEMA: Final = "fedseg/authorities/v1"
PAYLOAD_TYPE: Final = "application/vnd.fedseg.authorities+json"
#: Most authorities at once, and letters of their certificates together.
MAX_COUNT: Final = 8
MAX_PEM: Final = 1 << 15
MAX_BYTES: Final = 1 << 16
#: Greatest number: what RFC 8785 writes exactly.
MAX_NUMBER: Final = (1 << 53) - 1
_ASK: Final = "ask the operator, by a way that you know, whether that is theirs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """One statement; `verify` says whether it is the coordinator's.

    Attributes:
        number: Greater than that of every statement before: when it was made, in milliseconds since
            1970, or one more than the last.
        certificates: Of the authorities; at least one.
    """

    number: int
    certificates: tuple[x509.Certificate, ...]
    envelope: Envelope = field(compare=False, repr=False)

    @staticmethod
    def sign(
        certificates: Iterable[x509.Certificate], key: Ed25519PrivateKey, *, number: int
    ) -> Authorities:
        """A statement by the coordinator whose signing key this is; raises RuleError."""
        values = {
            "schema": SCHEMA,
            "number": number,
            "certificates": pem_of(certificates).decode("ascii"),
        }
        envelope = Envelope(
            payload_type=PAYLOAD_TYPE, payload=canonical_json(values), signatures={}
        )
        return Authorities.from_bytes(envelope.signed_by(key).to_bytes())

    @staticmethod
    def from_bytes(data: bytes) -> Authorities:
        """Read one; raises RuleError when it is none (E-AUTHORITIES)."""
        try:
            envelope = Envelope.from_bytes(data, payload_type=PAYLOAD_TYPE, max_bytes=MAX_BYTES)
            values = parse_canonical_json(envelope.payload, max_bytes=MAX_BYTES, what="authorities")
            fields = Fields(values, "authorities")
            fields.one_of("schema", (SCHEMA,))
            found = Authorities(
                number=fields.integer("number", at_least=1, at_most=MAX_NUMBER),
                certificates=read_authorities(
                    fields.text("certificates", max_length=MAX_PEM).encode("utf-8")
                ),
                envelope=envelope,
            )
            fields.finish()
        except MalformedError as error:
            raise RuleError(error.message, code="E-AUTHORITIES", remedy=_ASK) from error
        return found

    def to_bytes(self) -> bytes:
        """The envelope as JSON."""
        return self.envelope.to_bytes()

    @property
    def pem(self) -> bytes:
        """The certificates, one after the other."""
        return pem_of(self.certificates)

    def is_signed_by(self, key: bytes) -> bool:
        """Whether a key (Ed25519, 32 bytes), and no other, signed it."""
        try:
            return self.envelope.signers([key]) == {key} and len(self.envelope.signatures) == 1
        except SignatureError:
            return False

    def verify(self, key: bytes) -> None:
        """Refuse one that the coordinator's key in force did not sign.

        Args:
            key: That key, Ed25519, 32 bytes.

        Raises:
            RuleError: E-AUTHORITIES-SIGNATURE.
        """
        if not self.is_signed_by(key):
            raise RuleError(
                "authorities that nodes shall trust: the coordinator's signing key in force did "
                "not sign that",
                code="E-AUTHORITIES-SIGNATURE",
                remedy=f"nothing was changed; {_ASK}, and which key `key show` names there",
            )

    def check_time(self, now: datetime) -> None:
        """Refuse it when one of them has ended; raises RuleError (E-AUTHORITIES)."""
        for one in self.certificates:
            if one.not_valid_after_utc <= now:
                raise RuleError(
                    f"the authority {words_of(one)} has ended",
                    code="E-AUTHORITIES",
                    remedy="set this machine's clock, when it is ahead; else the operator states "
                    "them anew, without that one",
                )

    def certify(self, chain: Sequence[x509.Certificate]) -> bool:
        """Whether one of them signed a certificate, with others in between or without.

        Args:
            chain: The certificate, and those in between as a server sends them; at least one.
        """
        return any(certifies(one, chain) for one in self.certificates)


def read_authorities(data: bytes) -> tuple[x509.Certificate, ...]:
    """The authorities' certificates in a PEM text.

    Raises:
        MalformedError: It has none or too many, one that is no authority's, or one twice.
    """
    try:
        found = tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise MalformedError("authorities: no certificates in PEM") from error
    if len(found) > MAX_COUNT:
        raise MalformedError(f"authorities: {len(found)} certificates, at most {MAX_COUNT}")
    for one in found:
        if not _signs_certificates(one):
            raise MalformedError(f"authorities: {words_of(one)} may not certify others")
    if len({*found}) < len(found):
        raise MalformedError("authorities: a certificate stands there twice")
    return found


def certifies(authority: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
    """Whether an authority signed the first certificate of a chain, or one that leads to it."""
    known, (leaf, *others) = [authority], chain
    for _ in others:
        known += [one for one in others if one not in known and _issued(one, known)]
    return _issued(leaf, known)


def pem_of(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates as PEM, one after the other."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def words_of(certificate: x509.Certificate) -> str:
    """Which certificate it is, for people: the beginning of its SHA-256, and its end."""
    digest = certificate.fingerprint(hashes.SHA256()).hex()
    return f"{digest[:16]}… (until {certificate.not_valid_after_utc:%Y-%m-%d})"


def _issued(certificate: x509.Certificate, authorities: Iterable[x509.Certificate]) -> bool:
    for one in authorities:
        try:
            certificate.verify_directly_issued_by(one)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _signs_certificates(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True
