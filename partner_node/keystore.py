"""The private keys of one node, in one encrypted file.

Three secrets, each with one use:

- the *identity key*, Ed25519: signs agreements and protocol messages;
- the *node key*, ECDSA P-384: authenticates this node to the coordinator's Flower link;
- the *state key*, 32 bytes: encrypts secrets in the node's database (`Keystore.seal`).

While the identity key is being replaced there is a fourth: the *next identity key*, which takes the
place of the first once its hand-over is kept (`rotating`).

The file holds one JSON object: the parameters of scrypt (RFC 7914), a nonce, and the secrets under
AES-256-GCM with the parameters as associated data. The passphrase comes from a file or from the
environment, never from an argument. File and folder must belong to us and be closed to everybody
else, or nothing is read.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from machine.private_files import (
    read_private_file,
    replace_private_file,
    write_private_file,
)
from protocol.agreement.hand_overs import HandOvers
from protocol.errors import KeystoreError
from protocol.signing import public_bytes

FORMAT: Final = "fedseg-keystore-1"
STATE_KEY_BYTES: Final = 32
MIN_PASSPHRASE_BYTES: Final = 12
MAX_PASSPHRASE_BYTES: Final = 4_096
#: Cost of scrypt for new files, log2(N); with r = 8 it takes 128 MiB and about half a second.
SCRYPT_LOG2_N: Final = 17
#: Costs accepted in a file: a lower one is an attack, a higher one exhausts the machine.
MIN_LOG2_N: Final = 14
MAX_LOG2_N: Final = 20

_MAKE: Final = (
    "correct the path, or bring the file back from a backup; fedseg-node init makes a new node"
)
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 1
_SEAL_LABEL: Final = b"fedseg/state-seal/1\0"
_SECRET_NAMES: Final = frozenset({"identity", "node", "state"})
_NEXT: Final = "next_identity"


class Keystore:
    """The open key store of a node; keep it in memory only as long as needed.

    Make one with `create` or `open`.
    """

    def __init__(
        self,
        *,
        identity: Ed25519PrivateKey,
        node_key: ec.EllipticCurvePrivateKey,
        state_key: bytes,
        next_identity: Ed25519PrivateKey | None = None,
    ) -> None:
        if len(state_key) != STATE_KEY_BYTES:
            raise ValueError(f"the state key has {len(state_key)} bytes, not {STATE_KEY_BYTES}")
        self._identity = identity
        self._node_key = node_key
        self._state_key = state_key
        self._next_identity = next_identity

    @staticmethod
    def create(path: Path, passphrase: bytes, *, log2_n: int = SCRYPT_LOG2_N) -> Keystore:
        """Draw new keys and write them to a new file; nothing is ever overwritten.

        Args:
            path: The file to create; its folder is created with mode 0700 if missing.
            passphrase: At least `MIN_PASSPHRASE_BYTES` bytes.
            log2_n: Cost of scrypt.

        Raises:
            KeystoreError: E-KEY-EXISTS, E-KEY-MODE, E-KEY-PASSPHRASE or E-KEY-FILE.
        """
        keystore = Keystore(
            identity=Ed25519PrivateKey.generate(),
            node_key=ec.generate_private_key(ec.SECP384R1()),
            state_key=secrets.token_bytes(STATE_KEY_BYTES),
        )
        write_private_file(path, keystore._encrypted(passphrase, log2_n=log2_n))
        return keystore

    def save(self, path: Path, passphrase: bytes, *, log2_n: int = SCRYPT_LOG2_N) -> None:
        """Replace the file that is there, atomically; the passphrase may be another one.

        Raises:
            KeystoreError: E-KEY-MISSING, E-KEY-MODE, E-KEY-PASSPHRASE or E-KEY-FILE.
        """
        replace_private_file(path, self._encrypted(passphrase, log2_n=log2_n))

    def _encrypted(self, passphrase: bytes, *, log2_n: int) -> bytes:
        check_passphrase(passphrase)
        if not MIN_LOG2_N <= log2_n <= MAX_LOG2_N:
            raise ValueError(f"log2_n is {log2_n}, allowed: {MIN_LOG2_N} to {MAX_LOG2_N}")
        named = {
            "identity": self._identity.private_bytes_raw(),
            "node": self._node_key.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            "state": self._state_key,
        }
        if self._next_identity is not None:
            named[_NEXT] = self._next_identity.private_bytes_raw()
        return encrypt_secrets(
            named,
            passphrase,
            salt=secrets.token_bytes(_SALT_BYTES),
            nonce=secrets.token_bytes(_NONCE_BYTES),
            log2_n=log2_n,
        )

    @staticmethod
    def open(path: Path, passphrase: bytes) -> Keystore:
        """Open an existing key store.

        Raises:
            KeystoreError: E-KEY-MISSING, E-KEY-MODE, E-KEY-PASSPHRASE (wrong passphrase, or the
                encrypted part was altered), E-KEY-DAMAGED.
        """
        named = decrypt_secrets(read_private_file(path, remedy=_MAKE), passphrase, where=str(path))
        try:
            node_key = serialization.load_der_private_key(named["node"], password=None)
            if not isinstance(node_key, ec.EllipticCurvePrivateKey) or not isinstance(
                node_key.curve, ec.SECP384R1
            ):
                raise _damaged(str(path), "the node key is not ECDSA P-384")
            return Keystore(
                identity=Ed25519PrivateKey.from_private_bytes(named["identity"]),
                node_key=node_key,
                state_key=named["state"],
                next_identity=Ed25519PrivateKey.from_private_bytes(named[_NEXT])
                if _NEXT in named
                else None,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise _damaged(str(path), "a key in it is not of its kind") from error

    @property
    def identity(self) -> Ed25519PrivateKey:
        """The key that signs agreements and protocol messages."""
        return self._identity

    @property
    def identity_public(self) -> bytes:
        """The identity's raw public key, 32 bytes."""
        return self._identity.public_key().public_bytes_raw()

    @property
    def next_identity(self) -> Ed25519PrivateKey | None:
        """The key that takes the identity's place; None unless that is being done."""
        return self._next_identity

    def with_next(self) -> Keystore:
        """With a new identity key that takes the place of this one; in memory."""
        return self._with(self._identity, Ed25519PrivateKey.generate())

    def renewed(self) -> Keystore:
        """With the next identity key in place of this one, without a hand-over; in memory."""
        if self._next_identity is None:
            raise ValueError("no next identity key was drawn")
        return self._with(self._next_identity, None)

    def following(self, known: HandOvers) -> Keystore:
        """With the next identity key in place of the first, once its hand-over is kept.

        So a node that was switched off between the two goes on; the file may still hold both.
        """
        if self._next_identity is None:
            return self
        old, new = self.identity_public, public_bytes(self._next_identity)
        if not any((one.old_key, one.new_key) == (old, new) for one in known):
            return self
        return self._with(self._next_identity, None)

    def _with(
        self, identity: Ed25519PrivateKey, next_identity: Ed25519PrivateKey | None
    ) -> Keystore:
        return Keystore(
            identity=identity,
            node_key=self._node_key,
            state_key=self._state_key,
            next_identity=next_identity,
        )

    @property
    def node_key(self) -> ec.EllipticCurvePrivateKey:
        """The key that authenticates this node to the coordinator's Flower link."""
        return self._node_key

    def node_private_openssh(self) -> bytes:
        """The node key in OpenSSH form without a passphrase, for tools that read such files.

        A file with it is not protected by the key store's passphrase.
        """
        return self._node_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )

    def node_public_openssh(self) -> bytes:
        """The node's public key, one line in OpenSSH form: what the operator registers."""
        return self._node_key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Encrypt a secret for the node's own database.

        Args:
            plain: The secret.
            context: Where it belongs (table, row); `unseal` needs the same.

        Returns:
            A random 12-byte nonce, then the ciphertext with its 16-byte tag.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._state_key).encrypt(nonce, plain, _SEAL_LABEL + context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what `seal` returned for the same context.

        Raises:
            KeystoreError: E-KEY-SEAL, it was altered, or sealed with another key or context.
        """
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self._state_key).decrypt(nonce, body, _SEAL_LABEL + context)
        except (InvalidTag, ValueError) as error:
            raise KeystoreError(
                "a stored secret does not open with this node's state key",
                code="E-KEY-SEAL",
                remedy="bring back the key store and the database from the same backup",
            ) from error

    def __repr__(self) -> str:
        return "Keystore(…)"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a key store is not written anywhere but to its own file")


# --- the encrypted form: bytes in, bytes out -------------------------------------------------


def encrypt_secrets(
    named: Mapping[str, bytes], passphrase: bytes, *, salt: bytes, nonce: bytes, log2_n: int
) -> bytes:
    """Encrypt named secrets under a passphrase; returns the JSON text of a key store file.

    Args:
        salt: 16 random bytes, never used before.
        nonce: 12 random bytes.
        log2_n: Cost of scrypt.
    """
    header = {
        "format": FORMAT,
        "kdf": {
            "log2_n": log2_n,
            "name": "scrypt",
            "p": _SCRYPT_P,
            "r": _SCRYPT_R,
            "salt": salt.hex(),
        },
        "nonce": nonce.hex(),
    }
    plain = _json({name: secret.hex() for name, secret in named.items()})
    key = _derive(passphrase, salt, log2_n)
    body = AESGCM(key).encrypt(nonce, plain, _json(header))
    return _json({**header, "ciphertext": base64.b64encode(body).decode("ascii")}) + b"\n"


def decrypt_secrets(data: bytes, passphrase: bytes, *, where: str) -> dict[str, bytes]:
    """Decrypt the secrets that `encrypt_secrets` put into `data`.

    Args:
        where: The file, for messages.

    Raises:
        KeystoreError: E-KEY-DAMAGED or E-KEY-PASSPHRASE.
    """
    try:
        fields = json.loads(data)
        header = {name: fields[name] for name in ("format", "kdf", "nonce")}
        kdf = header["kdf"]
        if set(fields) != {*header, "ciphertext"} or header["format"] != FORMAT:
            raise _damaged(where, f"it is not of the form {FORMAT}")
        if set(kdf) != {"log2_n", "name", "p", "r", "salt"}:
            raise _damaged(where, "its kdf has other fields")
        if (kdf["name"], kdf["r"], kdf["p"]) != ("scrypt", _SCRYPT_R, _SCRYPT_P):
            raise _damaged(where, "its kdf is not ours")
        log2_n = kdf["log2_n"]
        if type(log2_n) is not int or not MIN_LOG2_N <= log2_n <= MAX_LOG2_N:
            raise _damaged(where, f"its scrypt cost must be {MIN_LOG2_N} to {MAX_LOG2_N}")
        salt, nonce = bytes.fromhex(kdf["salt"]), bytes.fromhex(header["nonce"])
        body = base64.b64decode(fields["ciphertext"], validate=True)
        if len(salt) != _SALT_BYTES or len(nonce) != _NONCE_BYTES:
            raise _damaged(where, "its salt or nonce has another length")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(where, "it is not the JSON text of a key store") from error
    try:
        plain = AESGCM(_derive(passphrase, salt, log2_n)).decrypt(nonce, body, _json(header))
    except (InvalidTag, ValueError) as error:
        raise KeystoreError(
            f"{where} does not open with this passphrase",
            code="E-KEY-PASSPHRASE",
            remedy="check the passphrase; when it is right, the file was altered: use the backup",
        ) from error
    named = {name: bytes.fromhex(value) for name, value in json.loads(plain).items()}
    if set(named) - {_NEXT} != _SECRET_NAMES:
        raise _damaged(where, "it holds other keys")
    return named


def _derive(passphrase: bytes, salt: bytes, log2_n: int) -> bytes:
    kdf = Scrypt(salt=salt, length=_KEY_BYTES, n=1 << log2_n, r=_SCRYPT_R, p=_SCRYPT_P)
    return kdf.derive(passphrase)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _damaged(where: str, what: str) -> KeystoreError:
    return KeystoreError(
        f"{where} is damaged: {what}",
        code="E-KEY-DAMAGED",
        remedy="bring the file back from a backup",
    )


# --- the passphrase --------------------------------------------------------------------------


def read_passphrase(
    *, file: Path | None, variable: str | None, environment: Mapping[str, str]
) -> bytes:
    """Read the passphrase from a file (mode 0600, final line end removed) or the environment.

    Args:
        file: The file, or None.
        variable: Name of the environment variable, or None. Exactly one of the two is given.
        environment: The process's environment.

    Raises:
        KeystoreError: E-KEY-MISSING, E-KEY-MODE or E-KEY-PASSPHRASE.
    """
    if (file is None) == (variable is None):
        raise ValueError("a passphrase comes from a file or from a variable, not from both")
    if file is not None:
        passphrase = read_private_file(file, check_folder=False, remedy=_MAKE)
        passphrase = passphrase.removesuffix(b"\n").removesuffix(b"\r")
    else:
        text = environment.get(variable or "")
        if text is None:
            raise KeystoreError(
                f"the environment variable {variable} with the passphrase is not set",
                code="E-KEY-MISSING",
                remedy="set it in the service's environment, or use [keys] passphrase_file",
            )
        passphrase = os.fsencode(text)
    check_passphrase(passphrase)
    return passphrase


def check_passphrase(passphrase: bytes) -> None:
    """Refuse a passphrase that is too short or too long; E-KEY-PASSPHRASE."""
    if not MIN_PASSPHRASE_BYTES <= len(passphrase) <= MAX_PASSPHRASE_BYTES:
        raise KeystoreError(
            f"the passphrase has {len(passphrase)} bytes, "
            f"{MIN_PASSPHRASE_BYTES} to {MAX_PASSPHRASE_BYTES} are allowed",
            code="E-KEY-PASSPHRASE",
            remedy="make one, for instance: openssl rand -base64 24",
        )


# --- private files ---------------------------------------------------------------------------
