"""Messages through SuperLink, gateway and links as they are deployed, over TLS on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from flwr.proto.control_pb2 import ListRunsRequest, RegisterNodeRequest, StartRunRequest
from flwr.supercore.control import ControlHttpClient

from coordinator.service.bundle import (
    DIRECTORY_VARIABLE,
    bundle_from,
    write_bundle_project,
)
from coordinator.service.gateway import DEFAULT_MAX_BODY_BYTES
from coordinator.service.superlink import node_key_bytes
from partner_node.link.flower_link import FLEET_PATHS, LinkEvent, _Fleet
from tests.end_to_end.transport_support import (
    MODULE,
    Deployment,
    LinkThread,
    bundle_hash,
    deployment,
    echo_bundle,
    free_port,
    intruder_bundle,
    processes_with,
    programs_of,
    start_link_process,
    wait_for,
    write_node_key,
)

pytestmark = pytest.mark.slow

NODES = ("north", "east", "south")
OTHER_BUNDLE = bundle_from(
    serverapp=f"{MODULE}:echo_server", clientapp="partner_node.client_app:app"
)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("deployment")
    with deployment(directory, bundles=[OTHER_BUNDLE, _hostile_bundle(directory)]) as running:
        yield running


@pytest.fixture(scope="module")
def links(deployed: Deployment) -> Iterator[list[LinkThread]]:
    links = [LinkThread(deployed.link_config(name)).start() for name in NODES]
    for link in links:
        wait_for(lambda link=link: link.count("connected") == 1, timeout_s=30, what="a link")
    yield links
    for link in links:
        link.stop()


def _runs(deployed: Deployment) -> int:
    with deployed.superlink._control() as control:
        return len(control.ListRuns(ListRunsRequest()).run_dict)


def test_three_nodes_answer_every_round(deployed: Deployment, links: list[LinkThread]) -> None:
    deployed.plan(rounds=5)
    flower_run = deployed.superlink.submit("a1", bundle=echo_bundle())
    report = deployed.report("a1")
    assert (report["errors"], report["unanswered"]) == ([], 0)
    assert len(report["answers"]) == 5 * 3
    assert {answer.partition(":")[0] for answer in report["answers"]} == set(NODES)
    wait_for(
        lambda: deployed.superlink.flower_run(flower_run).state == "finished",
        timeout_s=30,
        what="the end of the Flower run",
    )
    assert deployed.superlink.flower_run(flower_run).outcome == "completed"
    assert not [*deployed.directory.rglob("flower/source")], "telemetry was put together"


def test_large_messages_pass_whole(deployed: Deployment, links: list[LinkThread]) -> None:
    deployed.plan(rounds=1, bytes=3_000_000)
    deployed.superlink.submit("a2", bundle=echo_bundle())
    report = deployed.report("a2")
    assert (report["errors"], len(report["answers"])) == ([], 3)


def test_a_hostile_bundle_is_refused_by_its_hash_and_none_of_its_code_runs_at_a_node(
    deployed: Deployment, links: list[LinkThread]
) -> None:
    deployed.plan(rounds=2)
    deployed.superlink.submit("a3", bundle=_hostile_bundle(deployed.directory))
    report = deployed.report("a3")
    assert report["answers"] == []
    assert set(report["errors"]) == {"E-BUNDLE"}
    assert not _marker(deployed.directory).exists()
    assert all(LinkEvent(kind="refused", code="E-BUNDLE", run=link.events[-1].run) in link.events
               for link in links)  # fmt: skip


def _marker(directory: Path) -> Path:
    return directory / "executed"


def _hostile_bundle(directory: Path) -> bytes:
    """One with code of its own for nodes, which the coordinator was made to start."""
    return intruder_bundle(_marker(directory), serverapp=f"{MODULE}:echo_server")


def _saved(content: bytes, directory: Path) -> Path:
    path = directory / "bundle.zip"
    path.write_bytes(content)
    return path


def test_even_the_product_bundle_is_refused_by_nodes_that_pin_another(
    deployed: Deployment, links: list[LinkThread]
) -> None:
    assert bundle_hash(OTHER_BUNDLE) != links[0].config.bundle_sha256
    deployed.plan(rounds=1)
    deployed.superlink.submit("a4", bundle=OTHER_BUNDLE)
    assert set(deployed.report("a4")["errors"]) == {"E-BUNDLE"}


def _flwr(deployed: Deployment, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Flower's own command line, which is told of the gateway as ``public``."""
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        "[superlink]\ndefault = 'public'\n[superlink.public]\n"
        f"address = '{deployed.gateway.address}'\n"
        f"root-certificates = '{deployed.certificate.authority}'\n"
    )
    environment = os.environ | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.run(
        [str(Path(sys.executable).parent / "flwr"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_flowers_own_commands_cannot_submit_a_run_or_register_a_node_through_the_public_port(
    deployed: Deployment, tmp_path: Path
) -> None:
    runs, nodes = _runs(deployed), deployed.superlink.node_ids()
    project = write_bundle_project(tmp_path)
    public_key = tmp_path / "intruder.pub"
    public_key.write_bytes(write_node_key(tmp_path / "intruder"))
    for arguments in (
        ("run", str(project), "public"),
        ("supernode", "register", str(public_key), "public"),
        ("supernode", "list", "public"),
        ("ls", "public"),
    ):
        done = _flwr(deployed, tmp_path / "home", *arguments)
        assert (done.returncode != 0, "404" in done.stdout + done.stderr) == (True, True), done
    assert _runs(deployed) == runs
    assert deployed.superlink.node_ids() == nodes
    with deployed.superlink._control() as control:
        key = node_key_bytes(public_key.read_bytes())
        assert control.RegisterNode(RegisterNodeRequest(public_key=key)).node_id, "it was unknown"


def test_flowers_control_calls_get_a_404_even_from_an_admitted_node(
    deployed: Deployment, links: list[LinkThread]
) -> None:
    fleet = _Fleet(links[0].config, links[0]._stop)
    with fleet, fleet._http.now() as http:
        client = ControlHttpClient(f"https://{deployed.gateway.address}")
        client.close()
        client._client = http
        http.headers.update(fleet._signed("/v1/control/start-run", b""))
        for call, request in (
            (client.StartRun, StartRunRequest()),
            (client.RegisterNode, RegisterNodeRequest(public_key=b"x")),
            (client.ListRuns, ListRunsRequest()),
        ):
            with pytest.raises(httpx.HTTPStatusError) as caught:
                call(request)  # type: ignore[operator]
            assert caught.value.response.status_code == 404
            assert caught.value.response.content == b""


def test_the_public_port_passes_nothing_but_the_fleet_calls(
    deployed: Deployment, links: list[LinkThread]
) -> None:
    with _Fleet(links[0].config, links[0]._stop) as fleet, fleet._http.now() as http:
        for path in ("/", "/health", "/docs", "/openapi.json", "/v1/fleet/get-fab",
                     "/v1/fleet/register-node", "/v1/runtime/acquire-task"):  # fmt: skip
            assert path not in FLEET_PATHS
            response = http.post(path, headers=fleet._signed(path, b""))
            assert (response.status_code, response.content) == (404, b"")


def test_a_body_over_the_limit_does_not_reach_the_superlink(
    deployed: Deployment, links: list[LinkThread]
) -> None:
    with _Fleet(links[0].config, links[0]._stop) as fleet, fleet._http.now() as http:
        response = http.post(
            "/v1/fleet/push-messages",
            headers=fleet._signed("/v1/fleet/push-messages", b""),
            content=bytes(DEFAULT_MAX_BODY_BYTES + 1),
        )
        assert response.status_code == 413


def test_a_node_whose_key_is_not_admitted_is_refused(deployed: Deployment) -> None:
    link = LinkThread(deployed.link_config("stranger", admit=False)).start()
    try:
        wait_for(lambda: link.count("lost") >= 2, timeout_s=30, what="two refusals")
        assert {event.code for event in link.events} == {"E-LINK-NOT-ADMITTED"}
        assert link.count("connected") == 0
    finally:
        link.stop()


def test_somebody_who_knows_an_admitted_public_key_but_not_the_private_one_is_refused(
    deployed: Deployment, links: list[LinkThread], tmp_path: Path
) -> None:
    with _Fleet(links[0].config, links[0]._stop) as fleet, fleet._http.now() as http:
        headers = fleet._signed("/v1/fleet/pull-messages", b"") | {"flwr-signature": "AAAA"}
        response = http.post("/v1/fleet/pull-messages", headers=headers)
        assert response.status_code == 401


def test_a_killed_node_is_back_for_the_next_run(deployed: Deployment) -> None:
    config = deployed.link_config("west")
    before = len(deployed.superlink.connected_nodes())
    first = start_link_process(config)
    try:
        wait_for(
            lambda: (
                len(deployed.superlink.connected_nodes()) == before + 1
                and config.state_file is not None
                and config.state_file.exists()
            ),
            timeout_s=30,
            what="the node, and what it remembers of its link",
        )
        first.kill()
        first.wait(10)
        # Flower still counts it as connected, and would not let it in for 20 s.
        link = LinkThread(config).start()
        try:
            wait_for(lambda: link.count("connected") == 1, timeout_s=10, what="its return")
            assert link.count("lost") == 0
        finally:
            link.stop()
    finally:
        first.kill()
        first.wait(10)
        if first.stdin is not None:
            first.stdin.close()


def test_after_kill_9_of_the_superlink_the_links_come_back_and_the_next_run_works(
    deployed: Deployment, links: list[LinkThread]
) -> None:
    ids = set(deployed.superlink.node_ids().values())
    deployed.plan(rounds=10_000)
    flower_run = deployed.superlink.submit("b1", bundle=echo_bundle())
    answered = [link.count("answered") for link in links]
    wait_for(
        lambda: all(l.count("answered") > a for l, a in zip(links, answered, strict=True)),  # noqa: E741
        timeout_s=60,
        what="the run to be going on",
    )
    pid = deployed.superlink.pid
    assert pid is not None
    assert "driver" in programs_of(pid).values()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not deployed.superlink.is_alive(), timeout_s=20, what="its end")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
        assert deployed.superlink.ensure_alive() is True
    assert deployed.superlink.flower_run(flower_run).state == "unknown"
    assert ids.isdisjoint(deployed.superlink.node_ids().values())
    for link in links:
        wait_for(lambda link=link: link.count("connected") == 2, timeout_s=60, what="a link")
    deployed.plan(rounds=3)
    deployed.superlink.submit("b2", bundle=echo_bundle())
    report = deployed.report("b2")
    assert (report["errors"], len(report["answers"])) == ([], 9)


def test_a_gateway_that_was_away_is_found_again(
    deployed: Deployment, links: list[LinkThread]
) -> None:
    lost = [link.count("lost") for link in links]
    connected = [link.count("connected") for link in links]
    port = deployed.gateway.port
    deployed.gateway.stop()
    for link, count in zip(links, lost, strict=True):
        wait_for(lambda link=link, n=count: link.count("lost") > n, timeout_s=60, what="the loss")
    deployed.restart_gateway(port)
    for link, count in zip(links, connected, strict=True):
        wait_for(
            lambda link=link, n=count: link.count("connected") > n, timeout_s=60, what="a link"
        )
    deployed.plan(rounds=2)
    deployed.superlink.submit("b3", bundle=echo_bundle())
    assert len(deployed.report("b3")["answers"]) == 6


@pytest.mark.long  # a commit runs the real apps in that engine: test_flower_simulation.py
def test_flowers_own_simulation_engine_runs_the_code_free_bundle(tmp_path: Path) -> None:
    project = tmp_path / "fedseg-bundle"
    project.mkdir()
    shutil.unpack_archive(_saved(echo_bundle(), tmp_path), project, format="zip")
    shutil.rmtree(project / ".info")
    (tmp_path / "plan.json").write_text(
        json.dumps({"nodes": 2, "rounds": 3, "bytes": 1_000, "ttl_s": 60, "timeout_s": 60})
    )
    home = tmp_path / "home"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "FLWR_HOME": str(home),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port()),
        "FLWR_LOCAL_CONTROL_API_PORT": str(free_port()),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        DIRECTORY_VARIABLE: str(tmp_path),
    }
    try:
        subprocess.run(
            [
                *(str(Path(sys.executable).parent / "flwr"), "run", str(project), "local"),
                *("--stream", "--run-config", "fedseg-run='sim'"),
            ],
            env=environment,
            capture_output=True,
            timeout=150,
            check=True,
        )
        report = json.loads((tmp_path / "report-sim.json").read_text())
    finally:
        # Flower leaves its local SuperLink running; its home is this test's own folder.
        for pid in processes_with(f"FLWR_HOME={home}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert (report["errors"], report["unanswered"]) == ([], 0)
    assert sorted(a.partition(":")[0] for a in report["answers"]) == ["part0"] * 3 + ["part1"] * 3
