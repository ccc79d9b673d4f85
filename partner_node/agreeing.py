"""Installing and stopping an agreement at a node, wherever it came from."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from machine.files import write_file
from partner_node.agreement_files import naming, verified
from partner_node.home import NodeHome
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.document import Agreement
from protocol.agreement.stop import WITHDRAWN, SignedStop
from protocol.errors import AgreementError, FedsegError
from protocol.partner_state import SUPERSEDED
from protocol.signed_agreement import SignedAgreement

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An agreement that was put into force, or waits for the time when it is effective.

    Attributes:
        file: Where it is in force, or will be.
        replaces: What was in force there before; None for nothing, or the same.
        runs_ended: Ids of unfinished runs of agreements that are in force no more.
        waits: Whether what it replaces goes on until it is effective.
    """

    agreement: Agreement
    file: Path
    replaces: Agreement | None
    runs_ended: list[bytes]
    waits: bool = False


def install_agreement(
    home: NodeHome,
    signed: SignedAgreement,
    where: Path,
    *,
    downgrade: bool = False,
    now: datetime | None = None,
) -> Installed:
    """Put a fully signed agreement into force, also at a node that serves now.

    It takes the place that the configuration has for it: of its own section, or of ``[node]``. What
    is in force there goes on until the agreement is effective (`take_effect`).

    Args:
        where: The file, for messages.
        downgrade: Whether it may replace a version that it does not supersede.
        now: By which it is effective or not.

    Raises:
        AgreementError: A signature is missing or wrong, this node is no party of it, it does not
            follow the version in force (E-AGR-ROLLBACK), or it names a key that this node handed
            over and is none that it signed (E-KEY-ROTATED).
    """
    now = now or datetime.now(UTC)
    signed = home.with_keys(signed)
    agreement = verified(signed, where)
    keystore = home.keystore()
    with naming(where):
        index = agreement.index_of_key(keystore.identity_public)
    place = home.under(agreement.id)
    earlier = place.installed_agreement()
    with closing(home.store(keystore)) as store:
        if agreement.parties[index].public_key != keystore.identity_public:
            _check_signed_here(store, agreement, earlier, where)
        if not downgrade:
            _check_succession(agreement, latest_version(store, earlier, agreement.id), where)
        is_new = earlier is not None and earlier.hash != agreement.hash
        if downgrade:  # what was replaced by hand does not come back by itself
            with store.transaction():
                WaitingVersions(store).forget(
                    agreement.id, now=stamp(now), from_version=agreement.version
                )
        if is_new and agreement.effective > now:
            with store.transaction():
                WaitingVersions(store).keep(signed)
            return Installed(
                agreement=agreement,
                file=place.config.node.agreement,
                replaces=earlier,
                runs_ended=[],
                waits=True,
            )
        return _put_into_force(home, store, signed, stamp(now))


def take_effect(home: NodeHome, store: NodeStore, now: datetime) -> list[Installed]:
    """Put into force what waited and is effective now.

    What cannot be put into force keeps nothing else from it. A version whose agreement has lost its
    place to another one since is forgotten: nobody's decision is undone by a clock.
    """
    found = []
    for signed in WaitingVersions(store).due(now):
        agreement = signed.agreement
        there = home.under(agreement.id).installed_agreement()
        moved = there is not None and there.id != agreement.id
        if moved and store.latest_agreement(agreement.id) is not None:
            with store.transaction():
                WaitingVersions(store).forget(
                    agreement.id, now=stamp(now), until_version=agreement.version
                )
            logger.warning(
                "agreement %s, version %s, is not put into force: another agreement has its place",
                *(agreement.id, agreement.version),
            )
            continue
        try:
            done = _put_into_force(home, store, signed, stamp(now))
        except (FedsegError, OSError) as error:
            logger.error("agreement %s, version %s, is not put into force: %s",
                         *(agreement.id, agreement.version, error))  # fmt: skip
            continue
        found.append(done)
        logger.info(
            "agreement %s, version %s, is in force here as agreed; runs that it ended: %s",
            *(done.agreement.id, done.agreement.version, len(done.runs_ended)),
        )
    return found


def _put_into_force(
    home: NodeHome, store: NodeStore, signed: SignedAgreement, now: str
) -> Installed:
    agreement = signed.verify()
    place = home.under(agreement.id)
    earlier, file = place.installed_agreement(), place.config.node.agreement
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with store.transaction():  # first: once replaced, a file says nothing of what it was
        if earlier is not None:
            store.keep_agreement(place.signed_agreement(), now=now)
    write_file(file, signed.to_bytes())
    in_force = {one.signed_agreement().agreement.hash for one in home.in_force()}
    waiting = WaitingVersions(store)
    with store.transaction():
        waiting.forget(agreement.id, now=now, until_version=agreement.version)
        if earlier is not None and earlier.id != agreement.id:
            waiting.forget(earlier.id, now=now)
        store.keep_agreement(signed, now=now)
        if home.all_are_read():
            ended = store.end_runs_outside(in_force, now=now)
        else:  # a run may be under the agreement that cannot be read now
            gone = b"" if earlier is None else earlier.hash
            ended = [] if gone in in_force else store.end_runs_of(gone, now=now, code=SUPERSEDED)
    return Installed(
        agreement=agreement,
        file=file,
        replaces=earlier if earlier is not None and earlier.hash != agreement.hash else None,
        runs_ended=ended,
    )


def note_stop(home: NodeHome, signed: SignedStop, now: datetime) -> list[str]:
    """Record a stop and end the runs that it ends; returns their ids."""
    store = home.store(home.keystore())
    with store.transaction():
        store.note_stop(signed, now=stamp(now))
        ended = store.end_runs_of(signed.agreement_hash, now=stamp(now), code=WITHDRAWN)
    store.close()
    return [run_id.hex() for run_id in ended]


def latest_version(
    store: NodeStore, installed: Agreement | None, agreement_id: str
) -> Agreement | None:
    """The last version of an agreement that waits here, or was in force here.

    Also when another agreement is in force in its place.
    """
    waiting = WaitingVersions(store).latest(agreement_id)
    if waiting is not None:
        return waiting.agreement
    if installed is not None and installed.id == agreement_id:
        return installed
    kept = store.latest_agreement(agreement_id)
    return None if kept is None else kept.agreement


def _check_signed_here(
    store: NodeStore, agreement: Agreement, earlier: Agreement | None, file: Path
) -> None:
    """Refuse a version with this node's earlier key which nobody signed here.

    Whoever stole that key can sign with it as this node: its signature proves nothing any more.

    Raises:
        AgreementError: E-KEY-ROTATED.
    """
    known = [one.agreement.hash for one in WaitingVersions(store).all()]
    known += [] if earlier is None else [earlier.hash]
    if agreement.hash in known or store.agreement(agreement.hash) is not None:
        return
    if store.signed_at(agreement.hash) is None:
        raise AgreementError(
            f"{file} is signed with the key that this node handed over, and nobody here signed "
            f"version {agreement.version} of agreement {agreement.id}",
            code="E-KEY-ROTATED",
            remedy="do not use it: have it drafted again with the new key, and sign that. If "
            "nobody of yours signed it, somebody else has the old key: tell the other parties",
        )


def _check_succession(agreement: Agreement, earlier: Agreement | None, file: Path) -> None:
    """Refuse a version that does not follow the one that was in force here last.

    Raises:
        AgreementError: E-AGR-ROLLBACK.
    """
    if earlier is None or earlier.hash == agreement.hash:
        return
    if earlier.version == agreement.version:
        raise AgreementError(
            f"{file} has other terms than version {agreement.version} of agreement "
            f"{agreement.id} that is known here: hash {agreement.hash.hex()[:16]}… instead of "
            f"{earlier.hash.hex()[:16]}…",
            code="E-AGR-ROLLBACK",
            remedy="ask for a new version that supersedes it; or, when all parties signed these "
            "terms in its place, add --downgrade",
        )
    if earlier.version > agreement.version:
        raise AgreementError(
            f"{file} is version {agreement.version} of agreement {agreement.id}; version "
            f"{earlier.version} was in force here",
            code="E-AGR-ROLLBACK",
            remedy="install a version that is higher, or, when all parties go back to this one, "
            "add --downgrade",
        )
    if earlier.version < agreement.version and agreement.supersedes != earlier.hash:
        replaced = "" if agreement.supersedes is None else agreement.supersedes.hex()
        raise AgreementError(
            f"{file} supersedes the agreement {replaced[:16]}…; in force here was version "
            f"{earlier.version} with the hash {earlier.hash.hex()[:16]}…",
            code="E-AGR-ROLLBACK",
            remedy=f"install the versions between {earlier.version} and {agreement.version} one "
            "after another; or, when all parties mean to leave one out, add --downgrade",
        )
