"""Settings of a node's link to the coordinator, and its events; nothing of Flower here."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from partner_node.link.proxy import Proxy
from protocol.errors import KeystoreError

#: SHA-256 of the code-free bundle (`coordinator.service.bundle`) that this version answers to.
APPROVED_BUNDLE_SHA256: Final = "d5c8b49f1da229da72c2d43f53aa49e3e452e88413fce21a4231f1a275527687"

#: How soon a link that waits notices that it is to stop.
_LOOK_FOR_STOP_S: Final = 0.2
#: So many times between an answer and the next message are needed to know what is usual.
_GAPS_KNOWN: Final = 3
#: The part of the usual time after which is looked for a message first, and then from step to step.
_AHEAD: Final = 0.6
_STEP: Final = 0.1
#: A link never waits longer than this without looking, in seconds.
_MOST_AHEAD_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSettings:
    """How often the node polls for messages; all in seconds.

    Attributes:
        fast_s: First wait after a message; then it grows with each empty answer.
        fast_max_s: Longest wait while a run is active.
        fast_for_s: A run counts as active for this long after the last message.
        idle_max_s: Longest wait when no run is active.
        woken_max_s: Longest wait when none was for `still_after_s`, while somebody listens who
            wakes the link (`Bell`).
        still_after_s: So long after the last message it waits no longer than `idle_max_s`.
        growth: Factor by which the wait grows after each empty answer.
        heartbeat_s: Interval of heartbeats, 10 to 1,800; the coordinator considers a dead node
            offline after twice this time.
        still_heartbeat_s: The same while the link waits up to `woken_max_s`.
        call_timeout_s: Longest wait for one answer of the gateway.
        retry_for_s: How long one call is retried before the link reconnects.
        reconnect_max_s: Longest wait between attempts to connect.
    """

    fast_s: float = 0.03
    fast_max_s: float = 0.2
    fast_for_s: float = 10.0
    idle_max_s: float = 2.0
    woken_max_s: float = 20.0
    still_after_s: float = 300.0
    growth: float = 1.3
    heartbeat_s: float = 10.0
    still_heartbeat_s: float = 30.0
    call_timeout_s: float = 20.0
    retry_for_s: float = 5.0
    reconnect_max_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """The coordinator's address and this node's identity.

    Attributes:
        address: ``host:port`` of the coordinator's gateway.
        root_certificates: Authority (PEM file) that its certificate must be signed by.
        node_key: This node's private link key, ECDSA P-384: the key, or a file with it in OpenSSH
            form without passphrase.
        node_config: Passed to the ClientApp; the coordinator cannot change it.
        bundle_sha256: Hash, in hex, of the only bundle whose runs are answered.
        poll: How often to poll.
        state_file: Stores the node id, so that a node that was killed reconnects at once instead
            of after two heartbeat intervals. None: not stored.
        proxy: The HTTP proxy on the way out; None for the direct way. Environment variables are
            not consulted here.
    """

    address: str
    root_certificates: Path
    node_key: ec.EllipticCurvePrivateKey | Path
    node_config: Mapping[str, bool | int | float | str]
    bundle_sha256: str = APPROVED_BUNDLE_SHA256
    poll: PollSettings = field(default_factory=PollSettings)
    state_file: Path | None = None
    proxy: Proxy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEvent:
    """Something that happened on the link, for the node's log and status.

    Attributes:
        kind: ``connected``, ``answered`` (a message was answered), ``refused`` (answered with an
            error code), ``dropped`` (its run ended meanwhile, or it cannot be decoded), ``lost``
                (reconnecting) or ``stopped``.
        code: The error code, when there is one.
        run: Flower's id of the run, when the event belongs to one.
    """

    kind: Literal["connected", "answered", "refused", "dropped", "lost", "stopped"]
    code: str | None = None
    run: int | None = None


def load_node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the node's link key.

    Raises:
        KeystoreError: The file is missing, readable by others, or not an ECDSA P-384 key in
            OpenSSH form without a passphrase.
    """
    remedy = "Make a new one with `fedseg-node init` and have it admitted."
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise KeystoreError(f"cannot read the link key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise KeystoreError(
            f"the link key {path} can be read by others (mode {mode & 0o777:04o})",
            remedy=f"chmod 600 {path}",
        )
    try:
        key = serialization.load_ssh_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeystoreError(
            f"{path} is not a private key in OpenSSH form without a passphrase", remedy=remedy
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise KeystoreError(f"{path} is not an ECDSA P-384 key", remedy=remedy)
    return key


class Bell:
    """Wakes a link that waits; rung by whoever hears that there is something to answer.

    Attributes:
        is_attended: Whether somebody listens for that now.
    """

    def __init__(self) -> None:
        self._rung = threading.Event()
        self.is_attended = False

    def ring(self) -> None:
        """Wake the link, or keep it from waiting the next time."""
        self._rung.set()

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait so long, until the bell is rung, or until `stop` is set; whether it was rung."""
        until = time.monotonic() + seconds
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if self._rung.wait(min(left, _LOOK_FOR_STOP_S)):
                self._rung.clear()
                return True
        return False


class Pace:
    """The wait before polling again: short during a run, growing when idle.

    With many partners a round takes as long as the slowest, and polls of those that wait would slow
    it further. So once a run's last messages came after some time each, the link waits for most of
    the shortest of these times before it polls at all.

    >>> pace = Pace(PollSettings(fast_s=1.0, fast_max_s=2.0, idle_max_s=8.0, growth=2.0))
    >>> pace.message(0.0)
    >>> [pace.nothing(second) for second in (1.0, 2.0, 9.0, 10.0, 11.0, 12.0)]
    [1.0, 2.0, 2.0, 4.0, 8.0, 8.0]
    """

    def __init__(self, poll: PollSettings) -> None:
        self._poll = poll
        self._wait = poll.fast_s / poll.growth
        self._fast_until = float("-inf")
        self._idle_until = float("-inf")
        self._answered_at = float("-inf")
        #: Seconds from an answer to the next message, of the last ones in a run.
        self._gaps: deque[float] = deque(maxlen=_GAPS_KNOWN)

    def message(self, now: float) -> None:
        """Note that there is a message at `now` (monotonic seconds), or is to be one."""
        self._wait = self._poll.fast_s / self._poll.growth
        self._fast_until = now + self._poll.fast_for_s
        self._idle_until = now + self._poll.still_after_s

    def answered(self, came: float, now: float) -> float:
        """Note that a message was answered; returns the wait before polling again, in seconds.

        Args:
            came: When it came.
            now: When its answer was handed over.
        """
        gap = came - self._answered_at
        if gap > self._poll.fast_for_s:  # another run's, or after a pause
            self._gaps.clear()
        else:
            self._gaps.append(gap)
        self._answered_at = now
        self.message(now)
        if len(self._gaps) < _GAPS_KNOWN:
            return 0.0
        usual = min(self._gaps)
        self._wait = max(self._poll.fast_s, usual * _STEP) / self._poll.growth
        return min(usual * _AHEAD, _MOST_AHEAD_S)

    def nothing(self, now: float, *, is_woken: bool = False) -> float:
        """Note that there was none at `now`; returns the wait before polling again, in seconds.

        Args:
            is_woken: Whether somebody listens who wakes the link when there is something.
        """
        if now < self._fast_until:
            longest = self._poll.fast_max_s
        elif self._is_still(now, is_woken=is_woken):
            longest = self._poll.woken_max_s
        else:
            longest = self._poll.idle_max_s
        self._wait = min(self._wait * self._poll.growth, longest)
        return self._wait

    def heartbeat(self, now: float, *, is_woken: bool) -> float:
        """The interval of heartbeats at `now`, in seconds."""
        still = self._is_still(now, is_woken=is_woken)
        return self._poll.still_heartbeat_s if still else self._poll.heartbeat_s

    def _is_still(self, now: float, *, is_woken: bool) -> bool:
        return is_woken and now >= self._idle_until
