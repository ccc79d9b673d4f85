"""Documents at a node: filled from what is there, each field with its source, blanks as blanks."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

from pathlib import Path

from tests.partner_node.nodes import installed, node, shell  # noqa: F401 - fixtures
from tests.shell import Shell


def test_a_record_is_made_of_the_nodes_own_facts(shell: Shell, installed: Path) -> None:
    found = shell.json("evidence", "record", "--dir", installed)
    fields = {f["key"]: f for s in found["sections"] for f in s["fields"]}
    assert fields["controller"]["values"][0] == "North"
