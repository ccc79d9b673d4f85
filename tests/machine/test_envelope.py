"""The JSON envelope of every command: one object, the same fields, plain ASCII."""

from __future__ import annotations

import json

import pytest

from machine import envelope
from protocol.errors import FedsegError, RuleError, UsageError


def test_success_and_failure_have_the_same_three_fields() -> None:
    for text in (envelope.success({}), envelope.failure(FedsegError("x"))):
        assert list(json.loads(text)) == ["schema_version", "status", "data"]
        assert json.loads(text)["schema_version"] == 5
        assert "\n" not in text


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuleError("x"), "refused"), (UsageError("x"), "failed"), (FedsegError("x"), "failed")],
)
def test_a_rule_refuses_and_everything_else_fails(error: FedsegError, status: str) -> None:
    assert json.loads(envelope.failure(error))["status"] == status


def test_a_failure_says_code_message_and_way_out() -> None:
    error = RuleError('file "ü"\n\udcff', code="E-X", remedy="turn it\x1b off")
    text = envelope.failure(error)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["data"] == {
        "code": "E-X",
        "message": error.message,
        "remedy": error.remedy,
    }


def test_what_json_does_not_know_is_a_defect_not_output() -> None:
    with pytest.raises(ValueError, match="JSON"):
        envelope.success({"value": float("nan")})
