"""Hand-overs that somebody knows, and which key follows from them. SPEC.md, 6.

From one key no two hand-overs are taken: where there are two, one of them was made by somebody who
stole the key, and which one only people can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from protocol.agreement.hand_over import MAX_BYTES, MAX_NUMBER, HandOver
from protocol.canonical import frame, unframe_list
from protocol.errors import AgreementError
from protocol.signing import key_id

#: Most hand-overs in one list, and that anybody knows.
MAX_COUNT: Final = 4_096
MAX_LIST_BYTES: Final = MAX_COUNT * 2 * MAX_BYTES
_ASK: Final = (
    "ask the people whose key it is, by a way that you know, which of the two they made. If their "
    "key was stolen, stop the agreements that name it, and sign a new version with a new card"
)


@dataclass(frozen=True)
class HandOvers:
    """Hand-overs that fit together; `with_one` adds to them."""

    all: tuple[HandOver, ...] = ()

    @staticmethod
    def of(found: Iterable[HandOver]) -> HandOvers:
        """Those that are given, one after the other; raises AgreementError as `with_one`."""
        known = HandOvers()
        for one in found:
            known = known.with_one(one)
        return known

    @staticmethod
    def from_bytes(data: bytes) -> HandOvers:
        """Read what `to_bytes` gave, every signature checked.

        Raises:
            MalformedError: It is no such list.
            AgreementError: One does not hold, or does not fit the others.
        """
        return HandOvers.of(map(HandOver.from_bytes, unframe_list(data, max_count=MAX_COUNT)))

    def to_bytes(self) -> bytes:
        """All envelopes, framed; empty when there are none."""
        return frame(*(one.to_bytes() for one in self.all))

    def __iter__(self) -> Iterator[HandOver]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    @cached_property
    def _from(self) -> dict[bytes, HandOver]:
        return {one.old_key: one for one in self.all}

    @cached_property
    def _to(self) -> dict[bytes, HandOver]:
        return {one.new_key: one for one in self.all}

    def knows(self, one: HandOver) -> bool:
        """Whether it is among them, with whatever signatures."""
        other = self._from.get(one.old_key)
        return other is not None and other.hash == one.hash

    def with_one(self, one: HandOver) -> HandOvers:
        """With one more; the same when it is known.

        One that comes after the hand-over that follows it is put before that.

        Raises:
            AgreementError: Another one is known from the same key (E-KEY-FORK); its new key was
                somebody's before, and what is known from that does not follow (E-KEY-REUSED); its
                number, or whose it is, does not follow the one before it (E-KEY-NUMBER,
                E-KEY-PARTY); there are `MAX_COUNT` (E-KEY-FULL).
        """
        if self.knows(one):
            return self
        other = self._from.get(one.old_key)
        if other is not None:
            raise AgreementError(
                f"two hand-overs from one key: {other.words}; and {one.words}. The first stays, "
                "the second is refused",
                code="E-KEY-FORK",
                remedy=_ASK,
            )
        before, after = self._to.get(one.old_key), self._from.get(one.new_key)
        late = after is not None and after.follows(one)
        if one.new_key in self._to or (after is not None and not late):
            raise AgreementError(
                f"{one.words}: the new key was in use before",
                code="E-KEY-REUSED",
                remedy="a key that was handed over is never used again: make a new one",
            )
        if before is not None and one.partner != before.partner:
            raise AgreementError(
                f"{one.words}: that key is {before.whose}'s", code="E-KEY-PARTY", remedy=_ASK
            )
        if before is not None and one.number != before.number + 1:
            raise AgreementError(
                f"{one.words}: it follows number {before.number}, so it has to have "
                f"{before.number + 1}",
                code="E-KEY-NUMBER",
                remedy="take the hand-overs of one party in their order, each once",
            )
        if len(self.all) >= MAX_COUNT:
            raise AgreementError(
                f"{one.words}: {MAX_COUNT} hand-overs are known, the most that are kept",
                code="E-KEY-FULL",
                remedy="sign new versions of the agreements, which name the keys in force; the "
                "state of a node or coordinator that is made anew knows no hand-overs",
            )
        return HandOvers(self._in_order(one) if late else (*self.all, one))

    def _in_order(self, one: HandOver) -> tuple[HandOver, ...]:
        """All with one that comes late; each party's in their order, where they were."""
        chain = {
            link.old_key: link
            for link in (
                *self.to_key(one.old_key), one, *self.from_key(one.new_key, partner=one.partner)
            )
        }  # fmt: skip
        links = iter(chain.values())
        return tuple(next(links) if o.old_key in chain else o for o in (*self.all, one))

    def from_key(self, key: bytes, *, partner: str) -> tuple[HandOver, ...]:
        """The hand-overs that lead from a key to the one in force, in their order.

        Args:
            key: As an agreement names it, 32 bytes.
            partner: Whose it is; empty for the coordinator.

        Raises:
            AgreementError: One from that key says that it is somebody else's (E-KEY-PARTY).
        """
        found: list[HandOver] = []
        while key in self._from:
            one = self._from[key]
            if one.partner != partner:
                raise AgreementError(
                    f"{one.words}: the key {key_id(key)[:16]}… is {partner or 'the coordinator'}'s",
                    code="E-KEY-PARTY",
                    remedy=_ASK,
                )
            found.append(one)
            key = one.new_key
        return tuple(found)

    def to_key(self, key: bytes) -> tuple[HandOver, ...]:
        """The hand-overs that lead to a key, in their order."""
        found: list[HandOver] = []
        while key in self._to:
            found.insert(0, self._to[key])
            key = found[0].old_key
        return tuple(found)

    def latest_of(self, key: bytes, *, partner: str) -> bytes:
        """The key in force where an agreement names `key`; raises as `from_key`."""
        found = self.from_key(key, partner=partner)
        return found[-1].new_key if found else key

    def same_owner(self, key: bytes) -> frozenset[bytes]:
        """The key, those that led to it, and those to which it leads."""
        found = [*(one.old_key for one in self.to_key(key)), key]
        while found[-1] in self._from:
            found.append(self._from[found[-1]].new_key)
        return frozenset(found)

    def number_after(self, key: bytes) -> int:
        """The number of the hand-over that follows from a key that is in force.

        Raises:
            AgreementError: There were `MAX_NUMBER` (E-KEY-FULL).
        """
        before = self._to.get(key)
        number = 1 if before is None else before.number + 1
        if number > MAX_NUMBER:
            raise AgreementError(
                f"the key {key_id(key)[:16]}… follows from {MAX_NUMBER} hand-overs, the most that "
                "there may be",
                code="E-KEY-FULL",
                remedy="make a key that follows from none, for a new version that names it: a node "
                "with `fedseg-node key renew`, a coordinator with a folder that is made anew",
            )
        return number


#: Where no key was handed over.
NONE: Final = HandOvers()
