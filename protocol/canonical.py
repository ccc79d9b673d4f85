"""Unambiguous bytes: framing, labelled hashes, canonical JSON. SPEC.md, section 1.

Framing is injective: every field is preceded by its length, and a reader states how many fields
it expects. Every hash begins with a label, so that a hash made for one purpose never equals one
made for another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

import rfc8785

from protocol.errors import MalformedError

PREFIX: Final = b"fedseg/v1/"
_LENGTH_BYTES: Final = 4

JSON = dict[str, Any]


def label(name: str) -> bytes:
    """The domain-separation label ``fedseg/v1/<name>`` as ASCII bytes."""
    return PREFIX + name.encode("ascii")


def u32(value: int) -> bytes:
    """`value` as four bytes, big-endian; raises OverflowError outside 0 … 2^32-1."""
    return value.to_bytes(4, "big")


def parse_u32(data: bytes) -> int:
    """The number in four big-endian bytes."""
    if len(data) != 4:
        raise MalformedError(f"a 32-bit number takes 4 bytes, found {len(data)}")
    return int.from_bytes(data, "big")


def frame(*fields: bytes) -> bytes:
    """Join fields, each preceded by its length as a 32-bit big-endian number.

    >>> frame(b"ab", b"").hex()
    '00000002616200000000'
    """
    parts: list[bytes] = []
    for field in fields:
        parts.append(len(field).to_bytes(_LENGTH_BYTES, "big"))
        parts.append(field)
    return b"".join(parts)


def unframe(data: bytes, count: int) -> list[bytes]:
    """Split framed bytes into exactly `count` fields.

    Raises:
        MalformedError: Fewer or more fields, a length beyond the end, or trailing bytes.
    """
    fields: list[bytes] = []
    at = 0
    for _ in range(count):
        if at + _LENGTH_BYTES > len(data):
            raise MalformedError(f"{len(fields)} of {count} fields, then the bytes end")
        length = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        at += _LENGTH_BYTES
        if at + length > len(data):
            raise MalformedError(f"field {len(fields)} claims {length} bytes beyond the end")
        fields.append(data[at : at + length])
        at += length
    if at != len(data):
        raise MalformedError(f"{len(data) - at} bytes after the last of {count} fields")
    return fields


def unframe_list(data: bytes, *, max_count: int) -> list[bytes]:
    """Split framed bytes into as many fields as there are, at most `max_count`."""
    count = 0
    at = 0
    while at < len(data):
        if count == max_count:
            raise MalformedError(f"more than {max_count} fields")
        at += _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        count += 1
    return unframe(data, count)


def unframe_labelled(data: bytes, name: str, count: int) -> list[bytes]:
    """Split ``frame(label(name), f1 … f_count)`` and return the fields after the label."""
    fields = unframe(data, count + 1)
    if fields[0] != label(name):
        raise MalformedError(f"expected a message labelled {name!r}, found {fields[0][:40]!r}")
    return fields[1:]


def exactly(data: bytes, size: int, what: str) -> bytes:
    """`data`, when it has `size` bytes."""
    if len(data) != size:
        raise MalformedError(f"{what} takes {size} bytes, found {len(data)}")
    return data


def tagged_hash(name: str, *fields: bytes) -> bytes:
    """SHA-256 over the framed label and fields, 32 bytes."""
    return hashlib.sha256(frame(label(name), *fields)).digest()


def canonical_json(value: JSON) -> bytes:
    """RFC 8785 (JCS) bytes of a JSON object."""
    return rfc8785.dumps(value)


def parse_json(data: bytes, *, max_bytes: int, what: str) -> JSON:
    """Parse one JSON object strictly: UTF-8, no duplicate keys, no floats, no NaN.

    Raises:
        MalformedError: `data` is longer than `max_bytes` or is not such an object.
    """
    if len(data) > max_bytes:
        raise MalformedError(f"{what} has {len(data)} bytes, at most {max_bytes} are read")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedError(f"{what} is not JSON, at {place}") from error
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not JSON: byte {error.start + 1} is not UTF-8") from error
    except RecursionError as error:
        raise MalformedError(f"{what} is not JSON that is read: nested too deeply") from error
    except ValueError as error:
        raise MalformedError(f"{what}: {error}") from error
    if not isinstance(value, dict):
        raise MalformedError(f"{what} must be a JSON object, found {type(value).__name__}")
    return value


def canonical_form(value: JSON, *, what: str) -> bytes:
    """As `canonical_json`, of what somebody else wrote.

    Raises:
        MalformedError: It has none: a number beyond 2^53, text that is not Unicode, too many
            levels.
    """
    try:
        return canonical_json(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise MalformedError(f"{what} has no canonical form: {error}") from error


def parse_canonical_json(data: bytes, *, max_bytes: int, what: str) -> JSON:
    """Like `parse_json`, and refuses bytes that are not the RFC 8785 form of their content."""
    value = parse_json(data, max_bytes=max_bytes, what=what)
    if canonical_form(value, what=what) != data:
        raise MalformedError(f"{what} is JSON, but not in its canonical form (RFC 8785)")
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> JSON:
    found: JSON = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} appears twice")
        found[key] = value
    return found


def _no_float(text: str) -> float:
    raise ValueError(f"number {text!r} is not an integer; decimals are written as strings")
