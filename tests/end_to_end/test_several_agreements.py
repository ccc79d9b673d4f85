"""Two agreements in force at the same three nodes: runs side by side, and one cap on both."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from partner_node.cli import agreement as partner_agreement
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.release.document import SignedRelease
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import PATIENCE_S, command
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.transport_support import wait_for

pytestmark = pytest.mark.slow

NAMES = ("north", "east", "west")
EACH = 600
LOYALTY = "loyalty"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Segments of buyers, and of members by features that only they have."""
    directory = tmp_path_factory.mktemp("several")
    data = {
        name: deploy.write_customers(directory / f"{name}.csv", deploy.customers(seed, EACH))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(
        directory, data, n_clusters=3, max_rounds=11, epsilon="2", min_segment_size=50,
        start="anew", id="buyers",
    )  # fmt: skip
    for seed, name in enumerate(NAMES):
        members = directory / f"{name}-members.csv"
        rng = np.random.default_rng(seed)
        rows = [f"c{i},{points}" for i, points in enumerate(rng.integers(0, 101, EACH).tolist())]
        members.write_text("\n".join(["member,points", *rows]) + "\n")
    features = [deploy.plain_features()[0] | {"name": "points", "max": "100"}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "say_units", lambda *_: None)
        unsigned = deploy.draft_agreement(
            directory, NAMES, features=features, n_clusters=2, max_rounds=11, epsilon="2",
            min_segment_size=50, start="anew", id=LOYALTY,
        )  # fmt: skip
    for name in NAMES:
        with (directory / name / "node.toml").open("a") as file:
            file.write(
                f"[agreements.{LOYALTY}]\n[agreements.{LOYALTY}.data]\n"
                f'kind = "csv"\npath = "../{name}-members.csv"\nid_column = "member"\n'
                f'[agreements.{LOYALTY}.data.units]\npoints = "units"\n'
            )
    complete = deploy.sign_agreement(directory, unsigned, NAMES)
    for name in NAMES:
        partner_agreement.install(file=complete, directory=directory / name)
    with deploy.running(made):
        yield made


def agreements(deployed: Deployment) -> dict[str, Agreement]:
    with deployed.store() as store:
        return {one.agreement.id: one.verify() for one in store.agreements()}


def request(deployed: Deployment, id: str) -> bytes:
    run_id = os.urandom(16)
    with deployed.store() as store:
        store.request_run(run_id, agreements(deployed)[id])
    return run_id


def said(deployed: Deployment, name: str, *words: object, status: int = 0) -> Any:
    done = command("node", *words, "--dir", deployed.folder(name), "--format", "json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)["data"]


def test_runs_under_both_go_side_by_side(deployed: Deployment) -> None:
    asked = {id: request(deployed, id) for id in ("buyers", LOYALTY)}
    both_begun: list[bool] = []
    with deployed.store() as store:

        def over() -> bool:
            runs = [store.run(run_id) for run_id in asked.values()]
            both_begun.append(all(r.progress and not r.ended for r in runs))
            return all(run.ended for run in runs)

        wait_for(over, timeout_s=PATIENCE_S, what="the end of both runs")
        assert [store.run(run_id).state for run_id in asked.values()] == ["finished"] * 2
        assert any(both_begun), "one went on while the other did"
        for id, run_id in asked.items():
            release = SignedRelease.from_bytes(store.release(run_id)).release
            assert release.agreement_id == id
            assert len(release.participants) == len(NAMES)
    for name in NAMES:
        budgets = {id: said(deployed, name, "budget", "show", "--under", id) for id in asked}
        for id, run_id in asked.items():
            assert {c["run_id"] for c in budgets[id]["charges"]} == {run_id.hex()}
        together = said(deployed, name, "budget", "cap")["together"]["rho"]
        assert together == pytest.approx(sum(b["rho_spent"] for b in budgets.values()))
        assert NodeHome.load(deployed.folder(name)).under(LOYALTY).installed_agreement()
    listed = said(deployed, "north", "segments", "list", "--under", LOYALTY)["segments"]
    assert {f["feature"] for segment in listed for f in segment["features"]} == {"points"}


def test_the_cap_of_one_partner_keeps_it_out_of_the_run_that_would_go_beyond(
    deployed: Deployment,
) -> None:
    spent = said(deployed, "east", "budget", "cap")["together"]["epsilon"]
    said(deployed, "east", "budget", "cap", "--epsilon", f"{spent + 0.5:.3f}")
    with deployed.grace_time(3):
        row = deployed.await_end(request(deployed, LOYALTY))
    assert row.state == "failed"
    assert "east refused with E-BUDGET-CAP" in row.reason
    assert said(deployed, "east", "budget", "cap")["together"]["epsilon"] == spent
