from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from machine.signals import set_when_asked_to_end

ENDS = """
import threading
from machine.signals import set_when_asked_to_end
stop = threading.Event()
set_when_asked_to_end(stop)
print("ready", flush=True)
while not stop.wait(0.0001):
    pass
print("ended", flush=True)
"""

ASKED_WHILE_IT_ENDS = """
import os, threading
from machine.signals import set_when_asked_to_end
class Last:
    def __del__(self, kill=os.kill, me=os.getpid()):
        kill(me, {number})
set_when_asked_to_end(threading.Event())
last = Last()
"""


def test_a_signal_is_heeded_while_the_events_own_lock_is_held() -> None:
    stop = threading.Event()
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        set_when_asked_to_end(stop)
        with stop._cond:  # as in the midst of `wait` or `set`
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        assert stop.wait(60)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_asked_again_and_again_ends(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDS], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(50):
            process.send_signal(number)
        try:
            assert process.stdout.readline() == "ended\n"
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_asked_while_the_interpreter_ends_was_not_killed(
    number: signal.Signals,
) -> None:
    program = ASKED_WHILE_IT_ENDS.format(number=int(number))
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
