"""The certified chain of participant sets: which totals may ever be opened. SPEC.md, section 7.

Totals over changing sets leak: two sets that differ by one partner give that partner's numbers by
subtraction, whatever happens inside a round. So every partner signs each set, as a link of one
chain that all share over the agreement's whole life, and refuses a set that would make it possible
to isolate fewer than ``min_atom`` partners. (So et al., "Securing secure aggregation", AAAI
2023, show the leak.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from protocol import limits
from protocol.agreement.document import Agreement
from protocol.canonical import exactly, frame, label, tagged_hash, u32, unframe, unframe_list
from protocol.errors import MalformedError, RemoteProtocolError

Members = frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One participant set: `members` of the run named by `run_hash` (32 bytes)."""

    run_hash: bytes
    members: Members


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """All participant sets proposed under one agreement, in order."""

    agreement_hash: bytes
    n_partners: int
    links: tuple[Link, ...] = ()

    @property
    def head(self) -> bytes:
        """The hash of the last link's body; of an empty chain, the agreement's hash."""
        head = self.agreement_hash
        for index, link in enumerate(self.links):
            head = tagged_hash("set-head", self._body(index, link, head))
        return head

    @property
    def last(self) -> Link:
        """The newest link."""
        return self.links[-1]

    def sets_in(self, run_hash: bytes) -> tuple[Members, ...]:
        """The participant sets of a run, in order: each is a part of the one before."""
        return tuple(link.members for link in self.links if link.run_hash == run_hash)

    def extended(self, link: Link) -> Chain:
        """A copy with one more link."""
        return Chain(
            agreement_hash=self.agreement_hash,
            n_partners=self.n_partners,
            links=(*self.links, link),
        )

    def to_bytes(self) -> bytes:
        """The links, framed."""
        return frame(
            *(frame(link.run_hash, bitmap(link.members, self.n_partners)) for link in self.links)
        )

    @staticmethod
    def from_bytes(data: bytes, agreement: Agreement) -> Chain:
        """Read a chain of `agreement`; raises MalformedError."""
        links = []
        for entry in unframe_list(data, max_count=limits.MAX_CHAIN_LINKS):
            run_hash, bits = unframe(entry, 2)
            links.append(
                Link(
                    run_hash=exactly(run_hash, 32, "a run hash"),
                    members=parse_bitmap(bits, agreement.n_partners),
                )
            )
        return Chain(
            agreement_hash=agreement.hash, n_partners=agreement.n_partners, links=tuple(links)
        )

    def _body(self, index: int, link: Link, previous: bytes) -> bytes:
        return frame(
            label("set"),
            self.agreement_hash,
            link.run_hash,
            u32(index),
            previous,
            bitmap(link.members, self.n_partners),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRules:
    """Conditions under which a participant set may be opened.

    Attributes:
        smallest: Fewest members of a set: quorum, ``min_partners`` and ``t + 2`` at least.
        min_atom: Smallest group of partners that all sets together may isolate.
        max_changes: Most changes of the set over the whole chain.
    """

    smallest: int
    min_atom: int
    max_changes: int

    @staticmethod
    def of(agreement: Agreement) -> SetRules:
        """The rules that an agreement states."""
        return SetRules(
            smallest=agreement.smallest_set,
            min_atom=agreement.secure_sum.min_atom,
            max_changes=agreement.secure_sum.max_set_changes,
        )

    def check(self, chain: Chain, *, signed: Chain, run_hash: bytes) -> None:
        """Refuse `chain` unless the total over its last set may be opened.

        Args:
            chain: The whole chain proposed, ending in the set to sign.
            signed: The chain up to the last link that this side signed.
            run_hash: The run that asks.

        Raises:
            RemoteProtocolError: A rule is broken; the code says which.
        """
        objection = self._objection(chain, signed, run_hash)
        if objection is not None:
            code, message = objection
            raise RemoteProtocolError(message, code=code)

    def _objection(self, chain: Chain, signed: Chain, run_hash: bytes) -> tuple[str, str] | None:
        links = chain.links
        if not links or links[-1].run_hash != run_hash:
            return "E-CHAIN-RUN", "the chain does not end in a set of this run"
        if len(links) > limits.MAX_CHAIN_LINKS:
            return "E-CHAIN-FULL", f"the chain has {len(links)} links; a new agreement is needed"
        if links[: len(signed.links)] != signed.links:
            return "E-CHAIN-FORK", "the chain does not extend the one that was signed before"
        if not within_run_only_shrinks(links):
            return "E-SET-GROWS", "a partner joined in the middle of a run"
        for link in links[len(signed.links) :]:
            if len(link.members) < self.smallest:
                return (
                    "E-SET-QUORUM",
                    f"a set of {len(link.members)} partners, at least {self.smallest} are needed",
                )
        changes = sum(a.members != b.members for a, b in pairwise(links))
        if changes > self.max_changes:
            return (
                "E-SET-CHANGES",
                f"{changes} set changes, at most {self.max_changes} are agreed",
            )
        smallest_atom = min(len(atom) for atom in atoms([link.members for link in links]))
        if smallest_atom < self.min_atom:
            return (
                "E-SET-ISOLATES",
                f"the sets together would single out {smallest_atom} of the partners, "
                f"{self.min_atom} at least must stay together",
            )
        return None


def within_run_only_shrinks(links: Sequence[Link]) -> bool:
    """Whether each run's sets are consecutive, each a proper subset of the one before it.

    An equal set would let the same question be asked again although nobody has dropped out.
    """
    seen: set[bytes] = set()
    for before, after in pairwise(links):
        seen.add(before.run_hash)
        if before.run_hash == after.run_hash:
            if not after.members < before.members:
                return False
        elif after.run_hash in seen:
            return False
    return True


def atoms(sets: Iterable[Members]) -> list[Members]:
    """The groups of partners that the sets cannot distinguish; never-used partners are left out.

    >>> sorted(sorted(a) for a in atoms([frozenset({0, 1, 2, 3}), frozenset({0, 1})]))
    [[0, 1], [2, 3]]
    """
    family = list(dict.fromkeys(sets))
    groups: dict[tuple[bool, ...], set[int]] = {}
    for partner in frozenset().union(*family):
        groups.setdefault(tuple(partner in s for s in family), set()).add(partner)
    return [frozenset(group) for group in groups.values()]


def bitmap(members: Members, n_partners: int) -> bytes:
    """One bit a partner, most significant first, padded with zeros to whole bytes.

    >>> bitmap(frozenset({0, 2}), 3).hex()
    'a0'
    """
    bits = sum(1 << (n_partners - 1 - member) for member in members)
    size = -(-n_partners // 8)
    return (bits << (8 * size - n_partners)).to_bytes(size, "big")


def parse_bitmap(data: bytes, n_partners: int) -> Members:
    """The members in a bitmap; raises MalformedError on another size, padding or no members."""
    exactly(data, -(-n_partners // 8), "a participant set")
    bits = int.from_bytes(data, "big")
    width = 8 * len(data)
    members = frozenset(i for i in range(width) if bits >> (width - 1 - i) & 1)
    if not members or max(members) >= n_partners:
        raise MalformedError("a participant set is empty or names partners that do not exist")
    return members
