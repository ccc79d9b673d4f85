"""Following the public ports' certificate while the coordinator serves.

It is taken up when it was replaced; when it is about to end, or is of none of the authorities that
nodes were told to trust, that is said: at the start, when it is replaced, and daily.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from coordinator.config import CoordinatorConfig
from coordinator.control.authorities import StatedAuthorities
from coordinator.control.shown_certificate import ShownCertificate
from coordinator.store.coordinator_store import CoordinatorStore
from machine.files import mark_of
from protocol.errors import FedsegError

logger = logging.getLogger(__name__)

#: How often is looked whether all is well with a certificate that stays.
_DAY_S: Final = 86_400.0
#: What failed is tried again after so many seconds.
_AGAIN_S: Final = 10.0
#: So long before it ends that is said.
_EXPIRES_SOON: Final = timedelta(days=30)


class FollowedCertificate:
    """Has the ports show what is in the files of certificate and key; make it before the ports.

    Args:
        clock: Seconds.
    """

    def __init__(
        self,
        config: CoordinatorConfig,
        store: CoordinatorStore,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._marks = self._read_marks()
        self._warned_of: object = None
        #: Whether nodes still have to be told that it was replaced.
        self._to_tell = False
        self._due = float("-inf")

    def look(self, ports: Sequence[Callable[[], None]]) -> None:
        """Take up what was replaced, and have nodes ask what to trust.

        While the two files do not belong together, the certificate of before is shown. While the
        store is away, nodes are told later.

        Args:
            ports: Has each port read the files anew; raises ConfigError, and the port stays as it
                was.
        """
        self._take_up(ports)
        if self._clock() < self._due:
            return
        try:
            if self._to_tell:
                with self._store.transaction():
                    StatedAuthorities(self._store).announce()
                self._to_tell = False
            self._check()
        except FedsegError as error:
            logger.warning("the public ports' certificate will be looked at again: %s", error)
            self._due = self._clock() + _AGAIN_S
        else:
            self._due = self._clock() + _DAY_S

    def _take_up(self, ports: Sequence[Callable[[], None]]) -> None:
        marks = self._read_marks()
        if marks == self._marks:
            return
        try:
            for renew in ports:
                renew()
        except FedsegError as error:  # one file was replaced, and the other one not yet
            if marks != self._warned_of:
                logger.warning("the certificate of before is shown still: %s", error)
            self._warned_of = marks
            return
        self._marks, self._to_tell, self._due = marks, True, float("-inf")
        logger.info("%s was replaced", self._config.certificate)

    def _check(self) -> None:
        """Say what is wrong with the certificate; raises FedsegError where that is not known."""
        found, newest = ShownCertificate.read(self._config), StatedAuthorities(self._store).newest()
        until = found.chain[0].not_valid_after_utc
        if until - datetime.now(UTC) < _EXPIRES_SOON:
            logger.warning(
                "%s ends at %s: nodes then refuse it; see `fedseg-coordinator certificate renew`",
                *(self._config.certificate, f"{until:%Y-%m-%d %H:%M} UTC"),
            )
        if newest is not None and not newest.certify(found.chain):
            logger.warning(
                "%s is of none of the authorities that nodes were told to trust last: those that "
                "trust no other are cut off; see `fedseg-coordinator certificate show`",
                self._config.certificate,
            )

    def _read_marks(self) -> tuple[tuple[int, ...], ...]:
        return mark_of(self._config.certificate), mark_of(self._config.key)
