"""A witness beside a log that forks and a carrier that keeps back, repeats, reorders and spoils."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from protocol.log import tree
from protocol.log.checkpoints import Checkpoint
from protocol.log.witness import MAX_STATES_KEPT, Held, Proof, Verdict
from tests.protocol.log.trees import Kept, kept

ORIGIN = "fedseg/north/00/pilot"


def branch(*names: str) -> Kept:
    """A log whose entries have these names."""
    return kept([tree.leaf_hash(one.encode()) for one in names])


def state(log: Kept, size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, tree.root(size, log))


def proof(log: Kept, old: int, new: int) -> Proof:
    return Proof(old, tuple(tree.consistency_proof(old, new, log)))


MAIN = branch("a", "b", "c", "d", "e")
FORK = branch("a", "b", "x", "y", "z")


def test_what_follows_is_cosigned_and_nothing_else() -> None:
    held = Held()
    assert held.judge(state(MAIN, 0), None) is Verdict.OLDER
    assert held.judge(state(MAIN, 3), None) is Verdict.NEWER, "the first follows from nothing"
    held = held.with_newer(state(MAIN, 3))
    assert held.judge(state(MAIN, 3), None) is Verdict.SAME
    assert held.judge(state(MAIN, 2), None) is Verdict.OLDER
    newer = state(MAIN, 5)
    assert held.judge(newer, None) is Verdict.UNPROVEN
    assert held.judge(newer, proof(MAIN, 2, 5)) is Verdict.UNPROVEN, "from another state"
    assert held.judge(newer, Proof(3, proof(FORK, 3, 5).hashes)) is Verdict.UNPROVEN
    assert held.judge(state(FORK, 5), proof(FORK, 3, 5)) is Verdict.UNPROVEN
    assert held.judge(newer, Proof(3, (b"short",))) is Verdict.UNPROVEN
    assert held.judge(newer, proof(MAIN, 3, 5)) is Verdict.NEWER


def test_two_roots_of_one_size_accuse_and_stop_until_people_accept() -> None:
    held = Held().with_newer(state(MAIN, 3)).with_newer(state(MAIN, 4))
    assert held.judge(state(FORK, 2), None) is Verdict.OLDER
    assert held.judge(state(FORK, 3), None) is Verdict.FORKED, "not the newest, and known"
    forked = Held(size=4, root=held.root, roots=held.roots, forked=True)
    assert forked.judge(state(MAIN, 5), proof(MAIN, 4, 5)) is Verdict.STOPPED
    accepted = forked.accepting(state(FORK, 3))
    assert accepted.judge(state(FORK, 5), proof(FORK, 3, 5)) is Verdict.NEWER
    for size in (3, 4):
        assert accepted.judge(state(MAIN, size), None) is Verdict.OLDER, "a branch that was left"
    assert accepted.judge(state(MAIN, 5), proof(MAIN, 3, 5)) is Verdict.UNPROVEN
    again = accepted.with_newer(state(FORK, 5))
    assert again.judge(state(MAIN, 5), None) is Verdict.FORKED


def test_so_many_states_are_compared() -> None:
    held = Held()
    log = branch(*map(str, range(MAX_STATES_KEPT + 1)))
    for size in range(1, MAX_STATES_KEPT + 2):
        held = held.with_newer(state(log, size))
    assert len(held.roots) == MAX_STATES_KEPT
    assert held.judge(Checkpoint(ORIGIN, 1, bytes(32)), None) is Verdict.OLDER
    assert held.judge(Checkpoint(ORIGIN, 2, bytes(32)), None) is Verdict.FORKED


@dataclass(frozen=True, slots=True)
class Delivery:
    """One state of one branch, with a proof from a size of one branch, or none."""

    of: Kept = field(compare=False)
    size: int
    proof: Proof | None


def deliveries() -> list[Delivery]:
    """Every state of up to four entries of two branches, with every proof of both that there is."""
    found = []
    for log, size in itertools.product((MAIN, FORK), range(5)):
        proofs: list[Proof | None] = [None]
        for other, old in itertools.product((MAIN, FORK), range(size + 1)):
            one = proof(other, old, size)
            if one not in proofs:
                proofs.append(one)
        found += [Delivery(log, size, one) for one in proofs]
    return found


def begins(old: Checkpoint, new: Checkpoint, log: Kept) -> bool:
    return old.size <= new.size and tree.root(old.size, log) == old.root


def test_in_every_order_what_is_cosigned_is_one_history() -> None:
    """All sequences of four deliveries, as sets of what a witness holds after each."""
    offered = deliveries()
    assert len(offered) > 20
    open_states: set[tuple[int, bytes, tuple[tuple[int, bytes], ...]]] = {(0, tree.EMPTY_ROOT, ())}
    for _ in range(4):
        after = set(open_states)
        for size, root, roots in open_states:
            held = Held(size=size, root=root, roots=dict(roots))
            for one in offered:
                shown = state(one.of, one.size)
                verdict = held.judge(shown, one.proof)
                known = dict(roots).get(one.size)
                is_fork = known is not None and known != shown.root
                assert (verdict is Verdict.FORKED) == is_fork
                honest = Checkpoint(ORIGIN, size, root)
                if verdict is Verdict.NEWER:
                    assert one.size > size and begins(honest, shown, one.of)
                    newer = held.with_newer(shown)
                    after.add((newer.size, newer.root, tuple(sorted(newer.roots.items()))))
                elif begins(honest, shown, one.of) and one.size > size:
                    right = proof(one.of, size, one.size)
                    assert held.judge(shown, right) is Verdict.NEWER, "an honest one is cosigned"
        open_states = after
    for _, _, roots in open_states:
        for log in (MAIN, FORK):
            if all(tree.root(size, log) == root for size, root in roots):
                break
        else:
            raise AssertionError(f"no one history has {roots}")
