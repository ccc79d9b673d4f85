"""What the log's texts are made of: base64, decimal numbers, key names; read strictly."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from protocol.errors import MalformedError

MAX_NUMBER: Final = 2**63 - 1
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


def malformed(message: str) -> MalformedError:
    """The error for bytes that are not of the log's formats."""
    return MalformedError(message, code="E-LOG-FORMAT", remedy="Ask its maker for it again.")


def to_base64(data: bytes) -> str:
    """RFC 4648, section 4, with padding."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str, what: str) -> bytes:
    """The bytes of `text`; raises MalformedError unless `to_base64` writes the same again."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed(f"{what} is not base64") from error
    if to_base64(data) != text:
        raise malformed(f"{what} is not in the usual form of base64")
    return data


def number(text: str, what: str) -> int:
    """A decimal number, 0 to 2^63 - 1, without leading zeros; raises MalformedError."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_NUMBER:
        raise malformed(f"{what} is no number from 0 to 2^63 - 1: {text[:40]!r}")
    return int(text)


def utf8(data: bytes, what: str) -> str:
    """Text without control characters but newlines; raises MalformedError."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed(f"{what} is not UTF-8") from error
    if _CONTROL.search(text):
        raise malformed(f"{what} has control characters")
    return text
