"""The authorities that nodes shall trust, as they were stated last, and which node does.

They are those of the public ports' certificate, and of the next one while it waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control.announcements import AUTHORITIES, Announcements
from coordinator.control.nodes import EnrolledNodes, bare_key
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp
from protocol.control.authorities import Authorities
from protocol.log import entries as kinds


class StatedAuthorities:
    """The statement in the coordinator's database: the last one alone."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def newest(self) -> Authorities | None:
        """The last statement; None before the first."""
        row = self._store.one("SELECT envelope FROM authorities ORDER BY number DESC LIMIT 1")
        return None if row is None else Authorities.from_bytes(bytes(row[0]))

    def state(
        self,
        certificates: Iterable[x509.Certificate],
        key: Ed25519PrivateKey,
        *,
        now: datetime,
        least: int = 0,
    ) -> Authorities:
        """State which authorities nodes shall trust from now on, and tell every node that joined.

        Its number is the time, so that it is greater than that of any statement that a database
        knew which was put back from a backup.

        Args:
            least: The least number, where nodes took one that is greater than the time: it was
                stated under a clock that was ahead, by a database that a backup took the place of.
        """
        with self._store.transaction():
            last = self.newest()
            after = 1 if last is None else last.number + 1
            number = max(round(1_000 * now.timestamp()), after, least)
            made = Authorities.sign(certificates, key, number=number)
            self._store.ask("DELETE FROM authorities")
            self._store.ask(
                "INSERT INTO authorities VALUES (?, ?, ?)", number, made.to_bytes(), stamp(now)
            )
            self._store.log.append(
                kinds.AUTHORITY,
                at=stamp(now),
                number=number,
                sha256=hashlib.sha256(made.to_bytes()).hexdigest(),
            )
            self.announce()
        return made

    def announce(self) -> None:
        """Have every node that joined ask for it; inside a transaction."""
        partners = sorted({row.partner for row in EnrolledNodes(self._store).all()})
        Announcements(self._store).add(AUTHORITIES, partners)

    def note_taken(self, node_key: str, number: int) -> None:
        """Note which statement a node took last, as it says; 0 for none."""
        if self.taken().get(node_key) == number:  # as nearly always
            return
        with self._store.transaction():
            self._store.ask(
                "INSERT INTO trusting VALUES (?, ?)"
                " ON CONFLICT (node_key) DO UPDATE SET number = excluded.number",
                node_key,
                number,
            )

    def taken(self) -> Mapping[str, int]:
        """The number of the statement that each node took last, by its key."""
        return dict(self._store.ask("SELECT node_key, number FROM trusting"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """Admitted partners whose nodes have not taken the last statement.

    Attributes:
        online: Those whose nodes joined: they take it when they serve, if their program knows how.
        by_hand: Those whose nodes did not: they get a file, and nothing is known of them.
    """

    online: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()

    def without(self, names: Collection[str]) -> Outstanding:
        """It without some partners."""
        return Outstanding(
            online=tuple(name for name in self.online if name not in names),
            by_hand=tuple(name for name in self.by_hand if name not in names),
        )

    @property
    def all(self) -> tuple[str, ...]:
        """Both, by partner."""
        return tuple(sorted((*self.online, *self.by_hand)))


def outstanding(store: CoordinatorStore) -> Outstanding:
    """Who has not taken the last statement; nobody before the first."""
    stated = StatedAuthorities(store)
    newest, taken = stated.newest(), stated.taken()
    if newest is None:
        return Outstanding()
    joined = {row.node_key for row in EnrolledNodes(store).all()}
    online, by_hand = [], []
    for partner, key in sorted(AdmittedNodes(store).key_of_partner().items()):
        if bare_key(key) not in joined:
            by_hand.append(partner)
        elif taken.get(bare_key(key)) != newest.number:
            online.append(partner)
    return Outstanding(online=tuple(online), by_hand=tuple(by_hand))
