"""Putting into force what every party signed online, at a node that serves."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from partner_node.agreeing import install_agreement
from partner_node.control.channel import Channel
from partner_node.control.proposals import Proposed, fetch, file_of, listed
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement

logger = logging.getLogger(__name__)


def take_up(home: NodeHome, channel: Channel) -> Agreement | None:
    """Install what every party signed, this node too, as far as it follows what is in force.

    Where nothing is in force it is the newest agreement; else later versions of that one, one after
    the other. Another agreement is put in its place by a person alone, `agreement install`.

    Returns:
        What was put into force last; None when nothing was.

    Raises:
        FedsegError: The coordinator is not reached, or what it says is not so: a signature is
            missing or wrong, or the version does not follow (E-AGR-ROLLBACK).
    """
    complete = [one for one in listed(channel) if one.complete]
    taken = None
    while (found := _next(complete, home.installed_agreement())) is not None:
        signed = fetch(home, channel, found)
        taken = install_agreement(home, signed, file_of(home, found.hash)).agreement
        logger.info(
            "control: agreement %s, version %s, is in force here, signed by all %s parties",
            *(taken.id, taken.version, taken.n_partners),
        )
    return taken


def _next(complete: Sequence[Proposed], installed: Agreement | None) -> Proposed | None:
    """Which of several, newest first, comes after the agreement in force."""
    if installed is None:
        return next(iter(complete), None)
    later = [one for one in complete if _follows(one.id, one.version, installed)]
    return min(later, key=lambda one: one.version, default=None)


def _follows(id: str, version: int, installed: Agreement) -> bool:
    return id == installed.id and version > installed.version
