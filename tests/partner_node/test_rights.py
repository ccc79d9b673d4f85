"""`rights …`: what a customer is told, and that its wishes take effect everywhere at once."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import csv
import html
import json
import re
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.text import shown
from partner_node.home import NodeHome
from partner_node.register.pseudonyms import Pseudonyms, key_file
from partner_node.register.requests import RightsRegister, due_date
from partner_node.rights import answers, desk
from partner_node.rights.case import Case
from partner_node.rights.explanation import explain_place
from partner_node.rights.holdings import Holdings
from partner_node.segments.known_releases import known_releases
from partner_node.store.node_store import NodeStore
from protocol.agreement.governance import SEGMENTATION
from protocol.errors import KeystoreError, SourceError, StoreError, UsageError
from protocol.release.document import EXACT_WORDS, Release
from protocol.scaling import FeatureScale
from protocol.signing import Envelope
from simulations.federation import EphemeralSealer
from tests.partner_node.finished import Finished, command
from tests.partner_node.nodes import draft, open_node
from tests.partner_node.test_segments_cli import (  # noqa: F401 - fixtures
    CUSTOMERS,
    FEATURES,
    make_released,
    node,
    shell,
)
from tests.shell import Shell

#: What an error says of files once a wish is on record.
HOLDS = "The wish is on record and holds all the same, from the next question on"
TODAY = f"{datetime.now(UTC):%Y-%m-%d}"


def make_ours(directory: Path) -> Release:
    """A node with a release, its agreement installed and files of segments written."""
    release = make_released(directory)
    folder = directory / "node"
    features = [
        feature.to_dict() | {"necessity": "It tells customers apart."} for feature in FEATURES
    ]
    (directory / "draft.json").write_bytes(draft(folder, features=features).to_bytes())
    command("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", folder)
    command("agreement", "install", "signed.json", "--dir", folder)
    for name in ("all.csv", "all.parquet"):
        command("segments", "export", "--for", "evaluation", "--out", name, "--dir", folder)
    return release


@pytest.fixture
def released(shell: Shell, finished: Finished, tmp_path: Path) -> Release:
    return finished.copy(make_ours, tmp_path)


@pytest.fixture
def ours(released: Release, tmp_path: Path) -> Path:
    return tmp_path / "node"


def ids_in(path: Path) -> list[str]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [row["customer_id"] for row in csv.DictReader(file)]
    found: list[str] = pq.read_table(path).column("customer_id").to_pylist()
    return found


def counted(folder: Path) -> list[str]:
    """Ids that the next question would count."""
    return [i for ids, _ in open_node(folder)._customers.identified() for i in ids]  # type: ignore[attr-defined]


# --- object and erase ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["object", "erase"])
def test_whoever_objects_is_out_of_questions_files_and_later_exports(
    shell: Shell,
    ours: Path,
    tmp_path: Path,
    verb: str,
) -> None:
    assert "c7" in counted(ours)
    serving = open_node(ours)
    done = shell.json("rights", verb, "--subject", "c7", "--dir", ours)
    paths = {str(tmp_path / name) for name in ("all.csv", "all.parquet")}
    assert set(done["taken_out_of"]) == paths
    assert done["files_gone"] == []
    for path in map(Path, sorted(paths)):
        found = ids_in(path)
        assert "c7" not in found
        assert len(found) == 63
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "c7" not in counted(ours)
    still = [i for ids, _ in serving._customers.identified() for i in ids]  # type: ignore[attr-defined]
    assert "c7" not in still
    assert len(still) == 63
    after = shell.json("segments", "assign", "--out", "after.csv", "--dir", ours)
    assert after["customers"] == 63
    assert "c7" not in ids_in(tmp_path / "after.csv")
    told = shell.json("consent", "explain", "--subject", "c7", "--dir", ours)
    assert (told["eligible"], told["reason"]) == (False, "objection")
    assert told["sources"][-1]["name"] == "this node's register of rights"
    exports = shell.json("segments", "exports", "--dir", ours)["exports"]
    assert {e["customers"] for e in exports} == {63}
    again = shell.json("rights", verb, "--subject", "c7", "--dir", ours)
    assert again["taken_out_of"] == []
    assert again["not_counted_from"] == done["not_counted_from"]


def test_what_people_do_is_in_the_audit_log_and_no_customer(shell: Shell, ours: Path) -> None:
    shell.json("rights", "object", "--subject", "c7", "--dir", ours)
    shell.json("agreement", "stop", "--out", "stop.json", "--yes", "--dir", ours)
    found = shell.json("log", "show", "--dir", ours)["entries"]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        by_kind.setdefault(one["kind"], []).append(one)
    assert [(one["right"], one["step"]) for one in by_kind["request"]] == [
        ("object", "received"), ("object", "answered"),
    ]  # fmt: skip
    (request,) = shell.json("rights", "list", "--dir", ours)["requests"]
    assert {one["subject"] for one in by_kind["request"]} == {request["pseudonym"]}
    assert [one["use"] for one in by_kind["export"]] == ["evaluation"] * 2
    assert by_kind["agreement-signed"][-1]["by"].endswith("(at the machine)")
    assert by_kind["stop"][-1]["agreement_hash"] == by_kind["agreement-kept"][-1]["agreement_hash"]
    assert by_kind["release"]
    assert shell.json("log", "verify", "--dir", ours)["size"] == len(found)
    told = {str(value) for one in found for value in one.values()}
    assert not {"c7", "all.csv", "63", "64"} & told


def test_files_that_were_moved_are_named(shell: Shell, ours: Path, tmp_path: Path) -> None:
    (tmp_path / "all.csv").rename(tmp_path / "moved.csv")
    done = shell("rights", "object", "--subject", "c7", "--dir", ours)
    assert done.code == 0
    assert "Not where they were written any more, so look there yourself" in done.out
    assert "all.csv" in done.out.replace("\n", "")


SAVED_AGAIN = {
    "found by its column": ("note;customer_id;segment_id;release\n", "x;c7;S1;r\n", True),
    "another text": ("customer_id,segment_id,release\r\n", "C7,S1,r\r\n", False),
    "no such column": ("customer,segment\n", "c7,S1\n", False),
}


@pytest.mark.parametrize("change", SAVED_AGAIN)
@pytest.mark.slow
def test_nobody_is_said_to_be_in_no_file_where_one_was_saved_again(
    shell: Shell, ours: Path, tmp_path: Path, change: str
) -> None:
    header, row, found = SAVED_AGAIN[change]
    path, other = tmp_path / "all.csv", row.replace("7", "8")

    def told() -> str:
        return " ".join(shell("rights", "erase", "--subject", "c7", "--dir", ours).out.split())

    path.write_text(header + row + other, newline="")
    assert ("is in no file of segments" in told()) == found
    assert path.read_bytes().decode() == header + ("" if found else row) + other
    done = shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
    assert done["files_changed"] == [str(path)]
    again = told()
    assert "is in no file of segments" not in again
    assert "look there yourself" in again
    shell.json("retention", "strike", path, "--dir", ours)
    assert "is in no file of segments" in told()
    listed = shell.json("retention", "list", "--dir", ours)
    assert [one["how"] for one in listed["ended"]] == ["struck off"]
    assert shell.refused("retention", "strike", path, "--dir", ours, status=2)["remedy"]


def test_a_file_that_was_changed_into_something_else_is_named_and_the_wish_holds(
    shell: Shell,
    ours: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "all.parquet").write_bytes(b"not parquet")
    error = shell.refused("rights", "object", "--subject", "c7", "--dir", ours, status=3)
    assert error["code"] == "E-SEGMENT-FILE"
    assert "all.parquet, which this node wrote, is no Parquet any more." in error["message"]
    assert HOLDS in error["message"]
    assert "then call the command again" in error["remedy"]
    assert "c7" not in counted(ours)
    assert "c7" not in ids_in(tmp_path / "all.csv"), "one file keeps nobody in another"
    told = shell.json("rights", "access", "--subject", "c8", "--dir", ours)["segment_files"]
    assert (told["listing"], told["changed"]) == (
        [str(tmp_path / "all.csv")],
        [str(tmp_path / "all.parquet")],
    )
    (tmp_path / "all.parquet").unlink()
    done = shell.json("rights", "object", "--subject", "c7", "--dir", ours)
    assert done["files_gone"] == [str(tmp_path / "all.parquet")]


@pytest.mark.parametrize("verb", ["object", "erase", "restrict"])
@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b'customer_id,segment_id,release\n"' + b"x" * 200_000, "is no CSV any more."),
        (b"PK\x03\x04\xff\xfe", "is no text in UTF-8 any more."),
    ],
)
def test_what_is_wrong_with_a_file_is_said_and_that_the_wish_holds(
    shell: Shell, ours: Path, tmp_path: Path, verb: str, data: bytes, wrong: str
) -> None:
    (tmp_path / "all.csv").write_bytes(data)
    error = shell.refused("rights", verb, "--subject", "c7", "--dir", ours, status=3)
    assert error["code"] == "E-SEGMENT-FILE"
    assert f"all.csv, which this node wrote, {wrong}" in error["message"]
    assert HOLDS in error["message"]
    assert "retention strike" in error["remedy"]
    assert "c7" not in counted(ours)


def test_that_the_wish_holds_is_said_too_where_a_file_cannot_be_written(
    shell: Shell, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise UsageError("full", code="E-FILE", remedy="make room")

    with monkeypatch.context() as patched:
        patched.setattr(desk, "take_out", full)
        words = ("rights", "object", "--subject", "c7", "--dir", ours)
        error = shell.refused(*words, status=3)
        assert (error["code"], HOLDS in error["message"]) == ("E-SEGMENT-FILE", True)
        (ours.parent / "all.csv").unlink()
        error = shell.refused(*words, status=2)
    assert (error["code"], HOLDS in error["message"]) == ("E-FILE", True)
    assert error["remedy"] == "make room; then call the command again, which finishes what is left"


@pytest.mark.parametrize("verb", ["access", "explain", "object", "erase", "export"])
@pytest.mark.parametrize("nobody", ["", "  "])
def test_an_empty_id_is_refused_and_nothing_is_put_on_record(
    shell: Shell, ours: Path, verb: str, nobody: str
) -> None:
    error = shell.refused("rights", verb, "--subject", nobody, "--dir", ours, status=2)
    assert error["code"] == "E-USAGE"
    assert shell.json("rights", "list", "--dir", ours)["requests"] == []


def test_a_customer_who_is_there_twice_keeps_nobody_else_from_an_answer(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    rows = (tmp_path / "customers.csv").read_text().splitlines()
    twice = next(row for row in rows if row.startswith("c5,"))
    (tmp_path / "customers.csv").write_text("\n".join([*rows, twice]) + "\n")
    for verb in ("access", "explain"):
        assert shell.json("rights", verb, "--subject", "c0", "--dir", ours)
        error = shell.refused("rights", verb, "--subject", "c5", "--dir", ours, status=3)
        assert error["code"] == "E-DUPLICATE"
        assert "the customer is in the data 2 times" in error["message"]
    assert shell.json("consent", "explain", "--subject", "c0", "--dir", ours)["in_data"]
    assert shell.json("rights", "object", "--subject", "c1", "--dir", ours)["in_data"]
    status = shell.json("consent", "status", "--dir", ours)
    assert "this node answers nothing now: id column 'customer_id'" in status["warnings"][0]
    with pytest.raises(SourceError, match="E-DUPLICATE"):
        counted(ours)


@pytest.mark.parametrize("verb", ["access", "export"])
def test_an_answer_that_cannot_be_put_on_record_is_not_left_behind(
    shell: Shell, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("full")

    words = ("rights", verb, "--subject", "c0", "--out", "told.json", "--dir", ours)
    with monkeypatch.context() as patched:
        patched.setattr(RightsRegister, "answer", full)
        assert shell.refused(*words, status=1)["code"] == "E-STORE"
    assert not (tmp_path / "told.json").exists()
    assert shell.json(*words)
    assert (tmp_path / "told.json").exists()


def test_ids_that_may_be_meant_are_named_where_there_is_nobody(shell: Shell, ours: Path) -> None:
    words = ("rights", "explain", "--dir", ours, "--subject")
    assert "no customer '00C7', but 'c7'" in shell.refused(*words, "00C7", status=3)["message"]
    assert "but" not in shell.refused(*words, "nobody", status=3)["message"]


def test_somebody_who_is_not_in_the_data_yet_may_object(shell: Shell, ours: Path) -> None:
    shell.json("rights", "object", "--subject", "later", "--dir", ours)
    told = shell.json("rights", "access", "--subject", "later", "--dir", ours)
    assert (told["in_data"], told["may_be_counted"]) == (False, False)
    assert set(told["wishes"]) == {"objection"}


@pytest.mark.parametrize("verb", ["object", "erase"])
def test_an_id_that_the_data_do_not_hold_is_taken_and_that_is_said(
    shell: Shell, ours: Path, tmp_path: Path, verb: str
) -> None:
    words = ("rights", verb, "--dir", ours, "--subject")
    says = "The data hold no such customer now"
    assert says in " ".join(shell(*words, "C7").out.split())
    assert says not in " ".join(shell(*words, "c7").out.split())
    found = {i: shell.json(*words, i) for i in ("C7", "c7")}
    assert {i: done["in_data"] for i, done in found.items()} == {"C7": False, "c7": True}
    assert found["C7"]["receipt"]["effects"]["in_data"] is False
    assert {i: done["alike"] for i, done in found.items()} == {"C7": ["c7"], "c7": []}
    assert "alike" not in found["C7"]["receipt"]["effects"], "another customer's id"
    assert "no such customer now, but 'c7'" in " ".join(shell(*words, " C7 ").out.split())
    add_customer(tmp_path, "C7")
    with (tmp_path / "consents.csv").open("a") as file:
        file.write(f"C7,ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1\n")
    assert not {"c7", "C7"} & set(counted(ours))
    (tmp_path / "customers.csv").unlink()
    assert "cannot be read now" in " ".join(shell(*words, "c8").out.split())
    assert shell.json(*words, "c9")["in_data"] is None


@pytest.mark.parametrize("verb", ["object", "erase"])
def test_a_wish_that_is_taken_back_holds_no_longer_and_leaves_a_receipt(
    shell: Shell, ours: Path, tmp_path: Path, verb: str
) -> None:
    words = ("rights", "take-back", "--dir", ours, "--subject")
    error = shell.refused(*words, "c7", status=3)
    assert error["code"] == "E-NO-WISH"
    shell.json("rights", verb, "--subject", "c7", "--dir", ours)
    assert "c7" not in counted(ours)
    done = shell.json(*words, "c7", "--receipt", "receipt.json")
    assert list(done["taken_back"]) == [{"object": "objection", "erase": "erasure"}[verb]]
    assert done["still_kept_out_by"] is None
    assert "c7" in counted(ours)
    assert (tmp_path / "receipt.json").exists()
    receipt = done["receipt"]
    assert (receipt["kind"], receipt["effects"]["taken_back"]) == ("take-back", done["taken_back"])
    kinds = [r["kind"] for r in shell.json("rights", "list", "--dir", ours)["requests"]]
    assert kinds == [verb, "take-back"]
    assert shell.refused(*words, "c7", status=3)["code"] == "E-NO-WISH"


def test_who_took_an_objection_back_and_has_no_consent_is_told_so(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    shell.json("rights", "object", "--subject", "c7", "--dir", ours)
    with (tmp_path / "consents.csv").open("a") as file:
        file.write(f"c7,ConsentWithdrawn,2026-02-01T00:00:00Z,{SEGMENTATION},1\n")
    done = shell.json("rights", "take-back", "--subject", "c7", "--dir", ours)
    assert done["still_kept_out_by"] == "the latest event permits nothing"
    assert "c7" not in counted(ours)


def test_a_mistyped_wish_is_corrected_with_both_ids_named(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    words = ("rights", "correct", "--dir", ours, "--subject")
    shell.refused(*words, "c8", "--mistyped", "c8", status=2)
    assert shell.refused(*words, "c8", "--mistyped", "c7", status=3)["code"] == "E-NO-WISH"
    wrong = shell.json("rights", "object", "--subject", "c7", "--dir", ours)
    told = shell(*words, "c8", "--mistyped", "c7")
    assert {"'c7'", "'c8'"} <= set(told.out.split())
    assert "c7" in counted(ours)
    assert "c8" not in counted(ours)
    for name in ("all.csv", "all.parquet"):
        assert not {"c7", "c8"} & set(ids_in(tmp_path / name))
    shell.json("rights", "object", "--subject", "c7", "--dir", ours)
    done = shell.json(*words, "c9", "--mistyped", "c7")
    assert done["instead_of"] == wrong["receipt"]["pseudonym"]
    assert done["receipt"]["effects"]["instead_of"] == done["instead_of"]
    assert done["receipt"]["pseudonym"] != done["instead_of"]
    assert '"c7"' not in json.dumps(done["receipt"])


def test_nobody_but_who_took_a_wish_back_is_counted_again(shell: Shell, ours: Path) -> None:
    for subject in ("c7", "c8"):
        shell.json("rights", "object", "--subject", subject, "--dir", ours)
    words = ("rights", "take-back", "--dir", ours, "--subject")
    assert shell.refused(*words, "c9", status=3)["code"] == "E-NO-WISH"
    shell.json(*words, "c7")
    assert {"c7", "c8", "c9"} & set(counted(ours)) == {"c7", "c9"}
    restricted = shell.refused(*words, "c7", status=3)["message"]
    assert "no objection, opt-out, restriction or erasure" in restricted


def test_a_correction_moves_each_wish_and_nobody_else_is_counted_again(
    shell: Shell, ours: Path
) -> None:
    for verb, subject in (("restrict", "c7"), ("erase", "c7"), ("object", "c6")):
        shell.json("rights", verb, "--subject", subject, "--dir", ours)
    shell.json("rights", "correct", "--subject", "c8", "--mistyped", "c7", "--dir", ours)
    assert {"c6", "c7", "c8"} & set(counted(ours)) == {"c7"}
    told = shell.json("rights", "access", "--subject", "c8", "--dir", ours)
    assert set(told["wishes"]) == {"restriction", "erasure"}


def test_a_correction_that_is_cut_short_leaves_both_out(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    shell.json("rights", "object", "--subject", "c7", "--dir", ours)
    (tmp_path / "all.parquet").write_bytes(b"not parquet")
    words = ("rights", "correct", "--subject", "c8", "--mistyped", "c7", "--dir", ours)
    assert shell.refused(*words, status=3)["code"] == "E-SEGMENT-FILE"
    assert not {"c7", "c8"} & set(counted(ours))
    (tmp_path / "all.parquet").unlink()
    shell.json(*words)
    assert {"c7", "c8"} & set(counted(ours)) == {"c7"}


def register_of(shell: Shell, ours: Path) -> dict[int, str]:
    """What the register's table says of each request, by its number, however long the line."""
    lines = shell("rights", "list", "--dir", ours).out.splitlines()
    found: dict[int, str] = {}
    for line in lines:
        if "│" in line:
            number, *_, answered = [cell.strip() for cell in line.split("│")[1:-1]]
            current = int(number) if number else max(found)
            found[current] = f"{found.get(current, '')} {answered}".strip()
    return found


@pytest.mark.parametrize("verb", ["object", "restrict", "erase"])
def test_a_request_that_is_open_still_is_settled_when_its_wish_is_taken_back(
    shell: Shell, ours: Path, tmp_path: Path, verb: str
) -> None:
    who = ("--subject", "c7", "--dir", ours)
    noted = shell.json("rights", "receive", verb, *who)["number"]
    others = [
        shell.json("rights", "receive", "access", *who)["number"],
        shell.json("rights", "receive", verb, "--subject", "c8", "--dir", ours)["number"],
    ]
    (tmp_path / "all.parquet").write_bytes(b"not parquet")
    shell.refused("rights", verb, *who, status=3)
    done = shell.json("rights", "take-back", *who)
    assert (done["settles"], done["receipt"]["effects"]["settles"]) == ([noted], [noted])
    assert register_of(shell, ours) == {
        noted: f"{TODAY}, taken back",
        **dict.fromkeys(others, "open"),
        done["receipt"]["number"]: TODAY,
    }
    found = shell.json("rights", "list", "--dir", ours)["requests"]
    assert {r["number"] for r in found if r["done_at"] is None} == set(others)


def test_a_request_that_came_after_the_day_of_the_taking_back_stays_open(
    shell: Shell, ours: Path
) -> None:
    who = ("--subject", "c7", "--dir", ours)
    shell.json("rights", "object", *who)
    noted = shell.json("rights", "receive", "object", *who)["number"]
    before = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    assert shell.json("rights", "take-back", *who, "--received", before)["settles"] == []
    assert register_of(shell, ours)[noted] == "open"


def test_a_request_that_nothing_was_done_for_yet_can_be_taken_back(
    shell: Shell, ours: Path
) -> None:
    who = ("--subject", "c7", "--dir", ours)
    noted = shell.json("rights", "receive", "object", *who)["number"]
    shell.refused("rights", "take-back", "--subject", "c8", "--dir", ours, status=3)
    told = " ".join(shell("rights", "take-back", *who).out.split())
    assert f"Request {noted}, which was open still, is settled by this." in told
    assert "Nothing was in effect yet" in told
    assert register_of(shell, ours)[noted] == f"{TODAY}, taken back"
    assert shell.refused("rights", "take-back", *who, status=3)["code"] == "E-NO-WISH"


def test_requests_of_either_id_that_are_open_still_are_settled_by_a_correction(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    late = (datetime.now(UTC) - timedelta(days=60)).date().isoformat()
    noted = [
        shell.json("rights", "receive", "object", "--subject", who, "--dir", ours, *day)["number"]
        for who, day in (("c8", ("--received", late)), ("c7", ()), ("c9", ()))
    ]
    parquet = (tmp_path / "all.parquet").read_bytes()
    (tmp_path / "all.parquet").write_bytes(b"not parquet")
    shell.refused("rights", "object", "--subject", "c7", "--dir", ours, status=3)
    (tmp_path / "all.parquet").write_bytes(parquet)
    words = ("rights", "correct", "--subject", "c8", "--mistyped", "c7", "--dir", ours)
    done = shell.json(*words)
    assert done["settles"] == noted[:2]
    assert register_of(shell, ours) == {
        noted[0]: f"{TODAY}, corrected, late",
        noted[1]: f"{TODAY}, corrected",
        noted[2]: "open",
        done["receipt"]["number"]: TODAY,
    }


def test_the_register_fits_80_columns_and_cuts_no_day(
    shell: Shell, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    late = (datetime.now(UTC) - timedelta(days=60)).date()
    who = ("--subject", "c7", "--dir", ours)
    for kind in ("access", "take-back", "object"):
        shell.json("rights", "receive", kind, *who, "--received", late.isoformat())
    shell.json("rights", "refuse", "access", *who, "--reason", "excessive")
    shell.json("rights", "take-back", *who)
    out = shell("rights", "list", "--dir", ours).out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert [out.count(day) for day in (late.isoformat(), due_date(late).isoformat())] == [3, 3]
    answered = register_of(shell, ours)
    assert [answered[n] for n in (1, 2, 3)] == [
        f"{TODAY}, refused, late",
        f"{TODAY}, late",
        f"{TODAY}, taken back, late",
    ]


def test_this_nodes_register_is_a_source_beside_the_tables(shell: Shell, ours: Path) -> None:
    for subject in ("c7", "nobody"):
        shell.json("rights", "object", "--subject", subject, "--dir", ours)
    found = shell.json("consent", "status", "--dir", ours)["sources"][-1]
    assert found["name"] == "this node's register of rights"
    assert (found["ids"], found["ids_in_data"]) == (2, 1)


def test_ids_of_lists_that_the_data_lack_are_named_beside_those_that_may_be_meant(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    with (tmp_path / "consents.csv").open("a") as file:
        for subject in ("00C1", "stranger"):
            file.write(f"{subject},ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1\n")
    shell.json("rights", "object", "--subject", " c2 ", "--dir", ours)
    (tmp_path / "said.csv").write_text("customer_id,kind,at\nC3,complaint,2026-01-31T09:30:00Z\n")
    words = ("consent", "unmatched", "--feedback", "said.csv", "--dir", ours)
    found = {one["name"]: one["ids"] for one in shell.json(*words)["unmatched"]}
    assert found == {
        "consents": [
            {"id": "00C1", "in_data_instead": "c1"},
            {"id": "stranger", "in_data_instead": None},
        ],
        "this node's register of rights": [{"id": " c2 ", "in_data_instead": "c2"}],
        "said.csv": [{"id": "C3", "in_data_instead": "c3"}],
    }
    told = shell(*words).out
    assert "'00C1'" in told
    assert "' c2 '" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "wish"), [("object", "objection"), ("erase", "erasure"), ("import", "opt-out")]
)
def test_the_gate_says_what_the_register_holds(
    shell: Shell, ours: Path, tmp_path: Path, verb: str, wish: str
) -> None:
    if verb == "import":
        (tmp_path / "said.csv").write_text("customer_id,kind,at\nc7,opt-out,2026-01-01T00:00:00Z\n")
        shell.json("feedback", "import", "said.csv", "--dir", ours)
    else:
        shell.json("rights", verb, "--subject", "c7", "--dir", ours)
    told = shell.json("consent", "explain", "--subject", "c7", "--dir", ours)["sources"][-1]
    (row,) = told["rows"]
    assert (row["wish"], row["since"][:10]) == (wish, f"{datetime.now(UTC):%Y-%m-%d}")
    text = shell("consent", "explain", "--subject", "c7", "--dir", ours).out
    assert wish in text
    assert re.search(rf"{TODAY} \d\d:\d\d UTC", text)
    assert row["since"] not in text
    assert "register of rights: objection" in text
    assert "nothing about this customer" not in text
    assert "wish" not in shell("consent", "explain", "--subject", "c8", "--dir", ours).out


def test_a_wish_under_another_agreement_is_told_too(shell: Shell, ours: Path) -> None:
    home = NodeHome.load(ours)
    store = home.store(home.keystore())
    elsewhere = Pseudonyms.under("another", home.keys_folder, home.keystore()).of("c7")
    with store.transaction():
        RightsRegister(store).leave_out("objection", elsewhere, "c7", datetime.now(UTC))
    store.close()
    text = shell("consent", "explain", "--subject", "c7", "--dir", ours).out
    assert "register of rights: objection" in text


def test_an_erasure_says_what_stays(shell: Shell, ours: Path, released: Release) -> None:
    done = shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
    assert done["in_releases"][0]["release"] == released.hash.hex()[:16]
    assert done["in_releases"][0]["privacy"] == EXACT_WORDS
    assert "sealed entry" in done["stays"]


# --- explain and access ----------------------------------------------------------------------


def test_an_explanation_names_what_decides_the_runner_up_and_what_would_change_it(
    shell: Shell,
    ours: Path,
) -> None:
    data = shell.json("rights", "explain", "--subject", "c0", "--dir", ours)
    assert data["name"] == "Loyal big spenders"
    assert data["runner_up"] not in (None, data["segment"])
    shares = [feature["share"] for feature in data["features"]]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert {f["name"] for f in data["features"]} == {f.name for f in FEATURES}
    text = shell("rights", "explain", "--subject", "c0", "--dir", ours).out
    assert "Nearest to" in text
    assert "Loyal big spenders; next nearest" in " ".join(text.split())


@settings(max_examples=150, deadline=None)
@given(
    row=st.tuples(st.floats(0, 365), st.floats(1, 100), st.floats(0, 20_000)),
)
def test_what_would_change_the_segment_does(known: Any, row: tuple[float, ...]) -> None:
    values = np.array(row)
    found = explain_place(values, known)
    scale = FeatureScale.of(known.agreement.coordinates)
    centres = known.release.centres

    def placed(changed: np.ndarray) -> set[str]:
        grid = scale.to_grid(changed[None, :])[0]
        squares = ((centres - grid) ** 2).sum(axis=1)
        return {known.ids[i] for i in np.flatnonzero(squares <= squares.min() * (1 + 1e-4) + 4)}

    assert found.segment in placed(values)
    names = [feature.name for feature in known.agreement.features]
    for feature in found.features:
        j = names.index(feature.name)
        if feature.turns_at is None:
            for end in (scale.lower[j], scale.upper[j]):
                changed = values.copy()
                changed[j] = end
                assert found.segment in placed(changed)
        else:
            changed = values.copy()
            changed[j] = feature.turns_at
            assert {found.segment, feature.turns_to} <= placed(changed)


@settings(max_examples=50, deadline=None)
@given(
    row=st.tuples(st.floats(0, 365), st.floats(1, 100), st.floats(0, 20_000)),
)
def test_distances_are_those_of_the_scaled_cube_and_features_share_their_difference(
    known: Any, row: tuple[float, ...]
) -> None:
    values = np.array(row)
    found = explain_place(values, known)
    unit = 1 << known.release.fraction_bits
    point = FeatureScale.of(known.agreement.coordinates).to_grid(values[None, :])[0] / unit
    centres = dict(zip(known.ids, known.release.centres / unit, strict=True))
    apart = {name: ((centre - point) ** 2) for name, centre in centres.items()}
    nearest = sorted(np.sqrt(squares.sum()) for squares in apart.values())
    assert (found.distance, found.runner_up_distance) == pytest.approx(nearest[:2])
    own, second = apart[found.segment], apart[found.runner_up]
    assert own.sum() == pytest.approx(nearest[0] ** 2)
    assert second.sum() == pytest.approx(nearest[1] ** 2)
    if second.sum() - own.sum() > 1e-6:
        shares = {f.name: f.share for f in found.features}
        for j, feature in enumerate(known.agreement.features):
            part = (second[j] - own[j]) / (second.sum() - own.sum())
            assert shares[feature.name] == pytest.approx(part, abs=1e-6)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A release of three segments, as a node knows it."""
    from partner_node.segments.known_releases import KnownRelease
    from protocol.release.lineage import lineage
    from simulations.federation import Federation
    from tests.partner_node.test_segments_cli import rows_of

    fed = Federation([rows_of(CUSTOMERS)] * 3, FEATURES, n_clusters=3, seed=3, min_segment_size=1)
    release = fed.run().release.release
    (step,) = lineage([(release, fed.agreement)])
    return KnownRelease(
        received_at="", release=release, agreement=fed.agreement, step=step, history=(step,)
    )


def test_nobody_is_explained_who_is_not_there_or_not_counted(shell: Shell, ours: Path) -> None:
    error = shell.refused("rights", "explain", "--subject", "nobody", "--dir", ours, status=3)
    assert error["code"] == "E-NO-CUSTOMER"
    shell.json("rights", "object", "--subject", "c0", "--dir", ours)
    error = shell.refused("rights", "explain", "--subject", "c0", "--dir", ours, status=3)
    assert error["code"] == "E-NOT-COUNTED"
    assert "objection" in error["message"]


def make_leaving_out(directory: Path) -> None:
    """As `make_ours`, where it is agreed that who has no spend is left out."""
    place = next(i for i, feature in enumerate(FEATURES) if feature.name == "net_spend")
    before = FEATURES[place]
    agreed = before.to_dict() | {"missing": {"rule": "leave-out"}}
    own = SimpleNamespace(name="net_spend", unit=agreed["unit"], to_dict=lambda: agreed)
    FEATURES[place] = own
    try:
        make_ours(directory)
    finally:
        FEATURES[place] = before


@pytest.mark.slow
def test_who_has_no_value_is_left_out_as_agreed_and_told_so(
    shell: Shell, finished: Finished, tmp_path: Path
) -> None:
    finished.copy(make_leaving_out, tmp_path)
    ours = tmp_path / "node"
    file = tmp_path / "customers.csv"
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    next(row for row in rows if row["customer_id"] == "c0")["net_spend"] = ""
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert sorted(counted(ours)) == sorted(r["customer_id"] for r in rows if r["net_spend"])
    error = shell.refused("rights", "explain", "--subject", "c0", "--dir", ours, status=3)
    assert error["code"] == "E-NOT-COUNTED"
    assert "a value is missing" in error["message"]
    data = shell.json("rights", "access", "--subject", "c0", "--dir", ours)
    (found,) = (f for f in data["features"] if f["name"] == "net_spend")
    assert (found["value"], found["used"], data["segment"]) == (None, None, None)
    shell.json("segments", "export", "--for", "evaluation", "--out", "later.csv", "--dir", ours)
    assert "c0" not in ids_in(tmp_path / "later.csv")
    assert "c0" in ids_in(tmp_path / "all.csv")


def test_access_tells_everything_that_is_held(shell: Shell, ours: Path, tmp_path: Path) -> None:
    data = shell.json("rights", "access", "--subject", "c0", "--out", "c0.json", "--dir", ours)
    with (tmp_path / "customers.csv").open(newline="") as file:
        row = next(r for r in csv.DictReader(file) if r["customer_id"] == "c0")
    values = {f["name"]: f for f in data["features"]}
    for name in ("recency_days", "orders", "net_spend"):
        assert values[name]["value"] == float(row[name])
        assert values[name]["needed_because"]
    assert values["net_spend"]["used"] == min(float(row["net_spend"]), 20_000)
    assert data["segment"]["name"] == "Loyal big spenders"
    assert len(data["segment_files"]["listing"]) == 2
    assert data["consents"][0]["rows"][0]["event"] == "ConsentGiven"
    assert data["data_protection_officer"]
    assert data["never_for"]
    written = json.loads((tmp_path / "c0.json").read_text())
    assert written["features"] == data["features"]
    assert stat.S_IMODE((tmp_path / "c0.json").stat().st_mode) == 0o600


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "html"])
def test_a_customer_can_read_all_that_article_15_asks_for_and_nothing_is_made_up(
    shell: Shell, ours: Path, tmp_path: Path, form: str
) -> None:
    words = ("rights", "access", "--subject", "c0", "--dir", ours)
    suffix = {"text": "txt", "html": "html"}[form]
    first = shell(*words, "--format", form)
    assert first.code == 0
    plain = " ".join(html.unescape(re.sub("<[^>]*>", " ", first.out)).split())
    agreement = NodeHome.load(ours).signed_agreement().agreement
    party, operator = agreement.parties[0], agreement.coordinator
    told = [
        party.legal_name, party.contact, party.dpo, operator.legal_name, operator.contact,
        agreement.purpose.text, "consent", party.legal_basis.reference,
        *agreement.results_use.recipients, *agreement.results_use.forbidden,
        f"{agreement.retention.assignments_days} days", f"{agreement.retention.records_days} days",
        "net_spend: ", "It tells customers apart.", "Loyal big spenders", "ConsentGiven",
        "you are in 2 files of segments", "have wrong data corrected", "objecting",
        "withdraw your consent", "complain to a supervisory authority, such as that of the place",
        "[rights] authority", "[rights] data_from",
        *(p.legal_name for p in agreement.parties[1:]),
    ]  # fmt: skip
    assert [text for text in told if " ".join(shown(text).split()) not in plain] == []
    assert re.search("Where the data come from[ -]* Not stated here.", plain)
    config = (ours / "node.toml").read_text()
    said = '[rights]\nauthority = "<b>The</b> authority"\ndata_from = "Orders"\n'
    (ours / "node.toml").write_text(config.replace("[rights]\n", said))
    done = shell(*words, "--out", f"c0.{suffix}")
    assert "not in this answer: how long the data themselves are kept" in " ".join(done.err.split())
    written = (tmp_path / f"c0.{suffix}").read_text()
    assert "[rights]" not in written
    assert ("&lt;b&gt;The" if form == "html" else "<b>The</b> authority") in written
    assert "<script" not in written
    assert shell.json(*words)["supervisory_authority"] == "<b>The</b> authority"


def test_an_answer_of_another_form_is_refused(shell: Shell, ours: Path) -> None:
    words = ("rights", "access", "--subject", "c0", "--out", "c0.pdf", "--dir", ours)
    assert ".html" in shell.refused(*words, status=2)["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "used"),
    [
        ("carrier pigeon", "web"),
        ("=1+1", "web"),
        ("shop", "shop"),
        ("", None),
    ],
)
def test_access_tells_what_is_held_also_where_it_is_no_agreed_level(
    shell: Shell, node: Path, tmp_path: Path, held: str, used: str | None
) -> None:
    file = tmp_path / "customers.csv"
    header, first, *others = file.read_text().splitlines()
    rows = [f"{header},via", f"{first},{held}", *(f"{row},web" for row in others)]
    file.write_text("\n".join(rows) + "\n")
    config = node / "node.toml"
    text = config.read_text().replace("[data.columns]", '[data.columns]\nchannel = "via"')
    config.write_text(text.replace("[data.units]", '[data.units]\nchannel = "told"'))
    channel = {
        "name": "channel", "type": "categorical", "unit": "told", "weight": "1",
        "levels": ["shop", "web"], "other": "web", "missing": {"rule": "leave-out"},
    }  # fmt: skip
    features = [
        feature | {"necessity": "It tells customers apart."}
        for feature in (*(f.to_dict() for f in FEATURES), channel)
    ]
    (tmp_path / "draft.json").write_bytes(draft(node, features=features).to_bytes())
    shell.json("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", node)
    shell.json("agreement", "install", "signed.json", "--dir", node)
    words = ("--subject", "c0", "--dir", node)
    data = shell.json("rights", "access", *words)
    (found,) = (f for f in data["features"] if f["name"] == "channel")
    assert (found["value"], found["used"]) == (held or None, used)
    if held.startswith("="):
        error = shell.refused("rights", "export", "--out", "x.csv", *words, status=3)
        assert error["code"] == "E-CSV-FORMULA"
        assert "of 'channel'" in error["message"]
        assert held not in error["message"] + error["remedy"]
    else:
        shell.json("rights", "export", "--out", "x.csv", *words)
        assert f"channel,{held},told" in (tmp_path / "x.csv").read_text().splitlines()
    absent = shell.json("rights", "access", "--subject", "nobody", "--dir", node)
    assert [f["value"] for f in absent["features"]] == [None] * len(features)


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_a_customer_takes_its_data_elsewhere(
    shell: Shell,
    ours: Path,
    tmp_path: Path,
    suffix: str,
) -> None:
    out = f"c0.{suffix}"
    shell.json("rights", "export", "--subject", "c0", "--out", out, "--dir", ours)
    text = (tmp_path / out).read_text()
    assert "net_spend" in text
    assert "Loyal big spenders" in text
    error = shell.refused("rights", "export", "--subject", "c0", "--out", "x.txt", "--dir", ours,
                          status=2)  # fmt: skip
    assert ".json nor .csv" in error["message"]


def add_customer(tmp_path: Path, subject: str) -> None:
    """Another row of the partner's own data, with the values of c0."""
    file = tmp_path / "customers.csv"
    with file.open(newline="") as opened:
        (values,) = (row[1:] for row in csv.reader(opened) if row[0] == "c0")
    with file.open("a", newline="") as opened:
        csv.writer(opened).writerow([subject, *values])


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)", "\tx", "\r=1"])
def test_a_value_that_a_spreadsheet_would_work_out_is_in_no_csv(
    shell: Shell, ours: Path, tmp_path: Path, subject: str
) -> None:
    add_customer(tmp_path, subject)
    words = ("rights", "export", f"--subject={subject}", "--dir", ours, "--out")
    error = shell.refused(*words, "x.csv", status=3)
    assert error["code"] == "E-CSV-FORMULA"
    assert f"the customer's id, {subject!r}, begins like a formula" in error["message"]
    assert not (tmp_path / "x.csv").exists()
    assert shell.json("rights", "list", "--dir", ours)["requests"] == []
    shell.json(*words, "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["subject"] == subject
    shell.json(*words, "x.csv", "--escape-formulas")
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.reader(file))
    assert written[1] == ["customer", f"'{subject}", ""]


def test_a_negative_number_is_no_formula(shell: Shell, ours: Path, tmp_path: Path) -> None:
    add_customer(tmp_path, "-17")
    file = tmp_path / "customers.csv"
    *others, last = file.read_text().splitlines()
    file.write_text("\n".join([*others, last.rpartition(",")[0] + ",-12.5"]) + "\n")
    shell.json("rights", "export", "--subject=-17", "--out", "x.csv", "--dir", ours)
    rows = {row[0]: row[1] for row in csv.reader((tmp_path / "x.csv").read_text().splitlines())}
    assert (rows["customer"], rows["net_spend"]) == ("-17", "-12.5")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("access", ("--out",)),
        ("access", ("--receipt",)),
        ("explain", ("--receipt",)),
        ("object", ("--receipt",)),
        ("erase", ("--receipt",)),
        ("export", ("--out",)),
        ("export", ("--receipt", "--out", "other.json")),
    ],
)
def test_a_file_that_is_there_is_kept_unless_that_is_said_and_nothing_is_done(
    shell: Shell, ours: Path, tmp_path: Path, verb: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "mine.json").write_text("mine")
    option, *more = options
    words = ("rights", verb, "--subject", "c0", "--dir", ours, option, "mine.json", *more)
    error = shell.refused(*words, status=2)
    assert (error["code"], "mine.json" in error["message"]) == ("E-FILE", True)
    assert "--overwrite" in error["remedy"]
    assert (tmp_path / "mine.json").read_text() == "mine"
    assert not (tmp_path / "other.json").exists()
    assert shell.json("rights", "list", "--dir", ours)["requests"] == []
    assert "c0" in counted(ours)
    shell.json(*words, "--overwrite")
    assert json.loads((tmp_path / "mine.json").read_text())
    assert stat.S_IMODE((tmp_path / "mine.json").stat().st_mode) == 0o600


def test_a_file_that_appears_meanwhile_is_kept_and_the_request_stays_open(
    shell: Shell, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdings_of = answers.holdings_of

    def slow(case: Case) -> Holdings:
        (tmp_path / "a.json").write_text("theirs")
        return holdings_of(case)

    monkeypatch.setattr(answers, "holdings_of", slow)
    done = shell("rights", "access", "--subject", "c0", "--out", "a.json", "--dir", ours)
    assert (done.code, "E-FILE" in done.err) == (2, True)
    assert (tmp_path / "a.json").read_text() == "theirs"
    assert shell.json("rights", "list", "--dir", ours)["requests"] == []


def test_answer_and_receipt_are_two_files(shell: Shell, ours: Path, tmp_path: Path) -> None:
    words = ("rights", "access", "--subject", "c0", "--out", "a.json", "--dir", ours)
    error = shell.refused(*words, "--receipt", tmp_path / "a.json", status=2)
    assert "both name" in error["message"]


# --- register and receipts -------------------------------------------------------------------


def test_a_request_is_due_a_month_after_it_came_and_closed_by_its_answer(
    shell: Shell,
    ours: Path,
) -> None:
    came = (datetime.now(UTC) - timedelta(days=60)).date()
    words = ("--subject", "c1", "--dir", ours)
    noted = shell.json("rights", "receive", "object", *words, "--received", came.isoformat())
    assert noted["due"] == due_date(came).isoformat()
    assert noted["overdue"]
    other = shell.json("rights", "receive", "access", *words)
    text = " ".join(shell("rights", "list", "--dir", ours).out.split())
    assert f"OVERDUE: request {noted['number']} (object) was due by {noted['due']}" in text
    assert text.count("OVERDUE") == 2, "in the table and below it"
    assert shell.json("rights", "list", "--dir", ours)["overdue"] == [noted["number"]]
    receipt = shell.json("rights", "object", *words)["receipt"]
    assert (receipt["number"], receipt["received"]) == (noted["number"], came.isoformat())
    found = shell.json("rights", "list", "--dir", ours)
    listed, waiting = found["requests"]
    assert not listed["overdue"]
    assert listed["answered_late"]
    assert listed["done_at"] == receipt["done_at"]
    assert (found["overdue"], waiting["number"], waiting["done_at"]) == ([], other["number"], None)
    assert not waiting["overdue"]
    text = shell("rights", "list", "--dir", ours).out
    assert f"{listed['done_at'][:10]}, late" in text
    assert "OVERDUE" not in text
    again = shell.json("rights", "object", *words)["receipt"]["number"]
    assert again == other["number"] + 1
    for wrong in ("yesterday", "2999-01-01"):
        error = shell.refused("rights", "object", *words, "--received", wrong, status=2)
        assert wrong in error["message"]
    shell.refused("rights", "object", "--subject", "c2", "--dir", ours, "--received", "x", status=2)
    assert "c2" in counted(ours)
    error = shell.refused("rights", "receive", "forget", *words, status=2)
    assert "access, explain, object" in error["remedy"]


def test_an_answer_is_put_off_once_within_its_first_month_and_the_receipt_says_why(
    shell: Shell, ours: Path
) -> None:
    who = ("--subject", "c1", "--dir", ours)
    words = ("rights", "extend", "access", *who, "--reason", "complexity")
    assert "no open request" in shell.refused(*words, status=3)["message"]
    came = (datetime.now(UTC) - timedelta(days=3)).date()
    shell.json("rights", "receive", "access", *who, "--received", came.isoformat())
    shell.refused(*words, "--months", 3, status=2)
    done = shell.json(*words)
    assert done["due"] == due_date(came, months=3).isoformat()
    assert done["receipt"]["effects"] == {"extended": "complexity", "until": done["due"]}
    (request,) = shell.json("rights", "list", "--dir", ours)["requests"]
    assert (request["due"], request["done_at"]) == (done["due"], None)
    assert "extended" in shell("rights", "list", "--dir", ours).out
    error = shell.refused(*words, status=3)
    assert (error["code"], "was extended on" in error["message"]) == ("E-EXTENSION", True)
    answered = shell.json("rights", "access", *who)["receipt"]
    assert (answered["number"], answered["due"]) == (request["number"], done["due"])
    late = (datetime.now(UTC) - timedelta(days=40)).date().isoformat()
    shell.json("rights", "receive", "access", *who, "--received", late)
    assert "was due by" in shell.refused(*words, status=3)["message"]


def test_a_refusal_closes_the_request_and_says_where_to_complain(shell: Shell, ours: Path) -> None:
    who = ("--subject", "c1", "--dir", ours)
    noted = shell.json("rights", "receive", "erase", *who)
    done = shell.json("rights", "refuse", "erase", *who, "--reason", "exception-by-law")
    assert done["receipt"]["number"] == noted["number"]
    assert done["receipt"]["effects"] == {
        "refused": "exception-by-law",
        "may_complain_to": "a supervisory authority",
        "may_go_to_court": True,
    }
    (request,) = shell.json("rights", "list", "--dir", ours)["requests"]
    assert request["done_at"]
    assert "refused" in shell("rights", "list", "--dir", ours).out
    assert "c1" in counted(ours)


def test_a_restriction_holds_until_it_is_taken_back(shell: Shell, ours: Path) -> None:
    who = ("--subject", "c1", "--dir", ours)
    done = shell.json("rights", "restrict", *who)
    assert len(done["taken_out_of"]) == 2
    assert done["receipt"]["kind"] == "restrict"
    assert "c1" not in counted(ours)
    assert list(shell.json("rights", "take-back", *who)["taken_back"]) == ["restriction"]
    assert "c1" in counted(ours)


def test_a_rectification_is_on_record_by_the_names_of_the_features(
    shell: Shell, ours: Path
) -> None:
    words = ("rights", "rectify", "--subject", "c1", "--dir", ours, "--feature")
    assert "orders" in shell.refused(*words, "order", status=2)["remedy"]
    done = shell.json(*words, "orders", "--feature", "net_spend")
    assert done["receipt"]["effects"] == {"rectified": ["net_spend", "orders"], "in_data": True}


def test_a_receipt_is_signed_and_names_nobody(shell: Shell, ours: Path, tmp_path: Path) -> None:
    words = ("--subject", "c1", "--receipt", "receipt.json", "--dir", ours)
    receipt = shell.json("rights", "object", *words)["receipt"]
    data = (tmp_path / "receipt.json").read_bytes()
    envelope = Envelope.from_bytes(
        data, payload_type="application/vnd.fedseg.rights-receipt+json", max_bytes=1 << 16
    )
    home = NodeHome.load(ours)
    key = home.keystore().identity_public
    assert envelope.signers([key]) == {key}
    assert json.loads(envelope.payload) == receipt
    assert '"c1"' not in envelope.payload.decode()
    assert receipt["pseudonym"] == Pseudonyms.under("ours", home.keys_folder, home.keystore()).of(
        "c1"
    )


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-01-31", "2026-02-28"),
        ("2028-01-30", "2028-02-29"),
        ("2026-12-31", "2027-01-31"),
        ("2026-05-31", "2026-06-30"),
        ("2026-03-15", "2026-04-15"),
    ],
)
def test_a_month_ends_with_the_month(received: str, due: str) -> None:
    assert due_date(date.fromisoformat(received)) == date.fromisoformat(due)


def test_the_last_day_is_in_time_and_the_next_one_is_late() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    register = RightsRegister(store)
    due, received = date(2026, 2, 28), date(2026, 1, 31)
    moments = [datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)]
    with store.transaction():
        numbers = [register.receive("access", "aa", received, now=at) for at in moments]
    assert [r.due for r in register.requests()] == [due, due]
    assert not any(request.is_overdue(due) for request in register.requests())
    assert all(request.is_overdue(due + timedelta(days=1)) for request in register.requests())
    with store.transaction():
        for number, now in zip(numbers, moments, strict=True):
            register.answer(number, {}, now)
    assert [request.was_late for request in register.requests()] == [False, True]
    assert not any(r.is_overdue(due + timedelta(days=1)) for r in register.requests())


# --- pseudonyms ------------------------------------------------------------------------------


def test_the_database_alone_names_nobody(shell: Shell, ours: Path) -> None:
    shell.json("rights", "object", "--subject", "c7-a-long-name", "--dir", ours)
    for file in (ours / "state").iterdir():
        assert b"c7-a-long-name" not in file.read_bytes()


def test_pseudonyms_differ_by_agreement_and_last(shell: Shell, ours: Path) -> None:
    home = NodeHome.load(ours)
    keystore = home.keystore()
    one, again = (Pseudonyms.under("ours", home.keys_folder, keystore) for _ in range(2))
    other = Pseudonyms.under("theirs", home.keys_folder, keystore)
    assert one.of("a") == again.of("a")
    assert len({one.of("a"), one.of("A"), one.of("a "), other.of("a")}) == 4
    path = key_file(home.keys_folder, "ours")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(key_file(home.keys_folder, "theirs").read_bytes())
    with pytest.raises(KeystoreError) as caught:
        Pseudonyms.under("ours", home.keys_folder, keystore)
    assert caught.value.code == "E-KEY-SEAL"
    with pytest.raises(ValueError, match="31 bytes"):
        Pseudonyms(bytes(31))


def test_a_wish_is_kept_once_and_sealed(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    register = RightsRegister(store)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with store.transaction():
        register.leave_out("objection", "aa", "anna", now)
        register.leave_out("objection", "aa", "anna", now + timedelta(days=1))
        register.leave_out("erasure", "aa", "anna", now)
        register.leave_out("opt-out", "bb", "ben", now)
    assert register.left_out() == {"anna", "ben"}
    assert register.wishes("aa")["objection"].startswith("2026-01-01")
    assert set(register.wishes("aa")) == {"objection", "erasure"}
    assert register.wishes("cc") == {}


def test_known_releases_are_not_needed_for_an_objection(shell: Shell, ours: Path) -> None:
    assert known_releases(NodeHome.load(ours))
    store = NodeHome.load(ours).store(NodeHome.load(ours).keystore())
    with store.transaction():
        store.ask("DELETE FROM releases")
        store.ask("DELETE FROM exports")
    done = shell.json("rights", "erase", "--subject", "c7", "--dir", ours)
    assert (done["in_releases"], done["taken_out_of"]) == ([], [])
    error = shell.refused("rights", "explain", "--subject", "c8", "--dir", ours, status=3)
    assert error["code"] == "E-NO-RELEASE"
    assert shell.json("rights", "access", "--subject", "c8", "--dir", ours)["segment"] is None


# --- fields of answers -----------------------------------------------------------------------


def outline(value: Any) -> str:
    """The fields of JSON values in their order, in brackets those within one; of lists the first's.

    >>> outline({"a": 1, "b": [{"c": 2}, {"c": 3}]})
    'a b(c)'
    """
    if isinstance(value, list):
        return outline(value[0]) if value else ""
    if isinstance(value, dict):
        within = {name: outline(inner) for name, inner in value.items()}
        return " ".join(f"{name}({inner})" if inner else name for name, inner in within.items())
    return ""


FEATURES_HELD = "features(name unit value used needed_because)"
CONSENTS_HELD = "consents(source rows(subject event time purpose notice until))"
PLACE = (
    "segment name distance runner_up runner_up_name runner_up_distance features(name unit value"
    " centre low high runner_up share turns_at turns_to)"
)
TOLD = (
    f"subject pseudonym in_data may_be_counted kept_out_by {FEATURES_HELD} {CONSENTS_HELD} wishes"
    f" feedback(kind at segment_then score asked) segment({PLACE}) release"
    " segment_files(listing gone changed) runs runs_mean purpose(term text) notice_version"
    " legal_basis(basis reference) recipients used_for never_for"
    " retention(assignments_days records_days) data_protection_officer"
    " controller(name contact role) other_controllers(name contact role) coordinator(name contact)"
    " data_from supervisory_authority rights not_stated"
)
DONE = "in_data not_counted_from runs_under_way taken_out_of files_gone files_changed"
STAYING = "stays in_releases(release received_at privacy) next_release"


def receipt_of(effects: str) -> str:
    return (
        "receipt(agreement agreement_version done_at due"
        f" effects({effects}) kind number partner pseudonym received schema)"
    )


def test_answers_have_the_same_fields_in_the_same_order(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    at = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    (tmp_path / "said.csv").write_text(f"customer_id,kind,at\nc0,complaint,{at}\n")
    shell.json("feedback", "import", "said.csv", "--dir", ours)
    subject = ("--subject", "c0", "--dir", ours)
    told = shell.json("rights", "access", *subject, "--out", "told.json")
    assert outline(told) == f"{TOLD} {receipt_of('given')}"
    assert told.pop("receipt")["effects"]["given"] == sorted(told)
    assert json.dumps(json.loads((tmp_path / "told.json").read_text())) == json.dumps(told)
    explained = shell.json("rights", "explain", *subject)
    assert outline(explained) == f"{PLACE} {receipt_of('segment')}"
    shell.json("rights", "export", *subject, "--out", "own.json")
    own = json.loads((tmp_path / "own.json").read_text())
    assert json.dumps(own) == json.dumps({name: told[name] for name in own})
    assert outline(own) == f"subject {FEATURES_HELD} {CONSENTS_HELD} wishes segment({PLACE})"
    done = shell.json("rights", "object", *subject)
    assert outline(done) == f"{DONE} alike {receipt_of(' '.join(sorted(DONE.split())))}"
    erased = shell.json("rights", "erase", *subject)
    within = "in_data in_releases(privacy received_at release) next_release"
    rest = (
        "files_changed",
        "files_gone",
        "not_counted_from",
        "runs_under_way",
        "stays",
        "taken_out_of",
    )
    effects = " ".join([*rest[:2], within, *rest[2:]])
    assert outline(erased) == f"{DONE} {STAYING} alike {receipt_of(effects)}"
