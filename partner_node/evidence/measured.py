"""What is looked at when a document is made: files' modes, the key store, the trusted authority."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from machine.backups import last_backup
from machine.files import open_regular
from machine.modes import modes_words
from partner_node.home import NodeHome
from protocol.errors import FedsegError

#: What may be found.
NAMES: Final = ("key_store", "modes", "authority", "backup")
_MOST_BYTES: Final = 1 << 20


def measured_at(home: NodeHome) -> dict[str, Any]:
    """What is found now; what cannot be looked at is left out."""
    found = {
        "key_store": _key_store(home.config.keys.store),
        "modes": modes_words((home.keys_folder, home.config.keys.store, home.state_file)),
        "authority": _authority(home.config.coordinator.root_certificates),
        "backup": _backup(home.backup_note),
    }
    return {name: words for name, words in found.items() if words}


def _key_store(file: Path) -> str:
    """How the key store is encrypted, by what the file itself says."""
    try:
        values = json.loads(_read(file))
    except (OSError, ValueError, FedsegError):
        return ""
    kdf = values.get("kdf") if isinstance(values, dict) else None
    if not isinstance(kdf, dict) or "log2_n" not in kdf:
        return ""
    return (
        f"{file.name} is encrypted with AES-256-GCM under a passphrase (scrypt, N = "
        f"2^{kdf['log2_n']})"
    )


def _authority(file: Path) -> str:
    try:
        certificates = x509.load_pem_x509_certificates(_read(file))
    except (OSError, ValueError, FedsegError):
        return ""
    return "; ".join(
        f"SHA-256 {one.fingerprint(hashes.SHA256()).hex()}, until "
        f"{one.not_valid_after_utc:%Y-%m-%d}"
        for one in certificates
    )


def _backup(note: Path) -> str:
    found = last_backup(note)
    return "" if found is None else f"{found:%Y-%m-%d}"


def _read(file: Path) -> bytes:
    with open_regular(file) as opened:
        return opened.read(_MOST_BYTES)
