"""`evidence attacks`, and packs and documents that cite what attacks found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from machine.plain_archive import PlainArchive
from protocol.evidence.attack_results import NAMES, Results
from protocol.evidence.attacks import attacks_document
from protocol.pack.manifest import MANIFEST
from simulations.attacking.agreed import EXACT
from simulations.attacking.results import attack_results
from tests.partner_node.nodes import installed, node, shell
from tests.shell import Shell

__all__ = ["installed", "node", "shell"]


@pytest.fixture(scope="module")
def found() -> Results:
    return attack_results(NAMES, EXACT, runs=8, seed=0, now=datetime.now(UTC))


@pytest.fixture
def file(found: Results, tmp_path: Path) -> Path:
    return written(tmp_path, found.to_dict())


def written(folder: Path, values: dict[str, Any]) -> Path:
    (folder / "attacks.json").write_text(json.dumps(values), encoding="utf-8")
    return folder / "attacks.json"


def test_the_page_says_what_was_found_and_on_which_build(
    shell: Shell, file: Path, found: Results
) -> None:
    page = shell.json("evidence", "attacks", "--results", file)
    assert page["document"] == "attacks"
    assert page["counts"]["missing"] == 0
    assert page["build"]["sha256"] == found.build.sha256.hex()
    fields = {one["key"]: one for part in page["sections"] for one in part["fields"]}
    assert [row[0] for row in fields["table"]["table"]["rows"]] == list(NAMES)
    assert "FINDS OUT MORE" in " ".join(fields["differencing"]["values"])
    assert "signed by nobody" in " ".join(fields["when"]["values"])
    for form in ("md", "html"):
        shell("evidence", "attacks", "--results", file, "--out", f"page.{form}")
        text = (file.parent / f"page.{form}").read_text("utf-8")
        assert found.build.sha256.hex() in text
    assert "<script" not in text


def test_the_page_says_whether_each_attack_is_within_what_epsilon_allows(found: Results) -> None:
    promised = replace(found, epsilon=Decimal("0.1"), delta=Decimal("0.00001"), plan="hybrid-dp")
    page = attacks_document(promised, promised.build, datetime.now(UTC), "00" * 32)
    fields = {one.key: one.value.paragraphs[-1] for one in page.fields}
    assert "within what epsilon allows" in fields["masked-answers"]
    assert "promise is broken" in fields["differencing"], "exact totals under a false promise"


def cut(values: dict[str, Any]) -> None:
    values["attacks"].pop()


def better(values: dict[str, Any]) -> None:
    values["attacks"][3]["successes"] = 0


def added(values: dict[str, Any]) -> None:
    values["more"] = 1


def other(values: dict[str, Any]) -> None:
    values["build"]["sha256"] = "00" * 32


def future(values: dict[str, Any]) -> None:
    values["made_at"] = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (cut, "E-ATTACKS-INCOMPLETE"),
        (better, "E-ATTACKS-FILE"),
        (added, "E-ATTACKS-FILE"),
        (other, "E-ATTACKS-BUILD"),
        (future, "E-ATTACKS-AGE"),
    ],
)
def test_results_that_show_nothing_here_are_refused(
    shell: Shell,
    found: Results,
    tmp_path: Path,
    installed: Path,
    change: Callable[[dict[str, Any]], None],
    code: str,
) -> None:
    values = json.loads(json.dumps(found.to_dict()))
    change(values)
    file = written(tmp_path, values)
    assert shell.refused("evidence", "attacks", "--results", file, status=2)["code"] == code
    words = ("evidence", "pack", "--attacks", file, "--out", "n.pack", "--dir", installed)
    assert shell.refused(*words, status=2)["code"] == code
    assert not (tmp_path / "n.pack").exists()


def test_an_attack_that_fails_without_protection_shows_nothing(
    shell: Shell, found: Results, tmp_path: Path
) -> None:
    lame = replace(found.attacks[3], unprotected=4)
    values = replace(found, attacks=(*found.attacks[:3], lame, *found.attacks[4:])).to_dict()
    words = ("evidence", "attacks", "--results", written(tmp_path, values))
    assert shell.refused(*words, status=2)["code"] == "E-ATTACKS-CONTROL"


def test_results_of_another_build_are_marked_when_they_are_asked_for(
    shell: Shell, found: Results, tmp_path: Path
) -> None:
    values = found.to_dict()
    values["build"]["sha256"] = "00" * 32
    file = written(tmp_path, values)
    page = shell.json("evidence", "attacks", "--results", file, "--other-build")
    assert page["counts"]["missing"] == 1
    assert "ANOTHER BUILD" in str(page)
    shell("evidence", "attacks", "--results", file, "--other-build", "--out", "page.html")
    assert 'class="blank"' in (tmp_path / "page.html").read_text("utf-8")


def test_old_results_are_refused_where_an_age_is_said(
    shell: Shell, found: Results, tmp_path: Path
) -> None:
    values = found.to_dict()
    made = datetime.now(UTC) - timedelta(days=40)
    values["made_at"] = made.strftime("%Y-%m-%dT%H:%M:%SZ")
    words = ("evidence", "attacks", "--results", written(tmp_path, values))
    assert shell.json(*words, "--max-age-days", "41")
    assert shell.refused(*words, "--max-age-days", "39", status=2)["code"] == "E-ATTACKS-AGE"


def test_a_pack_has_the_page_and_the_results_and_its_documents_cite_them(
    shell: Shell, installed: Path, file: Path, tmp_path: Path, found: Results
) -> None:
    shell.json("evidence", "pack", "--attacks", file, "--out", "n.pack", "--dir", installed)
    with (tmp_path / "n.pack").open("rb") as opened:
        files = dict(PlainArchive(opened))
    assert files["documents/attacks/results.json"] == file.read_bytes()
    assert found.build.sha256.hex().encode() in files["documents/attacks/page.html"]
    assert b"documents/attacks/page.html" in files[MANIFEST]
    (dpia,) = [data for name, data in files.items() if name.endswith("/dpia.md")]
    assert found.build.sha256.hex().encode() in dpia


def test_an_impact_assessment_cites_attacks_where_it_is_given_them(
    shell: Shell, installed: Path, file: Path
) -> None:
    def singled(*more: object) -> dict[str, Any]:
        page = shell.json("evidence", "dpia", *more, "--dir", installed)
        fields = {one["key"]: one for part in page["sections"] for one in part["fields"]}
        return dict(fields["3.1.singled"])

    before, cited = singled(), singled("--attacks", file)
    assert cited["values"][: len(before["values"])] == before["values"]
    assert "singling-out-multivariate" in cited["values"][-1]
    assert {one["where"] for one in cited["sources"]} - {
        one["where"] for one in before["sources"]
    } == {"attacks"}
