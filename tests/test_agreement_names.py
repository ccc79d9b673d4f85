"""Programs read one name of an agreement, in every JSON of both sides.

What a command or a page prints in any test goes through `check_names` (tests/shell.py,
tests/machine/browsing.py); here is what the code may write, whether or not a test prints it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from tests.agreement_names import check_names
from tests.release_schema import SCHEMA

ROOT: Final = Path(__file__).resolve().parents[1]
#: Bytes that are signed: they name the agreement by its hash alone, and stay as they are.
SIGNED: Final = {"protocol/agreement/stop.py", "protocol/agreement/added_build.py"}
SOURCES: Final = [
    path.relative_to(ROOT).as_posix()
    for folder in ("coordinator", "machine", "partner_node", "protocol", "simulations")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def by_hash(source: str) -> list[int]:
    """The lines in which a dictionary has under `agreement` what is called a hash."""
    return [
        key.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant)
        and key.value == "agreement"
        and any("hash" in name or name == "hex" for name in _names_in(value))
    ]


def _names_in(value: ast.expr) -> Iterator[str]:
    for node in ast.walk(value):
        if isinstance(node, ast.Attribute):
            yield node.attr
        if isinstance(node, ast.Name):
            yield node.id


def test_no_json_names_an_agreement_by_its_hash() -> None:
    found = {path: by_hash((ROOT / path).read_text(encoding="utf-8")) for path in SOURCES}
    assert {path for path, lines in found.items() if lines} == SIGNED


def test_a_hash_under_that_name_would_be_found() -> None:
    assert by_hash('{"agreement": one.agreement.hash.hex(), "id": one.id}') == [1]
    assert by_hash('{"agreement": self.agreement_hash}') == [1]
    assert by_hash('{"agreement": one.id, "agreement_hash": one.hash.hex()}') == []


@pytest.mark.parametrize(
    "wrong", [{"agreement": "0a" * 32}, {"agreement": {"id": "ours"}}, {"agreement_hash": "ours"}]
)
def test_an_output_with_the_wrong_name_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="agreement"):
        check_names({"data": [wrong]})


def test_the_schema_of_a_release_takes_no_hash_for_an_agreement() -> None:
    part = Draft202012Validator(SCHEMA | {"required": []})
    assert part.is_valid({"agreement": "our-segments", "agreement_hash": "0a" * 32})
    assert not part.is_valid({"agreement": "0a" * 32})
    assert not part.is_valid({"agreement_hash": "our-segments"})
