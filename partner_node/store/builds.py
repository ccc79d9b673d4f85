"""Builds that parties added to agreements, as this node accepted them."""

from __future__ import annotations

from partner_node.store.node_store import NodeStore
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement
from protocol.agreement.software import Build
from protocol.log.entries import BUILD


class AcceptedBuilds:
    """The added builds in a node's state database; checked when they are kept and when read."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def accept(self, added: AddedBuild, agreement: Agreement, *, now: str) -> bool:
        """Keep a build that everybody signed who has to; whether it is new.

        Raises:
            AgreementError: Not everybody did, or it is for another agreement.
        """
        with self._store.transaction():
            known = self._store.one(
                "SELECT 1 FROM builds WHERE agreement_hash = ? AND build_hash = ?",
                agreement.hash,
                added.hash,
            )
            added.verify(agreement, kept=known is not None)
            if known is None:
                self._store.ask(
                    "INSERT INTO builds VALUES (?, ?, ?, ?)",
                    agreement.hash,
                    added.hash,
                    now,
                    added.to_bytes(),
                )
                self._store.log.append(
                    BUILD,
                    at=now,
                    agreement_hash=agreement.hash.hex(),
                    build=added.build.sha256.hex(),
                )
        return known is None

    def of(self, agreement: Agreement) -> list[AddedBuild]:
        """Those of an agreement, in the order in which they were accepted."""
        rows = self._store.ask(
            "SELECT envelope FROM builds WHERE agreement_hash = ? ORDER BY rowid", agreement.hash
        )
        found = [AddedBuild.from_bytes(bytes(envelope)) for (envelope,) in rows]
        for one in found:
            one.verify(agreement, kept=True)
        return found

    def allowed(self, agreement: Agreement) -> frozenset[Build]:
        """The builds themselves."""
        return frozenset(one.build for one in self.of(agreement))
