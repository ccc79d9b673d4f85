"""Documents at the coordinator: of a processor, filled from what is on record there."""

from __future__ import annotations

from pathlib import Path

from tests.coordinator.test_coordinator_cli import (
    cards,
    copies,
    draft,
    home,
    published,
    shell,
)
from tests.shell import Shell

__all__ = ["cards", "copies", "draft", "home", "published", "shell"]


def test_a_record_is_made_of_the_coordinators_own_facts(shell: Shell, published: Path) -> None:
    found = shell.json("evidence", "record", "--dir", published)
    fields = {field["key"]: field for part in found["sections"] for field in part["fields"]}
    states = {key: field["state"] for key, field in fields.items()}
    assert states["controllers"] == states["security.at-rest"] == "fact"
