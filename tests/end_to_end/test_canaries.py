"""Planted customers are nowhere outside their partner: not in traffic, logs, metrics, databases.

Every customer of every partner is a canary: a random id and three rare amounts. Whatever leaves a
node or is written by anybody but the partner's own data tools is searched for all of them, in many
encodings. The nodes' assignments hold them, as they must, and are left out; so is the input.
"""

from __future__ import annotations

import base64
import json
import string
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from coordinator.config import CoordinatorConfig
from coordinator.metrics.table import TABLE as COORDINATOR_TABLE
from machine.metrics.endpoint import LIVE, METRICS, READY
from partner_node.metrics.table import TABLE as NODE_TABLE
from protocol.scaling import FeatureScale
from simulations.retail_features import AgreedFeature
from tests import effort
from tests.end_to_end import deployment as deploy
from tests.end_to_end.canary_detector import Canaries, Detector, Needle, needles_of
from tests.end_to_end.command_line import command, command_process, program
from tests.end_to_end.deployment import NAMES, Deployment, PartnerData, Serving
from tests.end_to_end.wiretap import Wiretap
from tests.scraping import address_in, switch_on
from tests.span_collector import set_endpoint, span_collector

pytestmark = pytest.mark.slow

N_CANARIES = 1_000
FEATURE_NAMES = ("spend", "returns", "basket")
FEATURES = [
    AgreedFeature(
        name=name,
        unit="EUR",
        minimum="10000",
        maximum="100000",
        transform="none",
        weight="1",
        words="tells customers apart",
    ).to_dict()
    for name in FEATURE_NAMES
]
GRACE_S = 60
#: Of the run that waits all of it, in case that the refusals pass.
SHORT_GRACE_S = 15
#: So many values from 10,000 to 99,999.9999 differ in their first ten characters.
N_STARTS = 900_000_000

#: A node whose answers fail with a customer in the error's text, and in that of its cause.
FAILING_NODE = """
import sys
from partner_node import node

def failing(query, chunks, *, threads=None):
    try:
        raise LookupError(CANARY)
    except LookupError as error:
        raise ValueError("cannot add " + CANARY) from error

CANARY = sys.argv.pop(1)
node.answer = failing
from partner_node.cli import main
main()
"""


@pytest.fixture(scope="module")
def canaries() -> dict[str, Canaries]:
    chance, rng = effort.chance("canaries' ids"), effort.generator("canaries")
    alphabet = string.ascii_letters + string.digits
    shape = (len(NAMES), N_CANARIES, len(FEATURE_NAMES))
    starts = rng.choice(N_STARTS, size=shape, replace=False) + 100_000_000
    values = (100 * starts + rng.integers(0, 100, shape)) / 1e6
    return {
        name: Canaries(
            ids=tuple("".join(chance.choices(alphabet, k=14)) for _ in range(N_CANARIES)),
            values=own,
            grid=_grid(own),
        )
        for name, own in zip(NAMES, values, strict=True)
    }


def _grid(values: np.ndarray) -> np.ndarray:
    n = values.shape[1]
    scale = FeatureScale(
        lower=np.full(n, 10_000.0),
        upper=np.full(n, 100_000.0),
        logarithmic=np.zeros(n, dtype=bool),
        weights=np.ones(n),
    )
    return scale.to_grid(values)


def _write(path: Path, own: Canaries, *, broken: str = "") -> PartnerData:
    """The partner's file; `broken` puts something into the last row that cannot be used."""
    lines = [
        ",".join([name, *(f"{value:.6f}" for value in row)])
        for name, row in zip(own.ids, own.values.tolist(), strict=True)
    ]
    if broken == "duplicate":
        lines.append(lines[0])
    elif broken:
        lines[-1] = ",".join([*lines[-1].split(",")[:-1], broken])
    header = ",".join(["customer_id", *FEATURE_NAMES])
    path.write_text("\n".join([header, *lines]) + "\n")
    return PartnerData(file=path)


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, canaries: dict[str, Canaries]
) -> Iterator[SimpleNamespace]:
    """A deployment whose nodes talk through a wiretap."""
    directory = tmp_path_factory.mktemp("canaries")
    data = {n: _write(directory / f"{n}.csv", canaries[n]) for n in NAMES}
    made = deploy.make_deployment(
        directory,
        data,
        grace_s=GRACE_S,
        features=FEATURES,
        n_clusters=4,
        max_rounds=6,
        min_segment_size=50,
    )
    config = CoordinatorConfig.load(made.operator_folder)
    tap = Wiretap(
        upstream=f"127.0.0.1:{config.port}",
        certificate=config.certificate,
        key=config.key,
        authority=made.operator_folder / "tls" / "coordinator-ca.crt",
    )
    with tap, span_collector() as collector:
        for name in NAMES:
            file = made.folder(name) / "node.toml"
            text = file.read_text()
            assert f'"127.0.0.1:{config.port}"' in text
            file.write_text(text.replace(str(config.port), str(tap.port)))
            switch_on(file)
        switch_on(made.operator_folder / "coordinator.toml")
        for file in (
            made.operator_folder / "coordinator.toml",
            made.folder("middle") / "node.toml",
        ):
            set_endpoint(file, collector.settings.endpoint)
        for process in (made.nodes["middle"], made.coordinator):
            process.command = [*process.command, "--log-format", "json"]
        with deploy.running(made):
            yield SimpleNamespace(
                deployed=made, tap=tap, outputs=[], metrics=[], collector=collector
            )


def told_now(deployed: Deployment) -> list[bytes]:
    """What every process tells of itself over HTTP now."""
    return [
        _told(process, path)
        for process in (deployed.coordinator, *deployed.nodes.values())
        for path in (METRICS, LIVE, READY)
    ]


def _told(process: Serving, path: str) -> bytes:
    """What a process answers, which may have been started just now."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.get(f"http://{address_in(process.said())}{path}").content
        except httpx.TransportError:
            assert time.monotonic() < deadline, process.said()
            time.sleep(0.05)


@pytest.fixture(scope="module")
def finished(watched: SimpleNamespace) -> bytes:
    """A run that went well, with everything that people call up afterwards."""
    deployed: Deployment = watched.deployed
    row = deployed.run()
    assert row.state == "finished", row
    for name in NAMES:
        folder = deployed.folder(name)
        for words in (
            ("segments", "assign", "--out", folder / "segments" / "customers.csv"),
            ("segments", "list", "--format", "json"), ("egress", "list"), ("status",), ("check",),
            ("segments", "show"), ("segments", "exports"), ("segments", "releases"),
            ("consent", "status"),
        ):  # fmt: skip
            done = command("node", *words, "--dir", folder)
            assert done.returncode == 0, (words, done.stderr)
            watched.outputs.append(f"{words}: {done.stdout}{done.stderr}")
    report = deployed.directory / "report.html"
    for words in (("release", "export", "--out", report), ("release", "show"), ("run", "list")):
        done = command("coordinator", *words, "--dir", deployed.operator_folder)
        assert done.returncode == 0, done.stderr
        watched.outputs.append(done.stdout + done.stderr)
    assert report.stat().st_size > 5_000
    watched.metrics += told_now(deployed)
    return row.run_id


@pytest.fixture(scope="module")
def failed(
    watched: SimpleNamespace, finished: bytes, canaries: dict[str, Canaries]
) -> dict[str, str]:
    """Runs that failed on the data: the refusals by partner."""
    deployed: Deployment = watched.deployed
    broken = {"north": f"{canaries['north'].values[-1, 2]:.6f}x", "middle": "NaN"}
    for name in NAMES:
        _write(deployed.directory / f"{name}.csv", canaries[name],
               broken=broken.get(name, "duplicate"))  # fmt: skip
    run_id = deployed.request()
    deployed.await_progress(run_id, lambda row: row.progress.get("refusals", {}).keys() == {*NAMES})
    done = command("coordinator", "run", "stop", "--dir", deployed.operator_folder)
    assert done.returncode == 0, done.stderr
    watched.outputs.append(done.stdout + done.stderr)
    row = deployed.row(run_id)
    assert row.state == "failed", row
    refusals = dict(row.progress["refusals"])
    for name in NAMES:
        done = command("node", "check", "--dir", deployed.folder(name))
        assert done.returncode != 0
        watched.outputs.append(done.stdout + done.stderr)
        _write(deployed.directory / f"{name}.csv", canaries[name])

    consents = deployed.directory / "north-consents.csv"
    whole = consents.read_bytes()
    consents.write_bytes(whole + f"{canaries['north'].ids[5]},ConsentGiven\n".encode())
    node = deployed.nodes["south"]
    assert node.stop() == 0
    secret = f"{canaries['south'].ids[3]} {canaries['south'].values[3].tolist()}"
    failing = deploy.serving("node", deployed.folder("south"))
    failing.command = [
        str(Path(program("node")).with_name("python")), "-c", FAILING_NODE, secret,
        "serve", "--dir", str(deployed.folder("south")),
    ]  # fmt: skip
    try:
        failing.start()
        with deployed.grace_time(SHORT_GRACE_S):
            row = deployed.run()
        done = command_process("node", "check", "--dir", deployed.folder("north"))
        assert "E-CONSENT-SOURCE" in done.stderr
        watched.outputs.append(done.stdout + done.stderr)
    finally:
        consents.write_bytes(whole)
        failing.stop()
        node.start()
    assert row.state == "failed", row
    assert "ValueError at" in failing.said(), "the error was met, and logged without its words"
    refusals["failing south"] = row.progress["refusals"]["south"]
    refusals["consents of north"] = row.progress["refusals"]["north"]
    watched.outputs.append(row.reason)
    watched.metrics += told_now(deployed)
    return refusals


@pytest.fixture(scope="module")
def detector(canaries: dict[str, Canaries]) -> Detector:
    return Detector([needle for own in canaries.values() for needle in needles_of(own)])


def test_errors_in_the_data_leave_as_codes_alone(failed: dict[str, str]) -> None:
    assert set(failed) == {*NAMES, "failing south", "consents of north"}
    assert failed["failing south"] == "E-INTERNAL"
    assert failed["consents of north"] == "E-CONSENT-SOURCE"
    assert failed["north"] == "E-SOURCE-TYPE"
    assert failed["middle"] == "E-SOURCE-NULL"
    assert failed["south"] == "E-DUPLICATE"


def test_no_canary_is_in_the_traffic(
    watched: SimpleNamespace, failed: dict[str, str], detector: Detector
) -> None:
    clear, raw = bytes(watched.tap.clear), bytes(watched.tap.raw)
    deployed: Deployment = watched.deployed
    node_key = (deployed.folder("north") / "partner-card.json").read_bytes()
    assert b"/v1/fleet/push-messages" in clear, "the wiretap sees what TLS hides"
    assert b"/v1/fleet/push-messages" not in raw
    assert b"E-INTERNAL" in clear
    assert json.loads(node_key)["public_key"].encode() not in raw
    with deployed.node_store("north") as store:
        sent = sum(record.n_bytes for record in store.egress())
    assert len(clear) > 3 * sent, "every message of every node went through"
    assert detector.find(clear) == []
    assert detector.find(raw) == []


def test_no_canary_is_in_logs_databases_and_other_files(
    watched: SimpleNamespace, failed: dict[str, str], detector: Detector
) -> None:
    deployed: Deployment = watched.deployed
    own = {deployed.directory / f"{name}{what}.csv" for name in NAMES for what in ("", "-consents")}
    searched = set()
    for path in sorted(deployed.directory.rglob("*")):
        if not path.is_file() or path in own or "segments" in path.parts[-2:-1]:
            continue
        found = detector.find(path.read_bytes())
        assert found == [], (path, [needle.what for _, needle in found[:5]])
        searched.add(str(path.relative_to(deployed.directory)))
    expected = {
        "coordinator/coordinator.db", "coordinator/server_app.log", "coordinator.log",
        "coordinator/superlink/superlink.log", "report.html", "north.log", "north/state/node.db",
    }  # fmt: skip
    assert expected <= searched


def test_no_canary_is_in_what_commands_print(
    watched: SimpleNamespace, failed: dict[str, str], detector: Detector
) -> None:
    assert len(watched.outputs) >= 20
    for output in watched.outputs:
        found = detector.find(output.encode())
        assert found == [], (output[:200], [needle.what for _, needle in found[:5]])


def test_no_canary_and_no_number_of_customers_is_in_metrics(
    watched: SimpleNamespace, failed: dict[str, str], finished: bytes, detector: Detector
) -> None:
    deployed: Deployment = watched.deployed
    known = {metric.name: metric for metric in (*NODE_TABLE, *COORDINATOR_TABLE)}
    sizes = {float(segment.size) for segment in deployed.release(finished).segments}
    told: set[str] = set()
    assert len(watched.metrics) == 2 * 3 * (1 + len(NAMES))
    for body in watched.metrics:
        assert detector.find(body) == [], body[:200]
        if body.startswith(b"{"):
            continue
        for family in families(body.decode()):
            assert {label for sample in family.samples for label in sample.labels} <= {
                *known[family.name].labels, "le",
            }, family.name  # fmt: skip
            told.add(family.name)
            values = {sample.value for sample in family.samples}
            assert not values & {float(N_CANARIES), len(NAMES) * N_CANARIES, *sizes}, family.name
    assert {"fedseg_coordinator_runs", "fedseg_coordinator_round_seconds"} <= told
    assert {"fedseg_node_runs", "fedseg_node_refusals", "fedseg_node_retention_overdue_files"} <= (
        told
    )


def test_no_canary_is_in_spans_and_in_lines_of_json(
    watched: SimpleNamespace, failed: dict[str, str], finished: bytes, detector: Detector
) -> None:
    deployed: Deployment = watched.deployed
    said = deployed.nodes["middle"].said() + deployed.coordinator.said()
    lines = [json.loads(line) for line in said.splitlines()]
    assert any(line.get("run") == finished.hex() for line in lines)
    assert {line["partner"] for line in lines if "partner" in line} == {"middle"}
    for line in lines:
        assert detector.find(json.dumps(line).encode()) == [], line
    spans = watched.collector.spans
    assert {one.service for one in spans} >= {"fedseg-coordinator"}
    assert any(one.attributes.get("run") == finished.hex() for one in spans)
    for body in watched.collector.raw:
        assert detector.find(body) == []


def test_assignments_hold_the_customers_and_the_detector_sees_them(
    watched: SimpleNamespace, failed: dict[str, str], detector: Detector
) -> None:
    """What stays at the partner is where the canaries are: the search is not blind."""
    deployed: Deployment = watched.deployed
    assigned = (deployed.folder("north") / "segments" / "customers.csv").read_bytes()
    assert len({needle.data for _, needle in detector.find(assigned)}) == N_CANARIES
    raw = (deployed.directory / "north.csv").read_bytes()
    assert len({needle.data for _, needle in detector.find(raw)}) >= 4 * N_CANARIES


# --- the detector itself --------------------------------------------------------------------------


def test_the_detector_finds_one_canary_in_every_encoding(
    canaries: dict[str, Canaries], detector: Detector
) -> None:
    own = canaries["middle"]
    name, value = own.ids[500], float(own.values[500, 1])
    pair, column = own.values[500, 1:], own.values[500:502, 0]
    grid = own.grid[500, :2]
    planted = {
        "id": name.encode(),
        "id, quoted": json.dumps({"customer": name}).encode(),
        "id, UTF-16": name.encode("utf-16-le"),
        "id, hex": name.encode().hex().encode(),
        "value": repr(value).encode(),
        "value, exponent": f"{value:.12e}".encode(),
        "value, millionths": str(round(value * 1e6)).encode(),
        "HEX of float64": struct.pack(">d", value).hex().upper().encode(),
        "fixed point of 20 bits": struct.pack("<q", round(value * 2**20)),
        "cents": np.rint(pair * 100).astype("<i4").tobytes(),
        "cents in 64 bits, big": np.rint(pair * 100).astype(">i8").tobytes(),
        "grid, int32": grid.astype(">i4").tobytes(),
        "grid, int64": grid.astype("<i8").tobytes(),
        "grid, float64": grid.astype("<f8").tobytes(),
        "grid column, float32": own.grid[500:502, 2].astype("<f4").tobytes(),
    }
    for order in "<>":
        planted[f"{order}float64"] = struct.pack(f"{order}d", value)
        planted[f"{order}float32"] = pair.astype(f"{order}f4").tobytes()
        planted[f"{order}float32 column"] = column.astype(f"{order}f4").tobytes()
    for shift in range(3):
        for what, data in (("id", name.encode()), ("value", struct.pack("<d", value))):
            planted[f"{what}, base64 {shift}"] = base64.b64encode(b"x" * shift + data + b"yz")
    noise = effort.generator("noise without canaries").bytes(5 << 20)
    assert detector.find(noise) == [], "random bytes do not look like canaries"
    for what, data in planted.items():
        for place in (0, 1, 4_194_300, len(noise) - 3):
            assert detector.find(noise[:place][-99:] + data + noise[place : place + 99]), what
    whole = noise[:4_194_300] + name.encode() + noise[4_194_300:]
    assert [place for place, _ in detector.find(whole)] == [4_194_300]


def test_every_canary_has_needles_of_its_own(canaries: dict[str, Canaries]) -> None:
    """Else fewer are found than were planted, although each is."""
    values = [value for own in canaries.values() for value in own.values.ravel().tolist()]
    assert min(values) >= 10_000
    assert max(values) < 100_000
    for texts in ((f"{v:.6f}"[:10] for v in values), (f"{v:.12e}"[:10] for v in values)):
        assert len(set(texts)) == len(values) == len(NAMES) * N_CANARIES * len(FEATURE_NAMES)


def test_every_needle_is_found_where_it_is_planted(
    canaries: dict[str, Canaries], detector: Detector
) -> None:
    own = canaries["south"]
    some = Canaries(ids=own.ids[:20], values=own.values[:20], grid=own.grid[:20])
    needles: list[Needle] = list(needles_of(some))
    assert len({needle.what for needle in needles}) > 60
    blob = b"\0".join(needle.data for needle in needles)
    found = {needle.data for _, needle in detector.find(blob)}
    assert found >= {needle.data for needle in needles}
