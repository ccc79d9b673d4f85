"""The processes of drivers: Flower's ServerApp, talking to the SuperLink over its Unix socket.

``python -P -m coordinator.service.driver_process SOCKET``, started by
`coordinator.service.superlink_process`. It loads all that a driver needs, which takes longer than
most rounds, and waits; each line of its standard input is the token of a task, for which it forks
a driver that begins at once. It ends with its input. Once it has loaded all it says `READY` on its
standard output; whatever else it says there is for the log. Flower's own command is given its token
as an argument, which every user of the machine can read, and reaches a port only.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from queue import Queue
from typing import Any, BinaryIO, Final

from flwr.supercore import telemetry
from flwr.supercore.telemetry import EventType
from flwr.superlink.grid import HttpGrid

from coordinator.service.unix_socket import client_of
from protocol.privacy.accounting import epsilon_of

#: What a driver needs, loaded before there is one.
_NEEDED: Final = (
    "flwr.superlink.runtime.run_serverapp",
    "coordinator.server_app",
)
#: Said once all of it is loaded.
READY: Final = b"ready"
_ANY_DELTA: Final = 1e-6
_CALL_TIMEOUT_S: Final = 30.0


class _SocketGrid(HttpGrid):
    """Flower's grid over a Unix socket."""

    def __init__(self, *arguments: Any, socket: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._socket = socket

    def _connect(self) -> None:
        super()._connect()
        if self._client is not None:
            self._client.close()
            self._client._client = client_of(self._socket, timeout_s=_CALL_TIMEOUT_S)


def main(socket: str) -> None:
    """Fork drivers until the input ends; in each of them, run its ServerApp and end."""
    runtime, *_ = (importlib.import_module(name) for name in _NEEDED)
    runtime.HttpGrid = partial(_SocketGrid, socket=socket)  # type: ignore[attr-defined]
    tell_nobody()
    waits = os.getpid()
    epsilon_of(1, _ANY_DELTA)  # which loads the accountant, where it is asked first
    _say(READY)
    token = forked_with_token(sys.stdin.buffer)
    if not token:
        return
    _say_no_more()
    runtime.run_serverapp(
        runtime_api_address="superlink",
        log_queue=Queue(),
        token=token,
        insecure=True,
        parent_pid=waits,
        runtime_dependency_install=False,
    )


def tell_nobody() -> None:
    """Have Flower put no telemetry together: where it may not be sent, it does that for nothing.

    Each event of a run starts programs that describe the machine (``uname``, ``file``), and leaves
    a file with an identifier in the home of whoever runs it.
    """
    telemetry.create_event = _nothing_told


def _nothing_told(event_type: EventType, event_details: dict[str, Any] | None) -> str:
    return "disabled"


def forked_with_token(tokens: BinaryIO) -> str:
    """The token of a line, in a process of its own for each; at the end of the input, nothing.

    Nothing runs in this process but the loop: no thread but those of the numeric library, which
    knows of forks; so a fork is a whole copy of it. What has a token has no input, and the
    processes that it starts are its own to wait for.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for drivers: they leave nothing
    for line in iter(tokens.readline, b""):
        try:
            forked = os.fork()
        except OSError as error:  # for a moment, as a rule: the run gets another driver
            _say(f"no driver could be started: {error.strerror}".encode())
            continue
        if forked == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, tokens.fileno())
            os.close(nothing)
            return line.decode().strip()
    return ""


def _say(line: bytes) -> None:
    """Say something to whoever started this process, who may have ended."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), line + b"\n")


def _say_no_more() -> None:
    """Discard what a driver writes: it has a log of its own."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nothing, stream.fileno())
    os.close(nothing)


if __name__ == "__main__":
    main(sys.argv[1])
