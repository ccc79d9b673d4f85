"""An HTTP client that follows the file with the authorities it trusts."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from machine.files import mark_of
from protocol.errors import ConfigError

logger = logging.getLogger(__name__)


class TrustingClient:
    """Makes a new client when the file was replaced; one in use is closed after its last call.

    Args:
        file: The authorities, PEM.
        make: Makes a client that trusts what is in the file; raises ConfigError.
    """

    def __init__(self, file: Path, make: Callable[[], httpx.Client]) -> None:
        self._file = file
        self._make = make
        self._lock = threading.Lock()
        self._mark = mark_of(file)
        self._client = make()
        self._users: Counter[httpx.Client] = Counter()

    @contextmanager
    def now(self) -> Iterator[httpx.Client]:
        """The client, for one call."""
        with self._lock:
            self._follow()
            client = self._client
            self._users[client] += 1
        try:
            yield client
        finally:
            with self._lock:
                self._users[client] -= 1
                if not self._users[client]:
                    del self._users[client]
                    if client is not self._client:
                        client.close()

    def close(self) -> None:
        """Close the client; calls that are going on end."""
        with self._lock:
            self._client.close()

    def _follow(self) -> None:
        mark = mark_of(self._file)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            made = self._make()
        except ConfigError as error:  # it goes on with what was trusted before
            logger.warning("%s; %s", error.message, error.remedy)
            return
        before, self._client = self._client, made
        if before not in self._users:
            before.close()
