"""A wire between a node and a port that a test can cut, slow down and mend."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Wire:
    """A port on loopback that leads to another.

    Attributes:
        to: The port that it leads to.
        late_s: For how long each piece of data is held back.
    """

    to: int
    late_s: float = 0.0
    is_cut: bool = False
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _ends: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """Its own port."""
        return int(self.listener.getsockname()[1])

    def cut(self) -> None:
        """Break every connection, and let no new one through until it is mended."""
        self.is_cut = True
        with self._lock:
            ends = [*self._ends]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let everything through, at once."""
        self.is_cut, self.late_s = False, 0.0

    def serve(self) -> None:
        """Take callers until the listener is shut."""
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(caller,), daemon=True).start()

    def _lead(self, caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            if self.is_cut:
                return
            with socket.create_connection(("127.0.0.1", self.to), 10) as there:
                there.settimeout(None)
                with self._lock:
                    self._ends |= {caller, there}
                back = threading.Thread(target=self._pass, args=(there, caller), daemon=True)
                back.start()
                self._pass(caller, there)
                back.join()
                with self._lock:
                    self._ends -= {caller, there}

    def _pass(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self.late_s:
                    time.sleep(self.late_s)
                to.sendall(data)
        for one in (source, to):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire(to: int) -> Iterator[Wire]:
    """A wire while the block runs."""
    made = Wire(to)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.cut()
        with contextlib.suppress(OSError):
            made.listener.shutdown(socket.SHUT_RDWR)
        made.listener.close()
        thread.join(10)
