"""Invitations on record: one a partner at a time, each for one node, until it ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from cryptography import x509

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp
from protocol.errors import UsageError
from protocol.log import entries as kinds

_SELECT: Final[LiteralString] = (
    "SELECT id, partner, authority, made_at, expires_at, node_key FROM invitations "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRow:
    """One invitation that was made; its secret is not kept.

    Attributes:
        id: By what it is known (`invitation_id`).
        authority: The certificate (PEM) of its key, which the control port trusts.
        node_key: The node that joined with it, OpenSSH; None before.
    """

    id: str
    partner: str
    authority: str
    made_at: str
    expires_at: str
    node_key: str | None

    def certificate(self) -> x509.Certificate:
        """The certificate of its key."""
        return x509.load_pem_x509_certificate(self.authority.encode("ascii"))


class Invitations:
    """The invitations in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def add(self, row: InvitationRow) -> bool:
        """Keep a new invitation, in place of the partner's earlier ones.

        Returns:
            Whether an earlier one that nobody had joined with is worth nothing any more.
        """
        with self._store.transaction():
            open_before = any(
                one.node_key is None
                for one in self.valid(row.made_at)
                if one.partner == row.partner
            )
            self._store.ask("DELETE FROM invitations WHERE partner = ?", row.partner)
            self._store.ask(
                "INSERT INTO invitations VALUES (?, ?, ?, ?, ?, NULL)",
                row.id,
                row.partner,
                row.authority,
                row.made_at,
                row.expires_at,
            )
            self._store.log.append(
                kinds.INVITED, at=row.made_at, partner=row.partner, expires=row.expires_at
            )
        return open_before

    def withdraw(self, partner: str) -> bool:
        """Make a partner's invitations worth nothing; whether there was one."""
        with self._store.transaction():
            found = self._store.one("SELECT 1 FROM invitations WHERE partner = ?", partner)
            self._store.ask("DELETE FROM invitations WHERE partner = ?", partner)
        return found is not None

    def valid(self, now: datetime | str) -> list[InvitationRow]:
        """Those that have not ended, by partner; also those that a node joined with.

        A node whose answer was lost on the way asks again with the same one.
        """
        at = now if isinstance(now, str) else stamp(now)
        rows = self._store.ask(_SELECT + "WHERE expires_at > ? ORDER BY partner", at)
        return [
            InvitationRow(
                id=row[0],
                partner=row[1],
                authority=row[2],
                made_at=row[3],
                expires_at=row[4],
                node_key=row[5],
            )
            for row in rows
        ]

    def use(self, id: str, node_key: str, *, now: datetime) -> None:
        """Note which node joined; call it in the transaction that keeps the node.

        Raises:
            UsageError: It has ended or was withdrawn, or another node joined with it
                (E-INVITATION-USED).
        """
        row = next((row for row in self.valid(now) if row.id == id), None)
        if row is None or row.node_key not in (None, node_key):
            raise UsageError(
                "the invitation is not open any more",
                code="E-INVITATION-USED",
                remedy="ask the operator for a new one: fedseg-coordinator partner invite",
            )
        self._store.ask("UPDATE invitations SET node_key = ? WHERE id = ?", node_key, id)
