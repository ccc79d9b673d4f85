"""Documents at the coordinator: of a processor, filled from what is on record there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coordinator.config import KEY_FILE, STORE_FILE, CoordinatorConfig
from coordinator.evidence.materials import materials_of
from coordinator.runs.in_force import chosen_in_force
from protocol.evidence.forms_of import AT_COORDINATOR
from tests.coordinator.test_coordinator_cli import (
    cards,
    copies,
    draft,
    home,
    published,
    shell,
)
from tests.protocol.evidence.materials import materials as everything
from tests.shell import Shell

__all__ = ["cards", "copies", "draft", "home", "published", "shell"]

NOW = datetime.now(UTC)


def fields_of(shell: Shell, folder: Path, document: str, *words: object) -> dict[str, Any]:
    """A document's fields by their keys."""
    found = shell.json("evidence", document, "--dir", folder, *words)
    return {field["key"]: field for part in found["sections"] for field in part["fields"]}


@pytest.mark.parametrize("document", AT_COORDINATOR)
def test_every_document_is_made_and_holds_no_log_setting_or_count_of_customers(
    shell: Shell, published: Path, tmp_path: Path, document: str
) -> None:
    fields = fields_of(shell, published, document)
    kinds = {source["kind"] for field in fields.values() for source in field["sources"]}
    assert kinds <= {"agreement", "record", "measured", "program"}
    shell.json("evidence", document, "--dir", published, "--out", tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")


def test_a_record_says_for_whom_the_operator_processes(shell: Shell, published: Path) -> None:
    fields = fields_of(shell, published, "record")
    config = CoordinatorConfig.load(published)
    agreement = chosen_in_force(config.open_store(), "", NOW)
    rows = fields["controllers"]["table"]["rows"]
    assert [row[0] for row in rows] == [party.legal_name for party in agreement.parties]
    assert "that is every party" in fields["signatures"]["values"][0]
    assert fields["runs"]["values"] == ["0 runs ended with a release, 0 without; 0 under way."]
    assert "encrypted under a passphrase" in fields["security.at-rest"]["values"][0]
    assert "until 20" in fields["security.in-transit"]["values"][0]
    assert fields["security.backup"]["state"] == "missing"
    (source,) = fields["signatures"]["sources"]
    assert source["check"] == "fedseg-coordinator agreement list"


def test_before_the_first_release_there_is_nothing_to_publish(
    shell: Shell, published: Path
) -> None:
    first = fields_of(shell, published, "registry")["deployment.publication_date"]
    assert first["state"] == "missing"
    assert first["lacks"] == ["a release: no run under this agreement has ended with one"]


def test_a_key_in_clear_or_open_to_others_is_not_called_safe(published: Path) -> None:
    config = CoordinatorConfig.load(published)
    store = config.open_store()
    agreement = chosen_in_force(store, "", NOW)
    (published / KEY_FILE).write_text("-----BEGIN PRIVATE KEY-----\n")
    (published / STORE_FILE).chmod(0o644)
    measured = materials_of(config, store, agreement, NOW).measured
    assert "key_store" not in measured
    assert f"{STORE_FILE} has mode 0644, OPEN TO OTHER ACCOUNTS" in measured["modes"]


def test_an_agreement_that_there_is_not_is_named(shell: Shell, published: Path) -> None:
    refused = shell.refused(
        "evidence", "record", "--agreement", "another", "--dir", published, status=2
    )
    assert "'another'" in refused["message"]


def test_answers_are_taken_and_a_blank_document_is_refused(
    shell: Shell, published: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "answers.toml"
    shell.json("evidence", "answers", "record", "--out", kept)
    with kept.open("a") as file:
        file.write('[record."place"]\ntext = "In Ireland."\nby = "Ops"\non = 2026-01-31\n')
    fields = fields_of(shell, published, "record", "--answers", kept)
    assert fields["place"]["answer"]["text"] == "In Ireland."
    refused = shell.refused(
        "evidence", "record", "--answers", kept, "--complete", "--dir", published, status=3
    )
    assert refused["code"] == "E-EVIDENCE-BLANK"
    assert "place" not in refused["message"]


def test_every_fact_that_documents_read_is_one_that_the_coordinator_has(published: Path) -> None:
    config = CoordinatorConfig.load(published)
    store = config.open_store()
    made = materials_of(config, store, chosen_in_force(store, "", NOW), NOW)
    there = {
        "record": {*made.records},
        "measured": {*made.measured, "backup"},
        "program": {*made.program},
    }
    for form in AT_COORDINATOR.values():
        for asked in form.asked:
            _, look, _ = form.looked(asked, everything("coordinator"))
            for source in look.sources:
                if source.kind != "agreement":
                    assert source.where in there[source.kind], (form.kind, asked.key)
