"""Pseudonyms of customers: HMAC-SHA256 of the id, with one key for each agreement.

Tables of the node that are about single customers are keyed by them. The key is stored outside
the database, sealed with the node's state key: with the database alone nobody can be found in it,
and pseudonyms under two agreements cannot be joined. A pseudonym can be resolved to an id only by
what this node sealed with it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from machine.private_files import read_private_file, write_private_file
from partner_node.keystore import Keystore
from protocol.errors import KeystoreError

KEY_BYTES: Final = 32
_PREFIX, _SUFFIX = "pseudonyms-", ".key"
_ANY: Final = f"{_PREFIX}*{_SUFFIX}"
_LABEL: Final = b"fedseg/pseudonym/1\0"


class Pseudonyms:
    """Computes customers' pseudonyms under one agreement.

    Args:
        key: 32 random bytes, secret.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes, not {KEY_BYTES}")
        self._key = key

    def of(self, subject: str) -> str:
        """The pseudonym of a customer's exact id: 64 hexadecimal digits."""
        return self.digest(subject).hex()

    def digest(self, subject: str) -> bytes:
        """The pseudonym's 32 bytes."""
        return hmac.digest(self._key, _LABEL + subject.encode("utf-8"), hashlib.sha256)

    @staticmethod
    def under(agreement_id: str, folder: Path, keystore: Keystore) -> Pseudonyms:
        """The pseudonyms under an agreement; draws and stores its key if there is none yet.

        Args:
            folder: The folder of the node's keys.

        Raises:
            KeystoreError: The key's file cannot be read or written, or was sealed with another key.
        """
        path = key_file(folder, agreement_id)
        context = b"pseudonyms" + agreement_id.encode("ascii")
        if not path.exists():
            try:
                write_private_file(path, keystore.seal(secrets.token_bytes(KEY_BYTES), context))
            except KeystoreError:
                if not path.exists():  # else another process was faster
                    raise
        return Pseudonyms(keystore.unseal(read_private_file(path), context))

    @staticmethod
    def of_every(folder: Path, keystore: Keystore) -> list[Pseudonyms]:
        """Those under each agreement for which there is a key; raises KeystoreError."""
        ids = sorted(path.name[len(_PREFIX) : -len(_SUFFIX)] for path in folder.glob(_ANY))
        return [Pseudonyms.under(agreement_id, folder, keystore) for agreement_id in ids]


def key_file(folder: Path, agreement_id: str) -> Path:
    """The file of an agreement's key; once deleted, its pseudonyms cannot be resolved."""
    return folder / f"{_PREFIX}{agreement_id}{_SUFFIX}"
