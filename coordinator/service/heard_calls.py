"""Which calls each node has made, so that none of them is heard twice.

A node signs each call with its time (`protocol.calls`), and the port takes it for some minutes
after that. Whoever reads one, where TLS ends before the port say, could send it again as it is. A
node that asks again signs anew.
"""

from __future__ import annotations

from collections import OrderedDict


class HeardCalls:
    """The calls that were heard lately, by node key.

    They are known by what was signed, not by signatures: of one ECDSA signature anybody can make
    another.

    Args:
        for_s: How long a call is remembered: as long as its signature could be taken.
        most: Most calls of one key that are remembered at once.

    Example:
        >>> heard = HeardCalls(for_s=300.0, most=1_000)
        >>> [heard.is_new(b"key", b"call", now_s=t) for t in (0.0, 299.0, 301.0)]
        [True, False, True]
    """

    def __init__(self, *, for_s: float, most: int) -> None:
        self._for_s = for_s
        self._most = most
        #: When each call was heard, oldest first.
        self._calls: dict[bytes, OrderedDict[bytes, float]] = {}

    def is_full(self, key: bytes, *, now_s: float) -> bool:
        """Whether no call of a key can be remembered now, so that none may be heard."""
        return len(self._recent(key, now_s)) >= self._most

    def is_new(self, key: bytes, call: bytes, *, now_s: float) -> bool:
        """Whether a call was not heard before; it is remembered."""
        calls = self._recent(key, now_s)
        if call in calls:
            return False
        calls[call] = now_s
        self._calls[key] = calls
        return True

    def _recent(self, key: bytes, now_s: float) -> OrderedDict[bytes, float]:
        """The calls of a key that could still be sent again."""
        calls = self._calls.get(key, OrderedDict())
        while calls and next(iter(calls.values())) + self._for_s < now_s:
            calls.popitem(last=False)
        if not calls:
            self._calls.pop(key, None)
        return calls
