"""Sets of ids as hashes: exactly the ids that were put in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from partner_node.consent import id_set
from partner_node.consent.id_set import IdSet

TEXTS = st.lists(st.text(max_size=4), max_size=40)


def array(ids: list[str]) -> np.ndarray:
    found = np.empty(len(ids), dtype=object)
    found[:] = ids
    return found


@given(parts=st.lists(TEXTS, max_size=4), asked=TEXTS)
def test_an_id_is_in_the_set_when_it_was_put_in(parts: list[list[str]], asked: list[str]) -> None:
    inside = {i for part in parts for i in part}
    asked = asked + sorted(inside)
    found = IdSet(parts)
    assert found.holds(array(asked)).tolist() == [i in inside for i in asked]
    assert len(found) == sum(map(len, parts))


def test_ids_that_agree_in_the_first_hash_are_told_apart() -> None:
    def hashed(self: IdSet, ids: object) -> np.ndarray:
        values = [int(i) for i in ids]  # type: ignore[attr-defined]
        return np.array([[v % 2 for v in values], values], dtype=np.int64).reshape(2, -1)

    original = IdSet._hashed
    IdSet._hashed = hashed  # type: ignore[method-assign, assignment]
    try:
        found = IdSet([["1", "3", "5"], ["4"]])
        asked = [str(i) for i in range(9)]
        assert found.holds(array(asked)).tolist() == [i in "1345" for i in asked]
    finally:
        IdSet._hashed = original  # type: ignore[method-assign]


def test_the_secrets_differ_from_set_to_set() -> None:
    one, other = IdSet([["a"]]), IdSet([["a"]])
    assert one._first.tolist() != other._first.tolist()
    assert one._secrets[0] != one._secrets[1]
    assert one._first.tolist() != one._second.tolist()


def test_an_id_takes_sixteen_bytes() -> None:
    found = IdSet([[f"customer-{i:08}" for i in range(1_000)]])
    assert found._first.nbytes + found._second.nbytes == 16_000
    assert id_set.IdSet([]).holds(array(["a"])).tolist() == [False]
