"""What a node signs of each call to the coordinator's public port. SPEC.md, section 2."""

from __future__ import annotations

import hashlib
from typing import Final

from protocol.canonical import tagged_hash

#: HTTP header with the base64 of the node key's ECDSA signature, over SHA-256, of `call_bytes`.
CALL_SIGNATURE_HEADER: Final = "fedseg-signature"


def call_bytes(path: str, timestamp: str, body: bytes) -> bytes:
    """What the node key signs: this body, for this call, at this time.

    Flower's own signature is of the time alone, so whoever reads the head of one call could send
    any other for five minutes.
    """
    return tagged_hash(
        "call",
        path.encode("ascii"),
        timestamp.encode("ascii"),
        hashlib.sha256(body).digest(),
    )
