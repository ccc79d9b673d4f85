"""What leaves a deployed node, and what does not before a person has let it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from partner_node.egress.records import APPROVED, REFUSED, WAITING, Manifests
from partner_node.store.times import stamp
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import PATIENCE_S, command
from tests.end_to_end.deployment import NAMES, Deployment
from tests.end_to_end.transport_support import wait_for

pytestmark = pytest.mark.slow

EACH = 1_000
GRACE_S = 60


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("egress")
    data = {
        name: deploy.write_customers(directory / f"{name}.csv", deploy.customers(seed, EACH))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(
        directory, data, grace_s=GRACE_S, n_clusters=2, epsilon="2", min_segment_size=50
    )
    with deploy.running(made):
        yield made


def said(deployed: Deployment, *words: object, status: int = 0) -> dict[str, Any]:
    """The data of a command of north's node."""
    done = command("node", *words, "--dir", deployed.folder("north"), "--format", "json")
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found


def restart_with(deployed: Deployment, hold: str) -> None:
    """Serve north's folder again, with another setting of what is held."""
    node = deployed.nodes["north"]
    connected = node.said().count("link: connected")
    node.kill()
    file = deployed.folder("north") / "node.toml"
    text = file.read_text()
    changed = text.replace('# hold = "none"', f"hold = {json.dumps(hold)}")
    assert changed != text
    file.write_text(changed)
    node.start()
    deployed.await_connected("north", times=connected + 1)


def decide_all(deployed: Deployment, run_id: bytes, decision: str) -> list[str]:
    """Decide what waits at north until the run has ended; SHA-256 of each message decided on."""
    decided: list[str] = []
    with deployed.node_store("north") as store:

        def decide() -> bool:
            now = stamp(datetime.now(UTC))
            for held in Manifests(store).held():
                if held.state(now) == WAITING:
                    with store.transaction():
                        Manifests(store).decide(held.number, decision, now=now)
                    decided.append(held.manifest.sha256)
            return deployed.row(run_id).ended

        wait_for(decide, timeout_s=2 * PATIENCE_S, what="the end of the run")
    return decided


def test_a_held_answer_leaves_when_it_is_approved_and_the_run_ends_with_a_release(
    deployed: Deployment,
) -> None:
    restart_with(deployed, "answers")
    run_id = deployed.request()
    row = deployed.await_progress(
        run_id,
        lambda row: bool(row.progress) and row.progress["refusals"] == {"north": "E-EGRESS-HELD"},
    )
    assert not row.ended, row
    (first,) = [h for h in said(deployed, "egress", "list")["held"] if h["state"] == "waiting"]
    assert (first["round"], first["customers"], first["times_left"]) == (0, EACH, 0)
    with deployed.node_store("north") as store:
        left = [r.what for r in store.egress() if r.run_id == run_id]
    assert not any(what.startswith("MASKED") for what in left)

    node = deployed.nodes["north"]  # killed while it waits: the same message waits afterwards
    node.kill()
    node.start()
    approved = said(deployed, "egress", "approve", first["number"])
    assert (approved["state"], approved["sha256"]) == ("approved", first["sha256"])
    later = decide_all(deployed, run_id, APPROVED)
    row = deployed.row(run_id)
    assert row.state == "finished", row
    release = deployed.release(run_id)
    assert release.participants == tuple(NAMES)
    assert [a.sha256 for a in deployed.answers(run_id, "north")] == [first["sha256"], *later]
    assert len(later) == release.rounds - 1
    again = said(deployed, "egress", "approve", first["number"], status=3)
    assert again["code"] == "E-EGRESS-DECIDED"
    log = (deployed.operator_folder / "server_app.log").read_text()
    assert "answered twice, differently" not in log


def test_a_refused_answer_never_leaves_and_the_operator_is_told_so(deployed: Deployment) -> None:
    run_id = deployed.request()
    assert decide_all(deployed, run_id, REFUSED)
    row = deployed.row(run_id)
    if row.state == "finished":
        assert "north" not in deployed.release(run_id).participants
    else:
        assert "E-EGRESS-REFUSED" in row.reason
    assert deployed.answers(run_id, "north") == []
