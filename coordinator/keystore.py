"""The coordinator's signing key: an Ed25519 key in an encrypted PKCS #8 file, mode 0600.

With it the coordinator signs its requests; the agreement names its public half. The passphrase
comes from a file or from the environment, never from an argument.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from machine.private_files import read_private_file, write_private_file
from protocol.errors import KeystoreError

T = TypeVar("T")
PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey

_MAKE: Final = (
    "correct the path, or bring the file back from a backup; `fedseg-coordinator init` makes a new "
    "coordinator"
)


def create_key(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """Draw a key and write it encrypted; an existing file is never overwritten.

    Raises:
        KeystoreError: The file exists (E-KEY-EXISTS) or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    write_private_file(path, encrypted(key, passphrase))
    return key


def load_key(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """Load the key; raises KeystoreError (E-KEY-MISSING, -MODE, -FILE, -PASSPHRASE)."""
    data = read_private_file(path, remedy=_MAKE)
    try:
        key = serialization.load_pem_private_key(data, passphrase)
    except (ValueError, TypeError) as error:
        raise KeystoreError(
            f"{path} does not open with this passphrase, or is damaged",
            code="E-KEY-PASSPHRASE",
            remedy="check the passphrase file or variable named in coordinator.toml",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeystoreError(f"{path} holds no Ed25519 key", code="E-KEY-DAMAGED")
    return key


def opened_with(passphrases: Sequence[bytes], attempt: Callable[[bytes], T]) -> T:
    """What the first passphrase opens that fits: two while a change of it was switched off.

    Raises:
        KeystoreError: As `attempt`; E-KEY-PASSPHRASE where none fits.
    """
    for passphrase in passphrases[:-1]:
        try:
            return attempt(passphrase)
        except KeystoreError as error:
            if error.code != "E-KEY-PASSPHRASE":
                raise
    return attempt(passphrases[-1])


def encrypted(key: PrivateKey, passphrase: bytes) -> bytes:
    """A key's file: PKCS #8 under a passphrase, PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def create_passphrase(path: Path) -> bytes:
    """Draw a passphrase and write it to a new file of mode 0600."""
    passphrase = secrets.token_urlsafe(32).encode("ascii")
    write_private_file(path, passphrase + b"\n")
    return passphrase


def read_passphrase(*, file: Path | None, variable: str | None) -> bytes:
    """Read the passphrase from a private file, or from an environment variable."""
    if file is not None:
        passphrase = read_private_file(file, check_folder=False, remedy=_MAKE).strip()
        where = str(file)
    else:
        passphrase = os.fsencode(os.environ.get(variable or "", ""))
        where = f"environment variable {variable}"
    if not passphrase:
        raise KeystoreError(
            f"{where} holds no passphrase",
            code="E-KEY-PASSPHRASE",
            remedy="set keys.passphrase_file or keys.passphrase_env in coordinator.toml",
        )
    return passphrase
