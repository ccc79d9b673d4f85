"""Versions that every party signed and that are not effective yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from partner_node.store.node_store import NodeStore
from partner_node.store.times import moment, stamp
from protocol.signed_agreement import SignedAgreement

#: No version is higher: the largest whole number of a database.
MAX_VERSION: Final = 2**63 - 1


class WaitingVersions:
    """The waiting versions in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def keep(self, signed: SignedAgreement) -> None:
        """Keep a version until it is effective; inside a transaction."""
        agreement = signed.agreement
        self._store.ask(
            "INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, ?)",
            agreement.hash,
            agreement.id,
            agreement.version,
            stamp(agreement.effective),
            signed.to_bytes(),
        )

    def forget(
        self,
        agreement_id: str,
        *,
        now: str,
        from_version: int = 0,
        until_version: int = MAX_VERSION,
    ) -> None:
        """Have versions of an agreement wait no more, all unless said otherwise; in a transaction.

        They are kept (`NodeStore.keep_agreement`): what two people have to do by them stays known.
        The version that was in force last stays the last one that was kept.

        Args:
            from_version, until_version: The first and the last of them.
        """
        last = self._store.latest_agreement(agreement_id)
        for one in self.all():
            agreement = one.agreement
            named = agreement.id == agreement_id
            if named and from_version <= agreement.version <= until_version:
                if self._store.agreement(agreement.hash) is None:
                    self._store.keep_agreement(one, now=now)
                self._store.ask("DELETE FROM waiting WHERE agreement_hash = ?", agreement.hash)
        if last is not None:
            self._store.keep_agreement(last, now=now)

    def all(self) -> Sequence[SignedAgreement]:
        """Every one, by agreement and version."""
        rows = self._store.ask("SELECT envelope FROM waiting ORDER BY id, version")
        return [SignedAgreement.from_bytes(bytes(envelope), kept=True) for (envelope,) in rows]

    def latest(self, agreement_id: str) -> SignedAgreement | None:
        """The highest version of an agreement that waits; None when none does."""
        return next((one for one in reversed(self.all()) if one.agreement.id == agreement_id), None)

    def due(self, now: datetime) -> Sequence[SignedAgreement]:
        """The highest version of each agreement that is effective now."""
        found = {one.agreement.id: one for one in self.all() if one.agreement.effective <= now}
        return list(found.values())

    def next_at(self) -> datetime | None:
        """When the next one is effective; None when none waits."""
        row = self._store.one("SELECT min(effective) FROM waiting")
        return None if row is None or row[0] is None else moment(row[0])
