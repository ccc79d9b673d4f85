"""The second factor: six digits that change every 30 seconds (TOTP, RFC 6238), or a recovery code.

A code is taken once: whoever looks over a shoulder cannot use it again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from datetime import datetime
from typing import Final

import pyotp

_STEP_S: Final = 30
#: Steps by which a clock may be off.
_STEPS_OFF: Final = 1
_RECOVERY_CODES: Final = 8
#: 80 random bits, written as four groups of four letters and digits.
_RECOVERY_BYTES: Final = 10
_DIGITS: Final = re.compile(r"[0-9]{6}")
_PLAIN: Final = re.compile(r"[A-Z2-7]{16}")


def new_secret() -> str:
    """A new secret (160 bits, base32), for the person's authenticator and for us."""
    return pyotp.random_base32()


def enrolment_url(secret: str, *, name: str, side: str) -> str:
    """The ``otpauth://`` URL that an authenticator reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=side)


def step_of(code: str, secret: str, now: datetime) -> int | None:
    """The time step to which a code belongs, now or a step away; None where it is wrong."""
    digits = code.replace(" ", "")
    current = int(now.timestamp()) // _STEP_S
    found = None
    for step in range(current - _STEPS_OFF, current + _STEPS_OFF + 1):
        right = pyotp.HOTP(secret).at(step)
        if hmac.compare_digest(right.encode(), digits.encode("utf-8", "replace")):
            found = step
    return found if _DIGITS.fullmatch(digits) else None


def new_recovery_codes() -> list[str]:
    """Codes for whoever lost the authenticator; each is good once."""
    return [_grouped(secrets.token_bytes(_RECOVERY_BYTES)) for _ in range(_RECOVERY_CODES)]


def recovery_hash(code: str) -> bytes | None:
    """What is kept of a recovery code; None where a text is none."""
    plain = code.replace("-", "").replace(" ", "").upper()
    return hashlib.sha256(plain.encode()).digest() if _PLAIN.fullmatch(plain) else None


def _grouped(data: bytes) -> str:
    text = base64.b32encode(data).decode("ascii")
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))
