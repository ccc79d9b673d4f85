"""Taking hand-overs of keys at a node, wherever they came from."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from partner_node.home import NodeHome
from partner_node.membership import Membership
from partner_node.store.refused_hand_overs import RefusedHandOvers
from partner_node.store.times import stamp
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import HandOvers
from protocol.errors import AgreementError


def take_up(home: NodeHome, found: Iterable[HandOver]) -> list[HandOver]:
    """Keep those that concern this node; the new ones come back.

    They concern it where an agreement that is in force here, or waits, names the key or one that
    leads to it, or where it is the coordinator's that this node joined. Others are left alone.

    Raises:
        AgreementError: One does not go with those that are known (E-KEY-…); the others are kept.
            A second one from a key is noted for people (`RefusedHandOvers`).
    """
    places = _Places.of(home)
    known, failure = home.hand_overs.load(), None
    wanted = places.concerned(known)
    with closing(home.store(home.keystore())) as store:
        refused = RefusedHandOvers(store)
        for one in found:
            try:
                with refused.noting_fork(one, now=stamp(datetime.now(UTC))):
                    more = known.with_one(one)
                wanted = places.concerned(more)
            except AgreementError as error:  # the others are judged without it
                failure = failure or error
                continue
            known = more
    new = home.hand_overs.take(one for one in known if one.hash in wanted)
    if failure is not None:
        raise failure
    return new


def take_up_one(home: NodeHome, one: HandOver) -> bool:
    """Keep one that a person brought; whether it is new.

    Raises:
        AgreementError: As `take_up`; or it concerns nothing here (E-KEY-STRANGER).
    """
    if home.hand_overs.load().knows(one):
        return False
    if not take_up(home, [one]):
        raise AgreementError(
            f"{one.words}: no agreement here names that old key, or one that leads to it",
            code="E-KEY-STRANGER",
            remedy="take the hand-overs of one party in their order, each with `key accept`: `key "
            "export --number N` writes them, at the party's node or at the coordinator; those that "
            "are known here: `fedseg-node key show`",
        )
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where keys are named that concern this node: agreements, and the coordinator it joined."""

    agreements: tuple[Agreement, ...]
    membership: Membership | None

    @staticmethod
    def of(home: NodeHome) -> _Places:
        with closing(home.store(home.keystore())) as store:
            coming = [signed.agreement for signed in WaitingVersions(store).all()]
        return _Places(
            agreements=(*home.agreements_in_force(), *coming),
            membership=Membership.load(home.directory),
        )

    def concerned(self, known: HandOvers) -> set[bytes]:
        """The hashes of those hand-overs that concern this node.

        Raises:
            AgreementError: One says that a key is somebody else's (E-KEY-PARTY), or leads to a key
                that another party has (E-KEY-REUSED).
        """
        found = [
            one.hash
            for agreement in self.agreements
            for one in agreement.with_hand_overs(known).hand_overs
        ]
        if self.membership is not None:
            joined = known.from_key(self.membership.coordinator_key, partner="")
            found += [one.hash for one in joined]
        return set(found)
