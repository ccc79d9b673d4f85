"""Runs in this process in which one of the nodes is that of a folder, with its receipts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partner_node.consent.local_rules import NoRules
from partner_node.customers import kept_customers
from partner_node.home import NodeHome
from partner_node.node import Node
from partner_node.receipts.counted_sets import CountedSets
from partner_node.receipts.counting import Receipts
from partner_node.store.node_store import NodeStore
from protocol.agreement.governance import SEGMENTATION
from protocol.agreement.software import Software
from protocol.log.entries import Entry
from protocol.messages import Announce, Request, open_request
from protocol.queries import customer_vectors
from simulations.agreement import SOFTWARE
from simulations.federation import AgreedFederation
from tests.partner_node.nodes import OTHERS, draft, init_words
from tests.shell import Shell

IDS = [f"K-{number:03}" for number in range(60)]


class CountedRuns:
    """A folder's node of the partner north, and two others with as many customers.

    Args:
        folder: A folder with `node` in it, made by `made_folder`.
        settled: Whether its files are taken to be old enough for customers to be kept in memory.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, *, settled: bool = True) -> None:
        self.folder, self.home = folder, NodeHome.load(folder / "node")
        self._keystore = self.home.keystore()
        keys = [self._keystore.identity, *OTHERS]
        plan = {"n_clusters": 3, "max_rounds": 4}
        agreement = draft(folder / "node", plan=plan).agreement
        agreement = type(agreement).from_dict(
            agreement.to_dict()
            | {"parties": [p | {"max_customers": 500} for p in agreement.to_dict()["parties"]]}
        )
        patch.setattr(Software, "installed", staticmethod(lambda *_: SOFTWARE))
        values = np.random.default_rng(4).uniform(0, 10, (len(IDS), 1))
        self.vectors = vectors = customer_vectors(np.round(values * 1000).astype(np.int64))
        self.fed = AgreedFederation(
            agreement, [vectors] * 3, seed=5, partner_keys=keys, now=datetime.now(UTC)
        )
        self.home.config.node.agreement.write_bytes(self.fed.signed.to_bytes())
        if settled:
            patch.setattr(kept_customers, "_SETTLED_NS", -(10**12))
        self.store = self.opened()
        self.before: dict[int, Callable[[], object]] = {}
        self.asked, self.last = 0, b""
        self.fed.exchange.tamper_request = self._noting

    def opened(self) -> NodeStore:
        """The node as after a restart; its store."""
        self.home = NodeHome.load(self.folder / "node")
        store = self.home.store(self.home.keystore())
        self.fed.nodes[0] = Node.open(self.home, store)
        self.fed.nodes[0]._seed_of = self.fed.seed_of
        self.store = store
        return store

    def reopened(self, customers: Any) -> NodeStore:
        """The node as after a restart, with other customers, and without a gate; its store."""
        store = NodeStore(self.home.state_file, self._keystore, party="north")
        self.fed.nodes[0] = Node(
            self.fed.signed, self._keystore.identity, store, customers, NoRules(),
            software=SOFTWARE, receipts=Receipts(store, customers, keep=True),
            seed_of=self.fed.seed_of, threads=1,
        )  # fmt: skip
        self.store = store
        return store

    @property
    def node(self) -> Node:
        return self.fed.nodes[0]

    def request(self, message: bytes) -> Request:
        return open_request(message, coordinator_key=self.fed.agreement.keys.coordinator)

    def _noting(self, node: int, message: bytes) -> bytes:
        """Call what is to happen before the node's n-th question, from 0."""
        if node == 0 and isinstance(self.request(message), Announce):
            number, self.asked = self.asked, self.asked + 1
            self.before.pop(number, lambda: None)()
        return message

    def logged(self, kind: str) -> list[dict[str, Any]]:
        entries = self.store.log.entries(0, self.store.log.size)
        found = [Entry.from_bytes(one).to_dict() for one in entries]
        return [one for one in found if one["kind"] == kind]

    @property
    def sets(self) -> CountedSets:
        return CountedSets(self.store)

    @property
    def run_id(self) -> bytes:
        return self.store.runs()[0].run_id


def made_folder(shell: Shell, folder: Path) -> Path:
    """A folder with a node, its customers and their consents."""
    rows = np.random.default_rng(3).uniform(0, 10, len(IDS))
    lines = [f"{i},{value:.3f}" for i, value in zip(IDS, rows, strict=True)]
    (folder / "customers.csv").write_text("\n".join(["customer_id,visits", *lines]) + "\n")
    grants = [f"{i},ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1" for i in IDS]
    header = "customer_id,event,time,purpose,notice"
    (folder / "consents.csv").write_text("\n".join([header, *grants]) + "\n")
    shell.json(*init_words(folder / "node"))
    return folder
