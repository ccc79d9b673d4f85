"""Kills a process, with no chance to clean up, before each system call that changes files."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

#: More calls than anything that is tested makes.
_MOST_CALLS: Final = 200
_CHANGING: Final = ("open", "write", "fsync", "link", "replace", "rename", "unlink", "mkdir")


def killed_before_every_call(action: Callable[[], object]) -> Iterator[int]:
    """Run `action` again and again in forks, each killed one call later; the number of the call.

    The last fork is not killed and ends well: nothing is given for it. A write that is interrupted
    has written half.
    """
    for number in range(_MOST_CALLS):
        if not _is_killed_before(number, action):
            assert number > 3, "nothing was written"
            return
        yield number
    raise AssertionError(f"more than {_MOST_CALLS} calls")


def _is_killed_before(number: int, action: Callable[[], object]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside the runner's threads
        pid = os.fork()
    if pid == 0:
        try:
            _count_down(number)
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the action failed before it was killed"
    return False


def _count_down(number: int) -> None:
    left = number

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                if name == "write":
                    descriptor, data = args
                    call(descriptor, bytes(data)[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return call(*args, **options)

        return instead

    for name in _CHANGING:
        setattr(os, name, counted(name, getattr(os, name)))
