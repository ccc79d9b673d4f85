"""Reading metrics as Prometheus does: with its own parsers, of both formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as plain_families

from machine.metrics.endpoint import metrics_endpoint
from machine.metrics.settings import MetricsSettings

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
#: A sample's name, then its labels in order.
Samples = dict[tuple[str, ...], float]


def samples_at(address: str) -> Samples:
    """What both parsers read at an endpoint, which has to be the same."""
    plain = httpx.get(f"http://{address}/metrics")
    opened = httpx.get(f"http://{address}/metrics", headers={"Accept": OPENMETRICS})
    assert plain.status_code == opened.status_code == 200
    assert plain.headers["Content-Type"].startswith("text/plain")
    assert opened.headers["Content-Type"].startswith("application/openmetrics-text")
    found = _samples(plain_families(plain.text))
    assert found
    assert _names(found) == _names(_samples(openmetrics_families(opened.text)))
    return found


def switch_on(file: Path) -> None:
    """Have the process of a configuration that `init` wrote tell how it stands, at a free port."""
    text = file.read_text()
    assert text.count("# port = 9464") == 1
    file.write_text(text.replace("# port = 9464", "port = 0"))


def address_in(log: str) -> str:
    """Where the process of a log offers metrics now."""
    found: list[str] = re.findall(r"metrics at http://([\d.:]+)/metrics", log)
    return found[-1]


def _samples(families: Any) -> Samples:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def _names(found: Mapping[tuple[str, ...], float]) -> set[tuple[str, ...]]:
    return set(found)


def scraped(measure: Callable[[], list[Any]], ready: Callable[[], Mapping[str, bool]]) -> Samples:
    """What an endpoint tells of `measure`, over HTTP."""
    with metrics_endpoint(_ANYWHERE, measure=measure, ready=ready) as address:
        return samples_at(address)


_ANYWHERE = MetricsSettings(host="127.0.0.1", port=0)
