"""The coordinator's signing key: an Ed25519 key in an encrypted PKCS #8 file, mode 0600.

With it the coordinator signs its requests; the agreement names its public half. The passphrase
comes from a file or from the environment, never from an argument.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import KeystoreError

_PRIVATE: Final = 0o600
_MAX_BYTES: Final = 1 << 16


def create_key(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """Draw a key and write it encrypted; an existing file is never overwritten.

    Raises:
        KeystoreError: The file exists (E-KEY-EXISTS) or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    data = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )
    write_private(path, data)
    return key


def load_key(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """Open the key; raises KeystoreError (E-KEY-MISSING, E-KEY-MODE, E-KEY-PASSPHRASE)."""
    data = read_private(path)
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


def create_passphrase(path: Path) -> bytes:
    """Draw a passphrase and write it to a new file of mode 0600."""
    passphrase = secrets.token_urlsafe(32).encode("ascii")
    write_private(path, passphrase + b"\n")
    return passphrase


def read_passphrase(*, file: Path | None, variable: str | None) -> bytes:
    """The passphrase from a private file, or from an environment variable."""
    if file is not None:
        passphrase = read_private(file).strip()
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


def write_private(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600 in a folder of mode 0700, synced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    except FileExistsError as error:
        raise KeystoreError(
            f"{path} exists and is never overwritten",
            code="E-KEY-EXISTS",
            remedy="choose another folder, or move the old file away first",
        ) from error
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_private(path: Path) -> bytes:
    """Read a file that only we may read; raises KeystoreError (E-KEY-MISSING, E-KEY-MODE)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise KeystoreError(
            f"{path} cannot be read: {error.strerror}",
            code="E-KEY-MISSING",
            remedy="make the coordinator's folder with `fedseg-coordinator init`",
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise KeystoreError(f"{path} is not a file of ours", code="E-KEY-MODE")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            raise KeystoreError(
                f"{path} has mode {mode:04o}; others could read it",
                code="E-KEY-MODE",
                remedy=f"chmod 600 {path}",
            )
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)
