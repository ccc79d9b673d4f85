"""Taking up a certificate that was replaced while the coordinator serves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from coordinator.config import CoordinatorConfig
from coordinator.control.authorities import StatedAuthorities
from coordinator.control.shown_certificate import ShownCertificate
from coordinator.store.coordinator_store import CoordinatorStore
from machine.files import mark_of
from protocol.errors import FedsegError

logger = logging.getLogger(__name__)


class FollowedCertificate:
    """Has the ports show what is in the files of certificate and key; make it before the ports."""

    def __init__(self, config: CoordinatorConfig, store: CoordinatorStore) -> None:
        self._config = config
        self._store = store
        self._marks = self._read_marks()
        self._warned_of: object = None

    def look(self, ports: Sequence[Callable[[], None]]) -> None:
        """Take up what was replaced, and have nodes ask what to trust.

        While the two files do not belong together, the certificate of before is shown.

        Args:
            ports: Has each port read the files anew; raises ConfigError, and the port stays as it
                was.
        """
        marks = self._read_marks()
        if marks == self._marks:
            return
        try:
            for renew in ports:
                renew()
            self._told()
        except FedsegError as error:  # one file was replaced, and the other one not yet
            if marks != self._warned_of:
                logger.warning("the certificate of before is shown still: %s", error)
            self._warned_of = marks
            return
        self._marks = marks

    def _told(self) -> None:
        found, stated = ShownCertificate.read(self._config), StatedAuthorities(self._store)
        until = found.chain[0].not_valid_after_utc
        logger.info("%s was replaced; it ends at %s", self._config.certificate,
                    f"{until:%Y-%m-%d %H:%M} UTC")  # fmt: skip
        newest = stated.newest()
        if newest is not None and not newest.certify(found.chain):
            logger.warning(
                "%s is of none of the authorities that nodes were told to trust last: those that "
                "trust no other are cut off; see `fedseg-coordinator certificate show`",
                self._config.certificate,
            )
        with self._store.transaction():
            stated.announce()

    def _read_marks(self) -> tuple[tuple[int, ...], ...]:
        return mark_of(self._config.certificate), mark_of(self._config.key)
