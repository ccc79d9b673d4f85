"""Metrics and health over HTTP: read by Prometheus' own parsers, bounded, and off by default."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from machine.certificates import authority_certificate, pem
from machine.metrics import endpoint
from machine.metrics.common import (
    BACKUP,
    CERTIFICATE,
    COMMON,
    DISK_FREE,
    first_end,
    measure_common,
)
from machine.metrics.endpoint import metrics_endpoint
from machine.metrics.families import LEFT_OUT, MOST_SERIES, Measured, Metric
from machine.metrics.settings import MetricsSettings
from protocol.errors import ConfigError
from tests.scraping import samples_at, scraped

ANYWHERE = MetricsSettings(host="127.0.0.1", port=0)
COUNT = Metric("fedseg_test_things", "Things.", ("kind",))
TIMES = Metric("fedseg_test_seconds", "Times.", (), buckets=(1.0, 2.5))


class Lab:
    """An endpoint whose answers a test chooses."""

    def __init__(self) -> None:
        self.measured = 0
        self.ready = {"link": True, "state": True}
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()
        self.address = ""

    def measure(self) -> list[Any]:
        self.measured += 1
        self.gate.wait(10)
        if self.fails:
            raise RuntimeError("customer c-4711")
        measured = Measured((COUNT, TIMES))
        measured.set(COUNT, 3, "a")
        measured.observe(TIMES, [0.5, 1.0, 2.0, 99.0])
        return measured.families()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{self.address}{path}")


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(endpoint, "FRESH_S", 0.0)
    found = Lab()
    with metrics_endpoint(ANYWHERE, measure=found.measure, ready=lambda: found.ready) as address:
        found.address = address
        yield found


def test_both_parsers_read_gauges_and_histograms(lab: Lab) -> None:
    assert samples_at(lab.address) == {
        ("fedseg_test_things", "a"): 3.0,
        ("fedseg_test_seconds_bucket", "1.0"): 2.0,
        ("fedseg_test_seconds_bucket", "2.5"): 3.0,
        ("fedseg_test_seconds_bucket", "+Inf"): 4.0,
        ("fedseg_test_seconds_count",): 4.0,
        ("fedseg_test_seconds_sum",): 102.5,
    }


def test_readiness_is_told_by_status_and_by_condition(lab: Lab) -> None:
    found = lab.get("/health/ready")
    assert (found.status_code, found.json()) == (
        200,
        {"ready": True, "checks": {"link": True, "state": True}},
    )
    lab.ready = {"link": False, "state": True}
    found = lab.get("/health/ready")
    assert (found.status_code, found.json()["ready"]) == (503, False)
    assert lab.get("/health/live").status_code == 200, "the process lives all the same"


def test_there_are_three_paths_and_nothing_is_taken_in(lab: Lab) -> None:
    for path in ("/", "/metrics/", "/metricsx", "/health"):
        assert lab.get(path).status_code == 404, path
    assert lab.get("/metrics?name[]=x").status_code == 200
    for method in ("POST", "PUT", "DELETE"):
        assert httpx.request(method, f"http://{lab.address}/metrics").status_code == 501
    assert "Python" not in lab.get("/metrics").headers["Server"]


def test_an_error_while_measuring_is_a_bare_status_and_only_its_kind_is_logged(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.fails = True
    found = lab.get("/metrics")
    assert found.status_code == 500
    assert "4711" not in found.text
    assert "RuntimeError" in caplog.text
    assert "4711" not in caplog.text


def test_nothing_is_measured_before_somebody_asks(lab: Lab) -> None:
    assert lab.measured == 0


def test_asking_often_measures_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FRESH_S", 3_600.0)
    lab = Lab()
    with metrics_endpoint(ANYWHERE, measure=lab.measure, ready=lambda: lab.ready) as lab.address:
        for _ in range(5):
            assert lab.get("/metrics").status_code == 200
    assert lab.measured == 1


def test_more_connections_than_there_is_room_for_are_closed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "MOST_S", 600.0)
    host, port = lab.address.split(":")
    held = [socket.create_connection((host, int(port)), 10) for _ in range(8)]
    try:
        with socket.create_connection((host, int(port)), 10) as one_more:
            one_more.settimeout(10)
            assert one_more.recv(1) == b""
    finally:
        for one in held:
            one.close()


def test_a_connection_that_lasts_is_cut(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MOST_S", 0.05)
    host, port = lab.address.split(":")
    with socket.create_connection((host, int(port)), 10) as slow:
        slow.settimeout(10)
        slow.sendall(b"GET /metrics HTTP/1.0\r\nX: ")
        assert slow.recv(1) == b""


def test_nothing_listens_unless_it_is_switched_on() -> None:
    before = threading.active_count()
    lab = Lab()
    with metrics_endpoint(None, measure=lab.measure, ready=lambda: lab.ready) as address:
        assert address == ""
        assert threading.active_count() == before


def test_an_address_in_use_is_refused_with_a_way_out(lab: Lab) -> None:
    taken = MetricsSettings(host="127.0.0.1", port=int(lab.address.split(":")[1]))
    with pytest.raises(ConfigError) as refused, metrics_endpoint(
        taken, measure=lab.measure, ready=lambda: lab.ready
    ):  # fmt: skip
        pass
    assert refused.value.code == "E-METRICS-PORT"
    assert "[metrics]" in refused.value.remedy


def test_an_address_that_others_reach_is_said_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    lab = Lab()
    everywhere = MetricsSettings(host="0.0.0.0", port=0)  # noqa: S104
    with metrics_endpoint(everywhere, measure=lab.measure, ready=lambda: lab.ready):
        assert "read by whoever reaches that address" in caplog.text
    caplog.clear()
    with metrics_endpoint(ANYWHERE, measure=lab.measure, ready=lambda: lab.ready):
        assert "read by whoever" not in caplog.text


# --- what may be in a family ----------------------------------------------------------------------


def test_a_label_that_is_no_id_and_no_code_is_not_told() -> None:
    measured = Measured((COUNT,))
    for label in ("E-RUN-OTHER", "north", "", "Anna Müller", "a b", 'x"y', "a" * 65, "x\n", "-x"):
        measured.set(COUNT, 1, label)
    found = scraped(measured.families, dict)
    assert found == {
        ("fedseg_test_things", "E-RUN-OTHER"): 1,
        ("fedseg_test_things", "north"): 1,
        ("fedseg_test_things", ""): 1,
        ("fedseg_test_things", "other"): 6,
    }


def test_series_are_bounded_and_what_is_left_out_is_counted() -> None:
    measured = Measured((COUNT,))
    for number in range(MOST_SERIES + 7):
        measured.set(COUNT, 1, f"n{number}")
    families = {family.name: family.samples for family in measured.families()}
    assert len(families[COUNT.name]) == MOST_SERIES
    assert [sample.value for sample in families[LEFT_OUT.name]] == [7]


def test_a_label_too_many_is_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match="fedseg_test_things"):
        Measured((COUNT,)).set(COUNT, 1)


# --- what both sides measure ----------------------------------------------------------------------

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def common(folder: Path) -> dict[tuple[str, ...], float]:
    measured = Measured(COMMON)
    measure_common(
        measured,
        program="node",
        checks={"link": False},
        folders={"state": folder, "output": folder / "missing"},
        certificates={"authority": folder / "ca.pem", "node": folder / "missing.pem"},
        backup_note=folder / "last-backup",
        now=NOW,
    )
    return scraped(measured.families, dict)


def test_days_left_are_those_of_the_certificate_that_ends_first(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    chain = b"".join(
        pem(authority_certificate(name, key, start=NOW, end=NOW + timedelta(days=days)))
        for name, days in (("a", 30), ("b", 3), ("c", 2), ("c", 400))
    )
    (tmp_path / "ca.pem").write_bytes(chain)
    found = common(tmp_path)
    assert found[(CERTIFICATE.name, "authority")] == pytest.approx(3), "c is there anew"
    assert (CERTIFICATE.name, "node") not in found, "what is not there is told where it is used"
    (tmp_path / "ca.pem").write_bytes(b"none")
    assert first_end(tmp_path / "ca.pem") is None


def test_the_disk_is_told_of_folders_that_are_there(tmp_path: Path) -> None:
    found = common(tmp_path)
    assert found[(DISK_FREE.name, "state")] > 0
    assert (DISK_FREE.name, "output") not in found
    assert found[("fedseg_ready", "link")] == 0


def test_a_backup_that_never_was_is_told_as_zero(tmp_path: Path) -> None:
    assert common(tmp_path)[(BACKUP.name,)] == 0
    (tmp_path / "last-backup").write_text("2026-05-31T00:00:00.000000Z\n")
    assert common(tmp_path)[(BACKUP.name,)] == (NOW - timedelta(days=1)).timestamp()
    (tmp_path / "last-backup").write_text("yesterday\n")
    assert common(tmp_path)[(BACKUP.name,)] == 0
