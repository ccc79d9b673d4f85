"""Replacing a node's signing key by a new one.

A machine may be switched off after any step, and the same command goes on: the new key is drawn
into the key store beside the old one; the hand-over that both sign is kept, and from then on the
new key is the one in force; the old key is erased.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from machine.files import write_file
from partner_node.home import CARD_FILE, NodeHome, changing_keys
from partner_node.keystore import Keystore
from partner_node.open_keys import open_keystore
from partner_node.store.node_store import NodeStore
from partner_node.store.times import moment, stamp
from protocol.agreement.document import time_text
from protocol.agreement.hand_over import HandOver
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import AgreementError, KeystoreError, UsageError
from protocol.partner_state import Phase

#: With this code runs end that began under a key that was handed over.
ROTATED: Final = "E-KEY-ROTATED"
#: No run is on foot that nothing was heard of for so long: the coordinator went on without it.
_ON_FOOT_S: Final = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """A signing key that was replaced.

    Attributes:
        agreements: Ids of the agreements in force that named the old key.
        runs_ended: Ids of runs that ended here.
    """

    hand_over: HandOver
    agreements: tuple[str, ...]
    runs_ended: list[bytes]


def rotate(home: NodeHome, *, now: datetime, end_runs: bool = False) -> Rotated:
    """Replace the signing key; go on where an earlier attempt was switched off.

    Args:
        end_runs: Whether runs that go on here end.

    Raises:
        UsageError: A run goes on here (E-KEY-RUN), or another process changes the keys.
        AgreementError: This node's key is no party's in an agreement in force, or it has there
            another name than in the configuration (E-AGR-PARTY).
        FedsegError: Keys or state cannot be read or written.
    """
    home = replace(home, _opened=[])
    with changing_keys(home):
        path = home.config.keys.store
        keystore, passphrase = open_keystore(home.config)
        known = home.hand_overs.load()
        done = keystore.following(known)
        if done is keystore:
            agreements = _named_in(home, keystore)
            _check_no_run(home, keystore, now=now, end_runs=end_runs)
            if keystore.next_identity is None:
                keystore = keystore.with_next()
                keystore.save(path, passphrase)
            home.hand_overs.take([_hand_over(home, keystore, now)])
            done = keystore.following(home.hand_overs.load())
        else:
            agreements = _named_in(home, done)
        ended = _end_runs(home, done, now)
        write_card(home, done)
        done.save(path, passphrase)  # without the old key
        return Rotated(
            hand_over=_last(home, done.identity_public), agreements=agreements, runs_ended=ended
        )


def renew(home: NodeHome, *, now: datetime) -> Keystore:
    """Replace the signing key without a hand-over: no agreement of now knows the new one.

    For a key that somebody else handed over, or may hand over, before its owner. State, ledger and
    what customers wished stay; the next version of each agreement has to name the new key.

    Raises:
        UsageError: Another process changes the keys.
        FedsegError: Keys or state cannot be read or written.
    """
    home = replace(home, _opened=[])
    with changing_keys(home):
        keystore, passphrase = open_keystore(home.config)
        anew = keystore.renewed()
        _end_runs(home, anew, now)
        anew.save(home.config.keys.store, passphrase)
        write_card(home, anew)
        return anew


def _hand_over(home: NodeHome, keystore: Keystore, now: datetime) -> HandOver:
    if keystore.next_identity is None:
        raise KeystoreError("the key store holds no next key", code="E-KEY-DAMAGED")
    return HandOver.make(
        keystore.identity,
        keystore.next_identity,
        partner=home.config.node.partner,
        number=home.hand_overs.load().number_after(keystore.identity_public),
        at=time_text(now),
    )


def _last(home: NodeHome, new_key: bytes) -> HandOver:
    return next(one for one in home.hand_overs.load() if one.new_key == new_key)


def _named_in(home: NodeHome, keystore: Keystore) -> tuple[str, ...]:
    found = []
    for agreement in home.agreements_in_force():
        party = agreement.parties[agreement.index_of_key(keystore.identity_public)]
        if party.id != home.config.node.partner:
            raise AgreementError(
                f"agreement {agreement.id!r} calls this node {party.id!r}, its configuration "
                f"{home.config.node.partner!r}: a hand-over holds for one name",
                code="E-AGR-PARTY",
                remedy="have the next version drafted with one name, and its card",
            )
        found.append(agreement.id)
    return tuple(found)


def _check_no_run(home: NodeHome, keystore: Keystore, *, now: datetime, end_runs: bool) -> None:
    with closing(home.store(keystore)) as store:
        going = [] if end_runs else runs_on_foot(store, now)
    if going:
        raise UsageError(
            f"run {going[0].hex()[:8]} goes on here, under the key that is to be replaced",
            code="E-KEY-RUN",
            remedy="wait for its end (`fedseg-node status`), or end it here with --end-runs: the "
            "others go on without this node where the agreement lets them",
        )


def runs_on_foot(store: NodeStore, now: datetime) -> list[bytes]:
    """Ids of runs that have not ended here, and of which something was heard in the last hour."""
    return [
        run.run_id
        for run in store.runs()
        if not Phase(run.phase).over and not _is_past(run.updated_at, now)
    ]


def _is_past(updated_at: str, now: datetime) -> bool:
    return (now - moment(updated_at)).total_seconds() > _ON_FOOT_S


def _end_runs(home: NodeHome, keystore: Keystore, now: datetime) -> list[bytes]:
    with closing(home.store(keystore)) as store, store.transaction():
        return store.end_all_runs(now=stamp(now), code=ROTATED)


def write_card(home: NodeHome, keystore: Keystore) -> None:
    """Write the new key into the node's card, where there is one."""
    path = home.directory / CARD_FILE
    if not path.exists():
        return
    card = PartnerCard.from_bytes(path.read_bytes())
    write_file(path, replace(card, public_key=keystore.identity_public).to_bytes())
