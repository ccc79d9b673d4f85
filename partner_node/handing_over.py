"""Taking hand-overs of keys at a node, wherever they came from."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from partner_node.home import NodeHome
from partner_node.membership import Membership
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import HandOvers
from protocol.errors import AgreementError


def take_up(home: NodeHome, found: Iterable[HandOver]) -> list[HandOver]:
    """Keep those that concern this node; the new ones come back.

    They concern it where an agreement that is in force here, or waits, names the key or one that
    leads to it, or where it is the coordinator's that this node joined. Others are left alone.

    Raises:
        AgreementError: One does not go with those that are known (E-KEY-…); the others are kept.
    """
    known, failure = home.hand_overs.load(), None
    for one in found:
        try:
            known = known.with_one(one)
        except AgreementError as error:
            failure = failure or error
    wanted = concerning(home, known)
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


def concerning(home: NodeHome, known: HandOvers) -> set[bytes]:
    """The hashes of hand-overs that concern this node.

    Raises:
        AgreementError: One says that a key is somebody else's (E-KEY-PARTY), or leads to a key that
            another party has (E-KEY-REUSED).
    """
    with closing(home.store(home.keystore())) as store:
        coming = [signed.agreement for signed in WaitingVersions(store).all()]
    found = [
        one.hash
        for agreement in (*home.agreements_in_force(), *coming)
        for one in agreement.with_hand_overs(known).hand_overs
    ]
    membership = Membership.load(home.directory)
    if membership is not None:
        joined = known.from_key(membership.coordinator_key, partner="")
        found += [one.hash for one in joined]
    return set(found)
