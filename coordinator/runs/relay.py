"""What nodes say of their logs, and of each other's, is passed on beside the messages of a run.

The coordinator reads the form alone: what it means, whoever it is for checks by signatures. Of each
partner the newest is kept under an agreement's id, so that the next run begins with it.
"""

from __future__ import annotations

import logging

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.told_of_logs import ToldOfLogs
from protocol.agreement.document import Agreement
from protocol.errors import MalformedError, StoreError
from protocol.log.beside import MAX_BESIDE_BYTES, Told, passed_to

logger = logging.getLogger(__name__)


class Relay:
    """Passes on what partners' nodes say of logs.

    Nothing goes to a node that has sent nothing of it to this process: one of an earlier version
    would refuse the message that it is beside.
    """

    def __init__(self, store: CoordinatorStore, agreement: Agreement) -> None:
        self._store = store
        self._id = agreement.id
        self._names = [party.id for party in agreement.parties]
        self._told: dict[str, Told] = {}
        self._unsaved: dict[str, bytes] = {}
        self._reading: set[int] = set()
        for name, data in ToldOfLogs(store).all(self._id).items():
            self._keep(name, data)

    def take(self, node: int, partner: int | None, beside: bytes) -> None:
        """Note what came beside a node's message.

        Args:
            partner: For whom the node speaks; None where that is not known.
        """
        if not beside:
            self.forget(node)
            return
        self._reading.add(node)
        if partner is not None and self._keep(self._names[partner], beside):
            self._unsaved[self._names[partner]] = beside

    def forget(self, node: int) -> None:
        """Send a node nothing until it sends something: it may be of another version now."""
        self._reading.discard(node)

    def beside(self, node: int, partner: int | None) -> bytes:
        """What goes beside a message to a node; empty where it cannot read it, or there is none."""
        if partner is None or node not in self._reading:
            return b""
        passed = passed_to(self._names[partner], list(self._told.items()))
        data = passed.to_bytes()
        if len(data) > MAX_BESIDE_BYTES:
            logger.warning("%s bytes of logs are too many for one message", len(data))
            return b""
        return data

    def save(self) -> None:
        """Keep what came since for the next run; a store that does not take it ends nothing."""
        if not self._unsaved:
            return
        try:
            ToldOfLogs(self._store).save(self._id, self._unsaved)
        except StoreError as error:
            logger.warning("not noted: %s", error)
        else:
            self._unsaved = {}

    def _keep(self, name: str, data: bytes) -> bool:
        try:
            self._told[name] = Told.from_bytes(data)
        except MalformedError as error:
            logger.warning("what %s says of logs is passed over: %s", name, error.message)
            return False
        return True
