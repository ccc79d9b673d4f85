"""A serving node at the control port: it listens, and does at once what is announced."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Final

from cryptography import x509

from machine.files import write_file
from partner_node.control.adding_builds import accept_builds
from partner_node.control.authorities import take_authorities
from partner_node.control.belonging import open_channel, refuse_unjoined
from partner_node.control.channel import Channel
from partner_node.control.checking import Checking, NoChecking, checking
from partner_node.control.handing_over import exchange_hand_overs
from partner_node.control.hearing import note_heard
from partner_node.control.in_force import sound_in_force
from partner_node.control.joining import checked_certificate
from partner_node.control.readiness import tell_readiness, unchecked
from partner_node.control.releases import Answer, take_releases
from partner_node.control.stopping import exchange_stops
from partner_node.control.taking_up import take_up
from partner_node.home import NodeHome
from partner_node.link.settings import Bell
from partner_node.membership import CERTIFICATE_FILE
from partner_node.store.heard import CONTROL
from protocol.control.calls import ANNOUNCEMENTS, RENEW, STANDING
from protocol.control.v1.control_pb2 import (
    Announcement,
    AnnouncementsRequest,
    RenewReply,
    RenewRequest,
    StandingReply,
    StandingRequest,
)
from protocol.errors import (
    ConfigError,
    FedsegError,
    RuleError,
    TransportError,
)

logger = logging.getLogger(__name__)

#: Waits before the coordinator is called again; each is twice the one before, and drawn.
_FIRST_WAIT_S: Final = 1.0
_MOST_WAIT_S: Final = 30.0
#: A connection that lasted so long is no failure: the next wait is a short one.
_LASTED_S: Final = 10.0
#: A certificate that ends sooner is renewed: two months in which the coordinator may be away.
_RENEW_BEFORE: Final = timedelta(days=60)
_DISTRIBUTION: Final = "fedseg"
#: What people of this partner have to do something about.
_NEWS: Final = {
    Announcement.PROPOSED: "an agreement is proposed: fedseg-node agreement proposals",
    Announcement.RELEASED: "a run ended with a release: fedseg-node segments list",
    Announcement.BUILD: "a build is proposed or added: fedseg-node agreement builds list",
    Announcement.HAND_OVER: "a signing key was replaced: fedseg-node key show",
    Announcement.STOPPED: "a partner stopped an agreement: fedseg-node agreement show",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a node stands with its coordinator.

    Attributes:
        announced: The number of the last announcement when it was told.
        clock_ahead_s: By how much this machine's clock is ahead of the coordinator's, in seconds;
            None when the coordinator does not say its time.
    """

    admitted: bool
    announced: int
    clock_ahead_s: float | None = None


def show_up(
    channel: Channel, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Standing:
    """Say that this node is there, and ask how it stands."""
    version = metadata.version(_DISTRIBUTION)
    before = clock()
    reply = channel.call(STANDING, StandingRequest(version=version), StandingReply)
    halfway_s = (before.timestamp() + clock().timestamp()) / 2
    return Standing(
        admitted=reply.standing == StandingReply.ADMITTED,
        announced=int(reply.announced),
        clock_ahead_s=halfway_s - reply.clock_ms / 1_000 if reply.clock_ms else None,
    )


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
def present(
    home: NodeHome,
    answer: Answer,
    *,
    bell: Bell | None = None,
    first_wait_s: float = _FIRST_WAIT_S,
    most_wait_s: float = _MOST_WAIT_S,
) -> Iterator[Checking | NoChecking]:
    """Listen to the coordinator until the block ends; yields what checks readiness.

    The node shows itself, renews its certificate, takes the authorities that the coordinator
    states, takes up an agreement that every party signed, exchanges stops, takes releases of runs
    at whose end it was away, and tells how ready it is: at once, and whenever something is
    announced; at least once a minute. A node that did not join by invitation is in no control
    plane: nothing is done then. One whose coordinator is away goes on, and calls again.

    Args:
        answer: What answers requests of runs here.
        bell: Rung when a run has something to ask.

    Raises:
        ConfigError: It has not joined yet (E-NO-CONTROL).
    """
    if home.config.coordinator.control is None:
        yield NoChecking()
        return
    refuse_unjoined(home)
    with checking(home) as checks:
        presence = _Presence(home, answer, checks, bell or Bell(), first_wait_s, most_wait_s)
        keeper = threading.Thread(target=presence.keep, name="presence")
        keeper.start()
        try:
            yield checks
        finally:
            presence.end()
            keeper.join()


class _Presence:
    """Listens for a node until it ends."""

    def __init__(
        self,
        home: NodeHome,
        answer: Answer,
        checks: Checking,
        bell: Bell,
        first_wait_s: float,
        most_wait_s: float,
    ) -> None:
        self._home = home
        self._answer = answer
        self._checks = checks
        self._bell = bell
        self._first_wait_s = first_wait_s
        self._most_wait_s = most_wait_s
        #: What was logged last, by what it is about.
        self._said: dict[str, str] = {}
        #: Agreements of which a check was wanted, as nothing was known.
        self._wanted = {one.hash for one in sound_in_force(home)}  # checked at the start
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
        """Listen to the coordinator; what changes is logged."""
        wait_s = self._first_wait_s
        while not self._ended.is_set():
            begun = time.monotonic()
            try:
                self._listen()
            except (FedsegError, OSError) as error:
                self._say("link", error)
                code = error.code if isinstance(error, FedsegError) else "E-CONTROL-AWAY"
                note_heard(self._home, CONTROL, reached=False, code=code)
            if time.monotonic() - begun > _LASTED_S:
                wait_s = self._first_wait_s
            # Drawn, so that not all nodes come back at once to a coordinator that was away.
            self._ended.wait(random.SystemRandom().uniform(wait_s / 2, wait_s))
            wait_s = min(2 * wait_s, self._most_wait_s)

    def _listen(self) -> None:
        """Do what is to be done now, and again with each announcement."""
        self._home = self._home.as_it_stands()
        with open_channel(self._home, retries=False) as channel:
            with self._lock:
                self._channel = channel
                if self._ended.is_set():
                    return
            try:
                after = self._attend(channel)
                request = AnnouncementsRequest(after=after)
                for one in channel.stream(ANNOUNCEMENTS, request, Announcement):
                    self._bell.is_attended = True  # at the latest a minute after it listens
                    if one.kind == Announcement.RUN:
                        self._bell.ring()
                        continue
                    if one.kind in _NEWS:
                        logger.info("control: %s", _NEWS[one.kind])
                    if one.kind == Announcement.CHECK and self._checks.ask():
                        logger.info("control: the operator asks whether this node is ready")
                    self._attend(channel)
            finally:
                self._bell.is_attended = False
                with self._lock:
                    self._channel = None

    def _attend(self, channel: Channel) -> int:
        """Ask for all that a node has to know; the number of the last announcement before.

        By its configuration as it is now. While that cannot be read all is as it was before, and
        nothing is put into force: nobody can tell where it belongs.
        """
        is_readable = self._read_settings()
        standing = show_up(channel)
        note_heard(self._home, CONTROL, reached=True)
        if not standing.admitted:
            self._say("link", "waits until the operator admits it")
            self._do((take_authorities,), channel)
            return standing.announced
        self._say("link", "admitted")
        if renew_in_time(self._home, channel, now=datetime.now(UTC)):
            logger.info("control: the node's certificate was renewed")
        self._do(
            (
                exchange_stops,  # first: nothing that fails may keep a stop from anybody
                self._exchange_hand_overs,
                take_authorities,  # under the coordinator's key in force
                *((self._take_up, accept_builds) if is_readable else ()),
                self._take_releases,
                self._tell_readiness,
            ),
            channel,
        )
        return standing.announced

    def _read_settings(self) -> bool:
        """Read the configuration anew; whether it can be read."""
        try:
            self._home = self._home.current()
        except ConfigError as error:
            self._say("settings", error)
            return False
        self._say("settings", "")
        return True

    def _do(self, steps: Sequence[Callable[[NodeHome, Channel], None]], channel: Channel) -> None:
        """Do one after the other; what is refused keeps none of the others from being done."""
        for what in steps:
            try:
                what(self._home, channel)
            except RuleError as error:  # it waits for people; the rest goes on
                self._say(what.__name__, error)
            else:
                self._say(what.__name__, "")

    def _exchange_hand_overs(self, home: NodeHome, channel: Channel) -> None:
        exchange_hand_overs(home, channel, now=datetime.now(UTC))

    def _take_up(self, home: NodeHome, channel: Channel) -> None:
        taken = take_up(home, channel)
        if taken:
            self._checks.want()
            now = datetime.now(UTC)
            self._wanted |= {one.hash for one in taken if one.effective <= now}

    def _tell_readiness(self, home: NodeHome, channel: Channel) -> None:
        """Tell it, and have what took effect meanwhile checked; once, as a check may fail."""
        new = unchecked(home) - self._wanted
        if new:
            self._wanted |= new
            self._checks.want()
        self._checks.reached()
        tell_readiness(home, channel)

    def _take_releases(self, home: NodeHome, channel: Channel) -> None:
        take_releases(home, channel, self._answer)

    def _say(self, about: str, what: str | Exception) -> None:
        """Log what changed; a refusal as a warning, with its way out."""
        words, level = str(what), logging.INFO
        if isinstance(what, FedsegError):
            words += f"; {what.remedy}" if what.remedy else ""
            level = logging.INFO if isinstance(what, TransportError) else logging.WARNING
        if words != self._said.get(about, "") and not self._ended.is_set():
            if words:
                logger.log(level, "control: %s", words)
            self._said[about] = words
