"""The table of source kinds: what a kind says of itself, nobody else asks by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from partner_node.config.node_config import NodeConfig
from partner_node.consent.kinds import KINDS as CONSENT_KINDS
from partner_node.sources.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {path.parent for path in (ROOT / "partner_node" / "sources").glob("*/kind.py")}
EVERYWHERE = sorted(
    path
    for path in (ROOT / "partner_node").rglob("*.py")
    if not FOLDERS & {*path.parents} and path != ROOT / "partner_node" / "consent" / "kinds.py"
)


def asked_by_name(tree: ast.AST) -> Iterator[str]:
    """Names of kinds that decide something: that are compared, matched, or keys of a table."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [*node.keys]
        elif isinstance(node, ast.Subscript):
            parts = [node.slice]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        for part in parts:
            for inner in ast.walk(part) if part is not None else ():
                if isinstance(inner, ast.Constant) and inner.value in {*KINDS, *CONSENT_KINDS}:
                    yield str(inner.value)


@pytest.mark.parametrize(
    "line",
    ['kind == "csv"', 'kind in ("sqlite", "x")', '{"parquet": 1}', 't["jsonl"]',
     'match k:\n case "postgresql": pass'],
)  # fmt: skip
def test_a_line_that_asks_for_a_kind_is_seen(line: str) -> None:
    assert len([*asked_by_name(ast.parse(line))]) == 1


def test_nothing_outside_its_folder_asks_for_a_kind_by_its_name() -> None:
    assert len(EVERYWHERE) > 100
    found = {
        str(path.relative_to(ROOT)): [*asked_by_name(ast.parse(path.read_text(encoding="utf-8")))]
        for path in EVERYWHERE
    }
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_that_init_knows_is_offered_by_the_template_of_any_other(name: str) -> None:
    for kind in KINDS:
        assert f'"{name}"' in NodeConfig.template(partner="n", address="c.example:1", kind=kind)


def test_customers_and_consents_are_in_the_same_kinds_but_for_json_lines() -> None:
    assert {*CONSENT_KINDS} - {*KINDS} == {"jsonl"}
    for name, kind in KINDS.items():
        assert (name in CONSENT_KINDS) == (kind.consents is not None)
        assert kind.name == name
