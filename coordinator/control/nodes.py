"""Nodes that joined by invitation: their cards, and when they were seen last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from coordinator.control.invitations import Invitations
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import UsageError
from protocol.log import entries as kinds

_SELECT: Final[LiteralString] = (
    "SELECT node_key, partner, card, enrolled_at, seen_at, version FROM enrolled "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledRow:
    """A node that joined by invitation.

    Attributes:
        node_key: OpenSSH, without a comment.
        card: The partner's card, as it was sent.
        seen_at: When it called the control port last.
        version: Of its program; empty before it said so.
    """

    node_key: str
    partner: str
    card: bytes
    enrolled_at: str
    seen_at: str
    version: str


class EnrolledNodes:
    """The joined nodes in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def enrol(self, card: PartnerCard, data: bytes, *, invitation: str, now: datetime) -> None:
        """Keep a node's card, and the invitation as used by it.

        A node that waited for the same partner is forgotten: it joined with an earlier invitation.

        Raises:
            UsageError: The invitation is not open for this node (E-INVITATION-USED), or the node
                joined for another partner (E-ADMITTED).
        """
        key, at = bare_key(card.node_key), stamp(now)
        with self._store.transaction():
            known = self.with_key(key)
            if known is not None and known.partner != card.id:
                raise UsageError(
                    f"the node key of {card.id!r} is that of {known.partner!r} already",
                    code="E-ADMITTED",
                    remedy="every partner makes a node of its own",
                )
            Invitations(self._store).use(invitation, key, now=now)
            admitted = AdmittedNodes(self._store).key_of_partner().get(card.id, "")
            self._forget(
                row.node_key
                for row in self.all()
                if row.partner == card.id and row.node_key not in (key, bare_key(admitted))
            )
            self._store.ask(
                "INSERT INTO enrolled VALUES (?, ?, ?, ?, ?, '') ON CONFLICT (node_key) DO UPDATE"
                " SET card = excluded.card, enrolled_at = excluded.enrolled_at",
                key,
                card.id,
                data,
                at,
                at,
            )
            if known is None:
                self._store.log.append(
                    kinds.JOINED,
                    at=at,
                    partner=card.id,
                    key=hashlib.sha256(key.encode("ascii")).hexdigest(),
                )
            else:
                self._store.log.unchanged(kinds.JOINED)

    def all(self) -> list[EnrolledRow]:
        """Every joined node, by partner, those that joined last first."""
        rows = self._store.ask(_SELECT + "ORDER BY partner, enrolled_at DESC")
        return [_row(row) for row in rows]

    def with_key(self, node_key: str) -> EnrolledRow | None:
        """The node with a key (OpenSSH, without a comment); None when none joined."""
        row = self._store.one(_SELECT + "WHERE node_key = ?", node_key)
        return None if row is None else _row(row)

    def waiting(self) -> list[EnrolledRow]:
        """Those that are not admitted."""
        admitted = {bare_key(key) for key in AdmittedNodes(self._store).key_of_partner().values()}
        return [row for row in self.all() if row.node_key not in admitted]

    def note_seen(self, node_key: str, *, version: str, now: datetime) -> None:
        """Note that a node called, with which version of the program."""
        with self._store.transaction():
            self._store.ask(
                "UPDATE enrolled SET seen_at = ?, version = ? WHERE node_key = ?",
                stamp(now),
                version,
                node_key,
            )

    def forget(self, partner: str) -> bool:
        """Forget a partner's nodes; whether there was one."""
        with self._store.transaction():
            keys = [row.node_key for row in self.all() if row.partner == partner]
            self._forget(keys)
        return bool(keys)

    def _forget(self, keys: Iterable[str]) -> None:
        """Forget nodes with all that is on record of them; inside a transaction."""
        for key in keys:
            self._store.ask("DELETE FROM readiness WHERE node_key = ?", key)
            self._store.ask("DELETE FROM listening WHERE node_key = ?", key)
            self._store.ask("DELETE FROM certified WHERE node_key = ?", key)
            self._store.ask("DELETE FROM trusting WHERE node_key = ?", key)
            self._store.ask("DELETE FROM enrolled WHERE node_key = ?", key)


def bare_key(node_key: str) -> str:
    """A public key in OpenSSH form without its comment.

    >>> bare_key("ecdsa-sha2-nistp384 AAAA north@example")
    'ecdsa-sha2-nistp384 AAAA'
    """
    return " ".join(node_key.split()[:2])


def _row(row: tuple[str, str, bytes, str, str, str]) -> EnrolledRow:
    return EnrolledRow(
        node_key=row[0],
        partner=row[1],
        card=bytes(row[2]),
        enrolled_at=row[3],
        seen_at=row[4],
        version=row[5],
    )
