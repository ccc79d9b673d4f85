"""Another passphrase for the coordinator's keys: the signing key's and the nodes' authority's.

The new passphrase is written beside the file of the old one before any key is encrypted with it,
and whoever opens a key tries both: switched off at any moment, every key opens with one of the two.
A change that was switched off is ended before another one begins, or its passphrase would be lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.config import KEY_FILE, CoordinatorConfig
from coordinator.control import authority
from coordinator.control.changing_keys import changing_keys
from coordinator.control.rotating import NEXT_FILE
from coordinator.keystore import PrivateKey, encrypted, opened_with
from machine.files import write_file
from machine.private_files import (
    check_settled,
    next_of,
    read_private_file,
    remove_private_file,
    replace_private_file,
)
from protocol.errors import KeystoreError, UsageError

_KEYS: Final = (KEY_FILE, NEXT_FILE, authority.KEY_FILE)
_MIN_BYTES: Final = 12


def change_passphrase(config: CoordinatorConfig, new: bytes | None) -> list[str]:
    """Encrypt the keys with another passphrase; go on where an earlier attempt was switched off.

    Args:
        new: None to draw one, which the file in the settings then holds.

    Returns:
        The files of keys, as in the coordinator's folder.

    Raises:
        UsageError: The passphrase comes from the environment and no new one is given, or another
            process changes the keys.
        KeystoreError: A key does not open, or the new passphrase is too short (E-KEY-PASSPHRASE).
    """
    with changing_keys(config):
        known = config.passphrases()
        if new is None:
            new = known[1] if len(known) > 1 else _drawn(config)
        if len(new) < _MIN_BYTES:
            raise KeystoreError(
                f"the new passphrase has {len(new)} bytes, {_MIN_BYTES} are the fewest",
                code="E-KEY-PASSPHRASE",
                remedy="make one, for instance: openssl rand -base64 24",
            )
        for begun in known[1:]:
            if begun != new:  # keys may be under it, and nothing else has it
                _encrypt_all(config, known, begun)
                known = [begun]
        return _encrypt_all(config, known, new)


def _drawn(config: CoordinatorConfig) -> bytes:
    if config.passphrase_file is None:
        raise UsageError(
            "the passphrase comes from the environment, where no command can write another",
            remedy="give the new one: --new-file FILE; then set the variable to it",
        )
    return secrets.token_urlsafe(32).encode("ascii")


def _encrypt_all(config: CoordinatorConfig, known: Sequence[bytes], new: bytes) -> list[str]:
    """Encrypt every key with a passphrase, which the file in the settings then holds."""
    file, changed = config.passphrase_file, []
    if file is not None:
        write_file(next_of(file), new + b"\n", mode=0o600)
    for name in _KEYS:
        path = config.directory / name
        if not path.exists():
            continue
        key = opened_with([*known, new], partial(_opened, path))
        replace_private_file(path, encrypted(key, new))
        changed.append(name)
    if file is not None:
        write_file(file.resolve(), new + b"\n", mode=0o600)
        remove_private_file(next_of(file))
    return changed


def _opened(path: Path, passphrase: bytes) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(read_private_file(path), passphrase)
    except (ValueError, TypeError) as error:
        raise KeystoreError(
            f"{path} does not open with this passphrase, or is damaged", code="E-KEY-PASSPHRASE"
        ) from error
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise KeystoreError(f"{path} holds another kind of key", code="E-KEY-DAMAGED")
    return key


def check_passphrase_settled(config: CoordinatorConfig) -> None:
    """Refuse while a change of the passphrase was begun: keys open with one of two then.

    Raises:
        UsageError: The new one lies beside the old one.
    """
    if config.passphrase_file is not None:
        check_settled(config.passphrase_file, command="fedseg-coordinator key passphrase")
