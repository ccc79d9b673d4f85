"""The written form of a release's JSON, which everything that shows one keeps to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "docs" / "release.schema.json").read_text(encoding="utf-8")
)
_VALIDATOR = Draft202012Validator(SCHEMA)


def check_release(data: dict[str, Any]) -> dict[str, Any]:
    """Raise jsonschema's ValidationError unless `data` is written as the schema says."""
    _VALIDATOR.validate(data)
    return data
