"""Names of logs, of their seals and of witnesses, and the keys under them. SPEC.md, section 18.

No name is a URL, as C2SP advises: nobody would own one for a node, which has no name on a network.
A log's name is one that no second log of this party has under another key.
"""

from __future__ import annotations

import hashlib
from typing import Final

from protocol.log.cosignatures import ED25519_COSIGNATURE
from protocol.log.notes import ED25519, VerifierKey

_KEY_DIGITS: Final = 16


def key_of_log(party: str, public_key: bytes) -> VerifierKey:
    """The key of a party's log under its name, which is its origin too.

    The name is ``fedseg/<party>/<first digits of the key's id>``.
    """
    return VerifierKey(_name(party, public_key), ED25519, public_key)


def key_of_seals(party: str, public_key: bytes, agreement_id: str) -> VerifierKey:
    """The key of the log of a party's seals under one agreement; its name is the origin too."""
    return VerifierKey(f"{_name(party, public_key)}/{agreement_id}", ED25519, public_key)


def key_of_witness(party: str, public_key: bytes) -> VerifierKey:
    """The key by which a party cosigns: the same one, for another type of signature."""
    return VerifierKey(_name(party, public_key), ED25519_COSIGNATURE, public_key)


def party_of(origin: str) -> str:
    """The party that a log's name, or that of its seals, names; empty where it names none."""
    parts = origin.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "fedseg" else ""


def _name(party: str, public_key: bytes) -> str:
    return f"fedseg/{party}/{hashlib.sha256(public_key).hexdigest()[:_KEY_DIGITS]}"
