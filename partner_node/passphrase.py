"""Another passphrase for a node's key store.

The new passphrase is written beside the file of the old one before the key store is encrypted with
it, and whoever opens the key store tries both: switched off at any moment, it opens with one. What
stands beside the file is replaced only once the file itself has what opens the key store.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from machine.files import write_file
from machine.private_files import next_of, remove_private_file
from partner_node.home import NodeHome, changing_keys
from partner_node.keystore import Keystore, check_passphrase, read_passphrase
from partner_node.open_keys import home_passphrase, open_keystore
from protocol.errors import KeystoreError, UsageError


def change_passphrase(home: NodeHome, new: bytes | None) -> None:
    """Encrypt the key store with another passphrase; go on where an attempt was switched off.

    Args:
        new: None to draw one, which the file in the settings then holds.

    Raises:
        UsageError: The passphrase comes from the environment and no new one is given, or another
            process changes the keys.
        KeystoreError: The key store does not open, or the new passphrase is too short or too long.
    """
    home, file = replace(home, _opened=[]), home.config.keys.passphrase_file
    if new is None and file is None:
        raise UsageError(
            "the passphrase comes from the environment, where no command can write another",
            remedy="give the new one: --new-file FILE; then set the variable to it",
        )
    with changing_keys(home):
        keystore, opens = _opened(home, new)
        if file is not None and home_passphrase(home.config) != opens:
            write_file(file.resolve(), opens + b"\n", mode=0o600)  # an attempt was switched off
        if new is None and file is not None and next_of(file).exists():
            new = read_passphrase(file=next_of(file), variable=None, environment={})
        new = new or secrets.token_urlsafe(32).encode("ascii")
        check_passphrase(new)
        if file is not None:
            write_file(next_of(file), new + b"\n", mode=0o600)
        keystore.save(home.config.keys.store, new)
        if file is not None:
            write_file(file.resolve(), new + b"\n", mode=0o600)
            remove_private_file(next_of(file))


def _opened(home: NodeHome, new: bytes | None) -> tuple[Keystore, bytes]:
    """The key store, and the passphrase that opens it: that of before or of an earlier attempt."""
    try:
        return open_keystore(home.config)
    except KeystoreError as error:
        if error.code != "E-KEY-PASSPHRASE" or new is None:
            raise
    return Keystore.open(home.config.keys.store, new), new
