"""The rules for participant sets, and that they keep every partner hidden."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.agreement.document import Agreement
from protocol.errors import MalformedError, RemoteProtocolError
from protocol.participants import (
    Chain,
    Link,
    Members,
    SetRules,
    atoms,
    bitmap,
    parse_bitmap,
    within_run_only_shrinks,
)

RULES = SetRules(smallest=6, min_atom=3, max_changes=2)


def chain_of(*sets: range | list[int], runs: str = "", n: int = 9) -> Chain:
    """A chain of sets; `runs` names each link's run by a letter, one run when empty."""
    names = runs or "a" * len(sets)
    links = tuple(
        Link(run_hash=name.encode() * 32, members=frozenset(members))
        for name, members in zip(names, sets, strict=True)
    )
    return Chain(agreement_hash=bytes(32), n_partners=n, links=links)


def objection(chain: Chain, signed: Chain | None = None, run: str = "a") -> str:
    """The code with which a chain is refused; empty when it is allowed."""
    try:
        RULES.check(chain, signed=signed or chain_of(), run_hash=run.encode() * 32)
    except RemoteProtocolError as error:
        return error.code
    return ""


def test_the_rules_come_from_the_agreement(lab: ModuleType) -> None:
    agreement = Agreement.from_dict(lab.agreement_values(9, changes=7))
    assert SetRules.of(agreement) == SetRules(smallest=6, min_atom=3, max_changes=7)


def test_rule_a_the_chain_extends_the_one_signed_before() -> None:
    signed = chain_of(range(9))
    assert objection(chain_of(range(9), range(6)), signed) == ""
    assert objection(chain_of(range(6)), signed) == "E-CHAIN-FORK"
    assert objection(chain_of(range(6), range(6)), signed) == "E-CHAIN-FORK"
    assert objection(chain_of(range(9)), chain_of(range(9), range(6))) == "E-CHAIN-FORK"
    assert objection(chain_of(range(9), runs="b"), signed, "b") == "E-CHAIN-FORK"


def test_rule_a_the_chain_ends_in_the_run_that_asks() -> None:
    assert objection(chain_of()) == "E-CHAIN-RUN"
    assert objection(chain_of(range(9), runs="b")) == "E-CHAIN-RUN"


def test_rule_b_every_new_set_reaches_the_quorum() -> None:
    assert objection(chain_of(range(6))) == ""
    assert objection(chain_of(range(5))) == "E-SET-QUORUM"
    assert objection(chain_of(range(5), range(9), runs="ba")) == "E-SET-QUORUM"


def test_rule_c_the_sets_keep_min_atom_partners_together() -> None:
    assert objection(chain_of(range(9), range(6))) == ""
    assert objection(chain_of(range(9), range(7))) == "E-SET-ISOLATES"
    assert objection(chain_of(range(9), range(8))) == "E-SET-ISOLATES"
    assert objection(chain_of(range(6), range(3, 9), runs="ba")) == ""
    assert objection(chain_of(range(6), range(2, 8), runs="ba")) == "E-SET-ISOLATES"


def test_rule_d_the_set_changes_as_often_as_agreed() -> None:
    full, low, high = range(9), range(6), range(3, 9)
    assert objection(chain_of(full, full, full, full, runs="bcda")) == ""
    assert objection(chain_of(full, low, full, full, runs="bcda")) == ""
    assert objection(chain_of(full, low, full, low, runs="bcda")) == "E-SET-CHANGES"
    assert objection(chain_of(full, low, high, full, runs="bcda")) == "E-SET-CHANGES"


def test_a_set_only_shrinks_within_a_run() -> None:
    assert objection(chain_of(range(6), range(9))) == "E-SET-GROWS"
    assert objection(chain_of(range(6), range(3, 9))) == "E-SET-GROWS"
    assert objection(chain_of(range(9), range(6), range(6))) == "E-SET-GROWS", "asked for nothing"
    assert objection(chain_of(range(9), range(6))) == ""
    assert objection(chain_of(range(6), range(9), runs="ba")) == ""


def test_a_run_does_not_come_back_after_another() -> None:
    assert objection(chain_of(range(9), range(9), range(9), runs="aba")) == "E-SET-GROWS"
    links = chain_of(range(9), range(6), range(9), runs="aab").links
    assert within_run_only_shrinks(links)
    assert within_run_only_shrinks(())


def test_a_chain_that_is_full_is_refused() -> None:
    link = Link(run_hash=b"a" * 32, members=frozenset(range(9)))
    chain = Chain(agreement_hash=bytes(32), n_partners=9, links=(link,) * 4_097)
    assert objection(chain) == "E-CHAIN-FULL"


def test_every_field_of_a_link_changes_the_head() -> None:
    chain = chain_of(range(9), range(6))
    heads = {
        chain.head,
        chain_of(range(9)).head,
        chain_of(range(6), range(9)).head,
        chain_of(range(9), range(6), runs="ab").head,
        chain_of(range(9), range(6), n=17).head,
        Chain(agreement_hash=b"\1" * 32, n_partners=9, links=chain.links).head,
    }
    assert len(heads) == 6
    assert chain_of().head == bytes(32)


def test_a_chain_is_read_back(lab: ModuleType) -> None:
    agreement = Agreement.from_dict(lab.agreement_values(9))
    chain = Chain(
        agreement_hash=agreement.hash,
        n_partners=9,
        links=chain_of(range(9), range(6)).links,
    )
    assert Chain.from_bytes(chain.to_bytes(), agreement) == chain
    assert Chain.from_bytes(b"", agreement).links == ()
    for data in (b"\0", chain.to_bytes()[:-1], chain.to_bytes() + b"\0"):
        with pytest.raises(MalformedError):
            Chain.from_bytes(data, agreement)


@given(st.integers(1, 50), st.data())
def test_a_bitmap_is_read_back(n: int, data: st.DataObject) -> None:
    members = data.draw(st.frozensets(st.integers(0, n - 1), min_size=1))
    assert parse_bitmap(bitmap(members, n), n) == members


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\x80", b"\x00\x40", b"\x80\x00\x00"])
def test_a_bitmap_of_another_size_or_padding_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_bitmap(data, 9)


@given(st.lists(st.frozensets(st.integers(0, 7), min_size=1), min_size=1, max_size=5))
def test_atoms_are_the_groups_that_the_sets_cannot_tell_apart(sets: list[Members]) -> None:
    found = atoms(sets)
    everyone = frozenset().union(*sets)
    assert sum(len(a) for a in found) == len(everyone) == len(frozenset().union(*found))
    for a, b in itertools.combinations(sorted(everyone), 2):
        together = any({a, b} <= atom for atom in found)
        assert together == all((a in s) == (b in s) for s in sets)


# --- exhaustive: what can be computed from the sums over all sets that were opened ---


def allowed_families(n: int, rules: SetRules, longest: int) -> Iterator[tuple[Members, ...]]:
    """Every chain of sets up to a length that the rules allow, each set in a run of its own."""
    everything = [
        frozenset(c) for size in range(1, n + 1) for c in itertools.combinations(range(n), size)
    ]
    empty = Chain(agreement_hash=bytes(32), n_partners=n)
    open_chains = [empty]
    for length in range(longest):
        run_hash = bytes([length]) * 32
        longer = []
        for chain in open_chains:
            for members in everything:
                candidate = chain.extended(Link(run_hash=run_hash, members=members))
                try:
                    rules.check(candidate, signed=chain, run_hash=run_hash)
                except RemoteProtocolError:
                    continue
                longer.append(candidate)
                yield tuple(link.members for link in candidate.links)
        open_chains = longer


def smallest_group_exposed(sets: tuple[Members, ...], colluding: Members, n: int) -> int:
    """The fewest honest partners whose sum (times anything) follows from the sets' sums.

    With so few partners every combination of rows is tried by its reduced form: the span of 0/1
    rows restricted to honest partners, searched for vectors with few entries that are not zero.
    """
    honest = [i for i in range(n) if i not in colluding]
    rows = {tuple(int(i in s) for i in honest) for s in sets}
    best = n
    for size in (1, 2):
        for group in itertools.combinations(range(len(honest)), size):
            outside = [[row[i] for i in range(len(honest)) if i not in group] for row in rows]
            inside = [[row[i] for i in group] for row in rows]
            if rank([a + b for a, b in zip(outside, inside, strict=True)]) > rank(outside):
                best = min(best, size)
    return best


def rank(rows: list[list[int]], prime: int = (1 << 61) - 1) -> int:
    """The rank of a small integer matrix; its minors are far below the prime."""
    matrix = [list(row) for row in rows]
    found = 0
    for column in range(len(matrix[0]) if matrix else 0):
        pivot = next((r for r in range(found, len(matrix)) if matrix[r][column] % prime), None)
        if pivot is None:
            continue
        matrix[found], matrix[pivot] = matrix[pivot], matrix[found]
        inverse = pow(matrix[found][column], -1, prime)
        for r in range(found + 1, len(matrix)):
            factor = matrix[r][column] * inverse % prime
            matrix[r] = [
                (a - factor * b) % prime for a, b in zip(matrix[r], matrix[found], strict=True)
            ]
        found += 1
    return found


CASES = [(n, t, t + 2 + more) for t in (0, 1, 2) for more in (0, 1) for n in range(t + 2, 7)]
CASES += [(7, 0, 3), (8, 1, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "t", "min_atom"), CASES)
def test_every_allowed_family_keeps_everyone_hidden(n: int, t: int, min_atom: int) -> None:
    """All chains up to four sets, all choices of t colluding partners.

    No nonzero combination of the opened sums concerns fewer than ``min_atom - t`` honest partners.
    """
    rules = SetRules(smallest=max((n + t) // 2 + 1, t + 2), min_atom=min_atom, max_changes=3)
    families = {frozenset(f) for f in allowed_families(n, rules, 4)}
    for family in families:
        for colluding in itertools.combinations(range(n), t):
            exposed = smallest_group_exposed(tuple(family), frozenset(colluding), n)
            assert exposed >= min(min_atom - t, 3), (family, colluding)


@pytest.mark.parametrize(("smallest", "min_atom"), [(2, 0), (4, 0), (2, 1)])
def test_without_the_atom_rule_somebody_is_exposed(smallest: int, min_atom: int) -> None:
    rules = SetRules(smallest=smallest, min_atom=min_atom, max_changes=3)
    families = list(allowed_families(5, rules, 2))
    assert min(smallest_group_exposed(f, frozenset({0}), 5) for f in families) == 1
