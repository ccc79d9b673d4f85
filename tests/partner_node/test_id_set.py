"""Sets of ids as hashes: exactly the ids that were put in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_node.consent.id_set import Halves, IdHash, IdHasher, IdSet, halves
from partner_node.sources.duckdb.sandbox import Sandbox

TEXTS = st.lists(st.text(max_size=4), max_size=40)
HASHER = IdHasher(Sandbox())


def array(ids: list[str]) -> np.ndarray:
    found = np.empty(len(ids), dtype=object)
    found[:] = ids
    return found


def set_of(*parts: list[str]) -> IdSet:
    hashing = IdHash.drawn()
    return IdSet((HASHER.halves(part, hashing) for part in parts), hashing, HASHER)


@given(parts=st.lists(TEXTS, max_size=4), asked=TEXTS)
def test_an_id_is_in_the_set_when_it_was_put_in(parts: list[list[str]], asked: list[str]) -> None:
    inside = {i for part in parts for i in part}
    asked = asked + sorted(inside)
    found = set_of(*parts)
    assert found.holds(array(asked)).tolist() == [i in inside for i in asked]
    assert len(found) == sum(map(len, parts))


class Numbers(IdHasher):
    """Ids that are two numbers, each of which is one half of their hash."""

    def halves(self, ids: object, hashing: IdHash) -> Halves:
        pairs = [str(i).split(":") for i in ids]  # type: ignore[attr-defined]
        first, second = (np.array([int(pair[k]) for pair in pairs], np.uint64) for k in (0, 1))
        return first, second


TOP = 1 << 63
HALF = st.one_of(
    st.integers(0, 3), st.integers(TOP - 2, TOP + 2), st.integers(2 * TOP - 3, 2 * TOP - 1)
)
PAIRS = st.lists(st.tuples(HALF, HALF).map(lambda pair: f"{pair[0]}:{pair[1]}"), max_size=60)


@given(inside=PAIRS, asked=PAIRS)
def test_ids_are_told_apart_that_agree_in_half_of_their_hash_or_in_its_first_bits(
    inside: list[str], asked: list[str]
) -> None:
    hashing, hasher = IdHash.drawn(), Numbers(Sandbox())
    found = IdSet([hasher.halves(inside, hashing)] if inside else [], hashing, hasher)
    asked = asked + inside
    assert found.holds(array(asked)).tolist() == [i in set(inside) for i in asked]


@pytest.mark.slow
def test_a_million_ids_are_found_and_no_other() -> None:
    ids = [f"customer-{i:08}" for i in range(1_000_000)]
    found = set_of(ids[:400_000], ids[500_000:])
    asked = found.holds(array(ids))
    assert asked[:400_000].all()
    assert not asked[400_000:500_000].any()
    assert asked[500_000:].all()


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as found:
        yield found


@settings(deadline=None)
@given(texts=st.lists(st.text(max_size=80), min_size=1, max_size=9))
def test_few_and_many_ids_have_one_hash_which_hangs_on_the_secret(texts: list[str]) -> None:
    hashing = IdHash.drawn()
    few = np.stack(HASHER.halves(texts, hashing), axis=1)
    many = np.stack(HASHER.halves([*texts, *map(str, range(2_000))], hashing), axis=1)
    assert few.tolist() == many[: len(texts)].tolist()
    for text, own in zip(texts, few.tolist(), strict=True):
        digest = hashlib.md5((hashing.secret + text).encode(), usedforsecurity=False).digest()
        assert sorted(own) == sorted(_halves(digest))
    others = np.stack(HASHER.halves(texts, IdHash.drawn()), axis=1)
    assert not (few == others).any()


def test_in_a_query_an_id_has_the_same_hash(database: duckdb.DuckDBPyConnection) -> None:
    hashing = IdHash.drawn()
    texts = ["", "007", "Ünï 客", "x" * 200]
    sql = f"SELECT {halves('h')} FROM (SELECT {hashing.of('unnest($1)')} AS h)"
    there = database.execute(sql, [texts]).fetchall()
    assert [list(pair) for pair in there] == np.stack(HASHER.halves(texts, hashing), 1).tolist()


def _halves(digest: bytes) -> list[int]:
    """All sixteen bytes of the hash are kept, in whichever order."""
    return [int.from_bytes(digest[k : k + 8], "little") for k in (0, 8)]


def test_secrets_are_drawn_anew_and_are_long() -> None:
    secrets = {IdHash.drawn().secret for _ in range(100)}
    assert len(secrets) == 100
    assert {len(secret) for secret in secrets} == {32}


def test_nobody_has_no_hash(database: duckdb.DuckDBPyConnection) -> None:
    sql = f"SELECT {IdHash.drawn().of('NULL::VARCHAR')} IS NULL"
    assert database.execute(sql).fetchall() == [(True,)]


def test_an_id_takes_sixteen_bytes_and_a_part_of_its_place() -> None:
    found = set_of([f"customer-{i:08}" for i in range(100_000)])
    assert found._first.nbytes + found._second.nbytes == 1_600_000
    assert found._starts.nbytes <= 100_000 * 4
    assert set_of().holds(array(["a"])).tolist() == [False]
    assert set_of(["a"]).holds(array([])).tolist() == []
