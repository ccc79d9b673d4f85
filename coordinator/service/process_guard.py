"""Runs one program and ends everything that it started along with it.

``python process_guard.py GRACE_SECONDS PROGRAM [ARGUMENT …]``, started by
`coordinator.service.superlink`. The SuperLink starts drivers, and what these start may be in no
common process group. The guard adopts orphans (Linux), and ends the whole tree when

* its standard input closes: the coordinator ended, even by ``kill -9``;
* the program ends, however it ends: its helpers are useless without it;
* it receives SIGTERM or SIGINT.

First line on standard output: the program's process id. Exit status: the program's, or 128 plus
the signal that ended it. Only the standard library is imported: it starts in some 30 ms.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY_S = 0.1
#: Signals wake the guard, also that of a child's end; it looks so often besides.
_LOOK_AT_LEAST_EVERY_S = 5.0


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants() -> list[int]:
    """Processes below this one, from /proc; empty where there is none."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = entry.read_text(encoding="ascii", errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        state, parent = stat.rpartition(")")[2].split()[:2]
        if state != "Z":
            parents[int(entry.parent.name)] = int(parent)
    found: list[int] = []
    level = {os.getpid()}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found.extend(level)
    return found


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _end_tree(program: subprocess.Popen[bytes], grace_s: float) -> None:
    """End all processes: SIGTERM first, SIGKILL after the grace period."""
    deadline = time.monotonic() + grace_s
    if program.poll() is None:
        program.terminate()
    asked: set[int] = set()
    while time.monotonic() < deadline:
        ended = program.poll() is not None
        left = [pid for pid in _descendants() if pid != program.pid]
        if ended:
            _signal_all([pid for pid in left if pid not in asked], signal.SIGTERM)
            asked.update(left)
            _reap()
            if not left:
                return
        time.sleep(_LOOK_EVERY_S / 2)
    for _ in range(20):
        left = _descendants()
        _signal_all(left, signal.SIGKILL)
        program.poll()
        _reap()
        if not left:
            return
        time.sleep(_LOOK_EVERY_S)


def main(arguments: list[str]) -> int:
    """Run the program until it or the coordinator ends."""
    grace_s, command = float(arguments[0]), arguments[1:]
    asked_to_end = False

    def ask_to_end(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked_to_end
        asked_to_end = True

    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it is told of
    signal.signal(signal.SIGTERM, ask_to_end)
    signal.signal(signal.SIGINT, ask_to_end)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    program = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        # The guard has one thread, so the program dies with the guard and not with a thread.
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    sys.stdout.write(f"{program.pid}\n")
    sys.stdout.flush()
    while not asked_to_end and program.poll() is None:
        ready, _, _ = select.select([sys.stdin, heard], [], [], _LOOK_AT_LEAST_EVERY_S)
        if heard in ready:
            os.read(heard, 1024)
        if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1):
            break
    ended_by_itself = program.poll() is not None
    _end_tree(program, 1.0 if ended_by_itself else grace_s)
    code = program.returncode if program.returncode is not None else -signal.SIGKILL
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
