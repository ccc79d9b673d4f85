"""The process of one driver: Flower's ServerApp, talking to the SuperLink over its Unix socket.

``python -P -m coordinator.service.driver_process SOCKET``, started by
`coordinator.service.superlink_process`. Flower's own command is given its token as an argument,
which every user of the machine can read, and reaches a port only.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import partial
from queue import Queue
from types import ModuleType
from typing import Any, Final

from coordinator.service.unix_socket import client_of

#: Flower's grid of simulations, which is imported beside that of deployments. It brings SQLAlchemy
#: and Alembic, which are half of what a driver would import before its run begins.
_SIMULATIONS: Final = "flwr.superlink.grid.inmemory_grid"


def _without_simulations() -> None:
    """Have an empty class stand for that grid, in this process alone."""
    stand_in = ModuleType(_SIMULATIONS)
    stand_in.InMemoryGrid = type("InMemoryGrid", (), {})  # type: ignore[attr-defined]
    sys.modules.setdefault(_SIMULATIONS, stand_in)


if __name__ == "__main__":  # elsewhere a driver's modules are imported beside others
    _without_simulations()

from flwr.superlink.grid import HttpGrid  # noqa: E402

#: Environment variable with the token by which the SuperLink knows the driver.
TOKEN_VARIABLE: Final = "FEDSEG_DRIVER_TOKEN"  # noqa: S105 - its name

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
    """Run the ServerApp of the task that the token is for; ends the process."""
    runtime = importlib.import_module("flwr.superlink.runtime.run_serverapp")
    runtime.HttpGrid = partial(_SocketGrid, socket=socket)  # type: ignore[attr-defined]
    runtime.run_serverapp(
        runtime_api_address="superlink",
        log_queue=Queue(),
        token=os.environ.pop(TOKEN_VARIABLE),
        insecure=True,
        parent_pid=os.getppid(),
        runtime_dependency_install=False,
    )


if __name__ == "__main__":
    main(sys.argv[1])
