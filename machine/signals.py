"""Ending politely when the system or a person asks for it."""

from __future__ import annotations

import _thread
import signal
import threading


def set_when_asked_to_end(stop: threading.Event) -> None:
    """Have SIGTERM and SIGINT set `stop`, however often and whenever they come.

    A handler runs in the main thread between two of its steps, perhaps while that waits for `stop`
    or sets it and holds the event's own lock, for which the handler would then wait for ever.
    Another thread sets it, and starting one takes no lock.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _thread.start_new_thread(stop.set, ()))
