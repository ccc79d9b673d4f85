"""What a coordinator measures of itself, read back by Prometheus' own parsers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator.config import BACKUP_NOTE, CoordinatorConfig, template
from coordinator.metrics import measuring, table
from coordinator.metrics.measuring import measure_coordinator, readiness
from coordinator.patience import Patience
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RoundRow
from machine.backups import note_backup
from protocol.agreement.stop import SignedStop
from protocol.errors import StoreError
from simulations.agreement import signed_with
from tests.federations import small_federation
from tests.scraping import Samples, scraped

RUN, OTHER_RUN = b"\x01" * 16, b"\x02" * 16
PROGRESS: dict[str, Any] = {
    "phase": "answers", "doing": "asking", "round": 3, "max_rounds": 10,
    "participants": ["p0", "p1"], "waiting_for": ["p1"], "left_out": ["p2"],
    "refusals": {"p2": "E-SOURCE-TYPE"}, "since": "2026-06-01T00:00:00.000000Z",
}  # fmt: skip


class Lab:
    def __init__(self, folder: Path) -> None:
        text = template(
            legal_name="x", contact="x", host="127.0.0.1", port=0, certificate="c", key="k",
            patience=Patience(),
        )  # fmt: skip
        self.config = CoordinatorConfig.parse(text.encode(), folder)
        self.store = CoordinatorStore.in_file(folder / "coordinator.db")
        federation = small_federation()
        self.keys, self.signed = federation.partner_keys, federation.signed
        self.store.add_agreement(self.signed)
        self.id = self.signed.agreement.id
        self.checks = {"superlink": lambda: True, "public_port": lambda: True}

    def request(self, run_id: bytes = RUN) -> None:
        self.store.request_run(run_id, self.signed.agreement)

    def measured(self) -> Samples:
        return scraped(
            lambda: measure_coordinator(
                self.config, self.store, self.checks, coordinator_key=b"k" * 32
            ),
            dict,
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    found = Lab(tmp_path)
    yield found
    found.store.close()


def test_runs_are_told_by_state_and_code(lab: Lab) -> None:
    lab.request()
    lab.store.fail(RUN, "E-NO-PARTNERS", "a reason for people: Anna Müller")
    lab.request(OTHER_RUN)
    found = lab.measured()
    assert {key[1:]: value for key, value in found.items() if key[0] == table.RUNS.name} == {
        (lab.id, "E-NO-PARTNERS", "failed"): 1,
        (lab.id, "", "requested"): 1,
    }
    assert found[(table.LAST_FAILED.name, lab.id)] == 1
    assert not any("Anna" in part for key in found for part in key)


def test_who_is_missing_is_told_by_partner_while_a_run_goes_on(lab: Lab) -> None:
    lab.request()
    lab.store.report_progress(RUN, PROGRESS)
    found = lab.measured()
    missing = {key[2]: v for key, v in found.items() if key[0] == table.MISSING.name}
    assert missing == {"p0": 0, "p1": 1, "p2": 1}
    assert found[(table.REFUSED.name, lab.id, "E-SOURCE-TYPE", "p2")] == 1
    assert found[(table.ROUND.name, lab.id)] == 3
    since = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    assert found[(table.OPEN_SINCE.name, lab.id, "answers")] == since
    lab.store.fail(RUN, "E-STOPPED", "")
    assert not any(key[0] == table.MISSING.name for key in lab.measured())


def test_of_several_runs_that_go_on_the_newest_is_told(lab: Lab) -> None:
    """Two versions of an agreement may each have one while the earlier one ends."""
    lab.request()
    lab.store.report_progress(RUN, PROGRESS)
    second = replace(lab.signed.agreement, version=2, supersedes=lab.signed.agreement.hash)
    lab.store.add_agreement(signed_with(second, lab.keys))
    lab.store.request_run(OTHER_RUN, second)
    lab.store.report_progress(OTHER_RUN, PROGRESS | {"round": 2})
    found = lab.measured()
    assert found[(table.ROUND.name, lab.id)] == 2
    assert found[(table.MISSING.name, lab.id, "p1")] == 1


@pytest.mark.parametrize("how", ["expired", "stopped"])
def test_nobody_waits_for_what_is_over(lab: Lab, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    about = (table.LAST_FAILED, table.LAST_RELEASE, table.STANDING)
    lab.request()
    lab.store.fail(RUN, "E-STOPPED", "")
    assert {one.name for one in about} <= {key[0] for key in lab.measured()}
    if how == "expired":
        over = lab.signed.agreement.expires
        monkeypatch.setattr(measuring, "datetime", SimpleNamespace(now=lambda zone: over))
    else:
        key = lab.keys[0]
        stop = SignedStop.sign(lab.signed.agreement, key, at="2026-06-01T00:00:00Z")
        lab.store.stop_agreement(stop)
    found = lab.measured()
    assert found[("fedseg_state_sound",)] == 1
    assert not {one.name for one in about} & {key[0] for key in found}
    assert found[(table.RUNS.name, lab.id, "E-STOPPED", "failed")] == 1


def test_durations_of_rounds_are_a_histogram(lab: Lab) -> None:
    lab.request()
    for number, seconds in enumerate((0.2, 0.3, 7.0)):
        lab.store.save_round(
            RUN,
            RoundRow(
                round=number, partners=3, seconds=seconds, inertia=0.123, length=7, asked="sums"
            ),
        )
    found = lab.measured()
    name = table.ROUND_SECONDS.name
    assert found[(f"{name}_count", lab.id)] == 3
    assert found[(f"{name}_bucket", lab.id, "0.5")] == 2
    assert found[(f"{name}_sum", lab.id)] == pytest.approx(7.5)


def test_a_release_is_due_since_the_last_one_or_since_the_agreement(lab: Lab) -> None:
    before = lab.measured()[(table.LAST_RELEASE.name, lab.id)]
    assert before == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    lab.request()
    lab.store.save_release(RUN, b"an envelope", lab.signed.agreement.hash)
    assert lab.measured()[(table.LAST_RELEASE.name, lab.id)] > before


def test_parties_are_told_with_how_they_stand(lab: Lab) -> None:
    found = lab.measured()
    states = {key[2]: key[3] for key in found if key[0] == table.STANDING.name}
    assert states == {party.id: "away" for party in lab.signed.agreement.parties}


def test_it_is_ready_when_the_superlink_the_ports_and_the_store_are_there(lab: Lab) -> None:
    assert all(readiness(lab.store, lab.checks).values())
    down = {**lab.checks, "superlink": lambda: False}
    assert readiness(lab.store, down) == {"superlink": False, "public_port": True, "state": True}


def test_a_store_that_is_away_is_said_and_the_rest_is_told(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreError("the database is away")

    note_backup(lab.config.directory / BACKUP_NOTE, "2026-05-31T00:00:00.000000Z")
    for name in ("one", "ask", "agreements"):
        monkeypatch.setattr(CoordinatorStore, name, away)
    found = lab.measured()
    assert found[("fedseg_state_sound",)] == 0
    assert found[("fedseg_ready", "state")] == 0
    assert found[("fedseg_ready", "superlink")] == 1
    assert found[("fedseg_last_backup_timestamp_seconds",)] > 0
