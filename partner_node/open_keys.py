"""A node's keys as a process holds them open: opened once, and again when their file was replaced.

Deriving the key of the file is slow on purpose, so nobody opens it with every request; and a
process may live longer than the key that it has open (`rotating`).
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from machine.files import mark_of
from machine.private_files import next_of
from partner_node.config.node_config import NodeConfig
from partner_node.hand_overs import KnownHandOvers
from partner_node.keystore import Keystore, read_passphrase
from protocol.agreement.hand_overs import HandOvers
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import FedsegError, KeystoreError

logger = logging.getLogger(__name__)


@dataclass
class OpenKeys:
    """The keys of one node, for one process."""

    _keystore: Keystore | None = None
    _marks: tuple[object, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self, config: NodeConfig, known: KnownHandOvers, card: Path) -> Keystore:
        """The keys, as the file and the hand-overs have them now.

        Where the file was replaced and its passphrase cannot be had before a restart, those that
        are open stay, unless something says that the signing key is another one now.

        Args:
            card: The node's card, which has the public signing key.

        Raises:
            KeystoreError: They cannot be opened.
            StoreError: The hand-overs cannot be read.
        """
        with self._lock:
            file = config.keys.store
            # Before they are read: what changes in between is read again.
            marks = (file, mark_of(file), known.mark, mark_of(card))
            if self._keystore is None or marks != self._marks:
                self._keystore = self._opened(config, known.load(), card)
                self._marks = marks
            return self._keystore

    def _opened(self, config: NodeConfig, known: HandOvers, card: Path) -> Keystore:
        try:
            return open_keystore(config)[0].following(known)
        except KeystoreError as error:
            before = self._keystore
            if before is None or error.code != "E-KEY-PASSPHRASE":
                raise
            if not _is_in_force(before, known, card):
                raise
            logger.warning(
                "the key store that was replaced is not opened before a restart: %s", error
            )
            return before


def _is_in_force(keystore: Keystore, known: HandOvers, card: Path) -> bool:
    """Whether nothing says that a signing key that is open was replaced."""
    own = keystore.identity_public
    if any(one.old_key == own for one in known):
        return False
    if not card.exists():
        return True
    try:
        return PartnerCard.from_bytes(card.read_bytes()).public_key == own
    except (FedsegError, OSError):
        return False


def home_passphrase(config: NodeConfig) -> bytes:
    """The key store's passphrase, from the configured place; raises KeystoreError."""
    return read_passphrase(
        file=config.keys.passphrase_file,
        variable=config.keys.passphrase_env,
        environment=os.environ,
    )


def open_keystore(config: NodeConfig) -> tuple[Keystore, bytes]:
    """The key store, and the passphrase that opens it; raises KeystoreError.

    There are two where a change of the passphrase was switched off in between.
    """
    passphrase = home_passphrase(config)
    file = config.keys.passphrase_file
    after = None if file is None else next_of(file)
    try:
        return Keystore.open(config.keys.store, passphrase), passphrase
    except KeystoreError as error:
        if error.code != "E-KEY-PASSPHRASE" or after is None or not after.exists():
            raise
    passphrase = read_passphrase(file=after, variable=None, environment={})
    return Keystore.open(config.keys.store, passphrase), passphrase
