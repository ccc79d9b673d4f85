"""One process at a time changes the coordinator's keys or their passphrase."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from coordinator.config import KEY_FILE, CoordinatorConfig
from machine.files import make_folder_for_owner
from machine.locks import held
from protocol.errors import UsageError

_CHANGING: Final = "changing.lock"
_CHANGED_S: Final = 10.0


@contextmanager
def changing_keys(config: CoordinatorConfig, *, wait_s: float | None = None) -> Iterator[None]:
    """Hold the lock of whoever changes the keys; raises UsageError when another process does.

    Args:
        wait_s: How long to wait for that one to end; some seconds when left out.
    """
    folder = (config.directory / KEY_FILE).parent
    make_folder_for_owner(folder)
    with held(folder / _CHANGING, wait_s=_CHANGED_S if wait_s is None else wait_s) as ours:
        if not ours:
            raise UsageError("another process changes the coordinator's keys", remedy="try again")
        yield
