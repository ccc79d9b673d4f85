"""A serving node at the control port: shows itself, renews its certificate, takes agreements up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Final

from cryptography import x509

from machine.files import write_file
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.joining import checked_certificate
from partner_node.control.taking_up import take_up
from partner_node.home import NodeHome
from partner_node.membership import CERTIFICATE_FILE
from protocol.control.calls import RENEW, STANDING
from protocol.control.v1.control_pb2 import (
    RenewReply,
    RenewRequest,
    StandingReply,
    StandingRequest,
)
from protocol.errors import FedsegError

logger = logging.getLogger(__name__)

_EVERY_S: Final = 30.0
#: So long as no agreement is there, people wait for it.
_WAITING_S: Final = 1.0
#: A certificate that ends sooner is renewed: two months in which the coordinator may be away.
_RENEW_BEFORE: Final = timedelta(days=60)
_DISTRIBUTION: Final = "fedseg"


def show_up(channel: Channel) -> bool:
    """Say that this node is there; returns whether it is admitted."""
    version = metadata.version(_DISTRIBUTION)
    reply = channel.call(STANDING, StandingRequest(version=version), StandingReply)
    return reply.standing == StandingReply.ADMITTED


def renew_in_time(home: NodeHome, channel: Channel, *, now: datetime) -> bool:
    """Have the node's certificate made anew if it ends within two months; whether it was.

    The one before stays good until its end, so whatever is interrupted can be done again.
    """
    path = home.keys_folder / CERTIFICATE_FILE
    end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    if end - now > _RENEW_BEFORE:
        return False
    reply = channel.call(RENEW, RenewRequest(), RenewReply)
    write_file(path, checked_certificate(reply.certificate, home.keystore()), mode=0o600)
    return True


@contextmanager
def present(home: NodeHome, *, every_s: float = _EVERY_S) -> Iterator[None]:
    """Show up at the control port, now and again and again, until the block ends.

    An agreement that every party signed is taken up.

    A node that did not join by invitation is in no control plane; nothing is done then. One whose
    coordinator is away goes on, and tries again.
    """
    if home.config.coordinator.control is None:
        yield
        return
    presence = _Presence(home, every_s)
    keeper = threading.Thread(target=presence.keep, name="presence")
    keeper.start()
    try:
        yield
    finally:
        presence.end()
        keeper.join()


class _Presence:
    """Shows a node up until it ends."""

    def __init__(self, home: NodeHome, every_s: float) -> None:
        self._home = home
        self._every_s = every_s
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._channel: Channel | None = None

    def end(self) -> None:
        """End it, also in the middle of a call."""
        self._ended.set()
        with self._lock:
            if self._channel is not None:
                self._channel.close()

    def keep(self) -> None:
        """Show up every so often; what changes is logged."""
        said = ""
        while not self._ended.is_set():
            try:
                words = self._once()
            except (FedsegError, OSError) as error:
                words = str(error)
            if words != said and not self._ended.is_set():
                logger.info("control: %s", words)
                said = words
            idle = self._home.config.node.agreement.exists()
            self._ended.wait(self._every_s if idle else min(_WAITING_S, self._every_s))

    def _once(self) -> str:
        with open_channel(self._home, retries=False) as channel:
            with self._lock:
                self._channel = channel
            try:
                if not show_up(channel):
                    return "waits until the operator admits it"
                if renew_in_time(self._home, channel, now=datetime.now(UTC)):
                    logger.info("control: the node's certificate was renewed")
                take_up(self._home, channel)
                return "admitted"
            finally:
                with self._lock:
                    self._channel = None
