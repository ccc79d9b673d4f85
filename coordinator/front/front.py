"""Who gets a place at a public port, and who has to leave it: one rule for both ports.

A connection is counted from the moment that it is accepted, before any TLS, so silent callers
cannot use up the process's file descriptors. It is a stranger's until whoever serves it says whose
it is. Where there is no place the oldest stranger of the address with most strangers leaves, and
where one address has too many strangers its own oldest: whoever opens connections without end
displaces itself, and others of its address only for as long as they are strangers.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from coordinator.front.limits import FrontLimits, connections_possible
from coordinator.front.listening import counted_as

logger = logging.getLogger(__name__)

#: Pause of accepting when the process or the system has no descriptor left.
_ACCEPT_PAUSE_S: Final = 0.2


@dataclass(slots=True, eq=False)
class Connection:
    """A connection from the moment that it is accepted.

    Attributes:
        address: The address that it counts for.
        held: Whether a transport owns the socket and will close it.
        member: Whose it is; empty for a stranger's.
    """

    sock: socket.socket
    address: str
    held: bool = False
    member: str = ""
    _task: asyncio.Task[None] | None = field(default=None, repr=False)
    _time: asyncio.TimerHandle | None = field(default=None, repr=False)


class Front:
    """The places of one port; use it in one event loop.

    Args:
        limits: How many places there are.
        serve: Serves one connection; it is cancelled when the connection has to leave.
        files_each: File descriptors of one connection.
    """

    def __init__(
        self,
        limits: FrontLimits,
        serve: Callable[[Connection], Awaitable[None]],
        *,
        files_each: int,
    ) -> None:
        self._limits = limits
        self._serve = serve
        self._most = connections_possible(limits.connections, files_each=files_each)
        self._tasks: set[asyncio.Task[None]] = set()
        self._n_places = 0
        #: Connections of each address or member, oldest first; whoever has none is not in it.
        self._strangers: dict[str, dict[Connection, None]] = {}
        self._members: dict[str, dict[Connection, None]] = {}

    async def accept(self, listener: socket.socket) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
            except OSError as error:  # no descriptor is left at the moment, or the caller is gone
                logger.warning("cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            self.let_in(Connection(sock=sock, address=counted_as(str(peer[0]))))
            await asyncio.sleep(0)  # let open connections run

    def let_in(self, connection: Connection) -> None:
        """Give a connection a place, which another one may have to leave; or close it."""
        same = self._strangers.get(connection.address, {})
        if len(same) >= self._limits.strangers_per_address:
            self._leave(next(iter(same)))
        elif self._n_places >= self._most and not self._make_room():
            connection.sock.close()
            return
        self._n_places += 1
        self._add_stranger(connection)
        task = asyncio.ensure_future(self._serve(connection))
        connection._task = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, connection))

    def is_of(self, connection: Connection, member: str) -> None:
        """Note whose connection it is, once that is shown; the oldest of too many leaves."""
        if connection._task is None or connection.member == member:
            return
        self._remove(connection)
        connection.member = member
        ours = self._members.setdefault(member, {})
        ours[connection] = None
        if len(ours) > self._limits.per_member:
            self._leave(next(iter(ours)))

    def is_nobodys(self, connection: Connection) -> None:
        """Note that whoever has the connection may not have it any more."""
        if connection._task is not None and connection.member:
            self._remove(connection)
            self._add_stranger(connection)

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _add_stranger(self, connection: Connection) -> None:
        connection.member = ""
        self._strangers.setdefault(connection.address, {})[connection] = None
        connection._time = asyncio.get_running_loop().call_later(
            self._limits.stranger_s, self._leave, connection
        )

    def _remove(self, connection: Connection) -> None:
        """Take a connection out of those that are counted."""
        if connection._time is not None:
            connection._time.cancel()
            connection._time = None
        of, name = (
            (self._members, connection.member)
            if connection.member
            else (self._strangers, connection.address)
        )
        of[name].pop(connection)
        if not of[name]:
            del of[name]

    def _make_room(self) -> bool:
        """Have a stranger leave; returns whether there was one."""
        most = max(self._strangers.values(), key=len, default=None)
        if most is None:
            return False
        self._leave(next(iter(most)))
        return True

    def _leave(self, connection: Connection) -> None:
        task = self._give_up_place(connection)
        if task is not None:
            task.cancel()

    def _give_up_place(self, connection: Connection) -> asyncio.Task[None] | None:
        task, connection._task = connection._task, None
        if task is not None:
            self._n_places -= 1
            self._remove(connection)
        return task

    def _ended(self, task: asyncio.Task[None], connection: Connection) -> None:
        self._tasks.discard(task)
        self._give_up_place(connection)
        if not connection.held:
            connection.sock.close()
        if not task.cancelled() and task.exception() is not None:
            logger.error("a connection failed: %s", type(task.exception()).__name__)
