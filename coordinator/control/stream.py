"""The stream of announcements: one a node, as long as it listens and may.

One look at the database serves all streams. A stream that has nothing to tell says so once a
minute, so that both ends notice when the other is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final, TypeVar

from coordinator.control.announcements import (
    ADMITTED,
    AUTHORITIES,
    BUILD,
    CHECK,
    COMPLETE,
    HAND_OVER,
    PROPOSED,
    RELEASED,
    RUN,
    STOPPED,
    Announcements,
)
from coordinator.control.callers import Caller
from coordinator.control.guard import parsed
from coordinator.control.listening import Listening
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.watch import Watch
from protocol.control.v1.control_pb2 import Announcement, AnnouncementsRequest
from protocol.errors import StoreError

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")

_LOOK_EVERY_S: Final = 0.2
NOTHING_EVERY_S: Final = 60.0
_KINDS: Final = {
    ADMITTED: Announcement.ADMITTED,
    PROPOSED: Announcement.PROPOSED,
    COMPLETE: Announcement.COMPLETE,
    STOPPED: Announcement.STOPPED,
    CHECK: Announcement.CHECK,
    RELEASED: Announcement.RELEASED,
    BUILD: Announcement.BUILD,
    RUN: Announcement.RUN,
    HAND_OVER: Announcement.HAND_OVER,
    AUTHORITIES: Announcement.AUTHORITIES,
}


class Streams:
    """Tells nodes what happens.

    Args:
        store: Used in `executor` alone.
        nothing_every_s: How often a stream that has nothing to tell says so.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        executor: Executor,
        *,
        nothing_every_s: float = NOTHING_EVERY_S,
    ) -> None:
        self._watch = Watch(store)
        self._announcements = Announcements(store)
        self._listening = Listening(store)
        self._executor = executor
        self._nothing_every_s = nothing_every_s
        self._changed = asyncio.Condition()
        self._number = 0
        self._ended = False
        #: The newest stream of each node, by its key: one that it opened before ends.
        self._newest: dict[str, object] = {}

    async def look(self) -> None:
        """Look for new announcements until cancelled."""
        while True:
            if self._watch.may_differ():
                await self._look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self) -> None:
        try:
            number = await self._run(self._announcements.last)
        except StoreError as error:  # for a moment, as on a full disk
            logger.warning("control: will look again: %s", error)
            return
        if number != self._number:
            self._number = number
            await self._wake()

    async def end(self) -> None:
        """End all streams."""
        self._ended = True
        await self._wake()

    async def announcements(
        self, admitted: Callable[[], Awaitable[Caller]], request: bytes
    ) -> AsyncIterator[Announcement]:
        """What a node is told, from the number on that it names.

        Args:
            admitted: Who calls; raises RefusedError once it may not any more.
        """
        caller = await admitted()
        after = parsed(AnnouncementsRequest, request).after
        ours = self._newest[caller.node_key] = object()
        await self._wake()  # an earlier stream of the same node ends

        def goes_on() -> bool:
            return not self._ended and self._newest.get(caller.node_key) is ours

        try:
            await self._run(partial(self._listening.begin, caller.node_key))
            while goes_on():
                seen = self._number
                read = partial(self._announcements.after, after, caller.partner)
                for line in await self._run(read):
                    after = line.number
                    if line.kind in _KINDS:
                        yield Announcement(
                            number=line.number,
                            kind=_KINDS[line.kind],
                            hash=line.agreement_hash,
                        )
                if not await self._changes(partial(self._is_new, seen, goes_on)):
                    yield Announcement(number=after)
                await admitted()
        finally:
            if self._newest.get(caller.node_key) is ours:
                del self._newest[caller.node_key]
                # Not awaited: this is also where a connection that broke ends.
                self._executor.submit(self._note_end, caller.node_key)

    def _note_end(self, node_key: str) -> None:
        try:
            self._listening.end(node_key)
        except StoreError as error:
            logger.warning("control: not noted: %s", error)

    def _is_new(self, seen: int, goes_on: Callable[[], bool]) -> bool:
        return self._number != seen or not goes_on()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _changes(self, new: Callable[[], bool]) -> bool:
        """Wait until there is something new; False when there was nothing for a while."""
        try:
            async with asyncio.timeout(self._nothing_every_s), self._changed:
                await self._changed.wait_for(new)
        except TimeoutError:
            return False
        return True

    async def _run(self, action: Callable[[], _Found]) -> _Found:
        return await asyncio.get_running_loop().run_in_executor(self._executor, action)
