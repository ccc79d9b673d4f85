"""Builds that are proposed for agreements, with the signatures so far."""

from __future__ import annotations

from datetime import datetime

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement
from protocol.agreement.software import Build
from protocol.errors import AgreementError
from protocol.log import entries as kinds
from protocol.signing import key_id


class AddedBuilds:
    """The builds in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def keep(self, added: AddedBuild, agreement: Agreement, *, now: datetime) -> AddedBuild:
        """Keep a build, with the signatures that are known already.

        Returns:
            It with all signatures.

        Raises:
            AgreementError: It is not for this agreement, a signature does not hold, or a new one
                is by a key that was handed over (E-KEY-ROTATED).
        """
        added.missing(agreement)
        with self._store.transaction():
            known = self.with_hash(agreement, added.hash)
            _check_new(added, known, agreement)
            joined = added if known is None else known.merged(added, agreement)
            self._store.ask(
                "INSERT INTO builds VALUES (?, ?, ?, ?) ON CONFLICT (agreement_hash, build_hash)"
                " DO UPDATE SET envelope = excluded.envelope",
                agreement.hash,
                added.hash,
                stamp(now),
                joined.to_bytes(),
            )
            if known is None:
                self._store.log.append(
                    kinds.BUILD,
                    at=stamp(now),
                    agreement_hash=agreement.hash.hex(),
                    build=added.hash.hex(),
                )
            else:
                self._store.log.unchanged(kinds.BUILD)
        return joined

    def of(self, agreement: Agreement) -> list[AddedBuild]:
        """Those of an agreement, in the order in which they were proposed."""
        rows = self._store.ask(
            "SELECT envelope FROM builds WHERE agreement_hash = ? ORDER BY proposed_at, build_hash",
            agreement.hash,
        )
        return [AddedBuild.from_bytes(bytes(envelope)) for (envelope,) in rows]

    def with_hash(self, agreement: Agreement, build_hash: bytes) -> AddedBuild | None:
        """One of them; None when there is none."""
        return next((one for one in self.of(agreement) if one.hash == build_hash), None)

    def allowed(self, agreement: Agreement) -> frozenset[Build]:
        """The builds that everybody signed who has to."""
        return frozenset(
            one.build for one in self.of(agreement) if not one.missing(agreement, kept=True)
        )


def _check_new(added: AddedBuild, known: AddedBuild | None, agreement: Agreement) -> None:
    """Refuse a new signature by a key that was handed over; one that was kept stays valid."""
    kept = set() if known is None else set(known.envelope.signatures)
    in_force = {key_id(key) for key in agreement.keys.in_force}
    if not added.envelope.signatures.keys() - kept <= in_force:
        raise AgreementError(
            "a signature on the build is by a key that its party handed over",
            code="E-KEY-ROTATED",
            remedy="have the party sign it again: `fedseg-node agreement builds sign`",
        )
