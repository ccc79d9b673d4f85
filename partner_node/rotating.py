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
from partner_node.store.times import stamp
from protocol.agreement.document import time_text
from protocol.agreement.hand_over import HandOver
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import AgreementError, KeystoreError, UsageError
from protocol.partner_state import Phase

#: With this code runs end that began under a key that was handed over.
ROTATED: Final = "E-KEY-ROTATED"


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
        end_runs: Whether runs that have not ended here end.

    Raises:
        UsageError: A run has not ended here (E-KEY-RUN), or another process changes the keys.
        AgreementError: This node's key is no party's in an agreement in force, or it has there
            another name than in the configuration (E-AGR-PARTY); or the key was handed over
            too often (E-KEY-FULL).
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
            if not end_runs:
                _check_no_run(home, keystore)
            number = known.number_after(keystore.identity_public)
            if keystore.next_identity is None:
                keystore = keystore.with_next()
                keystore.save(path, passphrase)
            home.hand_overs.take([_hand_over(home, keystore, number, now)])
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
    what customers wished stay; the next version of each agreement has to name the new key. The old
    key is in force until the card has the new one. The same command again, where that was switched
    off, draws another key.

    Raises:
        UsageError: Another process changes the keys.
        FedsegError: Keys or state cannot be read or written.
    """
    home = replace(home, _opened=[])
    with changing_keys(home):
        path = home.config.keys.store
        opened, passphrase = open_keystore(home.config)
        keystore = opened.following(home.hand_overs.load()).with_next()
        keystore.save(path, passphrase)  # one that was drawn before may be stolen with the old key
        anew = keystore.renewed()
        _end_runs(home, anew, now)
        write_card(home, anew)
        anew.save(path, passphrase)  # without the old key
        return anew


def _hand_over(home: NodeHome, keystore: Keystore, number: int, now: datetime) -> HandOver:
    if keystore.next_identity is None:
        raise KeystoreError("the key store holds no next key", code="E-KEY-DAMAGED")
    return HandOver.make(
        keystore.identity,
        keystore.next_identity,
        partner=home.config.node.partner,
        number=number,
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


def _check_no_run(home: NodeHome, keystore: Keystore) -> None:
    """Refuse while a run has not ended here, however long nothing was heard of it.

    A coordinator that was away goes on with its runs.
    """
    with closing(home.store(keystore)) as store:
        going = [run for run in store.runs() if not Phase(run.phase).over]
    if going:
        raise UsageError(
            f"run {going[0].run_id.hex()[:8]} has not ended here, and goes on under the key that "
            f"is to be replaced; something was heard of it last at {going[0].updated_at}",
            code="E-KEY-RUN",
            remedy="wait for its end (`fedseg-node status`); where the operator says that it is "
            "over, or it may go on without this node, end it here with --end-runs",
        )


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
