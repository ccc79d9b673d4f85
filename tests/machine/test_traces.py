"""Spans: off unless configured, of a fixed list of attributes, errors by their code alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from machine import traces
from machine.traces import TraceSettings, exporting, is_endpoint, span
from protocol.errors import ConfigError, RuleError
from tests.coordinator.test_runs import Lab
from tests.span_collector import span_collector


def test_without_settings_nothing_is_loaded_and_nothing_sent() -> None:
    with exporting(None, service="fedseg-node"), span("answer", request="open"):
        assert traces._tracer is None


def test_a_span_has_ids_codes_and_numbers_and_no_free_text() -> None:
    with span_collector() as collector:
        with exporting(collector.settings, service="fedseg-node"):
            with span("answer", agreement="ours", round=3, partner="Anna Müller"):
                pass
            with pytest.raises(RuleError), span("answer", request="open"):
                raise RuleError("of customer c-4711", code="E-TOO-FEW")
            with pytest.raises(LookupError), span("answer", request="open"):
                raise LookupError("of customer c-4711")
        assert traces._tracer is None
        assert [(one.name, one.attributes, one.failed) for one in collector.spans] == [
            ("fedseg.answer", {"agreement": "ours", "round": 3, "partner": "other"}, False),
            ("fedseg.answer", {"request": "open", "code": "E-TOO-FEW"}, True),
            ("fedseg.answer", {"request": "open", "code": "E-INTERNAL"}, True),
        ]
        assert not any(b"4711" in body for body in collector.raw)


def test_another_attribute_is_a_fault_of_the_program_also_while_nothing_is_sent() -> None:
    with pytest.raises(ValueError, match="customers"), span("answer", customers=7):
        pass


@pytest.mark.parametrize("url", ["http://user:secret@host/", "https://user@host?x", "ftp://host"])
def test_an_endpoint_names_no_user_and_no_password(url: str) -> None:
    assert not is_endpoint(url)
    assert is_endpoint("https://host/v1/traces?for=user@example")


def test_without_opentelemetry_a_configured_process_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = TraceSettings(endpoint="http://127.0.0.1:1/")
    with pytest.raises(ConfigError) as refused, exporting(settings, service="fedseg-node"):
        pass
    assert refused.value.code == "E-OTEL-MISSING"
    assert "fedseg[otel]" in refused.value.remedy


def test_a_run_has_a_span_for_each_phase_and_round_and_a_node_for_each_answer(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path)
    with span_collector() as collector:
        with exporting(collector.settings, service="fedseg-test"):
            lab.drive()
        told = collector.spans
    agreement, run = lab.federation.agreement, lab.run_id.hex()
    phases = [one for one in told if one.name == "fedseg.run"]
    answers = [one for one in told if one.name == "fedseg.answer"]
    assert phases
    assert all(one.attributes["agreement"] == agreement.id for one in told)
    assert {one.attributes["run"] for one in told} == {run}
    assert phases[0].attributes["phase"] == "hellos"
    places = [(one.attributes["phase"], one.attributes["round"]) for one in phases]
    assert len(places) == len(set(places)), "one span a phase and round"
    assert {one.attributes["partner"] for one in answers} == {p.id for p in agreement.parties}
    assert {"open", "roster", "announce", "publish"} <= {
        one.attributes["request"] for one in answers
    }
    assert not any(one.failed for one in told)
