"""The nodes of one folder: one for each agreement in force, over one state and one set of keys.

A customer's wishes and the ledger are common to all; chains, runs and releases are an agreement's.
A message is for the node under whose agreement it was signed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from partner_node.agreeing import take_effect
from partner_node.home import NodeHome
from partner_node.node import Node
from partner_node.open_keys import OpenKeys
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from partner_node.store.waiting import WaitingVersions
from protocol.errors import FedsegError
from protocol.log.outside_facts import OutsideFacts
from protocol.signing import key_id

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedNodes:
    """The nodes of one folder.

    Attributes:
        nodes: In the order of the configuration; one at least.
        failed: Why the node of another agreement could not be opened.
    """

    nodes: tuple[Node, ...]
    store: NodeStore
    failed: tuple[FedsegError, ...] = ()

    @staticmethod
    def open(directory: Path, *, keys: OpenKeys | None = None) -> ServedNodes:
        """Open the nodes of a folder, as its ``node.toml`` says.

        An agreement under which none can be opened keeps the others from nothing, and its messages
        are refused for that reason.

        Args:
            keys: The folder's, as this process has them open; None where it has not.

        Raises:
            FedsegError: There is no agreement, or a node can be opened under none.
        """
        home = NodeHome.load(directory, keys=keys)
        home.in_force()  # before anything is opened: they may not be in order
        store = home.store(home.keystore())
        try:
            return ServedNodes._opened(home, store)
        except BaseException:
            store.close()
            raise

    @staticmethod
    def _opened(home: NodeHome, store: NodeStore) -> ServedNodes:
        _note_facts(home, store)
        take_effect(home, store, datetime.now(UTC))
        agreements = home.agreements_in_force()
        kept_by = agreements if home.all_are_read() else []
        nodes: list[Node] = []
        failed: list[FedsegError] = []
        for place in home.filled():
            try:
                nodes.append(Node.open(place, store, in_force=kept_by))
            except FedsegError as error:
                logger.warning("%s: %s", place.config.node.agreement, error)
                failed.append(error)
        if not nodes:
            raise failed[0]
        if not failed:  # else a run may be under the agreement that cannot be read now
            with store.transaction():
                ended = store.end_runs_outside(
                    {one.hash for one in agreements}, now=stamp(datetime.now(UTC))
                )
            for run_id in ended:
                logger.info("run %s ended here: E-RUN-SUPERSEDED", run_id.hex())
        return ServedNodes(nodes=tuple(nodes), store=store, failed=tuple(failed))

    def handle(self, message: bytes) -> bytes:
        """Answer one request of a coordinator; as `Node.handle`.

        Raises:
            FedsegError: The request is refused.
        """
        return self._asked(message).handle(message)

    def answer(self, message: bytes, beside: bytes) -> tuple[bytes, bytes]:
        """As `handle`, with what travels beside request and reply; as `Node.answer`."""
        return self._asked(message).answer(message, beside)

    def _asked(self, message: bytes) -> Node:
        """The node under whose agreement a request is; one that refuses it where there is none."""
        for node in self.nodes:
            if node.is_asked(message):
                return node
        if self.failed:
            raise self.failed[0]
        return self.nodes[0]

    def is_overtaken(self, now: datetime) -> bool:
        """Whether a version that waited is effective now."""
        at = WaitingVersions(self.store).next_at()
        return at is not None and at <= now

    @property
    def words(self) -> str:
        """Which agreements are served."""
        return "; ".join(
            f"agreement {node.agreement.id}, version {node.agreement.version}"
            for node in self.nodes
        )


def _note_facts(home: NodeHome, store: NodeStore) -> None:
    """Have the audit log say with which settings and key this node serves, where they changed."""
    facts, now = OutsideFacts(store, store.log), stamp(datetime.now(UTC))
    with store.transaction():
        facts.note_restored(now=now)
        facts.note_settings(home.config.written, now=now)
        facts.note_key(key_id(home.keystore().identity_public), now=now)
