"""What a run left in the SuperLink is forgotten when it has ended, but not what a node may want."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Any, Final

import pytest
from flwr.common.constant import SubStatus
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import TaskType
from flwr.superlink.main import create_app

from coordinator.service import started_runs, superlink_process
from coordinator.service.started_runs import StartedRuns

_BUNDLE: Final = "ours"
_FEDERATION: Final = "@none/default"


@pytest.fixture
def state() -> LinkState:
    return create_app().state.linkstate_factory.state()  # type: ignore[no-any-return]


def _started(state: LinkState) -> int:
    """A run that goes on and has told a node's message of what it is made of."""
    run = state.create_run(None, None, _BUNDLE, {}, _FEDERATION, None, None, TaskType.SERVER_APP)
    (task,) = state.get_tasks(task_ids=[_task(state, run)])
    assert state.claim_task(task.task_id)
    assert state.activate_task(task.task_id)
    session = state.start_session(run)
    tree = ObjectTree(
        object_id=_hash(f"{run}"), children=[ObjectTree(object_id=_hash(f"in {run}"))]
    )
    assert len(state.preregister_object_tree(tree, session)) == 2
    return run


def _hash(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


def _task(state: LinkState, run: int) -> int:
    (info,) = state.get_run_info(run_ids=[run])
    return int(info.primary_task_id)


def _end(state: LinkState, run: int) -> None:
    assert state.finish_task(_task(state, run), SubStatus.COMPLETED, "")


def _left(state: Any) -> int:
    """How much there is of messages: sessions that brought them, and their parts."""
    return len(state._object_push_sessions) + len(state.object_store)


def test_a_run_that_ended_leaves_nothing_of_its_messages(state: LinkState) -> None:
    runs = StartedRuns()
    run, other = _started(state), _started(state)
    for one in (run, other):
        runs.add(one)
    assert _left(state) == 6
    runs.forget(state)
    assert _left(state) == 6
    _end(state, run)
    runs.forget(state)
    assert _left(state) == 3
    _end(state, other)
    runs.forget(state)
    assert _left(state) == 0


def test_a_message_that_a_node_did_not_fetch_waits_for_it_and_not_for_ever(
    state: LinkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = {"message"}
    monkeypatch.setattr(state, "get_message_ids_from_run_id", lambda run: waits)
    monkeypatch.setattr(state, "delete_messages", waits.__isub__)
    clock = [time.monotonic()]
    monkeypatch.setattr(started_runs.time, "monotonic", lambda: clock[-1])
    runs, run = StartedRuns(), _started(state)
    runs.add(run)
    _end(state, run)
    for later in (0, 3_599):
        clock.append(clock[0] + later)
        runs.forget(state)
        assert (_left(state), waits) == (3, {"message"})
    clock.append(clock[0] + 3_601)
    runs.forget(state)
    assert (_left(state), waits) == (0, set())


def test_the_thread_that_starts_drivers_forgets_as_well(
    state: LinkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the start of a driver to what its run left, as the SuperLink's process does it."""

    class _Drivers:
        def __init__(self, socket: str, *, ready: object) -> None: ...

        def await_tokens(self) -> bool:
            return True

        def start(self, token: str) -> None:
            assert state.activate_task(_task(state, run))
            _end(state, run)

    class _Factory:
        looks = 0

        def state(self) -> LinkState:
            self.looks += 1
            if self.looks > 20:
                raise OSError("enough")
            return state

    class _EndedError(Exception):
        """The process has ended."""

    def end(status: int) -> None:
        raise _EndedError

    monkeypatch.setattr(superlink_process, "_Drivers", _Drivers)
    monkeypatch.setattr(superlink_process, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(superlink_process.os, "_exit", end)
    run = state.create_run(None, None, _BUNDLE, {}, _FEDERATION, None, None, TaskType.SERVER_APP)
    session = state.start_session(run)
    state.preregister_object_tree(ObjectTree(object_id=_hash("a message")), session)
    with pytest.raises(_EndedError):
        superlink_process._start_drivers(_Factory(), "", frozenset({_BUNDLE}), threading.Event())  # type: ignore[arg-type]
    assert _left(state) == 0
