"""``kill -9`` at random moments: nothing is damaged, nothing differs, every run ends.

The coordinator's machine sleeps for longer than the grace time, too, and the run goes on.
A commit waits for nine kills, of every kind of process; ``make test-long`` makes 54. That every
single moment is survived is proven without processes, in ``coordinator/test_runs.py`` and
``partner_node/test_node.py``. A killed node is started again, as a supervisor does it. The
coordinator's `serve` starts a killed SuperLink again, and submits a killed driver (ServerApp)
again, by itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from coordinator.runs.life import run_lock
from coordinator.store.records import RunRow
from tests import effort
from tests.end_to_end import deployment as deploy
from tests.end_to_end.deployment import NAMES, Deployment
from tests.end_to_end.transport_support import (
    process_exists,
    programs_of,
    tree_of,
    wait_for,
    words_of,
)

pytestmark = pytest.mark.slow

KILLS = {
    "node": effort.count(3, 36),
    "driver": effort.count(2, 9),
    "superlink": effort.count(1, 5),
    "starter": effort.count(1, 4),
}
KILLS_A_RUN = effort.count(4, 8)
MAX_ROUNDS = effort.count(20, 60)
GRACE_S = 60
#: On top of the grace time: every process may have to start once more, on a busy machine. The two
#: together are longer than `serve` waits for a driver that was killed before it was at work.
START_UP_S = 60
LONGEST_PAUSE_S = 1.5
#: Of the run in which the coordinator's machine sleeps: nodes connect again every ten seconds.
PAUSED_GRACE_S = 20
#: Share of kills that do not wait until the run has gone on since the kill before.
EARLY = 0.3
logger = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    return {name: deploy.customers(seed, 300) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, np.ndarray]
) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("crashes")
    data = {n: deploy.write_customers(directory / f"{n}.csv", values[n]) for n in NAMES}
    made = deploy.make_deployment(
        directory, data, grace_s=GRACE_S, n_clusters=8, max_rounds=MAX_ROUNDS, start="anew"
    )
    with deploy.running(made):
        yield made


def test_kills_damage_nothing_and_every_run_ends(
    deployed: Deployment, values: dict[str, np.ndarray]
) -> None:
    chance = effort.chance("kills")
    deck = [what for what, times in KILLS.items() for _ in range(times)]
    chance.shuffle(deck)
    files = _fixed_files(deployed)
    killed: Counter[str] = Counter()
    ended: list[RunRow] = []
    while deck:
        assert len(ended) < sum(KILLS.values()), killed
        run_id = deployed.request()
        for _ in range(min(KILLS_A_RUN, len(deck))):
            if _kill_one(deployed, run_id, deck[-1], chance):
                killed[deck.pop()] += 1
            elif deployed.row(run_id).ended:
                break
        row = deployed.await_end(run_id, timeout_s=GRACE_S + START_UP_S)
        logger.info("%s; %s %s %s", killed, row.state, row.code, row.reason)
        ended.append(row)
        _check_end(deployed, row, values)
        _check_files(deployed, files)
    assert killed == KILLS
    assert len(ended) >= sum(KILLS.values()) / KILLS_A_RUN
    assert any(row.state == "finished" for row in ended), "some runs outlive the kills"
    assert any(row.state == "finished" and row.attempts > 1 for row in ended)
    resent = _check_resent(deployed)
    logger.info("%s messages were sent twice", resent)
    assert resent > effort.count(0, 10), "nothing was sent twice: the test shows nothing"
    _check_no_strays(deployed)

    row = deployed.run()
    assert row.state == "finished", row
    _check_end(deployed, row, values)


@pytest.mark.parametrize("time", range(effort.count(1, 2)))
def test_a_coordinator_that_is_killed_whole_takes_its_processes_along_and_ends_its_run_later(
    deployed: Deployment, values: dict[str, np.ndarray], time: int
) -> None:
    chance = effort.chance(f"the coordinator, {time}")
    files = _fixed_files(deployed)
    run_id = deployed.request()
    rounds = chance.randint(0, 6)
    before = deployed.await_progress(
        run_id, lambda row: bool(row.progress) and row.progress["round"] >= rounds
    )
    family = tree_of(deployed.coordinator.pid)
    assert len(family) >= 5, "serve, guard, SuperLink, starter of drivers and driver"
    deployed.coordinator.kill()
    wait_for(
        lambda: not any(process_exists(pid) for pid in family),
        timeout_s=30,
        what="the end of everything that serve had started",
    )
    assert deployed.row(run_id).state == before.state == "running"
    _check_files(deployed, files)
    deployed.start_coordinator()
    row = deployed.await_end(run_id, timeout_s=GRACE_S + START_UP_S)
    assert row.attempts > before.attempts
    _check_end(deployed, row, values)
    _check_resent(deployed)
    assert deployed.run().state == "finished"
    _check_no_strays(deployed)


def test_a_coordinator_that_was_stopped_for_longer_than_the_grace_time_goes_on(
    deployed: Deployment, values: dict[str, np.ndarray]
) -> None:
    """Serve, SuperLink and driver are stopped as a lid or a snapshot stops them."""
    with deployed.grace_time(PAUSED_GRACE_S):
        run_id = deployed.request()
        deployed.await_progress(
            run_id, lambda row: bool(row.progress) and row.progress["round"] >= 2
        )
        family = tree_of(deployed.coordinator.pid)
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(PAUSED_GRACE_S + 5)
        finally:
            for pid in family:
                os.kill(pid, signal.SIGCONT)
        row = deployed.await_end(run_id, timeout_s=GRACE_S + START_UP_S)
    assert (row.state, row.code, row.reason) == ("finished", "", "")
    assert row.progress["left_out"] == []
    _check_end(deployed, row, values)


# --- killing --------------------------------------------------------------------------------------


def _kill_one(deployed: Deployment, run_id: bytes, what: str, chance: random.Random) -> bool:
    """Kill one process of the kind at a random moment; False when the run ended before."""
    if chance.random() < EARLY:
        wait_for(
            lambda: deployed.row(run_id).ended or bool(_victims(deployed, what)),
            timeout_s=GRACE_S + START_UP_S,
            what=f"a {what}",
        )
    else:
        before = deployed.row(run_id).progress
        deployed.await_progress(
            run_id,
            lambda row: row.progress != before and _is_driven(deployed, run_id),
            timeout_s=GRACE_S + START_UP_S,
        )
    time.sleep(chance.uniform(0.0, LONGEST_PAUSE_S))
    if deployed.row(run_id).ended:
        return False
    if what == "node":
        node = deployed.nodes[chance.choice(NAMES)]
        assert node.is_alive(), f"a node ended by itself: {node.said()[-2000:]}"
        node.kill()
        node.start()
        return True
    for pid in _victims(deployed, what):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return True
    return False


def _is_driven(deployed: Deployment, run_id: bytes) -> bool:
    """Whether a driver holds the run's lock, after it has imported everything."""
    with run_lock(deployed.operator_folder, run_id) as free:
        return not free


def _victims(deployed: Deployment, what: str) -> list[int]:
    """The nodes, or the coordinator's processes of a kind (the guard's does not count)."""
    if what == "node":
        return [node.pid for node in deployed.nodes.values()]
    return [pid for pid, kind in programs_of(deployed.coordinator.pid).items() if kind == what]


# --- what must hold afterwards --------------------------------------------------------------------


def _check_end(deployed: Deployment, row: RunRow, values: dict[str, np.ndarray]) -> None:
    if row.state == "failed":
        assert row.code.startswith("E-"), row
        assert row.code not in ("E-SECOND-REPLY", "E-TOTAL-RANGE", "E-STORE", "E-INTERNAL"), row
        assert row.reason, row
        return
    assert row.state == "finished", row
    release = deployed.release(row.run_id)
    together = np.vstack(list(values.values()))
    expected = deploy.pooled_release(deployed.agreement, release.run_hash, together)
    assert release.to_bytes() == expected.to_bytes(), "not a customer was lost or counted twice"


def _fixed_files(deployed: Deployment) -> dict[Path, str]:
    """Hashes of the files that nothing may change: configuration, keys, certificates, terms."""
    patterns = ("*/*.toml", "*/keys/*", "*/tls/*", "*/agreement.json", "*/partner-card.json")
    found = {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in patterns
        for path in deployed.directory.glob(pattern)
    }
    assert len(found) >= 4 * 4
    return found


def _check_files(deployed: Deployment, files: dict[Path, str]) -> None:
    assert _fixed_files(deployed) == files
    databases = deployed.sqlite_files()
    assert len(databases) >= 4
    for database in databases:
        assert deploy.integrity(database) == "ok", database
    for name in NAMES:
        with deployed.node_store(name) as store:
            store.runs()  # every sealed state opens


def _check_resent(deployed: Deployment) -> int:
    """Every repeated message is the same bytes; how many were repeated."""
    repeated = 0
    for name in NAMES:
        sent: defaultdict[tuple[object, ...], set[str]] = defaultdict(set)
        with deployed.node_store(name) as store:
            records = store.egress()
        for record in records:
            if record.what.startswith(("HELLO", "READY")):
                sent[record.run_id, record.what].add(record.sha256)
            elif not record.what.startswith("ACK"):
                # Three partners cannot become fewer, so a round has one participant set.
                sent[record.run_id, record.round].add(record.sha256)
        assert {len(hashes) for hashes in sent.values()} == {1}, name
        repeated += len(records) - len({(r.run_id, r.round, r.sha256) for r in records})
    log = (deployed.operator_folder / "server_app.log").read_text()
    assert "answered twice, differently" not in log
    return repeated


def _check_no_strays(deployed: Deployment) -> None:
    """No process of this deployment is left over from an earlier life."""

    def strays() -> list[list[str]]:
        known = set(tree_of(deployed.coordinator.pid)) | {n.pid for n in deployed.nodes.values()}
        everything = [int(p.name) for p in Path("/proc").glob("[0-9]*")]
        return [
            words_of(pid)
            for pid in everything
            if pid not in known
            and process_exists(pid)
            and any(str(deployed.directory) in word for word in words_of(pid))
        ]

    wait_for(lambda: not strays(), timeout_s=30, what="the end of leftover processes")
