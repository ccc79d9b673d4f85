"""How many fields a Protocol Buffers message has, counted without making an object of each.

Parsing makes an object of every message within a message, however small: 13 MB of empty ones take
seconds and hundreds of megabytes. Counting stops at the first field too many.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import Descriptor

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES: Final = {_FIXED64: 8, _FIXED32: 4}
#: A varint has at most so many bytes.
_LONGEST_VARINT: Final = 10


class _MalformedError(Exception):
    pass


def has_at_most(fields: int, body: bytes, kind: Descriptor) -> bool:
    """Whether a message of a kind, with all messages within it, has at most so many fields.

    False also for bytes that are no message of that kind.

    Example:
        >>> from flwr.proto.fleet_pb2 import PushMessagesRequest
        >>> three = PushMessagesRequest(clientapp_runtime_list=[1.0])
        >>> for number in range(2):
        ...     message = three.messages_list.add()
        >>> [has_at_most(n, three.SerializeToString(), PushMessagesRequest.DESCRIPTOR)
        ...  for n in (2, 3)]
        [False, True]
    """
    waiting = [(0, len(body), kind)]
    left = fields
    try:
        while waiting:
            at, end, kind = waiting.pop()
            while at < end:
                left -= 1
                if left < 0:
                    return False
                tag, at = _varint(body, at, end)
                number, wire = tag >> 3, tag & 7
                if wire == _VARINT:
                    _, at = _varint(body, at, end)
                elif wire == _LENGTH:
                    size, at = _varint(body, at, end)
                    field = kind.fields_by_number.get(number)
                    if field is not None and field.message_type is not None:
                        waiting.append((at, at + size, field.message_type))
                    at += size
                elif wire in _FIXED_BYTES:
                    at += _FIXED_BYTES[wire]
                else:
                    return False
            if at != end:
                return False
    except _MalformedError:
        return False
    return True


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for place in range(at, min(end, at + _LONGEST_VARINT)):
        value |= (body[place] & 0x7F) << 7 * (place - at)
        if body[place] < 0x80:
            return value, place + 1
    raise _MalformedError
