"""Merkle trees: published roots, every proof to 70 entries, and none that was altered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from protocol.errors import LogError, MalformedError
from protocol.log import tree
from tests.protocol.log.trees import Kept, kept, naive_root

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "merkle_trees.json").read_text())
LEAVES = [tree.leaf_hash(b"%d" % at) for at in range(70)]
KEPT = kept(LEAVES)
ROOTS = [naive_root(LEAVES[:size]) for size in range(71)]
STRANGE = bytes(32)


def altered(proof: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Every proof that lacks a hash, has one more, a bit changed, or two hashes exchanged."""
    yield [*proof, STRANGE]
    yield [STRANGE, *proof]
    for at, one in enumerate(proof):
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[:at], bytes([one[0] ^ 1]) + one[1:], *proof[at + 1 :]]
        if at:
            yield [*proof[: at - 1], one, proof[at - 1], *proof[at + 1 :]]


def included(*args: object) -> bool:
    try:
        tree.check_inclusion(*args)
    except LogError as error:
        assert error.code == "E-LOG-INCLUSION"
        return False
    return True


def consistent(*args: object) -> bool:
    try:
        tree.check_consistency(*args)
    except LogError as error:
        assert error.code == "E-LOG-CONSISTENCY"
        return False
    return True


def test_published_roots_and_proofs_are_ours() -> None:
    leaves = [tree.leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
    tiles = kept(leaves)
    roots = [bytes.fromhex(one) for one in VECTORS["roots"]]
    assert [tree.root(size, tiles) for size in range(9)] == roots
    for one in VECTORS["consistency"]:
        proof = [bytes.fromhex(each) for each in one["proof"]]
        assert tree.consistency_proof(one["old"], one["new"], tiles) == proof
        assert consistent(one["old"], one["new"], proof, roots[one["old"]], roots[one["new"]])


def test_every_inclusion_proof_checks_and_no_altered_one() -> None:
    for size in range(1, 71):
        assert tree.root(size, KEPT) == ROOTS[size]
        for index in range(size):
            proof = tree.inclusion_proof(index, size, KEPT)
            assert included(LEAVES[index], index, size, proof, ROOTS[size])
            assert not included(STRANGE, index, size, proof, ROOTS[size])
            assert not included(LEAVES[index], index, size, proof, STRANGE)
            if size > 1:
                assert not included(LEAVES[index], (index + 1) % size, size, proof, ROOTS[size])
            for other in altered(proof):
                assert not included(LEAVES[index], index, size, other, ROOTS[size])


def test_every_consistency_proof_checks_and_no_altered_one() -> None:
    for new in range(71):
        for old in range(new + 1):
            proof = tree.consistency_proof(old, new, KEPT)
            assert consistent(old, new, proof, ROOTS[old], ROOTS[new])
            assert not consistent(old, new, proof, STRANGE, ROOTS[new])
            assert not consistent(old, new, [*proof, STRANGE], ROOTS[old], ROOTS[new])
            if old:
                assert not consistent(old, new, proof, ROOTS[old], STRANGE)
                assert not consistent(old - 1, new, proof, ROOTS[old], ROOTS[new])
            for other in altered(proof):
                assert not consistent(old, new, other, ROOTS[old], ROOTS[new])


def test_a_long_log_is_proved_with_few_tiles_and_stored_with_few_hashes() -> None:
    leaves = [at.to_bytes(32, "big") for at in range(66_000)]
    tiles = Kept()
    stored = sum(tiles.append(leaf) for leaf in leaves)
    assert stored == 66_000 + 66_000 // 256 + 1
    assert tree.root(66_000, tiles) == naive_root(leaves)
    tiles.reads = 0
    proof = tree.inclusion_proof(300, 66_000, tiles)
    assert tiles.reads <= 6
    assert included(leaves[300], 300, 66_000, proof, naive_root(leaves))
    tiles.reads = 0
    tree.consistency_proof(65_537, 66_000, tiles)
    assert tiles.reads <= 6


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, -1), (0, 2**63)])
def test_numbers_out_of_range_are_refused(index: int, size: int) -> None:
    for ask in (
        lambda: tree.check_inclusion(LEAVES[0], index, size, [], ROOTS[1]),
        lambda: tree.inclusion_proof(index, size, KEPT),
    ):
        with pytest.raises(MalformedError) as refused:
            ask()
        assert refused.value.code == "E-LOG-FORMAT"


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (1, 2**63)])
def test_sizes_out_of_order_are_refused(old: int, new: int) -> None:
    with pytest.raises(MalformedError):
        tree.check_consistency(old, new, [], ROOTS[1], ROOTS[1])
    with pytest.raises(MalformedError):
        tree.consistency_proof(old, new, KEPT)


def test_hashes_of_another_length_are_refused() -> None:
    for proof, leaf in (([b"short"], LEAVES[0]), (LEAVES[1:2], b"short")):
        with pytest.raises(MalformedError):
            tree.check_inclusion(leaf, 0, 2, proof, ROOTS[2])
    with pytest.raises(MalformedError):
        tree.check_consistency(1, 2, [b"short"], ROOTS[1], ROOTS[2])


def test_a_tile_that_lacks_hashes_is_told() -> None:
    short = kept(LEAVES[:5])
    with pytest.raises(LogError) as refused:
        tree.root(6, short)
    assert refused.value.code == "E-LOG-TILE"
