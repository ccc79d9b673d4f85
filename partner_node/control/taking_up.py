"""Putting into force what every party signed online, at a node that serves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from partner_node.agreeing import install_agreement, latest_version
from partner_node.control.channel import Channel
from partner_node.control.one_by_one import one_by_one
from partner_node.control.proposals import Proposed, fetch, file_of, listed
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.errors import AgreementError

logger = logging.getLogger(__name__)


def take_up(home: NodeHome, channel: Channel) -> list[Agreement]:
    """Install what every party signed, this node too, as far as it follows what is in force.

    What is not effective yet waits, and what is in force goes on until then.

    At each place of the configuration: later versions of what is in force there, one after the
    other; where nothing is, the newest agreement that belongs there. Another agreement is put in
    the place of one by a person alone, `agreement install`.

    What is signed with a key that this node handed over, and was not signed here, is left alone,
    and keeps none that comes after it away.

    Returns:
        What was put into force or waits, in that order.

    Raises:
        FedsegError: The coordinator is not reached, or what it says is not so: an agreement is
            another than it told of (E-AGR-OTHER), a signature is missing or wrong, or the version
            does not follow (E-AGR-ROLLBACK). What belongs to other places is installed. Or one is
            signed with a key that was handed over (E-KEY-ROTATED); all else is installed.
    """
    complete = [one for one in listed(channel) if one.complete]
    taken: list[Agreement] = []

    def take_up_at(place: NodeHome) -> None:
        here = [one for one in complete if home.under(one.id).section == place.section]
        left_alone: AgreementError | None = None
        while (found := _next(here, _latest(home, place))) is not None:
            here.remove(found)  # each once, whatever the coordinator says
            signed = fetch(home, channel, found)
            try:
                done = install_agreement(home, signed, file_of(home, found.hash))
            except AgreementError as error:
                if error.code != "E-KEY-ROTATED":
                    raise
                left_alone = left_alone or error  # what else there is may be right
                continue
            agreement = done.agreement
            logger.info(
                "control: agreement %s, version %s, is in force here%s, signed by all %s parties",
                *(agreement.id, agreement.version),
                f" from {agreement.effective:%Y-%m-%d %H:%M} UTC" if done.waits else "",
                agreement.n_partners,
            )
            taken.append(agreement)
        if left_alone is not None:
            raise left_alone

    one_by_one(partial(take_up_at, place) for place in home.places())
    return taken


def _latest(home: NodeHome, place: NodeHome) -> Agreement | None:
    """What is in force at a place, or the last version of it that waits; None for nothing."""
    installed = place.installed_agreement()
    if installed is None:
        return None
    with closing(home.store(home.keystore())) as store:
        return latest_version(store, installed, installed.id)


def _next(complete: Sequence[Proposed], installed: Agreement | None) -> Proposed | None:
    """Which of several, newest first, comes after the agreement in force."""
    if installed is None:
        return next(iter(complete), None)
    later = [one for one in complete if _follows(one.id, one.version, installed)]
    return min(later, key=lambda one: one.version, default=None)


def _follows(id: str, version: int, installed: Agreement) -> bool:
    return id == installed.id and version > installed.version
