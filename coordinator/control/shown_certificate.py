"""The certificate and key that a public port shows, as they are in their files now."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from coordinator.config import CoordinatorConfig
from protocol.errors import ConfigError

_GIVE: Final = "give PEM files that belong together, under [public] in coordinator.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCertificate:
    """A certificate and its key, which belong together.

    Attributes:
        certificate: With those in between, PEM.
        key: PEM.
        chain: The certificate, then those in between.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @staticmethod
    def read(config: CoordinatorConfig) -> ShownCertificate:
        """Read both files; raises ConfigError when they cannot be, or do not belong together."""
        certificate, key = _read(config.certificate), _read(config.key)
        chain = _chain(certificate, config.certificate)
        try:
            private = serialization.load_pem_private_key(key, password=None)
            belong = chain[0].public_key() == private.public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm):
            belong = False
        if not belong:
            raise ConfigError(
                f"{config.key} is not the key of {config.certificate}, or is not PEM", remedy=_GIVE
            )
        return ShownCertificate(certificate=certificate, key=key, chain=chain)


def chain_of(file: Path) -> tuple[x509.Certificate, ...]:
    """The certificate in a file (PEM), then those in between; raises ConfigError."""
    return _chain(_read(file), file)


def _chain(data: bytes, file: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise ConfigError(f"{file} is no certificate in PEM", remedy=_GIVE) from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", remedy=_GIVE) from error
