"""Records of due diligence on partners, as the operator signed them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from coordinator.store.times import stamp
from protocol.agreement.diligence import DiligenceRecord
from protocol.agreement.document import Agreement
from protocol.errors import RuleError
from protocol.log import entries as kinds


class Diligence:
    """The records in the coordinator's database; a later one of a partner holds in place of all."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def add(self, record: DiligenceRecord, *, now: datetime) -> None:
        """Keep a record."""
        with self._store.transaction():
            self._store.ask(
                "INSERT INTO diligence (number, partner, envelope, added_at) VALUES"
                " ((SELECT coalesce(max(number), 0) + 1 FROM diligence), ?, ?, ?)",
                record.partner,
                record.to_bytes(),
                stamp(now),
            )
            self._store.log.append(
                kinds.DILIGENCE,
                at=stamp(now),
                partner=record.partner,
                sha256=hashlib.sha256(record.to_bytes()).hexdigest(),
            )

    def all(self) -> Sequence[DiligenceRecord]:
        """Every record, the newest first."""
        rows = self._store.ask("SELECT envelope FROM diligence ORDER BY number DESC")
        return [DiligenceRecord.from_bytes(bytes(envelope)) for (envelope,) in rows]

    def newest(self) -> dict[str, DiligenceRecord]:
        """The newest record of each partner, by its id."""
        return {record.partner: record for record in reversed(self.all())}

    def check(self, agreement: Agreement, now: datetime) -> None:
        """Refuse an agreement that demands records which some parties lack.

        Raises:
            RuleError: E-DILIGENCE, naming each party and why.
            AgreementError: A record is not signed by the agreement's coordinator.
        """
        if not agreement.diligence:
            return
        newest, lacking, known = self.newest(), [], KeptHandOvers(self._store).load()
        for party in agreement.parties:
            record = newest.get(party.id)
            if record is None:
                lacking.append(f"{party.id} (no record)")
                continue
            record.verify(agreement.coordinator.public_key, known=known)
            if not record.is_of(party.public_key, known=known):
                lacking.append(f"{party.id} (a record of another key)")
            elif not record.holds_for(party.public_key, now, known=known):
                lacking.append(
                    f"{party.id} (holds {record.at:%Y-%m-%d} to {record.expires:%Y-%m-%d})"
                )
        if lacking:
            raise RuleError(
                f"agreement {agreement.id!r} demands due diligence on every party; it is missing "
                f"or over for {', '.join(lacking)}",
                code="E-DILIGENCE",
                remedy="fedseg-coordinator partner diligence add PARTNER",
            )
