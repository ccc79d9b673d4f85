"""The keys in force under an agreement: those that it names, and what took their place since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import HandOvers
from protocol.agreement.parties import Operator, Party
from protocol.canonical import tagged_hash
from protocol.errors import AgreementError
from protocol.signing import key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Which key each party and the coordinator has: the one place that answers that.

    Attributes:
        of_parties: For each party, in the agreement's order, its keys: first the agreed one, last
            the one in force.
        of_coordinator: The same of the coordinator.
        handed_over: What leads from the agreed keys to those in force, party by party, then the
            coordinator's.
    """

    of_parties: tuple[tuple[bytes, ...], ...]
    of_coordinator: tuple[bytes, ...]
    handed_over: tuple[HandOver, ...] = ()

    @staticmethod
    def following(parties: Sequence[Party], operator: Operator, known: HandOvers) -> Keys:
        """The keys that follow from hand-overs; those of keys that are named nowhere do nothing.

        Raises:
            AgreementError: One says that a key is somebody else's (E-KEY-PARTY), or leads to a key
                that another one has (E-KEY-REUSED).
        """
        led = [known.from_key(p.public_key, partner=p.id) for p in parties]
        led_operator = known.from_key(operator.public_key, partner="")
        keys = Keys(
            of_parties=tuple(
                (party.public_key, *(one.new_key for one in found))
                for party, found in zip(parties, led, strict=True)
            ),
            of_coordinator=(operator.public_key, *(one.new_key for one in led_operator)),
            handed_over=tuple(one for found in (*led, led_operator) for one in found),
        )
        every = [key for one in (*keys.of_parties, keys.of_coordinator) for key in one]
        twice = next((key for key in every if every.count(key) > 1), None)
        # Of an agreement as it was signed that is for its own rules to say.
        if twice is not None and keys.handed_over:
            raise AgreementError(
                f"a hand-over leads to the key {key_id(twice)[:16]}…, which another party has",
                code="E-KEY-REUSED",
                remedy="do not use it: tell the parties",
            )
        return keys

    def of(self, index: int) -> bytes:
        """The key in force of the party with a number; 32 bytes."""
        return self.of_parties[index][-1]

    @property
    def coordinator(self) -> bytes:
        """The coordinator's key in force; 32 bytes."""
        return self.of_coordinator[-1]

    @property
    def in_force(self) -> tuple[bytes, ...]:
        """The coordinator's key and every party's, in the agreement's order."""
        return (self.coordinator, *(keys[-1] for keys in self.of_parties))

    @property
    def hash(self) -> bytes:
        """Names the keys in force, 32 bytes; empty while all are as agreed."""
        return tagged_hash("keys", *self.in_force) if self.handed_over else b""
