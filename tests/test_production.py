"""What is written for production is true: every metric is described, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from coordinator.metrics.table import TABLE as COORDINATOR_TABLE
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
