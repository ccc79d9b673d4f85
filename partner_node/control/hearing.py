"""Keeping whether the coordinator was heard, for `fedseg-node status`."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import UTC, datetime

from partner_node.home import NodeHome
from partner_node.store.heard import HeardRecords
from partner_node.store.times import stamp
from protocol.errors import FedsegError

logger = logging.getLogger(__name__)


def note_heard(home: NodeHome, channel: str, *, reached: bool, code: str = "") -> None:
    """Keep how a connection stands; a state that cannot be written ends nothing."""
    try:
        with closing(home.store(home.keystore())) as store:
            HeardRecords(store).note(
                channel, reached=reached, code=code, now=stamp(datetime.now(UTC))
            )
    except FedsegError as error:
        logger.warning("not noted: %s", error.code)
