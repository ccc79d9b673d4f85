"""Graceful shutdown on SIGTERM and SIGINT."""

from __future__ import annotations

import _thread
import atexit
import signal
import threading


def set_when_asked_to_end(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT, however often and whenever they arrive.

    A handler runs in the main thread between two of its steps. If that thread is waiting for `stop`
    or setting it, it holds the event's own lock, and a handler that sets `stop` would deadlock. So
    the handler starts another thread, which needs no lock, and that one sets it. A process that has
    done its work and is ending is not asked any more: the interpreter puts the default back before
    it is gone, and one signal more would have it end as if it had been killed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _thread.start_new_thread(stop.set, ()))
    atexit.register(_ask_no_more)


def _ask_no_more() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
