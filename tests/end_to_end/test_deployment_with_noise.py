"""Differential privacy deployed: every process its own, TLS, ledgers on disk.

And what does not leave a node before a person has let it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from partner_node.customers.answers import answer
from partner_node.egress.records import APPROVED, REFUSED
from partner_node.home import NodeHome
from protocol.canonical import tagged_hash, u32
from protocol.clustering.plan import plan_seed, start_plan
from protocol.masking import Stream, expand
from protocol.privacy.mechanisms import discrete_gaussian, share_variance, total_variance
from protocol.release.document import make_release
from protocol.release.last import begins_at
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import PATIENCE_S, command
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.transport_support import wait_for

pytestmark = pytest.mark.slow

NAMES = ("north", "east", "west")
EACH = 1_500


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("noised")
    data = {
        name: deploy.write_customers(directory / f"{name}.csv", deploy.customers(seed, EACH))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(
        directory,
        data,
        grace_s=60,
        n_clusters=3,
        max_rounds=11,
        epsilon="2",
        min_segment_size=50,
        start="anew",
    )
    with deploy.running(made):
        yield made


def said(deployed: Deployment, name: str, *words: object, status: int = 0) -> Any:
    done = command("node", *words, "--dir", deployed.folder(name), "--format", "json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)["data"]


@pytest.fixture(scope="module")
def first(deployed: Deployment) -> SimpleNamespace:
    """The first run's release, and what was foreseen before it."""
    forecast = said(deployed, "north", "budget", "forecast")
    row = deployed.run()
    assert row.state == "finished", row
    return SimpleNamespace(forecast=forecast, release=deployed.release(row.run_id))


@pytest.fixture(scope="module")
def second(deployed: Deployment, first: SimpleNamespace) -> SimpleNamespace:
    """The second run's release, and the noise secret of each node, caught while it runs."""
    homes = [NodeHome.load(deployed.folder(name)) for name in NAMES]
    stores = [home.store(home.keystore()) for home in homes]
    request = deployed.request()
    secrets: dict[int, bytes] = {}
    run_hashes: dict[int, bytes] = {}

    def caught() -> bool:
        for place, store in enumerate(stores):
            state = store.runs()[0].state
            if state["noise_secret"] and state["run_hash"]:
                secrets[place] = bytes.fromhex(state["noise_secret"])
                run_hashes[place] = bytes.fromhex(state["run_hash"])
        return len(run_hashes) == len(stores)

    wait_for(caught, timeout_s=PATIENCE_S, what="the secrets of all noise")
    (run_hash,) = set(run_hashes.values())
    row = deployed.await_end(request)
    assert row.state == "finished", row
    return SimpleNamespace(
        release=deployed.release(row.run_id),
        run_hash=run_hash,
        secrets=[secrets[place] for place in range(len(NAMES))],
        head=stores[0].chain(deployed.agreement).head,
    )


def test_a_run_is_released_charged_and_stated_alike_by_everyone(
    deployed: Deployment, first: SimpleNamespace
) -> None:
    release = first.release
    assert release.privacy is not None
    assert 1.8 < release.privacy.epsilon <= 2.0
    assert sum(s.size for s in release.segments) == pytest.approx(3 * EACH, rel=0.2)
    rhos = set()
    for name in NAMES:
        budget = said(deployed, name, "budget", "show")
        assert [c["round"] for c in budget["charges"]] == list(range(1, release.rounds + 1))
        assert budget["epsilon_spent"] <= 2.0
        listed = said(deployed, name, "segments", "list")["segments"]
        assert any(f["typical"] for segment in listed for f in segment["features"])
        assert budget["runs_left"] == first.forecast["runs_left"] - 1
        recomputed = said(deployed, name, "budget", "recompute")
        assert recomputed["rho"] == pytest.approx(budget["rho_spent"], rel=1e-12)
        rhos.add(budget["rho_spent"])
        assert said(deployed, name, "segments", "list")["privacy"].startswith(
            "differentially private aggregate: epsilon"
        )
        messages = said(deployed, name, "egress", "list")
        assert messages["privacy"] == "differentially private aggregate"
        noised = [m for m in messages["messages"] if m["customers"] is not None]
        assert all("noised" in m["what"] for m in noised)
        assert len(noised) == release.rounds
    assert len(rhos) == 1
    assert max(rhos) <= float(release.privacy.rho)


def test_the_release_follows_from_the_customers_and_the_secrets_of_the_noise(
    deployed: Deployment, first: SimpleNamespace, second: SimpleNamespace
) -> None:
    """Computed again in memory, from the same noise: the same release, bit for bit."""
    homes = [NodeHome.load(deployed.folder(name)) for name in NAMES]
    agreement, run_hash = deployed.agreement, second.run_hash
    gates = [home.gate(agreement, home.party(agreement)) for home in homes]
    customers = [
        list(home.customers(agreement, gate).vectors())
        for home, gate in zip(homes, gates, strict=True)
    ]
    followed = begins_at(agreement, first.release)
    plan = start_plan(agreement, seed=plan_seed(run_hash), followed=followed)
    for number in itertools.count():
        query = plan.query
        if query is None:
            break
        terms = {"partners": 3, "colluding": agreement.secure_sum.max_colluding}
        share = share_variance(query.variance, **terms)
        total = np.zeros(query.length, dtype=np.int64)
        for own, secret in zip(customers, second.secrets, strict=True):
            sums, _ = answer(query, own)
            place = tagged_hash(
                "noise",
                run_hash,
                second.head,
                u32(number),
                query.hash,
                sums.astype("<i8").tobytes(),
            )
            stream = Stream(expand(secret, "noise", place))
            total += sums + discrete_gaussian(stream, variance=share, count=query.length)
        plan = plan.advance(
            total,
            customers=sum(party.max_customers for party in agreement.parties),
            variance=total_variance(query.variance, **terms),
        )
    assert plan.result is not None
    expected = make_release(agreement, plan.result, run_hash=run_hash, members=frozenset(range(3)))
    assert expected.to_bytes() == second.release.to_bytes()


def test_a_second_run_draws_other_noise(first: SimpleNamespace, second: SimpleNamespace) -> None:
    releases = [first.release, second.release]
    sizes = [sorted(s.size for s in release.segments) for release in releases]
    assert sizes[0] != sizes[1]
    centres = [np.array([s.centre for s in release.segments]) for release in releases]
    assert centres[0].shape != centres[1].shape or (centres[0] != centres[1]).any()


def test_documents_after_a_run_are_filled_from_it(
    deployed: Deployment, first: SimpleNamespace
) -> None:
    for document in ("record", "dpia", "arrangement", "registry"):
        found = said(deployed, "north", "evidence", document)
        fields = {one["key"]: one for part in found["sections"] for one in part["fields"]}
        from_log = {s["where"] for one in fields.values() for s in one["sources"]
                    if s["kind"] == "log"}  # fmt: skip
        missing = {key for key, one in fields.items() if one["state"] == "missing"}
        if document == "record":
            assert {"left", "question", "agreement-signed"} <= from_log
            assert missing == {"source", "security.backup"}
        elif document == "dpia":
            assert " customers; at most " in fields["1.1.d.scope"]["values"][0]
        else:
            assert found["share"] >= 0.8
            assert not missing
    (rho,) = fields["deployment.privacy_loss.privacy_parameters.rho"]["values"]
    assert first.release.privacy.rho <= Decimal(rho), "what is published bounds what was spent"


def test_own_customers_are_assigned_and_stay_here(
    deployed: Deployment, first: SimpleNamespace
) -> None:
    assigned = [said(deployed, name, "segments", "assign") for name in NAMES]
    assert [data["customers"] for data in assigned] == [EACH] * 3
    assert [pq.read_metadata(data["file"]).num_rows for data in assigned] == [EACH] * 3


# --- a person lets answers out, or does not -------------------------------------------------------


def test_a_held_answer_leaves_when_it_is_approved_and_the_run_ends_with_a_release(
    deployed: Deployment,
) -> None:
    deployed.hold_back("north", "answers")
    run_id = deployed.request()
    row = deployed.await_progress(
        run_id,
        lambda row: bool(row.progress) and row.progress["refusals"] == {"north": "E-EGRESS-HELD"},
    )
    assert not row.ended, row
    (first,) = [
        h for h in said(deployed, "north", "egress", "list")["held"] if h["state"] == "waiting"
    ]
    assert (first["round"], first["customers"], first["times_left"]) == (1, EACH, 0)
    with deployed.node_store("north") as store:
        left = [r.what for r in store.egress() if r.run_id == run_id]
    assert not any(what.startswith("MASKED") for what in left)

    node = deployed.nodes["north"]  # killed while it waits: the same message waits afterwards
    node.kill()
    node.start()
    approved = said(deployed, "north", "egress", "approve", first["number"])
    assert (approved["state"], approved["sha256"]) == ("approved", first["sha256"])
    later = deployed.decide(run_id, "north", itertools.repeat(APPROVED))
    row = deployed.row(run_id)
    assert row.state == "finished", row
    release = deployed.release(run_id)
    assert release.participants == tuple(NAMES)
    assert [a.sha256 for a in deployed.answers(run_id, "north")] == [first["sha256"], *later]
    assert len(later) == release.rounds - 1
    again = said(deployed, "north", "egress", "approve", first["number"], status=3)
    assert again["code"] == "E-EGRESS-DECIDED"
    log = (deployed.operator_folder / "server_app.log").read_text()
    assert "answered twice, differently" not in log


def test_a_refused_answer_never_leaves_and_the_operator_is_told_so(deployed: Deployment) -> None:
    run_id = deployed.request()
    assert deployed.decide(run_id, "north", itertools.repeat(REFUSED))
    row = deployed.row(run_id)
    if row.state == "finished":
        assert "north" not in deployed.release(run_id).participants
    else:
        assert "E-EGRESS-REFUSED" in row.reason
    assert deployed.answers(run_id, "north") == []
