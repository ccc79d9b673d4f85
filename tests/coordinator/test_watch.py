"""When a store is looked at again: whenever somebody may have written, and now and then."""

from __future__ import annotations

import errno
from pathlib import Path

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.watch import Watch


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_another_process_writes_is_looked_at_and_nothing_else(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.db", Clock()
    ours, theirs = CoordinatorStore.in_file(path), CoordinatorStore.in_file(path)
    watch = Watch(ours, clock=clock)
    assert watch.may_differ(), "at first nothing is known"
    assert not watch.may_differ()
    with theirs.transaction():
        theirs.ask("INSERT INTO listening (node_key) VALUES ('k')")
    assert watch.may_differ()
    assert not watch.may_differ()
    ours.ask("SELECT * FROM listening")
    assert not watch.may_differ(), "reading is no writing"


def test_it_is_looked_at_now_and_then_in_any_case(tmp_path: Path) -> None:
    clock = Clock()
    watch = Watch(CoordinatorStore.in_file(tmp_path / "state.db"), clock=clock)
    assert watch.may_differ()
    clock.now = 1.9
    assert not watch.may_differ()
    clock.now = 2.0
    assert watch.may_differ(), "two writings within a step of the file's time look like one"


def test_where_nothing_tells_of_writings_it_is_always_looked_at() -> None:
    watch = Watch(CoordinatorStore.in_file(":memory:"), clock=Clock())
    assert [watch.may_differ() for _ in range(3)] == [True, True, True]


def test_it_is_looked_at_while_its_file_cannot_be(tmp_path: Path) -> None:
    """A folder that is away for a moment ends nobody who waits."""

    class Away:
        def mark(self) -> object:
            raise OSError(errno.EIO, "input/output error")

    watch = Watch(Away(), clock=Clock())
    assert [watch.may_differ() for _ in range(3)] == [True, True, True]
