"""The authority that certifies nodes at the control port, and nothing else.

It is apart from the authority of the public ports' certificate, which may be the operator's own.
Its private key is kept encrypted, beside the signing key and under the same passphrase.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from machine.certificates import (
    CLOCK_ALLOWANCE,
    authority_certificate,
    client_certificate,
    pem,
)
from machine.files import write_file
from machine.private_files import read_private_file, write_private_file
from protocol.errors import ConfigError, KeystoreError

KEY_FILE: Final = "keys/nodes-authority.pem"
CERTIFICATE_FILE: Final = "tls/nodes-ca.crt"
_NAME: Final = "fedseg nodes authority"
_AUTHORITY_DAYS: Final = 3_650
#: Nodes renew theirs online, long before.
CERTIFICATE_DAYS: Final = 365
_MAKE: Final = "put the coordinator's folder back from a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesAuthority:
    """Who certifies nodes.

    Attributes:
        certificate: What the control port trusts.
    """

    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey

    @staticmethod
    def of(directory: Path, passphrase: bytes, *, now: datetime) -> NodesAuthority:
        """The authority of a coordinator's folder, made where there never was one.

        Raises:
            KeystoreError: The key is missing though it was there, open to others, or does not open.
            ConfigError: The certificate is missing, or another key's.
        """
        if (directory / KEY_FILE).exists() or (directory / CERTIFICATE_FILE).exists():
            return NodesAuthority.load(directory, passphrase)
        return NodesAuthority.create(directory, passphrase, now=now)

    @staticmethod
    def create(directory: Path, passphrase: bytes, *, now: datetime) -> NodesAuthority:
        """Draw the authority's key and write both files in the coordinator's folder.

        Raises:
            KeystoreError: The key is there already (E-KEY-EXISTS), or cannot be written.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authority_certificate(
            _NAME, key, start=now - CLOCK_ALLOWANCE, end=now + timedelta(days=_AUTHORITY_DAYS)
        )
        write_private_file(
            directory / KEY_FILE,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(passphrase),
            ),
        )
        write_file(directory / CERTIFICATE_FILE, pem(certificate), mode=0o644)
        return NodesAuthority(certificate=certificate, _key=key)

    @staticmethod
    def load(directory: Path, passphrase: bytes) -> NodesAuthority:
        """Read both files.

        Raises:
            KeystoreError: The key is missing, open to others, or does not open (E-KEY-…).
            ConfigError: The certificate is missing, or another key's.
        """
        data = read_private_file(directory / KEY_FILE, remedy=_MAKE)
        try:
            key = serialization.load_pem_private_key(data, passphrase)
        except (ValueError, TypeError) as error:
            raise KeystoreError(
                f"{directory / KEY_FILE} does not open with the passphrase of the signing key",
                code="E-KEY-PASSPHRASE",
                remedy=_MAKE,
            ) from error
        path = directory / CERTIFICATE_FILE
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} is no certificate", remedy=_MAKE) from error
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or certificate.public_key() != key.public_key()
        ):
            raise ConfigError(f"{path} is not of the key {KEY_FILE}", remedy=_MAKE)
        return NodesAuthority(certificate=certificate, _key=key)

    def issue(self, public_key: ec.EllipticCurvePublicKey, *, partner: str, now: datetime) -> bytes:
        """A certificate (PEM) for a node's key."""
        return pem(
            client_certificate(
                public_key,
                name=partner,
                issuer=_NAME,
                issuer_key=self._key,
                start=now - CLOCK_ALLOWANCE,
                end=now + timedelta(days=CERTIFICATE_DAYS),
            )
        )
