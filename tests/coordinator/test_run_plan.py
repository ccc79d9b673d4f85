"""`run plan`: what it says before a run is what the run then costs and comes to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.config import CoordinatorConfig
from coordinator.control.listening import Listening
from coordinator.control.readiness import ReadinessRecords, ReadinessRow
from coordinator.control.standing import AWAY, LEFT_OUT, NOT_READY, READY, UNKNOWN
from coordinator.runs.forecast import precision
from coordinator.shown.run_plan import assumed_words
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp
from protocol.coordinator_round import Phase
from protocol.limits import USUAL_MAX_CUSTOMERS
from protocol.privacy.accounting import epsilon_text, rho_of_cost
from simulations.federation import FeatureTerms, Federation
from simulations.privacy import benchmark_terms
from tests.coordinator.test_coordinator_cli import NODE_KEYS, home, shell
from tests.federations import small_federation
from tests.shell import Shell

__all__ = ["home", "shell"]

FEATURES = [
    FeatureTerms(name="visits", min="0", max="100"),
    FeatureTerms(name="spent", min="0", max="1000", unit="EUR", transform="log1p"),
]
EACH = 300
#: Everything is simulated to take place at one moment, which is no day of these agreements' terms.
SOFTWARE = "E-CODE"


def noised(home: Path, *, runs: int = 2, start: str = "", partners: int = 3) -> Federation:
    """A federation with noise whose coordinator is the one of a folder."""
    rng = np.random.default_rng(1)
    middles = np.array([[20.0, 50.0], [70.0, 600.0]])
    data = [
        middles[rng.integers(0, 2, EACH)] + rng.normal(0, [5.0, 20.0], (EACH, 2))
        for _ in range(partners)
    ]
    found = Federation(
        data, FEATURES, n_clusters=2, seed=1, plan="lloyd-dp", max_rounds=6, start=start,
        privacy=benchmark_terms(4.0, 1e-5, n_samples=3 * EACH, runs=runs, spare_rounds=1),
    )  # fmt: skip
    found.store = CoordinatorConfig.load(home).open_store()
    found.store.add_agreement(found.signed)
    return found


def planned(shell: Shell, home: Path, *words: object) -> dict[str, Any]:
    return shell.json("run", "plan", *words, "--dir", home)


def tell(store: CoordinatorStore, key: str, agreement_hash: bytes, *codes: str) -> None:
    """A node says how ready it is."""
    ReadinessRecords(store).save(
        ReadinessRow(
            node_key=key, agreement_hash=agreement_hash, codes=codes,
            since="2026-01-02T03:04:05.000000Z", told_at="2026-01-02T03:04:06.000000Z",
            version="1",
        )
    )  # fmt: skip


def enrol(store: CoordinatorStore, partner: str, key: str, *, seen: timedelta) -> None:
    """A node that joined, and was seen so long ago."""
    at = stamp(datetime.now(UTC) - seen)
    with store.transaction():
        store._database.ask(
            "INSERT INTO enrolled VALUES (?, ?, ?, ?, ?, '')", key, partner, b"", at, at
        )


def test_a_first_run_costs_and_asks_what_was_planned_and_the_next_one_too(
    shell: Shell, home: Path
) -> None:
    federation = noised(home, runs=4)
    terms = federation.agreement.privacy
    assert terms is not None
    for number in range(2):
        before = planned(shell, home)
        assert before["follows"] is (number > 0)
        costs = before["budget"]
        run = federation.run()
        privacy = run.release.release.privacy
        assert privacy is not None
        rho = costs["rho_follows"] if before["follows"] else costs["rho_anew"]
        assert float(privacy.rho) == pytest.approx(rho, rel=1e-3)
        estimated = before["precision"]["estimated"]
        assert run.rounds == estimated["questions"]
        sigmas = {segment.size_sigma for segment in run.release.release.segments}
        exact = before["precision"]["exact"]
        (sigma,) = sigmas  # rounded up
        assert sigma - 1 < exact["size_margin"] / 1.96 <= sigma
        assert exact["least_size"] == federation.agreement.min_segment_size + 3 * sigma
        assert before["last_runs"] == ([] if not number else before["last_runs"][:1])
    after = planned(shell, home)
    assert [one["questions"] for one in after["last_runs"]] == [4, 6]
    federation.store.close()


def test_runs_left_are_those_of_the_nodes_own_ledgers(shell: Shell, home: Path) -> None:
    federation = noised(home, runs=2, start="anew")
    costs = planned(shell, home)["budget"]
    assert (costs["rho_follows"], costs["runs_left_follows"]) == (None, None)
    assert costs["runs_left_anew"] == [2, 2]
    federation.run()
    assert planned(shell, home)["budget"]["runs_left_anew"] == [1, 1]
    federation.run()
    costs = planned(shell, home)["budget"]
    assert costs["runs_left_anew"] == [0, 0]
    assert costs["epsilon_spent_at_most"] <= costs["epsilon_budget"]
    federation.store.close()


def test_what_a_failed_run_asked_is_counted_as_the_most_that_it_can_be(
    shell: Shell, home: Path
) -> None:
    federation = noised(home, runs=3)
    store = federation.store
    for run_id, asked in ((b"\x01" * 16, 0), (b"\x02" * 16, 2)):
        store.request_run(run_id, federation.agreement)
        store.report_progress(run_id, {"phase": Phase.ANSWERS, "round": asked})
        store.fail(run_id, "E-SET-QUORUM", "gone")
    costs = planned(shell, home)["budget"]
    terms = federation.agreement.privacy
    assert terms is not None
    fewest, greatest = costs["runs_left_anew"]
    assert (fewest, greatest) == (1, 3)
    assert costs["epsilon_spent_at_most"] == pytest.approx(terms.epsilon_of(terms.reserve))
    assert rho_of_cost(terms.run_cost) == pytest.approx(costs["rho_anew"])
    store.close()


def test_who_is_ready_is_said_of_each_party(shell: Shell, home: Path) -> None:
    federation = noised(home)
    store, hash = federation.store, federation.agreement.hash
    assert [one["state"] for one in planned(shell, home)["partners"]] == [AWAY] * 3
    keys = dict(zip(("partner-0", "partner-1", "partner-2"), NODE_KEYS, strict=True))
    AdmittedNodes(store).admit(keys)
    assert [one["state"] for one in planned(shell, home)["partners"]] == [UNKNOWN] * 3
    tell(store, NODE_KEYS[0], hash)
    tell(store, NODE_KEYS[1], hash, "E-SOURCE")
    words = ("--without", "partner-2")
    found = {one["partner"]: one for one in planned(shell, home, *words)["partners"]}
    assert {id: one["state"] for id, one in found.items()} == {
        "partner-0": READY, "partner-1": NOT_READY, "partner-2": LEFT_OUT,
    }  # fmt: skip
    assert found["partner-1"]["codes"] == ["E-SOURCE"]
    enrol(store, "partner-0", NODE_KEYS[0], seen=timedelta(minutes=10))
    enrol(store, "partner-1", NODE_KEYS[1], seen=timedelta(seconds=50))
    enrol(store, "partner-2", NODE_KEYS[2], seen=timedelta(seconds=50))
    Listening(store).begin(NODE_KEYS[0])  # of a process that was killed
    Listening(store).begin(NODE_KEYS[1])
    assert [one["state"] for one in planned(shell, home)["partners"]] == [AWAY, NOT_READY, AWAY]
    Listening(store).begin(NODE_KEYS[2])
    assert [one["state"] for one in planned(shell, home)["partners"]] == [AWAY, NOT_READY, UNKNOWN]
    store.close()


def test_who_refused_late_twice_is_named(shell: Shell, home: Path) -> None:
    federation = noised(home)
    for number in range(2):
        run_id = bytes([number]) * 16
        federation.store.request_run(run_id, federation.agreement)
        progress = {"phase": Phase.APPROVALS, "refusals": {"partner-1": "E-EGRESS-REFUSED"}}
        federation.store.report_progress(run_id, progress)
        federation.store.fail(run_id, "E-SET-QUORUM", "refused")
    found = {one["partner"]: one["late_refusals"] for one in planned(shell, home)["partners"]}
    assert found["partner-1"] == ["E-EGRESS-REFUSED"] * 2
    assert found["partner-0"] == []
    out = " ".join(shell("run", "plan", "--dir", home).out.split())
    assert "partner-1 refused at the end of 2 runs (E-EGRESS-REFUSED)" in out
    federation.store.close()


def test_the_number_of_customers_is_said_with_its_source(shell: Shell, home: Path) -> None:
    federation = noised(home, runs=4, partners=4)

    def estimated(*words: object) -> dict[str, Any]:
        return dict(planned(shell, home, *words)["precision"]["estimated"])

    agreed = estimated()
    assert agreed["customers"] == sum(p.max_customers for p in federation.agreement.parties)
    assert agreed["customers_from"] == "max_customers of the agreement"
    told = estimated("--customers", 2 * agreed["customers"])
    assert (told["customers_from"], told["segments"]) == ("option", 2)
    for one, other in zip(agreed["centres"], told["centres"], strict=True):
        assert other["margin"] == pytest.approx(one["margin"] / 2, rel=0.02)
    fewer = estimated("--without", "partner-2")
    assert fewer["customers"] == agreed["customers"] * 3 // 4
    federation.run()
    after = estimated()
    assert after["customers_from"] == after["deviation_from"] == "last release"
    assert 0.7 * 4 * EACH < after["customers"] < 1.3 * 4 * EACH
    federation.store.close()


def test_errors_of_centres_are_in_the_features_units(shell: Shell, home: Path) -> None:
    """On the scale of a logarithm half a range is not half the bounds."""
    federation = noised(home)
    visits, spent = planned(shell, home, "--customers", 1)["precision"]["estimated"]["centres"]
    assert (visits["unit"], visits["margin"]) == ("units", 50.0)  # nothing is known then
    assert (spent["unit"], spent["margin"]) == ("EUR", pytest.approx(500))
    visits, spent = planned(shell, home, "--customers", 10**6)["precision"]["estimated"]["centres"]
    assert 0 < visits["margin"] < 1
    assert 0 < spent["margin"] < 1
    federation.store.close()


def test_what_would_keep_a_run_from_beginning_is_said_and_the_rest_too(
    shell: Shell, home: Path
) -> None:
    federation = noised(home)
    words = [word for i in range(2) for word in ("--without", f"partner-{i}")]
    federation.store.request_run(b"\x01" * 16, federation.agreement)
    data = planned(shell, home, *words)
    codes = [one["code"] for one in data["obstacles"]]
    assert codes == [SOFTWARE, "E-SET-QUORUM", "E-RUN-ACTIVE"]
    assert all(one["remedy"] for one in data["obstacles"])
    assert data["precision"] is None
    assert data["budget"]["runs_left_anew"] == [2, 2]
    said = " ".join(shell("run", "plan", *words, "--dir", home).out.split())
    assert "It would not begin: E-SET-QUORUM: 1 partner would take part" in said
    assert data["served"] is False
    federation.store.close()


def test_nobody_is_left_out_who_is_no_party(shell: Shell, home: Path) -> None:
    federation = noised(home)
    words = ("run", "plan", "--without", "nobody", "--dir", home)
    assert "nobody" in shell.refused(*words, status=2)["message"]
    words = ("run", "plan", "--agreement", "other", "--dir", home)
    assert "other" in shell.refused(*words, status=2)["message"]
    federation.store.close()


def test_exact_totals_have_no_error_and_no_budget(shell: Shell, home: Path) -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    federation.store = CoordinatorConfig.load(home).open_store()
    federation.store.add_agreement(federation.signed)
    data = planned(shell, home)
    assert (data["budget"], data["precision"]) == (None, None)
    out = " ".join(shell("run", "plan", "--dir", home).out.split())
    assert "nothing limits what runs show of a customer" in out
    assert "Sizes and centres are exact." in out
    federation.store.close()


def test_a_plan_is_for_people_too(shell: Shell, home: Path) -> None:
    federation = noised(home)
    out = shell("run", "plan", "--dir", home).out
    for words in ("starts anew", "a segment's size", "exact", "estimated", "EUR", "own ledger"):
        assert words in out
    shell.patch.setenv("COLUMNS", "80")
    narrow = shell("run", "plan", "--dir", home).out
    assert max(map(len, narrow.splitlines())) <= 80
    federation.store.close()


def test_another_version_of_an_agreement_shares_its_budget(shell: Shell, home: Path) -> None:
    federation = noised(home, runs=4, start="anew")
    federation.run()
    later = replace(federation.agreement, version=2, supersedes=federation.agreement.hash)
    signed = type(federation.signed).draft(later)
    for key in federation.partner_keys:
        signed = replace(signed, envelope=signed.envelope.signed_by(key))
    federation.store.add_agreement(signed)
    data = planned(shell, home)
    assert data["version"] == 2
    assert data["budget"]["runs_left_anew"] == [3, 3]
    assert data["last_runs"] == []
    federation.store.close()


def test_what_is_assumed_before_any_release_stands_before_the_figures(
    shell: Shell, home: Path
) -> None:
    federation = noised(home)
    terms = federation.agreement
    parties = (replace(terms.parties[0], max_customers=USUAL_MAX_CUSTOMERS), *terms.parties[1:])
    (assumed,) = planned(shell, home)["assumed"]
    assert "Assumed, as no release has counted them: " in assumed
    out = " ".join(shell("run", "plan", "--dir", home).out.split())
    assert 0 < out.index("say how many there are with --customers") < out.index("Precision")
    assert planned(shell, home, "--customers", 900)["assumed"] == []
    expected = precision(replace(terms, parties=parties), None)
    assert expected is not None
    _, warned = assumed_words(replace(terms, parties=parties), expected)
    assert f"max_customers of {parties[0].id} is 1,000,000" in warned
    federation.run()
    assert planned(shell, home)["assumed"] == []


def test_each_run_and_release_is_listed_with_its_own_epsilon(shell: Shell, home: Path) -> None:
    federation = noised(home)
    federation.run()
    federation.run()
    runs = shell.json("run", "list", "--dir", home)["runs"]
    releases = shell.json("release", "list", "--dir", home)["releases"]
    follows, anew = (one["epsilon"] for one in runs)
    assert follows < 0.9 * anew
    assert [one["epsilon"] for one in releases] == [follows, anew]
    assert [one["run_id"] for one in releases] == [one["run_id"] for one in runs]
    for words in (("run", "list"), ("release", "list")):
        lines = shell(*words, "--dir", home).out.splitlines()
        for one in runs:
            (line,) = [line for line in lines if one["run_id"][:8] in line]
            assert f" {epsilon_text(one['epsilon'])} " in line
    federation.store.close()
