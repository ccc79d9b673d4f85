"""How each partner stands with the coordinator, and shutting one out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from coordinator.control.announcements import REMOVED, Announcements
from coordinator.control.authorities import StatedAuthorities
from coordinator.control.certified import Certified
from coordinator.control.invitations import Invitations
from coordinator.control.joined import shown_code
from coordinator.control.listening import Listening
from coordinator.control.nodes import EnrolledNodes, bare_key
from coordinator.control.readiness import ReadinessRecords, ReadinessRow
from coordinator.runs.in_force import next_to_run
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from coordinator.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.errors import UsageError

#: How a party stands to the next run.
READY: Final = "ready"
NOT_READY: Final = "not ready"
UNKNOWN: Final = "not known"
AWAY: Final = "away"
LEFT_OUT: Final = "left out"
#: A node that listens shows itself once a minute.
_LISTENS: Final = timedelta(minutes=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerStanding:
    """One line of `partner list`.

    Attributes:
        state: ``invited``, ``waits for its code`` or ``admitted``.
        code: The short code of a node that joined; empty where a card came as a file.
        seen_at: When its node called the control port last; empty for never.
        listens: Whether its node listens to announcements now; None where it did not join.
        expires_at: The end of an invitation; empty otherwise.
        certificate_until: The end of its node's newest certificate; empty where that is not known.
        authorities: The number of the statement of authorities that its node took last; 0 for
            none, and None where its node never said so.
        readiness: What its node said of each agreement, in the version that its next run is under.
    """

    partner: str
    state: str
    code: str = ""
    node_key: str = ""
    seen_at: str = ""
    version: str = ""
    listens: bool | None = None
    expires_at: str = ""
    certificate_until: str = ""
    authorities: int | None = None
    readiness: tuple[tuple[Agreement, ReadinessRow], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The line as JSON values."""
        return {
            "partner": self.partner,
            "state": self.state,
            "code": self.code,
            "node_key": self.node_key,
            "seen_at": self.seen_at,
            "version": self.version,
            "listens": self.listens,
            "expires_at": self.expires_at,
            "certificate_until": self.certificate_until,
            "authorities": self.authorities,
            "readiness": [row.to_dict(agreement) for agreement, row in self.readiness],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Was:
    """What a partner was before it was shut out."""

    admitted: bool
    joined: bool
    invited: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "was_admitted": self.admitted,
            "had_joined": self.joined,
            "was_invited": self.invited,
        }


def standings(
    store: CoordinatorStore, *, coordinator_key: bytes, now: datetime
) -> list[PartnerStanding]:
    """How every partner stands, by partner; one that joins anew has a line for each node.

    Args:
        coordinator_key: As for `shown_code`.
    """
    nodes, known = EnrolledNodes(store), KeptHandOvers(store).load()
    said, listening = _said(store, now), Listening(store).all()
    certified, taken = Certified(store).all(), StatedAuthorities(store).taken()
    joined = {row.node_key: row for row in nodes.all()}
    found = []
    for partner, key in AdmittedNodes(store).key_of_partner().items():
        row = joined.pop(bare_key(key), None)
        found.append(
            PartnerStanding(
                partner=partner,
                state="admitted",
                node_key=key,
                code="" if row is None else shown_code(row, known, coordinator_key=coordinator_key),
                seen_at="" if row is None else row.seen_at,
                version="" if row is None else row.version,
                listens=None if row is None else row.node_key in listening,
                certificate_until=certified.get(bare_key(key), ""),
                authorities=taken.get(bare_key(key)),
                readiness=tuple(said.get(bare_key(key), ())),
            )
        )
    found += [
        PartnerStanding(
            partner=row.partner,
            state="waits for its code",
            node_key=row.node_key,
            code=shown_code(row, known, coordinator_key=coordinator_key),
            seen_at=row.seen_at,
            version=row.version,
            listens=row.node_key in listening,
            certificate_until=certified.get(row.node_key, ""),
            authorities=taken.get(row.node_key),
        )
        for row in joined.values()
    ]
    found += [
        PartnerStanding(partner=row.partner, state="invited", expires_at=row.expires_at)
        for row in Invitations(store).valid(now)
        if row.node_key is None
    ]
    return sorted(found, key=lambda one: (one.partner, one.state))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerReadiness:
    """How a party of an agreement stands to its next run.

    Attributes:
        state: One of `READY`, `NOT_READY`, `UNKNOWN`, `AWAY` and `LEFT_OUT`.
        seen_at: When its node called the control port last; empty for never.
        said: What its node said of this agreement; None when it has said nothing.
    """

    partner: str
    state: str
    seen_at: str = ""
    said: ReadinessRow | None = None

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "partner": self.partner,
            "state": self.state,
            "seen_at": self.seen_at,
            "codes": [] if self.said is None else list(self.said.codes),
            "since": "" if self.said is None else self.said.since,
            "told_at": "" if self.said is None else self.said.told_at,
            "version": "" if self.said is None else self.said.version,
        }


def parties_readiness(
    store: CoordinatorStore, agreement: Agreement, *, without: Collection[str], now: datetime
) -> list[PartnerReadiness]:
    """How each party stands to the next run, in the agreement's order.

    Args:
        without: Ids of those that are to be left out.
    """
    keys, nodes = AdmittedNodes(store).key_of_partner(), EnrolledNodes(store)
    said = ReadinessRecords(store).of(agreement.hash)
    there, lately = Listening(store).all(), stamp(now - _LISTENS)
    found = []
    for party in agreement.parties:
        key = bare_key(keys.get(party.id, ""))
        node, told = nodes.with_key(key), said.get(key)
        seen_at = "" if node is None else node.seen_at
        if party.id in without:
            state = LEFT_OUT
        elif not key or (node is not None and (key not in there or seen_at < lately)):
            state = AWAY
        elif told is None:
            state = UNKNOWN
        else:
            state = NOT_READY if told.codes else READY
        found.append(PartnerReadiness(partner=party.id, state=state, seen_at=seen_at, said=told))
    return found


def _said(
    store: CoordinatorStore, now: datetime
) -> dict[str, list[tuple[Agreement, ReadinessRow]]]:
    """What nodes said of the version of each agreement that its next run is under, by their key."""
    found: dict[str, list[tuple[Agreement, ReadinessRow]]] = {}
    for _, agreement in sorted(next_to_run(store, now).items()):
        for key, row in ReadinessRecords(store).of(agreement.hash).items():
            found.setdefault(key, []).append((agreement, row))
    return found


def shut_out(store: CoordinatorStore, partner: str) -> Was:
    """Withdraw a partner's invitation, forget its node and admit it no longer.

    Raises:
        UsageError: It is neither invited nor joined nor admitted.
    """
    with store.transaction():
        admitted = partner in AdmittedNodes(store).key_of_partner()
        found = store.one(
            "SELECT 1 FROM invitations WHERE partner = ? UNION SELECT 1 FROM enrolled"
            " WHERE partner = ?",
            partner,
            partner,
        )
        if not admitted and found is None:
            raise UsageError(
                f"no node is admitted for {partner!r}, none joined, and it is not invited",
                remedy="see `fedseg-coordinator partner list`",
            )
    if admitted:
        AdmittedNodes(store).remove(partner)
    was = Was(
        admitted=admitted,
        joined=EnrolledNodes(store).forget(partner),
        invited=Invitations(store).withdraw(partner),
    )
    with store.transaction():
        Announcements(store).add(REMOVED, [partner])
    return was
