"""What is written for production is true: every metric is described, and none that there is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from coordinator.metrics.table import TABLE as COORDINATOR_TABLE
from coordinator.service.superlink import SuperLink, SuperLinkConfig
from machine.metrics.families import LEFT_OUT
from partner_node.metrics.table import TABLE as NODE_TABLE

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
METRICS = {metric.name: metric for metric in (*NODE_TABLE, *COORDINATOR_TABLE, LEFT_OUT)}


def test_every_metric_is_described_with_its_labels_and_no_other() -> None:
    rows = re.findall(r"(?m)^\| `(fedseg_\w+)` \| ([^|]*) \| ([^|]*) \|$", GUIDE)
    described = {name: (labels, words) for name, labels, words in rows}
    assert len(rows) == len(described)
    assert described == {
        name: (", ".join(f"`{label}`" for label in metric.labels), metric.help)
        for name, metric in METRICS.items()
    }


def test_names_of_metrics_say_their_unit_and_their_side() -> None:
    for metric in NODE_TABLE:
        assert metric.name.startswith(("fedseg_node_", "fedseg_")), metric
    for metric in METRICS.values():
        assert re.fullmatch(r"[a-z_]+", metric.name)
        assert not re.search("customer|size$|members", metric.name.replace("disk_size", "")), metric
        assert not {"customer", "id", "subject", "path"} & set(metric.labels), metric


# --- tests that the guides name -------------------------------------------------------------------

QUESTIONS = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
FAULTS = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
NAMED = sorted({*re.findall(r"`([\w/]+\.py::\w+)`", GUIDE + QUESTIONS + FAULTS)})


@pytest.mark.parametrize("test", NAMED)
def test_every_test_that_a_guide_names_is_there(test: str) -> None:
    file, name = test.split("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    defined = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert defined.count(name) == 1


def test_every_question_is_answered_with_a_test() -> None:
    parts = QUESTIONS.split("\n## ")[1:]
    assert len(parts) == 10
    for part in parts:
        assert re.search(r"(?m)^\*\*[^*]+\*\*", part), part[:60]
        assert re.search(r"(?m)^\| `[\w/]+\.py::test_\w+` \|", part), part[:60]


def test_flowers_telemetry_is_off_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLWR_TELEMETRY_ENABLED", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("FLWR_DISABLE_UPDATE_CHECK", "0")
    link = SuperLink(SuperLinkConfig(directory=tmp_path, coordinator_directory=tmp_path))
    found = link._environment()
    assert found["FLWR_TELEMETRY_ENABLED"] == found["RAY_USAGE_STATS_ENABLED"] == "0"
    assert found["FLWR_DISABLE_UPDATE_CHECK"] == "1"
