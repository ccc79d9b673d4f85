"""Putting into force what every party signed online, at a node that serves."""

from __future__ import annotations

import logging

from partner_node.agreeing import install_agreement
from partner_node.control.channel import Channel
from partner_node.control.proposals import fetch, file_of, listed
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement

logger = logging.getLogger(__name__)


def take_up(home: NodeHome, channel: Channel) -> Agreement | None:
    """Install the newest agreement that every party signed, this node too, if it is a next one.

    Where none is in force it is the first; else it has to be a later version of that one. Another
    agreement is put in its place by a person alone, `agreement install`.

    Returns:
        What was put into force; None when nothing was.

    Raises:
        FedsegError: The coordinator is not reached, or what it says is not so: a signature is
            missing or wrong, or the version does not follow (E-AGR-ROLLBACK).
    """
    found = next((one for one in listed(channel) if one.complete), None)
    installed = home.installed_agreement()
    if found is None or (
        installed is not None and not _follows(found.id, found.version, installed)
    ):
        return None
    signed = fetch(home, channel, found)
    agreement = install_agreement(home, signed, file_of(home, found.hash)).agreement
    logger.info(
        "control: agreement %s, version %s, is in force here, signed by all %s parties",
        *(agreement.id, agreement.version, agreement.n_partners),
    )
    return agreement


def _follows(id: str, version: int, installed: Agreement) -> bool:
    return id == installed.id and version > installed.version
