"""Certificates of X.509: who makes which, and how a key is told from another one.

Names in them are for people. Whom a certificate belongs to follows from its key alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from machine.files import open_regular
from protocol.errors import FedsegError

#: A certificate is backdated by this, as organisations' clocks differ.
CLOCK_ALLOWANCE: Final = timedelta(hours=1)
_MAX_PEM_BYTES: Final = 1 << 20


def common_name(text: str) -> x509.Name:
    """A name of one part."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What a key is for: to sign certificates, or to sign handshakes."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def authority_certificate(
    name: str, key: ec.EllipticCurvePrivateKey, *, start: datetime, end: datetime
) -> x509.Certificate:
    """The certificate of an authority, signed by itself; it certifies no other authority."""
    return (
        x509.CertificateBuilder()
        .subject_name(common_name(name))
        .issuer_name(common_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def client_certificate(
    public_key: ec.EllipticCurvePublicKey,
    *,
    name: str,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    start: datetime,
    end: datetime,
) -> x509.Certificate:
    """A certificate by which whoever has a private key is let in as a client.

    Args:
        name: For people; nothing follows from it.
        issuer: The name of the authority, as in `authority_certificate`.
    """
    return (
        x509.CertificateBuilder()
        .subject_name(common_name(name))
        .issuer_name(common_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority's key signed a certificate itself."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def lasting(certificates: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """Certificates without those that are there anew: of several of one name the last to end."""
    found: dict[x509.Name, x509.Certificate] = {}
    for one in certificates:
        other = found.get(one.subject)
        if other is None or one.not_valid_after_utc > other.not_valid_after_utc:
            found[one.subject] = one
    return list(found.values())


def first_end(file: Path) -> datetime | None:
    """When the first certificate of a PEM file ends; None when it cannot be read.

    Of several of one name the last to end counts: the others are there anew.
    """
    try:
        with open_regular(file) as opened:
            found = x509.load_pem_x509_certificates(opened.read(_MAX_PEM_BYTES))
    except (OSError, ValueError, FedsegError):
        return None
    return min((one.not_valid_after_utc for one in lasting(found)), default=None)


def key_fingerprint(public_key: CertificatePublicKeyTypes) -> bytes:
    """SHA-256 of a public key (SubjectPublicKeyInfo, as in RFC 7469); 32 bytes."""
    return hashlib.sha256(
        public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).digest()


def openssh_key(public_key: CertificatePublicKeyTypes) -> str:
    """A public key as OpenSSH writes it, without a comment; empty for kinds that it has not."""
    try:
        line = public_key.public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    except (ValueError, TypeError):
        return ""
    return line.decode("ascii")


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM, not encrypted: for memory, never for a file."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
