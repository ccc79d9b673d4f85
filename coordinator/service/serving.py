"""The coordinator's service: SuperLink, gateway, and supervision of runs that have not ended.

A run is driven by a ServerApp in a process of its own. Whatever dies is restarted: the SuperLink
with the admitted nodes, a run's driver as a new Flower run that continues the same fedseg run from
the store. After `MAX_ATTEMPTS` drivers the run is ended with a reason.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from coordinator.config import DRIVER_LOG_FILE, CoordinatorConfig
from coordinator.control.outside_facts import note_facts
from coordinator.control.port import ControlPort
from coordinator.control.renewing import settled
from coordinator.runs.life import MAX_ATTEMPTS, run_lock, serve_lock
from coordinator.runs.running_time import RunningTime
from coordinator.runs.scheduling import Scheduler
from coordinator.service.followed_certificate import FollowedCertificate
from coordinator.service.gateway import Gateway, GatewayConfig
from coordinator.service.superlink import SuperLink, SuperLinkConfig, node_key_bytes
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, RunRow
from coordinator.store.watch import Watch
from machine.software import owners_of_packages, require_sole_owner
from machine.traces import exporting
from protocol.errors import FedsegError, StoreError, TransportError, UsageError
from protocol.privacy.words import counted
from protocol.signing import public_bytes

if TYPE_CHECKING:
    from coordinator.store.postgresql.lease import Lease

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 0.2
#: Agreed moments are to the minute.
_SCHEDULE_EVERY_S: Final = 2.0
#: A submitted driver that has not acquired the run's lock by then is given up; for each further
#: one the wait doubles, up to the most.
_START_PATIENCE_S: Final = 20.0
_MOST_START_PATIENCE_S: Final = 80.0
#: So long it waits at its start for another process that serves the same state to end.
_LEASE_WAIT_S: Final = 2.0
#: Letters of what Flower says of a driver's end that are told.
_MOST_DETAILS: Final = 200


@dataclass(slots=True)
class _Submission:
    """A driver that was started for a run.

    Attributes:
        count: Number of drivers started so far.
        begun: Whether it has been seen to hold the run's lock.
        end: How it ended, in words; empty before.
        ends: How those before it ended.
        waited_s: Reads for how long this process has waited for it.
    """

    flower_run: int
    count: int = 1
    begun: bool = False
    end: str = ""
    ends: Counter[str] = field(default_factory=Counter)
    waited_s: RunningTime = field(default_factory=lambda: RunningTime(time.monotonic))

    @property
    def start_patience_s(self) -> float:
        """Longest wait until it holds the run's lock."""
        return min(_START_PATIENCE_S * 2.0 ** (self.count - 1), _MOST_START_PATIENCE_S)


@dataclass(slots=True)
class CoordinatorService:
    """Serves until it is stopped.

    Attributes:
        config: The coordinator's settings.
        announce: Called once with the public address when partners can connect, and with that of
            the control port, if there is one.
    """

    config: CoordinatorConfig
    announce: Callable[[str, str], None] = lambda _, __: None
    submissions: dict[bytes, _Submission] = field(default_factory=dict)
    open_runs: set[bytes] = field(default_factory=set)
    scheduler: Scheduler | None = None
    _scheduled_at: float = -_SCHEDULE_EVERY_S
    _news: Watch | None = None

    def serve(self, stop: threading.Event) -> None:
        """Start everything, supervise it, and end it when `stop` is set."""
        require_sole_owner(owners_of_packages())
        with serve_lock(self.config.directory, wait_s=_LEASE_WAIT_S) as free:
            if not free:
                raise UsageError(
                    f"another process serves {self.config.directory} already",
                    remedy="stop it first; one folder is one coordinator",
                )
            self._serve(stop)

    def _serve(self, stop: threading.Event) -> None:
        self.config.signing_key()  # refuse to start with a key that cannot be decrypted
        with exporting(self.config.traces, service="fedseg-coordinator"):
            pass  # nor where the driver of every run would end, because spans cannot be sent
        with self._lease() as keep_lease, closing(self.config.open_store()) as store:
            keep_lease()
            settled(self.config, store)
            note_facts(self.config, store)
            self._supervise(stop, store, keep_lease)

    def _supervise(
        self, stop: threading.Event, store: CoordinatorStore, keep_lease: Callable[[], None]
    ) -> None:
        superlink = SuperLink(
            SuperLinkConfig(
                directory=self.config.directory / "superlink",
                coordinator_directory=self.config.directory,
            )
        )
        admitted = _Admitted(store)
        certificate = FollowedCertificate(self.config, store)
        try:
            superlink.start()
            admitted.refresh(superlink)
            gateway = Gateway(
                GatewayConfig(
                    host=self.config.host,
                    port=self.config.port,
                    certificate=self.config.certificate,
                    key=self.config.key,
                    upstream=superlink.socket,
                ),
                is_admitted=admitted,
                name_of=admitted.name_of,
            )
            gateway.start()
            try:
                with (
                    self._control(gateway) as control,
                    self._told(store, superlink, gateway, control),
                ):
                    ports = [port.renew for port in (gateway, control) if port is not None]
                    self.announce(gateway.address, "" if control is None else control.address)
                    while not stop.wait(_LOOK_EVERY_S):
                        keep_lease()
                        self._look(superlink, store, admitted)
                        certificate.look(ports)
                        if not gateway.is_alive():
                            raise TransportError("the public port has died", code="E-GATEWAY")
                        if control is not None and not control.is_alive():
                            raise TransportError("the control port has died", code="E-CONTROL-PORT")
            finally:
                gateway.stop()
        finally:
            superlink.stop()

    @contextmanager
    def _lease(self) -> Iterator[Callable[[], None]]:
        """Yield what takes or keeps the right to serve a server's database.

        It raises StoreError when another process has that right (E-STORE-IN-USE). A file in the
        folder needs none beside the folder's lock.
        """
        if self.config.store is None:
            yield lambda: None
            return
        with closing(self.config.store.lease()) as lease:
            lease.hold(wait_s=_LEASE_WAIT_S)
            yield partial(_keep, lease)

    @contextmanager
    def _control(self, gateway: Gateway) -> Iterator[ControlPort | None]:
        """The control port while the block runs; None where the configuration has none."""
        if self.config.control is None:
            yield None
            return
        control = ControlPort(
            config=self.config, public_port=int(gateway.address.rpartition(":")[2])
        )
        control.start()
        try:
            yield control
        finally:
            control.stop()

    @contextmanager
    def _told(
        self,
        store: CoordinatorStore,
        superlink: SuperLink,
        gateway: Gateway,
        control: ControlPort | None,
    ) -> Iterator[None]:
        """Offer metrics and health until the block ends, where the configuration says so."""
        if self.config.metrics is None:
            yield
            return
        # Imported where they are wanted: most coordinators are not watched.
        from coordinator.metrics.measuring import Checks, measure_coordinator, readiness
        from machine.metrics.endpoint import metrics_endpoint

        checks: Checks = {"superlink": superlink.is_alive, "public_port": gateway.is_alive}
        if control is not None:
            checks = {**checks, "control_port": control.is_alive}
        key = public_bytes(self.config.signing_key())
        with metrics_endpoint(
            self.config.metrics,
            measure=lambda: measure_coordinator(self.config, store, checks, coordinator_key=key),
            ready=lambda: readiness(store, checks),
        ):
            yield

    def _look(self, superlink: SuperLink, store: CoordinatorStore, admitted: _Admitted) -> None:
        try:
            if superlink.ensure_alive():
                logger.warning("the SuperLink was started again")
                for submission in self.submissions.values():
                    submission.flower_run = -1
            elif not (self.open_runs or self._schedule_is_due() or self._may_differ(store)):
                return  # nothing goes on, and nothing was asked for
            admitted.refresh(superlink)
            self._start_due(superlink, store, admitted)
            going = store.open_runs()
            for ended in self.open_runs - {run.run_id for run in going}:
                self.open_runs.discard(ended)
                _log_end(store.run(ended))
            for run in going:
                self.open_runs.add(run.run_id)
                self._watch(run, superlink, store)
        except (FedsegError, OSError) as error:  # also when no file can be opened at the moment
            logger.warning("will look again: %s", error)

    def _may_differ(self, store: CoordinatorStore) -> bool:
        if self._news is None:
            self._news = Watch(store)
        return self._news.may_differ()

    def _schedule_is_due(self) -> bool:
        return time.monotonic() - self._scheduled_at >= _SCHEDULE_EVERY_S

    def _start_due(
        self, superlink: SuperLink, store: CoordinatorStore, admitted: _Admitted
    ) -> None:
        if not self._schedule_is_due():
            return
        self._scheduled_at = time.monotonic()
        if self.scheduler is None:
            self.scheduler = Scheduler(
                store=store, connected=lambda: admitted.connected(superlink.connected_nodes())
            )
        self.scheduler.look()

    def _watch(self, run: RunRow, superlink: SuperLink, store: CoordinatorStore) -> None:
        submission = self.submissions.get(run.run_id)
        if self._is_driven(run, submission, superlink) or store.run(run.run_id).ended:
            return
        count = submission.count if submission is not None else 0
        ends = submission.ends + Counter([submission.end]) if submission is not None else Counter()
        if max(count, run.attempts) >= MAX_ATTEMPTS:
            logger.error("run %s is ended: its driver was lost too often", run.run_id.hex())
            store.fail(
                run.run_id,
                "E-ATTEMPTS",
                f"the process that drives the run was lost {MAX_ATTEMPTS} times: "
                f"{_words_of(ends, before=MAX_ATTEMPTS - ends.total())}",
                f"mend that ({DRIVER_LOG_FILE} and superlink/superlink.log in "
                f"{self.config.directory} say more), then start a new run",
            )
            return
        flower_run = superlink.submit(run.run_id.hex())
        self.submissions[run.run_id] = _Submission(
            flower_run=flower_run, count=count + 1, ends=ends
        )
        logger.info("run %s: driver %d submitted", run.run_id.hex(), count + 1)

    def _is_driven(self, run: RunRow, submission: _Submission | None, superlink: SuperLink) -> bool:
        """Whether a process drives the run now, or is about to."""
        with run_lock(self.config.directory, run.run_id) as free:
            if not free:
                if submission is not None:
                    submission.begun = True
                return True
        if submission is None:
            return False
        submission.end = self._end_of(submission, superlink)
        return not submission.end

    @staticmethod
    def _end_of(submission: _Submission, superlink: SuperLink) -> str:
        """How a driver without the run's lock ended; empty while it may still begin."""
        if submission.flower_run < 0:
            return "the SuperLink had ended"
        run = superlink.flower_run(submission.flower_run)
        if run.state in ("finished", "unknown"):
            details = " ".join(run.details.split())[:_MOST_DETAILS]
            return f"it failed ({details})" if details else "it ended by itself"
        if not submission.begun and submission.waited_s() <= submission.start_patience_s:
            return ""
        # Killed: its lock is released at once, while Flower notices after a minute.
        superlink.stop_run(submission.flower_run)
        if submission.begun:
            return "it was killed"
        return f"it did not begin within {submission.start_patience_s:g} s"


def _keep(lease: Lease) -> None:
    """Keep a lease; while its server is away, or lets us in no longer, it is tried again."""
    try:
        lease.hold()
    except StoreError as error:
        if error.code == "E-STORE-IN-USE":
            raise
        logger.warning("will look again: %s", error)


def _words_of(ends: Counter[str], *, before: int) -> str:
    """How often drivers ended in which way; `before`, under a process that knew of it."""
    said = [f"{counted(times, 'time')} {end}" for end, times in ends.items()]
    earlier = (
        [f"{counted(before, 'time')} before this coordinator was started"] if before > 0 else []
    )
    return "; ".join(earlier + said)


def _log_end(run: RunRow) -> None:
    if run.state == FAILED:
        logger.warning("run %s failed: %s: %s", run.run_id.hex(), run.code, run.reason)
    else:
        logger.info("run %s finished", run.run_id.hex())


class _Admitted:
    """The node keys that may pass, synchronised with the store."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._nodes = AdmittedNodes(store)
        self._keys: frozenset[bytes] = frozenset()
        #: Of every key that was admitted since the start.
        self._names: dict[bytes, str] = {}
        self._saved: dict[str, int] | None = None

    def __call__(self, key: bytes) -> bool:
        return key in self._keys

    def name_of(self, key: bytes) -> str | None:
        """The partner that a node key is admitted for, or was."""
        return self._names.get(key)

    def connected(self, nodes: Collection[int]) -> frozenset[str]:
        """The partners whose nodes are among some, by the carrier's ids."""
        known = self._nodes.node_of_partner()
        return frozenset(partner for partner, node in known.items() if node in nodes)

    def refresh(self, superlink: SuperLink) -> None:
        """Revoke removed and replaced keys, register newly admitted nodes, store the nodes' ids.

        By the ids a run's driver knows which node was admitted for which partner; they change
        when the SuperLink restarts.
        """
        known = self._nodes.key_of_partner()
        wanted = {node_key_bytes(k.encode("ascii")): k for k in known.values()}
        self._names |= {node_key_bytes(k.encode("ascii")): name for name, k in known.items()}
        for key in self._keys - wanted.keys():
            self._keys -= {key}
            superlink.revoke(key)
        for key in wanted.keys() - self._keys:
            superlink.admit(key)
            self._keys |= {key}
        nodes = {wanted[key]: node for key, node in superlink.node_ids().items() if key in wanted}
        if nodes != self._saved:
            self._nodes.save_nodes(nodes)
            self._saved = nodes
