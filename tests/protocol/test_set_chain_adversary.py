"""Malicious coordinators against the set-chain rules: nobody's numbers can be computed.

A coordinator that colludes with `t` partners proposes chains of participant sets to honest ones,
each of whom judges with `SetRules.check` and remembers what it signed. It forks, goes back, starts
new runs, mixes chains and leaves partners out. A set is opened when all its honest members signed
the chain that ends in it. At the end, linear algebra decides whether one honest partner's vector is
a combination of the sums over the opened sets, restricted to honest partners.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from protocol import participants
from protocol.errors import RemoteProtocolError
from protocol.participants import Chain, Link, Members, SetRules
from tests import effort

TRIALS = effort.count(8_000, 100_000)
#: One attack in three thousand wins without the quorum; without another rule, one in thirty.
TRIALS_WITHOUT_A_RULE = 60_000
PRIME = (1 << 61) - 1


@dataclass
class Attack:
    """One attack: `n` partners of whom the first `t` collude, all honest ones with their state."""

    rng: random.Random
    n: int
    t: int
    rules: SetRules
    forget: bool = False
    opened: list[Members] = field(default_factory=list)
    signed: dict[int, Chain] = field(default_factory=dict)
    pool: list[Chain] = field(default_factory=list)

    def __post_init__(self) -> None:
        empty = Chain(agreement_hash=bytes(32), n_partners=self.n)
        self.signed = dict.fromkeys(range(self.t, self.n), empty)
        self.pool = [empty]

    def propose(self) -> None:
        """One chain, shown to every honest member of its last set or to some of them."""
        rng = self.rng
        base = rng.choice(self.pool[-4:] + self.pool[:2])
        run = rng.randrange(4)
        if base.links and rng.random() < 0.5:
            run = base.last.run_hash[0]
        members = self.pick(base, run)
        link = Link(run_hash=bytes([run]) * 32, members=members)
        chain = base.extended(link)
        if chain in self.pool:
            return
        asked = [i for i in members if i >= self.t]
        if rng.random() < 0.2:
            asked = rng.sample(asked, rng.randint(0, len(asked)))
        accepted = 0
        verdicts: dict[int, bool] = {}
        for i in asked:
            before = Chain(agreement_hash=bytes(32), n_partners=self.n) if self.forget else None
            known = before or self.signed[i]
            key = id(known)
            if key not in verdicts:
                verdicts[key] = self.allowed(chain, known, link.run_hash)
            if verdicts[key]:
                self.signed[i] = chain
                accepted += 1
        if accepted:
            self.pool.append(chain)
        if accepted == sum(i >= self.t for i in members):
            self.opened.append(members)

    def allowed(self, chain: Chain, signed: Chain, run_hash: bytes) -> bool:
        try:
            self.rules.check(chain, signed=signed, run_hash=run_hash)
        except RemoteProtocolError:
            return False
        return True

    def pick(self, base: Chain, run: int) -> Members:
        """A set likely to be allowed: everyone, some whole groups less, or a few partners moved."""
        rng = self.rng
        inside = base.last.members if base.links and rng.random() < 0.6 else frozenset()
        current = sorted(inside or range(self.n))
        way = rng.randrange(5)
        if way == 0:
            return frozenset(current)
        if way == 1:
            out = rng.sample(current, min(len(current) - 1, self.rules.min_atom))
            return frozenset(current) - frozenset(out)
        if way == 2:
            groups = participants.atoms([link.members for link in base.links] or [inside])
            kept = [g for g in groups if rng.random() < 0.7]
            return frozenset().union(*kept) or frozenset(current)
        if way == 3:
            low = max(1, min(self.rules.smallest, len(current)))
            return frozenset(rng.sample(current, rng.randint(low, len(current))))
        out = rng.sample(range(self.n), rng.randint(1, 2))
        return (frozenset(current) ^ frozenset(out)) or frozenset(current)


def exposed(sets: list[Members], t: int, n: int) -> bool:
    """Whether some honest partner's own vector lies in the span of the opened sets.

    Rows are 0/1 and at most 15 long, so every minor is far below the prime: exact.
    """
    rows = [[int(i in s) for i in range(t, n)] for s in dict.fromkeys(sets)]
    found = 0
    for column in range(n - t):
        pivot = next((r for r in range(found, len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        inverse = pow(rows[found][column], -1, PRIME)
        rows[found] = [v * inverse % PRIME for v in rows[found]]
        for r in range(len(rows)):
            factor = rows[r][column]
            if r != found and factor:
                rows[r] = [(a - factor * b) % PRIME for a, b in zip(rows[r], rows[found])]  # noqa: B905
        found += 1
    return any(sum(map(bool, row)) == 1 for row in rows[:found])


def attack(
    number: int, rules_of: Callable[[int, int], SetRules], *, forget: bool = False
) -> Attack:
    """One random attack of up to a dozen proposals in up to four runs."""
    rng = effort.chance(f"attack {number}")
    t = rng.choice([1, 1, 2])
    n = rng.randint(3 * t + 6, 3 * t + 9)
    made = Attack(rng=rng, n=n, t=t, rules=rules_of(n, t), forget=forget)
    for _ in range(rng.randint(3, 12)):
        made.propose()
    return made


def agreed(n: int, t: int) -> SetRules:
    """The rules as an agreement among `n` with `t` colluding states them."""
    return SetRules(smallest=max((n + t) // 2 + 1, t + 2), min_atom=t + 2, max_changes=4)


@pytest.mark.slow
def test_no_malicious_coordinator_isolates_anybody() -> None:
    opened = changed = 0
    for number in range(TRIALS):
        made = attack(number, agreed)
        opened += len(made.opened)
        distinct = set(made.opened)
        if len(distinct) > 1:
            changed += 1
            assert not exposed(made.opened, made.t, made.n), (number, made.opened)
    assert opened > TRIALS
    assert changed > TRIALS // 10


def isolates(rules_of: Callable[[int, int], SetRules], *, forget: bool = False) -> bool:
    for number in range(TRIALS_WITHOUT_A_RULE):
        made = attack(number, rules_of, forget=forget)
        if exposed(made.opened, made.t, made.n):
            return True
    return False


@pytest.mark.slow
def test_without_the_atom_rule_partners_are_isolated() -> None:
    assert isolates(
        lambda n, t: SetRules(smallest=agreed(n, t).smallest, min_atom=0, max_changes=4)
    )


@pytest.mark.slow
def test_with_atoms_of_one_partners_are_isolated() -> None:
    assert isolates(
        lambda n, t: SetRules(smallest=agreed(n, t).smallest, min_atom=1, max_changes=4)
    )


@pytest.mark.slow
def test_with_atoms_of_the_colluders_and_one_more_partners_are_isolated() -> None:
    """t + 1 instead of t + 2: an atom of all colluders and one honest partner."""
    assert isolates(
        lambda n, t: SetRules(smallest=agreed(n, t).smallest, min_atom=t + 1, max_changes=4)
    )


@pytest.mark.slow
def test_without_the_quorum_partners_are_isolated() -> None:
    """Two groups that share no honest partner sign chains that know nothing of each other."""
    assert isolates(lambda n, t: SetRules(smallest=1, min_atom=t + 2, max_changes=4))


@pytest.mark.slow
def test_without_the_memory_of_what_was_signed_partners_are_isolated() -> None:
    assert isolates(agreed, forget=True)


def test_the_span_check_finds_what_is_exposed() -> None:
    full = frozenset(range(6))
    assert exposed([full, full - {5}], 1, 6)
    assert not exposed([full, full - {4, 5}], 1, 6)
    assert exposed([full, full - {0, 5}], 1, 6)
    assert exposed([frozenset({1, 2}), frozenset({2, 3}), frozenset({1, 3})], 0, 4)
    assert not exposed([frozenset({1, 2}), frozenset({2, 3})], 0, 4)
    pairs = [frozenset(p) for p in itertools.combinations(range(4), 2)]
    assert exposed(pairs, 0, 4)
