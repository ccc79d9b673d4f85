"""A run's life: requested, driven, continued after a crash, ended with a release or a reason."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.config import CoordinatorConfig
from coordinator.patience import Patience
from coordinator.runs.driver import RunDriver, apply_input
from coordinator.runs.exchange import Exchange
from coordinator.runs.remedies import remedy_for
from coordinator.store.coordinator_store import CoordinatorStore
from machine.files import make_folder_for_owner
from machine.locks import held
from machine.traces import Phases, exporting
from protocol.agreement.document import Agreement
from protocol.clustering.plan import plan_seed
from protocol.coordinator_round import CoordinatorRound
from protocol.errors import FedsegError, RunFailedError, StoreError, TransportError
from protocol.release.document import SignedRelease

logger = logging.getLogger(__name__)

#: So often may processes that drive one run be lost before the run is ended.
MAX_ATTEMPTS = 5
#: Pauses of a driver whose store failed, before it goes on; from the first one again once the run
#: has gone on since.
_STORE_PAUSES_S = (1.0, 5.0, 15.0, 30.0, 60.0)
#: Pause of a driver whose store is on a server that is away: it is waited for, for however long.
_AWAY_PAUSE_S = 1.0
_SERVE = "serve"
#: What is said where `is_served` is not.
NOT_SERVED = "no process serves this coordinator"


def execute(
    run_id: bytes,
    *,
    store: CoordinatorStore,
    key: Ed25519PrivateKey,
    exchange: Exchange,
    patience: Patience,
    on_progress: Callable[[dict[str, Any]], None] = lambda _: None,
    on_asleep: Callable[[CoordinatorStore, bytes], None] = lambda _store, _run_id: None,
    seed_of: Callable[[bytes], bytes] = plan_seed,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    first_try: bool = True,
) -> SignedRelease:
    """Drive a requested run to its end, from wherever an earlier process left it.

    Args:
        first_try: False when this process drove it before: it counts as one attempt.
        on_asleep: Called when nodes were asked something that may ask seldom.
        run_id: 16 bytes; the run must be in `store`.
        key: The coordinator's Ed25519 key of the agreement.

    Raises:
        RunFailedError: The run ended without a release; the store says why.
        TransportError, StoreError: The carrier or the store failed; the run has not ended.
    """
    row = store.run(run_id)
    if row.ended:
        raise RunFailedError(f"run {run_id.hex()} has ended already: {row.state}", code="E-ENDED")
    agreement = _begun(run_id, store, first_try=first_try)

    phases = Phases("run", run=run_id.hex(), agreement=agreement.id)

    def progress(values: dict[str, Any]) -> None:
        phases.note(values["phase"], values["round"])
        try:
            store.report_progress(run_id, values)
        except StoreError as error:
            logger.warning("progress was not noted: %s", error)
        on_progress(values)

    def wake() -> None:
        try:
            on_asleep(store, run_id)
        except StoreError as error:  # they ask by themselves, a little later
            logger.warning("nodes were not woken: %s", error)

    driver: RunDriver | None = None
    try:
        machine = CoordinatorRound(
            agreement,
            key,
            run_id=run_id,
            chain=store.chain_at_start(run_id, agreement),
            last=store.last_release(run_id, agreement),
            seed_of=seed_of,
        )
        driver = RunDriver(
            machine,
            store,
            exchange,
            key=key,
            without=frozenset(i for i, p in enumerate(agreement.parties) if p.id in row.without),
            patience=patience,
            on_progress=progress,
            wake=wake,
            clock=clock,
            sleep=sleep,
        )
        for kind, data in store.inputs(run_id):
            apply_input(machine, kind, data)
        signed = driver.drive()
        signed.verify(agreement)
        store.finish(run_id, signed.to_bytes(), agreement.hash)
    except (TransportError, StoreError):
        raise  # the carrier or the disk fails, not the run: another process goes on with it
    except FedsegError as failure:
        phases.end(failure.code)
        remedy = failure.remedy or remedy_for(failure.code)
        store.fail(run_id, failure.code, failure.message, remedy)
        logger.warning("run %s failed: %s", run_id.hex(), failure)
        if driver is not None:
            driver.say_stop(failure.code)
        raise RunFailedError(failure.message, code=failure.code, remedy=remedy) from failure
    finally:
        phases.end()
    return signed


def _begun(run_id: bytes, store: CoordinatorStore, *, first_try: bool) -> Agreement:
    """The agreement of a run that is driven now.

    Raises:
        RunFailedError: The run has ended, or the agreement does not go with the hand-overs that are
            known: the run ends, as no other attempt would begin.
        StoreError: As `execute`.
    """
    try:
        if first_try:
            store.begin_attempt(run_id)
        return store.agreement_of_run(run_id)
    except (StoreError, RunFailedError):
        raise
    except FedsegError as failure:
        store.fail(run_id, failure.code, failure.message, failure.remedy)
        logger.warning("run %s failed: %s", run_id.hex(), failure)
        raise RunFailedError(failure.message, code=failure.code, remedy=failure.remedy) from failure


@contextmanager
def run_lock(directory: Path, run_id: bytes, *, wait_s: float = 0.0) -> Iterator[bool]:
    """Hold the lock of a run while a process drives it; False when another process holds it.

    The lock goes with the process, also when it is killed.

    Args:
        wait_s: How long to try; somebody who only looks holds it for a moment.
    """
    with _process_lock(directory, run_id.hex(), wait_s) as free:
        yield free


@contextmanager
def serve_lock(directory: Path, *, wait_s: float = 0.0) -> Iterator[bool]:
    """Hold the lock of a coordinator that serves; like `run_lock`."""
    with _process_lock(directory, _SERVE, wait_s) as free:
        yield free


def is_served(directory: Path) -> bool:
    """Whether a process serves this coordinator now."""
    with _process_lock(directory, _SERVE, 0.0, shared=True) as free:
        return not free


@contextmanager
def _process_lock(
    directory: Path, name: str, wait_s: float, *, shared: bool = False
) -> Iterator[bool]:
    folder = directory / "locks"
    make_folder_for_owner(folder)
    with held(folder / f"{name}.lock", wait_s=wait_s, shared=shared) as ours:
        yield ours


def drive(
    directory: Path,
    run_id: str,
    exchange: Exchange,
    *,
    on_release: Callable[[CoordinatorStore, bytes], None] = lambda _store, _run_id: None,
    on_asleep: Callable[[CoordinatorStore, bytes], None] = lambda _store, _run_id: None,
) -> None:
    """Drive a run of the coordinator in `directory`; what the ServerApp calls.

    Returns at once when another process drives it or it has ended.

    Args:
        on_release: Called once the run has ended with a release.
        on_asleep: As in `execute`.
    """
    config = CoordinatorConfig.load(directory)
    run = bytes.fromhex(run_id)
    with run_lock(directory, run, wait_s=2.0) as free:
        if not free:
            logger.warning("run %s is driven by another process", run_id)
            return
        pauses_s, stored = iter(_STORE_PAUSES_S), 0
        first_try = True
        while True:
            try:
                _drive_once(config, run, exchange, on_release, on_asleep, first_try=first_try)
                return
            except RunFailedError:
                return  # stored and logged with its reason: nothing is wrong with this process
            except StoreError as error:  # a full disk, a locked file: the run need not end
                away = error.code == "E-STORE-CONNECT"
                before, stored = stored, max(stored, 0 if away else _inputs_stored(config, run))
                if stored > before:
                    pauses_s = iter(_STORE_PAUSES_S)
                pause_s = _AWAY_PAUSE_S if away else next(pauses_s, None)
                if pause_s is None:
                    raise
                logger.warning("going on in %s s: %s", pause_s, error)
                time.sleep(pause_s)
            first_try = False


def _inputs_stored(config: CoordinatorConfig, run_id: bytes) -> int:
    """How many inputs of a run are stored; 0 where that cannot be read."""
    try:
        with closing(config.open_store()) as store:
            return len(store.inputs(run_id))
    except StoreError:
        return 0


def _drive_once(
    config: CoordinatorConfig,
    run_id: bytes,
    exchange: Exchange,
    on_release: Callable[[CoordinatorStore, bytes], None],
    on_asleep: Callable[[CoordinatorStore, bytes], None],
    *,
    first_try: bool,
) -> None:
    store = config.open_store()
    try:
        if not store.run(run_id).ended:
            with exporting(config.traces, service="fedseg-coordinator"):
                execute(
                    run_id,
                    store=store,
                    key=config.signing_key(),
                    exchange=exchange,
                    patience=config.patience,
                    on_asleep=on_asleep,
                    first_try=first_try,
                )
            on_release(store, run_id)
    finally:
        store.close()
