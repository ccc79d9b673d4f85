"""Measuring a coordinator from its records, at the moment when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from prometheus_client.metrics_core import Metric as Family

from coordinator.config import BACKUP_NOTE, CoordinatorConfig
from coordinator.control.standing import parties_readiness, standings
from coordinator.duties.all import duties_of
from coordinator.metrics import table
from coordinator.runs.in_force import next_to_run
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, RunRow
from machine.metrics.common import STATE_SOUND, measure_common, measure_duties, seconds_of
from machine.metrics.families import Measured
from protocol.agreement.document import Agreement
from protocol.errors import FedsegError

#: What has to hold for a run to be possible, by name; each is asked when somebody wants to know.
Checks = Mapping[str, Callable[[], bool]]


def readiness(store: CoordinatorStore, checks: Checks) -> dict[str, bool]:
    """The conditions under which the coordinator can drive a run.

    ``state``: its database answers. The others as `checks` says.
    """
    return {**{name: check() for name, check in checks.items()}, "state": _answers(store)}


def measure_coordinator(
    config: CoordinatorConfig, store: CoordinatorStore, checks: Checks, *, coordinator_key: bytes
) -> list[Family]:
    """Everything of `table.TABLE` that is so now; a state that cannot be read is said so."""
    measured, now = Measured(table.TABLE), datetime.now(UTC)
    certificates = {"public": config.certificate}
    if config.control is not None:
        certificates["authority"] = config.control.authority
    measure_common(
        measured,
        program="coordinator",
        checks=readiness(store, checks),
        folders={"state": config.directory},
        certificates=certificates,
        backup_note=config.directory / BACKUP_NOTE,
        now=now,
    )
    try:
        alive = _alive(store, now)
        _measure_runs(measured, store, alive)
        _measure_partners(measured, store, alive, coordinator_key, now)
        measure_duties(measured, duties_of(config, store, now))
    except FedsegError:
        measured.set(STATE_SOUND, 0)
    else:
        measured.set(STATE_SOUND, 1)
    return measured.families()


def _answers(store: CoordinatorStore) -> bool:
    try:
        store.one("SELECT count(*) FROM runs")
    except FedsegError:
        return False
    return True


def _alive(store: CoordinatorStore, now: datetime) -> dict[str, Agreement]:
    """The agreements under which runs are still to come, by id: neither over nor stopped.

    Nobody waits for anything of the others.
    """
    return {
        id: agreement
        for id, agreement in sorted(next_to_run(store, now).items())
        if now < agreement.expires and not store.stops_of(agreement.hash)
    }


def _measure_runs(
    measured: Measured, store: CoordinatorStore, alive: Mapping[str, Agreement]
) -> None:
    ids = {one.agreement.hash: one.agreement.id for one in store.agreements()}
    runs = store.runs()
    ended: dict[str, RunRow] = {}
    going_on: dict[str, RunRow] = {}
    for (name, state, code), count in Counter(
        (ids.get(run.agreement_hash, ""), run.state, run.code) for run in runs
    ).items():
        measured.set(table.RUNS, count, name, state, code)
    for run in runs:  # newest first
        name = ids.get(run.agreement_hash, "")
        if run.ended:
            ended.setdefault(name, run)
        elif run.progress:
            going_on.setdefault(name, run)
    for name, run in going_on.items():
        _measure_open(measured, run, name)
    for name, run in ended.items():
        if name in alive:
            measured.set(table.LAST_FAILED, run.state == FAILED, name)
    seconds: dict[str, list[float]] = {}
    for agreement_hash, took in store.ask(
        "SELECT agreement_hash, seconds FROM rounds JOIN runs USING (run_id)"
    ):
        seconds.setdefault(ids.get(agreement_hash, ""), []).append(float(took))
    for name, values in seconds.items():
        measured.observe(table.ROUND_SECONDS, values, name)
    latest: dict[str, float] = {}
    for agreement_hash, at in store.ask(
        "SELECT agreement_hash, max(released_at) FROM releases GROUP BY agreement_hash"
        " UNION ALL SELECT agreement_hash, added_at FROM agreements"
    ):
        name = ids.get(agreement_hash, "")
        latest[name] = max(latest.get(name, 0.0), seconds_of(at))
    for name, since in latest.items():
        if name in alive:
            measured.set(table.LAST_RELEASE, since, name)


def _measure_open(measured: Measured, run: RunRow, agreement: str) -> None:
    """The newest run of an agreement that goes on, as its driver told."""
    told = run.progress
    measured.set(table.ROUND, float(told["round"]), agreement)
    if told.get("since"):
        measured.set(table.OPEN_SINCE, seconds_of(told["since"]), agreement, told["phase"])
    missing: Sequence[str] = (*told["waiting_for"], *told.get("left_out", ()))
    for partner in dict.fromkeys((*told["participants"], *missing)):
        measured.set(table.MISSING, partner in missing, agreement, partner)
    for partner, code in told.get("refusals", {}).items():
        measured.set(table.REFUSED, 1, agreement, partner, code)


def _measure_partners(
    measured: Measured,
    store: CoordinatorStore,
    alive: Mapping[str, Agreement],
    coordinator_key: bytes,
    now: datetime,
) -> None:
    seen: dict[str, float] = {}
    for line in standings(store, coordinator_key=coordinator_key, now=now):
        if line.seen_at:
            seen[line.partner] = max(seen.get(line.partner, 0.0), seconds_of(line.seen_at))
    for partner, at in seen.items():
        measured.set(table.SEEN, at, partner)
    for agreement in alive.values():
        for one in parties_readiness(store, agreement, without=(), now=now):
            state = one.state.replace(" ", "-")
            measured.set(table.STANDING, 1, agreement.id, one.partner, state)
