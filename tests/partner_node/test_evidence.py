"""Documents at a node: filled from what is there, each field with its source, blanks as blanks."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from partner_node.evidence import measured
from partner_node.evidence.materials import materials_of
from partner_node.home import NodeHome
from partner_node.register.requests import RightsRegister
from partner_node.store.audit_log import AuditLog
from partner_node.store.node_store import NodeStore
from protocol.evidence.document import State
from protocol.evidence.forms_of import AT_NODE
from protocol.evidence.looking import Materials
from protocol.log import entries as kinds
from protocol.log.tree import leaf_hash
from simulations.federation import EphemeralSealer
from tests.partner_node.nodes import draft, installed, node, shell  # noqa: F401 - fixtures
from tests.protocol.evidence.materials import materials as everything
from tests.shell import Shell

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
TODAY = datetime.now(UTC)


def fields_of(shell: Shell, folder: Path, document: str, *words: object) -> dict[str, Any]:
    """A document's fields by their keys."""
    found = shell.json("evidence", document, "--dir", folder, *words)
    return {field["key"]: field for part in found["sections"] for field in part["fields"]}


def seen(folder: Path) -> Materials:
    """What the documents of a folder are made of."""
    home = NodeHome.load(folder)
    with closing(home.store(home.keystore())) as store:
        return materials_of(
            home, home.signed_agreement(), store, TODAY, file=home.config.node.agreement
        )


@pytest.mark.parametrize("document", AT_NODE)
def test_every_document_is_made_in_every_form(
    shell: Shell, installed: Path, tmp_path: Path, document: str
) -> None:
    found = shell.json("evidence", document, "--dir", installed)
    assert found["document"] == document
    assert found["share"] > 0.5
    for suffix in ("md", "html", "jsonld", "json"):
        out = tmp_path / f"{document}.{suffix}"
        told = shell.json("evidence", document, "--dir", installed, "--out", out)
        assert told["file"] == str(out)
        printed = shell("evidence", document, "--dir", installed, "--format", suffix).out
        assert found["title"] in unescape(out.read_text())
        assert found["title"] in unescape(printed)
    said = " ".join(shell("evidence", document, "--dir", installed).out.split())
    assert ("MISSING:" in said) == bool(found["counts"]["missing"])
    assert f"{found['counts']['fact']} of {found['counts']['fields']} fields" in said


def test_a_record_says_what_the_node_knows_and_where_from(shell: Shell, installed: Path) -> None:
    fields = fields_of(shell, installed, "record")
    assert fields["controller"]["values"] == ["North", "Contact: privacy@north.example"]
    signed = fields["signed"]
    assert signed["values"][0].startswith(f"Signed at this node on {TODAY:%Y-%m-%d}")
    home = NodeHome.load(installed)
    with closing(home.store(home.keystore())) as store:
        _, number, _ = store.log.of_kind(kinds.AGREEMENT_SIGNED) or (0, 0, 0)
        leaf = leaf_hash(store.log.entry(number)).hex()
    (source,) = signed["sources"]
    assert source["words"] == f"log entry {number} (agreement-signed), leaf {leaf}"
    assert source["check"] == f"fedseg-node log prove {number} --out entry.proof"
    assert "mode 0600" in fields["security.modes"]["values"][0]
    assert "scrypt" in fields["security.at-rest"]["values"][0]


def test_what_is_not_there_is_missing_and_says_what_fills_it(shell: Shell, installed: Path) -> None:
    fields = fields_of(shell, installed, "record")
    assert fields["source"]["state"] == fields["security.backup"]["state"] == "missing"
    assert fields["source"]["lacks"] == ["rights.data_from in node.toml"]
    assert "fedseg-node state backup" in fields["security.backup"]["lacks"][0]
    config = installed / "node.toml"
    config.write_text(
        config.read_text().replace("[rights]", '[rights]\ndata_from = "Orders in our shop"')
    )
    shell.json("state", "backup", installed.parent / "copy", "--dir", installed)
    fields = fields_of(shell, installed, "record")
    assert fields["source"]["values"] == ["Orders in our shop"]
    assert f"{TODAY:%Y-%m-%d}" in fields["security.backup"]["values"][0]


def test_a_file_that_others_may_read_is_told_as_it_is(shell: Shell, installed: Path) -> None:
    NodeHome.load(installed).state_file.chmod(0o644)
    said = fields_of(shell, installed, "record")["security.modes"]["values"][0]
    assert "node.db has mode 0644, OPEN TO OTHER ACCOUNTS" in said


def test_a_key_store_or_authority_that_cannot_be_read_is_not_asserted(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    fields = fields_of(shell, installed, "record")
    assert fields["security.in-transit"]["state"] == "missing", "ca.pem is no certificate here"
    folder = tmp_path / "copy"
    shutil.copytree(installed, folder)
    home = NodeHome.load(folder)
    made = seen(folder)
    home.config.keys.store.write_text("{}")
    assert "key_store" in made.measured

    assert "key_store" not in measured.measured_at(home)


def test_requests_are_counted_by_right_and_by_whether_they_were_in_time(
    shell: Shell, installed: Path
) -> None:
    home = NodeHome.load(installed)
    with closing(home.store(home.keystore())) as store, store.transaction():
        register = RightsRegister(store)
        for kind, received, answered in (
            ("access", TODAY - timedelta(days=90), TODAY),
            ("access", TODAY - timedelta(days=9), TODAY),
            ("object", TODAY - timedelta(days=90), None),
            ("object", TODAY - timedelta(days=9), None),
        ):
            number = register.receive(kind, "aa" * 32, received.date(), now=TODAY)  # type: ignore[arg-type]
            if answered is not None:
                register.answer(number, {}, answered)
    rows = fields_of(shell, installed, "record")["requests"]["table"]["rows"]
    assert rows == [["access", "2", "1", "1", "0", "0"], ["object", "2", "0", "0", "2", "1"]]


def test_a_document_that_is_not_for_the_public_is_closed_to_other_accounts(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        for document in AT_NODE:
            out = tmp_path / "out" / f"{document}.md"
            shell.json("evidence", document, "--out", out, "--dir", installed)
        shell.json("evidence", "answers", "dpia", "--out", tmp_path / "out" / "a.toml")
    finally:
        os.umask(before)
    written = list((tmp_path / "out").iterdir())
    assert len(written) == len(AT_NODE) + 1
    readable = {one.name for one in written if one.stat().st_mode & 0o077}
    assert readable == {"arrangement.md", "registry.md"}


def test_of_a_file_of_answers_that_is_too_long_no_part_is_taken_for_the_whole(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "answers.toml"
    padding = "#" + "x" * (1 << 20) + "\n"
    kept.write_text(padding + '[dpia."5.1"]\ntext = "I object."\nby = "A"\non = 2026-01-01\n')
    error = shell.refused("evidence", "dpia", "--answers", kept, "--dir", installed, status=2)
    assert "more than 1,048,576 bytes" in error["message"]


def test_answers_are_kept_in_a_file_and_stand_in_the_document(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "answers.toml"
    begun = shell.json("evidence", "answers", "dpia", "--out", kept)
    assert begun["questions"] == len(AT_NODE["dpia"].questions)
    assert kept.stat().st_mode & 0o777 == 0o600
    shell.refused("evidence", "answers", "dpia", "--out", kept, status=2)
    with kept.open("a") as file:
        file.write('[dpia."5.1"]\ntext = "Go on."\nby = "A. Officer"\non = 2026-01-31\n')
    fields = fields_of(shell, installed, "dpia", "--answers", kept)
    assert fields["5.1"]["state"] == "answered"
    assert fields["5.1"]["answer"] == {
        "text": "Go on.", "by": "A. Officer", "on": "2026-01-31", "before_this_version": True,
    }  # fmt: skip
    said = " ".join(shell("evidence", "dpia", "--answers", kept, "--dir", installed).out.split())
    assert "before this version of the agreement took effect: look at it again" in said
    assert fields["5.2"]["state"] == "judgement"
    kept.write_text("[dpia")
    refused = shell.refused("evidence", "dpia", "--answers", kept, "--dir", installed, status=2)
    assert refused["code"] == "E-EVIDENCE-ANSWERS"


def test_a_document_with_blanks_is_refused_where_it_has_to_be_complete(
    shell: Shell, installed: Path
) -> None:
    refused = shell.refused("evidence", "record", "--complete", "--dir", installed, status=3)
    assert refused["code"] == "E-EVIDENCE-BLANK"
    assert "security.backup (missing)" in refused["message"]


def test_a_file_s_name_says_its_form(shell: Shell, installed: Path, tmp_path: Path) -> None:
    shell.refused(
        "evidence", "record", "--out", tmp_path / "record.doc", "--dir", installed, status=2
    )
    shell.refused(
        "evidence", "record", "--out", tmp_path / "record.yaml", "--dir", installed, status=2
    )
    shell.json("evidence", "registry", "--out", tmp_path / "e.yaml", "--dir", installed)
    assert json.loads((tmp_path / "e.yaml").read_text())["status"] == "Draft"


def test_counts_of_customers_are_in_documents_that_stay_at_home_alone(
    installed: Path,
) -> None:
    made = seen(installed)
    counted = Materials(
        **{name: getattr(made, name) for name in made.__slots__}
        | {"home": {"customers": "90 – 99"}}
    )
    for form in AT_NODE.values():
        said = str(form.filled(counted).to_dict())
        assert ("90 – 99" in said) == (form.kind in {"dpia", "ccpa"})


def test_an_assessment_is_made_before_anybody_signs(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    shell.refused("evidence", "dpia", "--dir", node, status=3)
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    asked = ("--agreement", tmp_path / "draft.json")
    fields = fields_of(shell, node, "dpia", *asked)
    assert fields["0.1.name"]["values"][0] == "North"
    assert fields["6.signed"]["lacks"] == [
        "this node's signature of this version: fedseg-node agreement sign"
    ]
    said = fields_of(shell, node, "arrangement", *asked)["signatures"]["values"]
    assert said == ["Signed by other-0, other-1; not by north."]


def test_a_stopped_agreement_is_told_as_stopped(shell: Shell, installed: Path) -> None:
    assert "STOPPED" not in str(fields_of(shell, installed, "record"))
    shell.json("agreement", "stop", "--out", "stop.json", "--yes", "--dir", installed)
    said = fields_of(shell, installed, "record")["period"]["values"][0]
    assert said == f"STOPPED on {TODAY:%Y-%m-%d} by north."


def test_every_fact_that_documents_read_is_one_that_a_node_has(installed: Path) -> None:
    made = seen(installed)
    there = {
        "setting": {*made.settings},
        "record": {*made.records, "ledger"},
        "measured": {*measured.NAMES},
        "program": {*made.program},
        "home": {"customers"},
        "log": {*kinds.KINDS},
    }
    for form in AT_NODE.values():
        for asked in form.asked:
            _, look, _ = form.looked(asked, everything("node"))
            for source in look.sources:
                if source.kind != "agreement":
                    assert source.where in there[source.kind], (form.kind, asked.key)


# --- the log ------------------------------------------------------------------------------------


def filled_log(count: int) -> NodeStore:
    """A store whose log has entries of two kinds."""
    store = NodeStore(":memory:", EphemeralSealer(), party="north")
    with store.transaction():
        for number in range(count):
            store.note_signed(number.to_bytes(32, "big"), now=f"{NOW:%Y-%m-%d}", by="anna")
            store.log.append(
                kinds.QUESTION, at=f"{NOW:%Y-%m-%d}", agreement="ab"[number % 2], run="",
                round=number, asked="x", cost="1", context="",
            )  # fmt: skip
    return store


def test_entries_of_a_kind_are_counted_with_the_outer_ones() -> None:
    log = filled_log(10).log
    assert log.of_kind(kinds.BEGUN) == (1, 0, 0)
    assert log.of_kind(kinds.AGREEMENT_SIGNED) == (10, 1, 19)
    assert log.of_kind(kinds.QUESTION, agreement="a") == (5, 2, 18)
    assert log.of_kind(kinds.QUESTION, agreement="c") is None
    third = (2).to_bytes(32, "big").hex()
    assert log.of_kind(kinds.AGREEMENT_SIGNED, agreement_hash=third) == (1, 5, 5)


def test_entries_of_a_kind_are_found_without_reading_the_log() -> None:
    store = filled_log(1)
    asked: list[str] = []
    original = store.one

    class Plans:
        def one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
            rows = store.ask("EXPLAIN QUERY PLAN " + sql, *values)  # type: ignore[arg-type]
            asked.extend(row[3] for row in rows)
            return original(sql, *values)  # type: ignore[arg-type]

    log = AuditLog.__new__(AuditLog)
    log._database = Plans()  # type: ignore[assignment]
    log.of_kind(kinds.QUESTION)
    log.of_kind(kinds.QUESTION, agreement="a")
    assert asked
    assert all("INDEX log_entries_by_kind (<expr>=?" in plan for plan in asked), asked


def test_of_several_agreements_a_document_counts_the_questions_of_its_own(
    installed: Path,
) -> None:
    home = NodeHome.load(installed)
    signed = home.signed_agreement()
    with closing(home.store(home.keystore())) as store:
        with store.transaction():
            for agreement in (signed.agreement.id, "another"):
                store.log.append(
                    kinds.QUESTION, at=f"{NOW:%Y-%m-%d}", agreement=agreement, run="", round=0,
                    asked="x", cost="1", context="",
                )  # fmt: skip
        made = materials_of(home, signed, store, NOW, file=home.config.node.agreement)
    assert made.log[kinds.QUESTION].count == 1
    record = AT_NODE["record"].filled(made)
    (questions,) = [field for field in record.fields if field.key == "questions"]
    assert questions.state is State.FACT
    assert questions.value.paragraphs[0].startswith("1 question charged under this agreement")
