"""Flower's SuperLink on a Unix socket, and the start of drivers.

``python -P -m coordinator.service.superlink_process SOCKET LOG BUNDLE_HASH …``, started by
`coordinator.service.superlink`. It is the application that Flower's own command serves, but that
command listens on a port only, where every user of the machine may start code in the name of the
coordinator (docs/adr/0019). A thread stands in place of Flower's SuperExec: it starts a driver for
each run of a bundle with one of the given hashes, and for no other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Final

import uvicorn
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import TaskType
from flwr.supercore.servicer.runtime.runtime_handlers import acquire_task
from flwr.superlink.main import create_app
from starlette.types import ASGIApp, Receive, Scope, Send

from coordinator.service.driver_process import READY
from coordinator.service.started_runs import StartedRuns
from coordinator.service.superlink_layers import thin_out
from machine import logs

logger = logging.getLogger(__name__)

#: The call that submits a run. After it, and at least so often, is looked for one.
_SUBMIT: Final = "/v1/control/start-run"
_LOOK_EVERY_S: Final = 1.0
#: Of a line that it says no more is logged as one.
_MOST_LINE_BYTES: Final = 1_000
#: A process for drivers that ended is started again after so many seconds at the earliest.
_START_AGAIN_S: Final = 1.0


def main(socket: str, log_file: str, bundles: Sequence[str]) -> None:
    """Serve until a signal ends the process."""
    os.umask(0o077)  # also for what drivers write
    logs.to_file(Path(log_file), level=logging.WARNING)
    logging.getLogger("flwr").handlers.clear()  # it would write to standard error without end
    logging.getLogger("flwr").propagate = True
    app = create_app()
    thin_out(app)
    app.state.enable_supernode_auth = True
    submitted = threading.Event()
    threading.Thread(
        target=_start_drivers,
        args=(app.state.linkstate_factory, socket, frozenset(bundles), submitted),
        daemon=True,
    ).start()
    serve(_Telling(app, submitted), socket)


def serve(app: ASGIApp, socket: str) -> None:
    """Answer on the socket until a signal ends the process."""
    config = uvicorn.Config(
        app, uds=socket, log_config=None, access_log=False, date_header=False, server_header=False
    )
    _Server(config).run()


class _Server(uvicorn.Server):
    """Waits for a signal; uvicorn's own looks ten times a second whether one came."""

    async def main_loop(self) -> None:
        self._ended, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if not self.should_exit:
            await self._ended.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if hasattr(self, "_loop"):
            self._loop.call_soon_threadsafe(self._ended.set)


class _Telling:
    """Passes calls on, and tells when one that submits a run has been answered."""

    def __init__(self, app: ASGIApp, submitted: threading.Event) -> None:
        self._app = app
        self._submitted = submitted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        if scope.get("path") == _SUBMIT:
            self._submitted.set()


def _start_drivers(
    states: LinkStateFactory, socket: str, bundles: frozenset[str], submitted: threading.Event
) -> None:
    """Start a driver for each submitted run; ends the process when that cannot go on."""
    drivers = _Drivers(socket, ready=submitted.set)
    runs = StartedRuns()
    request = AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
    try:
        while True:
            submitted.clear()
            runs.forget(states.state())
            if not drivers.await_tokens():
                submitted.wait(_LOOK_EVERY_S)
                continue
            acquired = acquire_task(request, states.state())
            if acquired.token and acquired.task.fab_hash in bundles:
                runs.add(acquired.task.run_id)
                drivers.start(acquired.token)
            elif acquired.token:
                logger.warning("refused to start the bundle %s", acquired.task.fab_hash)
                states.state().finish_task(
                    acquired.task.task_id, SubStatus.FAILED, "this bundle is not started here"
                )
            submitted.wait(0.0 if acquired.token else _LOOK_EVERY_S)
    except Exception:
        logger.exception("no driver can be started any more")
        os._exit(1)  # the coordinator starts it all again


class _Drivers:
    """The process that drivers are forked from; started anew where it has ended.

    Args:
        ready: Called in another thread once it awaits tokens.
    """

    def __init__(self, socket: str, *, ready: Callable[[], None] = lambda: None) -> None:
        self._command = (sys.executable, "-P", "-m", "coordinator.service.driver_process", socket)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = -_START_AGAIN_S
        self._tell_ready = ready
        self._is_ready = threading.Event()

    def await_tokens(self) -> bool:
        """Start it, or start it again where it has ended; with it its drivers ended too.

        Returns:
            Whether it awaits tokens now. A task that is acquired before is lost with it.
        """
        if self._process is not None and self._process.poll() is None:
            return self._is_ready.is_set()
        if time.monotonic() - self._started < _START_AGAIN_S:
            return False
        self._started = time.monotonic()
        if self._process is not None and self._process.stdin is not None:
            logger.warning(
                "what starts drivers ended (%s), and is started again", self._process.returncode
            )
            self._process.stdin.close()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._is_ready = threading.Event()
        threading.Thread(
            target=self._listen, args=(self._process.stdout, self._is_ready), daemon=True
        ).start()
        return False

    def _listen(self, said: IO[bytes], is_ready: threading.Event) -> None:
        """Hear when it is ready, and log whatever else it says, until it ends."""
        with closing(said):
            for line in iter(partial(said.readline, _MOST_LINE_BYTES), b""):
                words = line.rstrip()
                if words == READY:
                    is_ready.set()
                    self._tell_ready()
                elif words:
                    logger.warning("what starts drivers: %s", words.decode(errors="replace"))

    def start(self, token: str) -> None:
        """Have a driver forked; its token is in a pipe, because everybody can read arguments.

        A token that was written to a process which has just ended is lost; its run gets another
        driver, as after any other driver that did not begin.
        """
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("nothing awaits tokens")
        try:
            self._process.stdin.write(f"{token}\n".encode("ascii"))
        except BrokenPipeError:
            logger.warning("what starts drivers ended before it had a token")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
