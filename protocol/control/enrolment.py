"""What a node says when it joins, and the short code that two people compare. SPEC.md, 17.2."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.partner_card import PartnerCard
from protocol.canonical import frame, tagged_hash
from protocol.signing import sign, verify

#: Crockford's base 32: no letter looks like a digit.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = str.maketrans("OIL", "011")
_CODE_CHARACTERS: Final = 8
_NAME: Final = "control/enrol"


def sign_card(key: Ed25519PrivateKey, card: bytes, invitation: str) -> bytes:
    """Sign a card for one invitation; 64 bytes.

    Args:
        invitation: The invitation's id.
    """
    return sign(key, _NAME, frame(card, invitation.encode("ascii")))


def verify_card(card: PartnerCard, data: bytes, invitation: str, signature: bytes) -> None:
    """Check that whoever has a card's signing key joins under an invitation.

    Args:
        data: The card's bytes, as they were sent.

    Raises:
        SignatureError: It is not signed by the card's key.
    """
    body = frame(data, invitation.encode("ascii"))
    verify(card.public_key, _NAME, body, signature, who=f"the card of {card.id!r}")


def short_code(card: bytes, coordinator_key: bytes) -> str:
    """What both sides show for one enrolment, to be compared over the telephone: 40 bits.

    Args:
        card: The card's bytes, as they were sent.
        coordinator_key: The coordinator's Ed25519 key.

    >>> short_code(b"card", bytes(32))
    '2VMB-K3VW'
    """
    number = int.from_bytes(tagged_hash("control/code", card, coordinator_key)[:5], "big")
    letters = [_ALPHABET[number >> 5 * i & 31] for i in reversed(range(_CODE_CHARACTERS))]
    return "".join(letters[:4]) + "-" + "".join(letters[4:])


def read_code(text: str) -> str:
    """A short code as a person typed it, in the form of `short_code`.

    >>> read_code("kkp3 c2zf"), read_code("O1L2-3456")
    ('KKP3-C2ZF', '0112-3456')
    """
    plain = "".join(c for c in text.upper().translate(_READ_AS) if c in _ALPHABET)
    return f"{plain[:4]}-{plain[4:]}"
