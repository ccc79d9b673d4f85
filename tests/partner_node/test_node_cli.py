"""fedseg-node: every command, its JSON, its exit status, and what it says to wrong input."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from machine.files import write_file
from partner_node.cli import app
from partner_node.client_app import nodes_of
from partner_node.config.node_config import NodeConfig
from partner_node.consent.gate import REGISTER
from partner_node.home import NodeHome
from partner_node.keystore import Keystore
from partner_node.shown import status as shown_status
from partner_node.shown.record_tables import STATE_WORDS
from partner_node.sources.servers import Server
from partner_node.state_file import is_lost
from protocol.agreement.governance import CONSENT, LEGITIMATE_INTEREST, SEGMENTATION
from protocol.agreement.partner_card import PartnerCard
from protocol.agreement.software import Software
from protocol.agreement.stop import SignedStop
from protocol.errors import ConfigError, FedsegError, RuleError, StoreError
from protocol.messages import Open, sign_request
from protocol.partner_state import Phase
from protocol.release.document import EXACT_WORDS, Release
from protocol.signed_agreement import SignedAgreement
from protocol.signing import key_id, public_bytes
from tests.agreed_terms import agreed_feature
from tests.commands import commands_of, leaves
from tests.federations import small_federation, unsaid
from tests.partner_node.nodes import (
    COORDINATOR,
    OTHERS,
    complete,
    draft,
    init_words,
    installed,
    node,
    open_node,
    shell,
    successor,
    withdraw,
)
from tests.shell import Shell

PRIVACY = {
    "epsilon": "1", "delta": "0.00001", "rho": "0.0305", "runs": 5, "spare_rounds": 1,
    "max_partners_per_customer": 1,
}  # fmt: skip

__all__ = ["installed", "node", "shell"]


OTHER_SOFTWARE = Software(version="9.9.9", sha256=bytes(32)).to_dict()


# --- help and usage --------------------------------------------------------------------------


ALL = commands_of(app)


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(p) or "-" for p, _ in ALL])
def test_every_command_and_option_has_help(
    shell: Shell, path: tuple[str, ...], command: Any
) -> None:
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), (path, parameter.name)
    done = shell(*path, "--help")
    assert done.code == 0
    assert f"{' '.join(('fedseg-node', *path))}" in " ".join(done.out.split())


LEAVES = leaves(ALL)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_an_unknown_option_is_wrong_usage(shell: Shell, path: tuple[str, ...]) -> None:
    done = shell(*path, "--bogus", "--format", "json")
    assert done.code == 2
    assert done.envelope["data"]["code"] == "E-USAGE"
    assert "--bogus" in done.err
    assert shell(*path, "--bogus", "--format=json").envelope["status"] == "failed"
    assert shell(*path, "--bogus").out == ""


def test_no_command_shows_the_help_and_is_wrong_usage(shell: Shell) -> None:
    for words in ((), ("agreement",), ("segments",), ("egress",)):
        done = shell(*words)
        assert done.code == 2
        assert "Usage" in done.out + done.err
    assert shell("nonsense").code == 2


NEED_NONE = {
    ("init",), ("join",), ("serve",), ("console",), ("check",), ("state", "restore"),
    ("log", "check-proof"), ("rights", "check-receipt"), ("evidence", "answers"),
    ("evidence", "verify"), ("evidence", "attacks"), ("evidence", "verifier"),
}  # fmt: skip
NEED_FOLDER = [p for p in LEAVES if p not in NEED_NONE]


@pytest.mark.parametrize("path", NEED_FOLDER, ids=" ".join)
def test_a_folder_that_is_no_node_is_named(
    shell: Shell, path: tuple[str, ...], tmp_path: Path
) -> None:
    needed = {
        "user add": ["anna", "--role", "auditor"],
        "user role": ["anna", "auditor"],
        "user reset": ["anna"],
        "log prove": ["0", "--out", "x.proof"],
        "log consistency": ["old.checkpoint", "new.checkpoint"],
        "log export": ["copy"],
        "log accept": ["south"],
        "staff add": ["anna", "--role", "marketer"],
        "staff train": [
            "anna",
            "--course",
            "basics",
            "--on",
            "2026-01-01",
            "--valid-until",
            "2027-01-01",
        ],
        "staff remove": ["anna"],
        "evidence pack": ["--out", "x.pack"],
        "rights receipt": ["--subject", "b"],
        "rights receipt-key": ["00"],
        "notice words": ["--out", "own.toml"],
        "notice publish": ["notice.html"],
        "notice show": ["1"],
        "notice verify": ["--url-file", "page.html"],
        "notice centre": ["--out", "site"],
        "user remove": ["anna"],
        "sign": ["x.json", "--out", "y.json"],
        "install": ["x.json"],
        "decline": ["12345678", "--comment", "no"],
        "stop": ["--out", "x.json"],
        "key accept": ["x.json"],
        "key export": ["x.json"],
        "budget carry": ["--runs", "1"],
        "segments refuse": ["12345678"],
        "accept-stop": ["x.json"],
        "agreement builds sign": ["1234abcd"],
        "agreement builds accept": ["x.json"],
        "explain": ["--subject", "b"],
        "picture": ["--out", "x.html"],
        "segments export": ["--for", "own-marketing", "--out", "x.csv"],
        "rights export": ["--subject", "b", "--out", "x.csv"],
        "receive": ["access", "--subject", "b"],
        "import": ["x.csv"],
        "strike": ["x.csv"],
        "backup": ["x.tar"],
        "take-back": ["--subject", "b"],
        "restrict": ["--subject", "b"],
        "rectify": ["--subject", "b", "--feature", "x"],
        "extend": ["access", "--subject", "b", "--reason", "complexity"],
        "refuse": ["access", "--subject", "b", "--reason", "excessive"],
        "correct": ["--subject", "b", "--mistyped", "c"],
        "access": ["--subject", "b"],
        "object": ["--subject", "b"],
        "erase": ["--subject", "b"],
    }
    words = needed.get(" ".join(path), needed.get(path[-1], []))
    words = ["1"] if path[0] == "egress" and path[-1] != "list" else words
    error = shell.refused(*path, *words, "--dir", tmp_path / "none", status=2)
    assert "none/node.toml" in error["message"]
    assert error["remedy"]
    assert not (tmp_path / "none").exists()


def test_a_defect_shows_its_place_but_not_what_it_was_about(
    shell: Shell, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: NodeHome) -> None:
        raise ZeroDivisionError("customer 4711 spent 99.95")

    monkeypatch.setattr(NodeHome, "keystore", broken)
    error = shell.refused("status", "--dir", node, status=1)
    assert error["code"] == "E-INTERNAL"
    assert "ZeroDivisionError at test_node_cli.py:" in error["message"]
    assert "4711" not in json.dumps(error)


def test_a_file_name_that_is_no_text_can_be_printed(shell: Shell, tmp_path: Path) -> None:
    name = tmp_path / b"b\xff\xfe".decode("utf-8", "surrogateescape")
    assert shell.refused("status", "--dir", name, status=2)["code"] == "E-CONFIG"


# --- init ------------------------------------------------------------------------------------


def test_init_makes_a_private_folder_and_a_card_without_secrets(
    shell: Shell, tmp_path: Path
) -> None:
    data = shell.json(*init_words(tmp_path / "node"))
    modes = {
        str(p.relative_to(tmp_path / "node")): stat.S_IMODE(p.stat().st_mode)
        for p in [tmp_path / "node", *(tmp_path / "node").rglob("*")]
    }
    assert modes["."] == modes["keys"] == 0o700
    assert modes["keys/passphrase"] == modes["keys/keystore.json"] == 0o600
    card = PartnerCard.from_bytes((tmp_path / "node" / "partner-card.json").read_bytes())
    assert (card.id, card.legal_name, card.max_customers) == ("north", "North GmbH", 10)
    assert data["public_key"] == card.public_key.hex()
    secret = (tmp_path / "node" / "keys" / "passphrase").read_text().strip()
    assert secret not in json.dumps(data) + (tmp_path / "node" / "node.toml").read_text()


def test_init_never_overwrites(shell: Shell, node: Path) -> None:
    before = {p: p.read_bytes() for p in node.rglob("*") if p.is_file()}
    assert "exists" in shell.refused(*init_words(node), status=2)["message"]
    (node / "node.toml").unlink()
    del before[node / "node.toml"]
    assert shell.refused(*init_words(node), status=3)["code"] == "E-KEY-EXISTS"
    assert {p: p.read_bytes() for p in node.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    "changes",
    [
        {"partner": "North!"},
        {"legal_name": ""},
        {"legal_name": "x" * 201},
        {"legal_name": "a\x1b[31m"},
        {"contact": ""},
        {"coordinator": "https://x"},
        {"coordinator": "x:0"},
        {"kind": "xlsx"},
        {"max_customers": "0"},
        {"max_customers": "many"},
        {"id_column": ""},
    ],
    ids=str,
)
def test_init_refuses_a_wrong_value_and_leaves_nothing_behind(
    shell: Shell, tmp_path: Path, changes: dict[str, str]
) -> None:
    error = shell.refused(*init_words(tmp_path / "node", **changes), status=2)
    assert error["message"]
    assert [p for p in (tmp_path / "node").rglob("*") if p.is_file()] == []
    shell.json(*init_words(tmp_path / "node"))


def test_init_warns_of_files_that_are_not_there_and_makes_the_node(
    shell: Shell, tmp_path: Path
) -> None:
    assert shell.json(*init_words(tmp_path / "whole"))["warnings"] == []
    words = init_words(
        tmp_path / "node", data="later/*.csv", root_certificates="later.crt",
        consents="grants.csv",
    )  # fmt: skip
    done = shell(*words, "--format", "json")
    assert done.code == 0
    data, consents, authority = done.envelope["data"]["warnings"]
    assert "--data" in data
    assert "--consents" in consents
    assert "grants.csv: no such file; correct path in [[consent.sources]]" in consents
    assert "later/*.csv: no file matches" in data
    assert "--root-certificates" in authority
    assert "later.crt: no such file" in authority
    assert done.err.count("Warning:") == 3
    assert (tmp_path / "node" / "partner-card.json").exists()


@pytest.mark.parametrize("option", ["consents", "objections", "births"])
@pytest.mark.parametrize("name", ["north.db", "wishes.duckdb", "wishes"])
def test_a_table_of_wishes_in_a_database_is_named_in_node_toml_and_not_taken_for_csv(
    shell: Shell, tmp_path: Path, option: str, name: str
) -> None:
    words = [w for w in init_words(tmp_path / "node") if w not in ("--consents", "consents.csv")]
    error = shell.refused(*words, f"--{option}", name, status=2)
    assert f"--{option} {name}: the name ends with none of .csv, .txt, .parquet" in error["message"]
    assert f'[[consent.sources]] with holds = "{option}"' in error["remedy"]
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("a.CSV.gz", "csv"), ("a.parquet", "parquet"), ("a.ndjson", "jsonl")],
)
def test_the_kind_of_a_table_of_wishes_follows_from_its_name(
    shell: Shell, tmp_path: Path, name: str, kind: str
) -> None:
    shell.json(*init_words(tmp_path / "node", consents=name))
    (source,) = NodeConfig.load(tmp_path / "node" / "node.toml").consent.sources
    assert source.kind == kind


def database_words(directory: Path, **options: str) -> list[str]:
    """`init` for a source that is no file of rows."""
    words = init_words(directory)
    at = words.index("--data")
    given = {k.replace("_", "-"): v for k, v in options.items()}
    return [*words[:at], *words[at + 2 :], *(w for k, v in given.items() for w in (f"--{k}", v))]


SERVER = {"kind": "postgresql", "host": "db.example", "database": "shop", "user": "reader"}


def test_init_makes_a_node_for_a_database(shell: Shell, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        connection.execute("CREATE TABLE customers AS SELECT 'a' AS customer_id, 1 AS visits")
    words = database_words(tmp_path / "node", kind="sqlite", data="c.db", table="customers")
    assert shell.json(*words)["warnings"] == []
    found = NodeHome.load(tmp_path / "node").config.data
    assert (found.kind, found.place.name, found.table) == (
        "sqlite",
        str(tmp_path / "c.db"),
        ("customers",),
    )
    done = shell("check", "--dir", tmp_path / "node", "--format", "json")
    checks = {item["check"]: item for item in done.envelope["data"]["checks"]}
    assert checks["data"]["passed"]
    assert "1 customer" in checks["data"]["details"]
    assert "1 customers" not in checks["data"]["details"]


@pytest.mark.parametrize(("kind", "port"), [("postgresql", 5432), ("mysql", 3306)])
def test_init_makes_a_node_for_a_server_and_its_password_is_nowhere_in_it(
    shell: Shell, tmp_path: Path, kind: str, port: int
) -> None:
    (tmp_path / "password").write_text("s3cret")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "q.sql").write_text("SELECT 1 AS customer_id")
    words = database_words(
        tmp_path / "node", **SERVER | {"kind": kind}, port="6432", password_file="password",
        query_file="q.sql",
    )  # fmt: skip
    assert shell.json(*words)["warnings"] == []
    found = NodeHome.load(tmp_path / "node").config.data
    assert found.query == "SELECT 1 AS customer_id"
    assert isinstance(found.place, Server)
    assert (found.place.host, found.place.port) == ("db.example", 6432)
    assert (found.place.database, found.place.user) == ("shop", "reader")
    assert found.place.password_file == tmp_path / "password"
    assert found.place.ssl == "verify-full"
    assert all("s3cret" not in p.read_text() for p in (tmp_path / "node").glob("*.*"))
    words = database_words(
        tmp_path / "other", **SERVER | {"kind": kind, "host": "127.0.0.1"}, ssl="disable",
        table="s.customers", password_file="later",
    )  # fmt: skip
    (warning,) = shell.json(*words)["warnings"]
    other = NodeHome.load(tmp_path / "other").config.data.place
    assert isinstance(other, Server)
    assert (other.host, other.port, other.ssl) == ("127.0.0.1", port, "disable")
    assert "--password-file" in warning
    assert "0600" in warning


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "xlsx"}, "allowed: csv, parquet, duckdb, sqlite, postgresql"),
        ({}, "--kind csv needs --data"),
        ({"data": "customers.csv", "table": "customers"}, "--table is not for --kind csv"),
        ({"data": "customers.csv", "host": "db.example"}, "--host is for --kind postgresql"),
        ({"data": "c.db", "kind": "sqlite"}, "either --table or --query-file"),
        (
            {"data": "c.db", "kind": "sqlite", "table": "c", "query_file": "q.sql"},
            "either --table or --query-file",
        ),
        ({"data": "c.db", "kind": "sqlite", "table": "a.b.c"}, "'a.b.c'"),
        ({"data": "c.db", "kind": "sqlite", "table": "c", "password_file": "p"}, "--password-file"),
        ({**SERVER, "table": "c", "data": "customers.csv"}, "--data is not for"),
        ({**SERVER}, "either --table or --query-file"),
        ({**SERVER, "table": "c", "port": "0"}, "port"),
        ({**SERVER, "table": "c", "ssl": "prefer"}, "verify-full, verify-ca, require, disable"),
        ({**SERVER, "table": "c", "ssl": "disable"}, "for everybody to read"),
        ({"kind": "postgresql", "table": "c", "host": "h", "user": "u"}, "needs --database"),
    ],
    ids=str,
)
def test_init_refuses_options_that_do_not_belong_together(
    shell: Shell, tmp_path: Path, options: dict[str, str], words: str
) -> None:
    error = shell.refused(*database_words(tmp_path / "node", **options), status=2)
    assert words in error["message"]
    assert [p for p in (tmp_path / "node").rglob("*") if p.is_file()] == []


def test_init_takes_a_folder_of_files(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    (warning,) = shell.json(*init_words(tmp_path / "a", data="exports"))["warnings"]
    assert "no file in this folder ends with .csv" in warning
    (tmp_path / "exports" / "c.csv").write_text("customer_id,visits\n1,1\n")
    assert shell.json(*init_words(tmp_path / "b", data="exports"))["warnings"] == []


def test_the_querys_table_is_named_where_the_query_is_given(shell: Shell) -> None:
    assert "table `input`" in " ".join(shell("init", "--help").out.split())
    start = Path(__file__).parents[2] / "docs" / "quickstart-partner.md"
    assert "`input`" in start.read_text(encoding="utf-8")


def test_assignments_go_where_the_user_says(shell: Shell, installed: Path, tmp_path: Path) -> None:
    after_a_run(installed, [1.0, 2.0])
    data = shell.json("segments", "assign", "--out", "mine.csv", "--dir", installed)
    assert data["file"] == "mine.csv"
    assert (tmp_path / "mine.csv").exists()
    data = shell.json("segments", "assign", "--dir", installed)
    assert Path(data["file"]).parent == installed / "segments"
    help_text = " ".join(shell("segments", "assign", "--help").out.split())
    assert "when left out, one in the node's output folder" in help_text


def test_init_keeps_nasty_names_whole(shell: Shell, tmp_path: Path) -> None:
    name = 'Süd "Shop" \\ [red]GmbH[/] \U0001f600'
    assert shell.json(*init_words(tmp_path / "n", legal_name=name))["legal_name"] == name


def test_the_passphrase_may_come_from_the_environment(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*init_words(tmp_path / "node"), "--passphrase-env"]
    assert shell.refused(*words, status=3)["code"] == "E-KEY-MISSING"
    monkeypatch.setenv("FEDSEG_PASSPHRASE", "a long passphrase of my own")
    shell.json(*words)
    assert not (tmp_path / "node" / "keys" / "passphrase").exists()
    shell.json("status", "--dir", tmp_path / "node")
    monkeypatch.setenv("FEDSEG_PASSPHRASE", "another long passphrase")
    error = shell.refused("status", "--dir", tmp_path / "node", status=3)
    assert error["code"] == "E-KEY-PASSPHRASE"


def test_a_folder_that_cannot_be_written_is_an_error_in_words(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file" / "node", Path("/proc/none")):
        done = shell(*init_words(place))
        assert done.code in (1, 2)
        assert "E-FILE" in done.err


# --- agreement -------------------------------------------------------------------------------


def test_an_agreement_is_signed_and_installed(shell: Shell, node: Path, tmp_path: Path) -> None:
    offered = draft(node)
    (tmp_path / "draft.json").write_bytes(offered.to_bytes())
    shown = shell.json("agreement", "show", "draft.json", "--dir", node)
    assert shown["missing_signatures"] == ["north"]
    assert shown["agreement_hash"] == offered.agreement.hash.hex()
    error = shell.refused("agreement", "install", "draft.json", "--dir", node, status=3)
    assert error["code"] == "E-AGR-UNSIGNED"
    assert not (node / "agreement.json").exists()
    shell.json("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", node)
    assert (tmp_path / "draft.json").read_bytes() == offered.to_bytes()
    assert SignedAgreement.from_bytes((tmp_path / "signed.json").read_bytes()).missing() == ()
    shell.json("agreement", "install", "signed.json", "--dir", node)
    assert shell.json("agreement", "show", "--dir", node)["missing_signatures"] == []


def test_the_agreement_says_who_signed_and_when_where_that_is_known(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    words = ("agreement", "show", "draft.json", "--dir", node)
    offered = {one["party"]: one for one in shell.json(*words)["signatures"]}
    assert offered.pop("north") == {
        "party": "north", "signed": False, "signed_at": None, "signed_by": None,
    }  # fmt: skip
    assert {(one["signed"], one["signed_at"]) for one in offered.values()} == {(True, None)}
    out = " ".join(shell(*words).out.split())
    assert "Not signed yet by: north. Signed by: other-0, other-1" in out
    assert "Signatures bear no date" in out
    before = datetime.now(UTC)
    shell.json("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", node)
    shell.json("agreement", "install", "signed.json", "--dir", node)
    (own, *others) = shell.json("agreement", "show", "--dir", node)["signatures"]
    assert before <= datetime.fromisoformat(own["signed_at"]) <= datetime.now(UTC)
    assert own["signed_by"].endswith(" (at the machine)")
    assert [one["signed_at"] or one["signed_by"] for one in others] == [None] * len(others)
    out = " ".join(shell("agreement", "show", "--dir", node).out.split())
    assert f"Signed by everyone: north (at this node, {own['signed_at'][:10]}" in out


def test_nothing_of_the_agreement_is_cut_at_80_columns_and_no_header_breaks_in_a_word(
    shell: Shell, node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = "unbroken" * 7
    parties = [
        party | {"contact": f"{long}@example", "legal_name": f"Name{long}", "dpo": f"dpo{long}"}
        for party in draft(node).agreement.to_dict()["parties"]
    ]
    feature = agreed_feature("visits_within_the_last_twelve_months_of_any_kind", unit=long[:40])
    (tmp_path / "draft.json").write_bytes(
        draft(node, parties=parties, features=[feature]).to_bytes()
    )
    lines = shell("agreement", "show", "draft.json", "--dir", node).out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    heads = re.findall(r"\w+", " ".join(line for line in lines if "┃" in line))
    known = (
        "partner legal name contact counts at most role data protection officer law feature unit "
        "values scale missing weight why it is needed basis laid down in document SHA 256"
    )
    assert set(heads) <= set(known.split())


@pytest.mark.parametrize(
    "words",
    ["check", "status", "agreement show", "agreement show node/agreement.json",
     "consent status", "segments releases", "segments exports", "egress list", "rights list",
     "rights access --subject b"],
)  # fmt: skip
def test_a_command_opens_the_key_store_once_at_most(
    shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    opened: list[Path] = []
    whole = Keystore.open
    monkeypatch.setattr(Keystore, "open", lambda p, w: opened.append(p) or whole(p, w))
    done = shell(*words.split(), "--dir", installed)
    assert done.code in (0, 1, 3), done.err
    assert len(opened) == 1, done.err


def test_a_version_that_does_not_follow_the_installed_one_is_refused(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    before = (installed / "agreement.json").read_bytes()
    (tmp_path / "fork.json").write_bytes(successor(installed, supersedes="ab" * 32))
    words = ("agreement", "install", "fork.json", "--dir", installed)
    error = shell.refused(*words, status=3)
    assert error["code"] == "E-AGR-ROLLBACK"
    assert f"supersedes the agreement {'ab' * 8}…; in force here was version 1" in error["message"]
    assert "--downgrade" in error["remedy"]
    assert (installed / "agreement.json").read_bytes() == before
    assert shell.json(*words, "--downgrade")["version"] == 2


def test_what_changed_since_the_version_before_is_shown(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    before = NodeHome.load(installed).signed_agreement().agreement
    retention = {"assignments_days": 30, "records_days": before.retention.records_days}
    uses = before.results_use.to_dict() | {"forbidden": ["credit-decisions", "pricing"]}
    later = successor(
        installed, min_segment_size=2, retention=retention, results_use=uses, documents=[]
    )
    (tmp_path / "v2.json").write_bytes(later)
    found = shell.json("agreement", "show", "v2.json", "--dir", installed)["changes"]
    assert (found["since_version"], found["since_hash"]) == (1, before.hash.hex())
    assert found["fields"] == [
        {"field": "min_segment_size", "before": "1", "after": "2"},
        {
            "field": "results_use.forbidden",
            "before": "credit-decisions",
            "after": "credit-decisions, pricing",
        },
        {"field": "retention.assignments_days", "before": "90", "after": "30"},
        {"field": "documents", "before": None, "after": ""},
        {"field": "documents.Contract.title", "before": "Contract", "after": None},
        {"field": "documents.Contract.sha256", "before": "ab" * 32, "after": None},
    ]
    done = shell("agreement", "show", "v2.json", "--dir", installed)
    assert "What changed since version 1" in done.out
    assert "retention.assignments_days" in done.out
    assert shell.json("agreement", "show", "--dir", installed)["changes"] is None
    (tmp_path / "v3.json").write_bytes(successor(installed))
    done = shell("agreement", "show", "v3.json", "--dir", installed)
    assert "Nothing but its number changed since version 1" in done.out


def test_a_unit_is_given_as_feature_and_unit(shell: Shell, tmp_path: Path) -> None:
    words = init_words(tmp_path / "node", unit="spent=EUR a year", births="born.parquet")
    shell.json(*words, "--unit", "x=a=b")
    config = NodeConfig.load(tmp_path / "node" / "node.toml")
    assert config.data.units == {"spent": "EUR a year", "x": "a=b"}
    births = config.consent.sources[-1]
    assert (births.holds, births.kind, Path(births.place.name).name) == (
        "births",
        "parquet",
        "born.parquet",
    )
    for wrong in ("spent", "spent=", "=EUR", "2x=EUR", "a b=EUR"):
        error = shell.refused(*init_words(tmp_path / "other", unit=wrong), status=2)
        assert f"--unit {wrong!r}" in error["message"]
        assert not (tmp_path / "other").exists()


def test_who_signs_is_warned_of_what_would_keep_the_node_from_answering(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "v2.json").write_bytes(successor(installed))
    words = ("agreement", "sign", "v2.json", "--out", "signed.json", "--dir", installed)
    assert shell.json(*words)["warnings"] == []
    (tmp_path / "customers.csv").unlink()
    (warning,) = shell.json(*words)["warnings"]
    assert "would not answer under it as it is now: data: E-SOURCE" in warning
    assert "Warning: this node would not answer" in " ".join(shell(*words).err.split())
    assert (tmp_path / "signed.json").exists(), "it is signed all the same"


def test_status_mentions_an_authority_that_ends_soon(
    shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell.json("status", "--dir", installed)["warnings"] == []
    monkeypatch.setattr(shown_status, "authority_ends_soon", lambda *_: ["it ends"])
    assert shell.json("status", "--dir", installed)["warnings"] == ["it ends"]
    assert "it ends" in shell("status", "--dir", installed).err


def test_a_stop_needs_to_be_meant_and_ends_everything_here(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    node = open_node(installed)
    request = Open(agreement_hash=node.agreement.hash, run_id=b"\x11" * 16)
    node.handle(sign_request(request, COORDINATOR))
    words = ("agreement", "stop", "--out", "stop.json", "--dir", installed)
    error = shell.refused(*words, status=2)
    assert "ends every run under agreement ours, version 1" in error["message"]
    assert "--yes" in error["remedy"]
    assert not (tmp_path / "stop.json").exists()
    done = shell.json(*words, "--yes", "--reason", "a breach")
    assert (done["partner"], done["reason"], done["runs_ended"]) == (
        "north",
        "a breach",
        ["11" * 16],
    )
    SignedStop.from_bytes((tmp_path / "stop.json").read_bytes()).verify(node.agreement)
    with pytest.raises(FedsegError) as caught:
        node.handle(sign_request(request, COORDINATOR))
    assert caught.value.code == "E-WITHDRAWN"
    (run,) = node.store.runs()
    assert (run.phase, run.reason, run.state["x_private"]) == ("aborted", "E-WITHDRAWN", "")
    assert (
        "STOPPED: north stopped agreement 'ours'"
        in shell("agreement", "show", "--dir", installed).out
    )
    checks = shell("check", "--dir", installed, "--format", "json").envelope["data"]["checks"]
    assert [c["code"] for c in checks if c["check"] == "agreement"] == ["E-WITHDRAWN"]
    (tmp_path / "v2.json").write_bytes(successor(installed))
    shell.json("agreement", "install", "v2.json", "--dir", installed)
    request = Open(agreement_hash=open_node(installed).agreement.hash, run_id=b"\x12" * 16)
    open_node(installed).handle(sign_request(request, COORDINATOR))


def test_another_partner_s_stop_is_taken_when_it_is_its_own(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    agreement = NodeHome.load(installed).signed_agreement().agreement
    stop = SignedStop.sign(agreement, OTHERS[1], at="2026-05-01T10:00:00Z")
    forged = dataclasses.replace(stop.envelope, signatures={}).signed_by(OTHERS[0])
    (tmp_path / "forged.json").write_bytes(forged.to_bytes())
    (tmp_path / "stop.json").write_bytes(stop.to_bytes())
    words = ("agreement", "accept-stop")
    error = shell.refused(*words, "forged.json", "--dir", installed, status=3)
    assert error["code"] == "E-AGR-SIGNATURE"
    assert error["message"].startswith("forged.json: ")
    error = shell.refused(*words, "none.json", "--dir", installed, status=3)
    assert "none.json cannot be read" in error["message"]
    error = shell.refused(*words, "draft.json", "--dir", installed, status=3)
    assert "draft.json: envelope of" in error["message"]
    assert shell.json("agreement", "show", "--dir", installed)["stopped"] is None
    shell.json(*words, "stop.json", "--dir", installed)
    shell.json(*words, "stop.json", "--dir", installed)  # twice is once
    assert shell.json("agreement", "show", "--dir", installed)["stopped"]["partner"] == "other-1"


def test_a_lower_version_is_installed_only_when_that_is_said(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    first = NodeHome.load(installed).signed_agreement().agreement.hash
    for version in (2, 3):
        later = complete(installed, version=version, supersedes=first.hex())
        (tmp_path / f"v{version}.json").write_bytes(later)
    words = ("agreement", "install", "v2.json", "--dir", installed)
    done = shell("agreement", "install", "v3.json", "--dir", installed)
    assert "Agreement ours, version 3, is in force here" in done.out
    assert "It replaces agreement ours, version 1." in done.out
    assert "A node that serves now takes it up" in done.out
    error = shell.refused(*words, status=3)
    assert error["code"] == "E-AGR-ROLLBACK"
    assert "v2.json is version 2 of agreement ours; version 3 was in force here" in error["message"]
    assert "--downgrade" in error["remedy"]
    assert NodeHome.load(installed).signed_agreement().agreement.version == 3
    data = shell.json(*words, "--downgrade")
    assert (data["agreement"], data["version"], data["replaces"]["version"]) == ("ours", 2, 3)
    again = shell.json(*words)
    assert again["replaces"] is None


def test_other_terms_under_the_same_version_are_pointed_out(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_bytes(complete(installed, min_segment_size=2))
    words = ("agreement", "install", "other.json", "--dir", installed)
    before = NodeHome.load(installed).signed_agreement().agreement
    error = shell.refused(*words, status=3)
    assert error["code"] == "E-AGR-ROLLBACK"
    assert "other.json has other terms than version 1 of agreement ours" in error["message"]
    assert NodeHome.load(installed).signed_agreement().agreement == before
    assert "OTHER TERMS UNDER THE SAME VERSION" in shell(*words, "--downgrade").out


def test_an_older_version_does_not_come_back_by_way_of_another_agreement(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    """Another id in between: version 1 is as old as before."""
    first = tmp_path / "v1.json"
    first.write_bytes(NodeHome.load(installed).signed_agreement().to_bytes())
    (tmp_path / "v2.json").write_bytes(successor(installed))
    (tmp_path / "other.json").write_bytes(complete(installed, id="other"))
    for file in ("v2.json", "other.json"):
        shell.json("agreement", "install", file, "--dir", installed)
    error = shell.refused("agreement", "install", "v1.json", "--dir", installed, status=3)
    assert error["code"] == "E-AGR-ROLLBACK"
    assert "version 2 was in force here" in error["message"]
    assert NodeHome.load(installed).signed_agreement().agreement.id == "other"
    back = shell.json("agreement", "install", "v2.json", "--dir", installed)
    assert (back["agreement"], back["version"]) == ("ours", 2)


def test_installing_another_agreement_ends_the_runs_of_the_one_before(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    node = open_node(installed)
    request = Open(agreement_hash=node.agreement.hash, run_id=b"\x11" * 16)
    node.handle(sign_request(request, COORDINATOR))
    (tmp_path / "v2.json").write_bytes(successor(installed))
    done = shell.json("agreement", "install", "v2.json", "--dir", installed)
    assert done["runs_ended"] == ["11" * 16]
    (run,) = node.store.runs()
    assert (run.phase, run.reason, run.state["x_private"]) == ("aborted", "E-RUN-SUPERSEDED", "")


def test_a_node_that_serves_takes_up_the_next_agreement(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    assert nodes_of(installed).nodes[0].agreement.version == 1
    (tmp_path / "v2.json").write_bytes(successor(installed))
    shell.json("agreement", "install", "v2.json", "--dir", installed)
    assert nodes_of(installed).nodes[0].agreement.version == 2


def test_a_node_that_serves_takes_up_its_configuration_with_the_next_message(
    shell: Shell, installed: Path
) -> None:
    before = nodes_of(installed)
    text = (installed / "node.toml").read_text()
    write_file(installed / "node.toml", text.replace('notices = ["1"]', 'notices = ["2"]'))
    assert "E-NOTICE" in shell("consent", "status", "--dir", installed).err
    with pytest.raises(RuleError, match="E-NOTICE"):
        nodes_of(installed).nodes[0]._rules.check(datetime.now(UTC))
    write_file(installed / "node.toml", text + "[nothing]")
    with pytest.raises(ConfigError):  # nothing is answered as it stood there before
        nodes_of(installed)
    write_file(installed / "node.toml", text)
    after = nodes_of(installed)
    after.nodes[0]._rules.check(datetime.now(UTC))
    assert after is not before
    entries = shell.json("log", "show", "--kind", "settings", "--dir", installed)["entries"]
    changed = [one["changed"] for one in entries]
    assert changed == ["", "consent.notices", "consent.notices"]
    keys = shell.json("log", "show", "--kind", "signing-key", "--dir", installed)["entries"]
    assert len(keys) == 1


@pytest.mark.parametrize("words", [("show",), ("sign", "--out", "out.json"), ("install",)])
def test_a_tampered_agreement_names_whose_signature_does_not_fit(
    shell: Shell, node: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    whole = SignedAgreement.from_bytes(complete(node))
    other = key_id(public_bytes(OTHERS[0]))
    forged = {**whole.envelope.signatures, other: bytes(64)}
    changed = dataclasses.replace(whole.envelope, signatures=forged)
    (tmp_path / "forged.json").write_bytes(changed.to_bytes())
    error = shell.refused("agreement", words[0], "forged.json", *words[1:], "--dir", node, status=3)
    assert error["code"] == "E-AGR-SIGNATURE"
    assert f"forged.json: the signature of other-0 (key {other[:16]}…)" in error["message"]
    assert "ask the operator for it again" in error["remedy"]
    assert "other-0" in error["remedy"]
    stranger = whole.envelope.signed_by(Ed25519PrivateKey.generate())
    (tmp_path / "stranger.json").write_bytes(stranger.to_bytes())
    error = shell.refused(
        "agreement", words[0], "stranger.json", *words[1:], "--dir", node, status=3
    )
    assert "stranger.json: signature by key" in error["message"]
    assert error["remedy"]
    assert not (tmp_path / "out.json").exists()


def test_a_tampered_installed_agreement_names_its_file_when_the_node_is_opened(
    shell: Shell, installed: Path
) -> None:
    path = installed / "agreement.json"
    whole = SignedAgreement.from_bytes(path.read_bytes())
    forged = {keyid: bytes(64) for keyid in whole.envelope.signatures}
    path.write_bytes(dataclasses.replace(whole.envelope, signatures=forged).to_bytes())
    done = shell("serve", "--dir", installed)
    assert done.code == 3
    assert f"{path}: the signature of north" in " ".join(done.err.split())


def test_an_agreement_cannot_dress_its_words(shell: Shell, node: Path, tmp_path: Path) -> None:
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    done = shell("agreement", "show", "draft.json", "--dir", node)
    assert done.code == 0
    assert "[bold]own[/bold] [/] marketing \\ue000example." in done.out
    assert "[red]Other[/red] 1" in done.out
    assert "\ue000" not in done.out
    assert "Not signed yet by: north." in done.out
    for word in ("No customer's row leaves", "not anonymous", "10 customers", "Software: fedseg"):
        assert word in done.out


def test_what_exact_totals_show_is_the_first_that_a_signer_reads(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    text = " ".join(shell("agreement", "show", "draft.json", "--dir", node).out.split())
    assert text.startswith("READ THIS FIRST. Exact totals: not anonymous; the coordinator and ")
    assert "every partner can compute single customers' values" in text
    noised = draft(node, privacy=PRIVACY, plan={"name": "lloyd-dp", "max_rounds": 4})
    (tmp_path / "noised.json").write_bytes(noised.to_bytes())
    text = " ".join(shell("agreement", "show", "noised.json", "--dir", node).out.split())
    assert text.startswith("Agreement ours, version 1")
    assert "single customers' values" not in text


@pytest.mark.parametrize(
    ("privacy", "plan", "words"),
    [
        (False, {}, "A run starts from the last signed release under this agreement"),
        (True, {"max_rounds": 4}, "Such a run costs 35 % of the budget for one; when customers"),
        (False, {"start": "anew"}, "Every run starts anew"),
        (True, {"max_rounds": 4, "start": "anew"}, "Every run starts anew"),
    ],
)
def test_a_signer_reads_what_a_run_starts_from(
    shell: Shell, node: Path, tmp_path: Path, privacy: bool, plan: dict[str, Any], words: str
) -> None:
    terms = (
        {"privacy": PRIVACY, "plan": {"name": "lloyd-dp", **plan}} if privacy else {"plan": plan}
    )
    (tmp_path / "draft.json").write_bytes(draft(node, **terms).to_bytes())
    text = " ".join(shell("agreement", "show", "draft.json", "--dir", node).out.split())
    assert words in text
    assert ("starts from the last" in text) is ("start" not in plan)


@pytest.mark.parametrize(
    ("min_atom", "words"),
    [
        (1, "also by one partner alone, whose noised totals may then be inferred"),
        (3, "and never so that fewer than 3 partners could be told apart"),
    ],
)
def test_a_signer_reads_what_a_partner_that_drops_out_gives_away(
    shell: Shell, node: Path, tmp_path: Path, min_atom: int, words: str
) -> None:
    noised = draft(
        node,
        privacy=PRIVACY,
        plan={"name": "lloyd-dp", "max_rounds": 4},
        secure_sum={"min_partners": 3, "max_colluding": 1, "min_atom": min_atom,
                    "max_set_changes": 8},
    )  # fmt: skip
    (tmp_path / "draft.json").write_bytes(noised.to_bytes())
    text = " ".join(shell("agreement", "show", "draft.json", "--dir", node).out.split())
    assert words in text
    assert text.count("could be told apart") == (min_atom > 1)


def test_exact_totals_that_do_not_say_what_they_show_are_not_signed_but_stay_readable(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    whole = SignedAgreement.from_bytes((installed / "agreement.json").read_bytes())
    earlier = unsaid(whole, [*OTHERS, NodeHome.load(installed).keystore().identity])
    (tmp_path / "old.json").write_bytes(earlier.to_bytes())
    for words in (("sign", "old.json", "--out", "out.json"), ("install", "old.json")):
        error = shell.refused("agreement", *words, "--dir", installed, status=3)
        assert error["code"] == "E-PLAN"
        assert "exact_totals is missing" in error["message"]
    (installed / "agreement.json").write_bytes(earlier.to_bytes())
    shown = shell.json("agreement", "show", "--dir", installed)
    assert shown["document"] == earlier.agreement.to_dict()
    home = NodeHome.load(installed)
    store = home.store(home.keystore())
    with store.transaction():
        store.keep_agreement(home.signed_agreement(), now="2026-01-01T00:00:00.000000Z")
    assert store.latest_agreement("ours") == earlier
    assert store.agreement(earlier.agreement.hash) == earlier


def test_a_profile_is_said_in_plain_words(shell: Shell, node: Path, tmp_path: Path) -> None:
    plan = {"name": "hybrid-dp", "n_clusters": 2, "n_clusters_min": 2, "max_rounds": 11}
    for profile, said in (({"profile": "spread"}, True), ({}, False)):
        offered = draft(node, privacy=PRIVACY, plan=plan | profile)
        (tmp_path / "draft.json").write_bytes(offered.to_bytes())
        done = shell("agreement", "show", "draft.json", "--dir", node)
        assert ("how customers differ within each segment" in done.out) == said


def test_the_question_about_satisfaction_is_said_in_plain_words(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    plan = {"name": "hybrid-dp", "n_clusters": 2, "n_clusters_min": 2, "max_rounds": 12}
    asked = {"satisfaction": {"question": "How [b]happy?[/b]", "lowest": 1, "highest": 5}}
    for question, said in ((asked, True), ({}, False)):
        offered = draft(node, privacy=PRIVACY, plan=plan | question)
        (tmp_path / "draft.json").write_bytes(offered.to_bytes())
        text = " ".join(shell("agreement", "show", "draft.json", "--dir", node).out.split())
        assert ("nobody's own score leaves your node" in text) == said
        assert ("“How [b]happy?[/b]”, from 1 to 5, the highest for who is most" in text) == said


def test_purpose_lines_cannot_pass_for_paragraphs_of_ours(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    offered = draft(
        node,
        purpose={"term": SEGMENTATION, "text": "Fine.\nSigned by: north.", "notice_version": "1"},
    )
    (tmp_path / "draft.json").write_bytes(offered.to_bytes())
    lines = shell("agreement", "show", "draft.json", "--dir", node).out.splitlines()
    assert "    Signed by: north." in [line.rstrip() for line in lines]
    (ours,) = [line for line in lines if line.startswith("Signed by")]
    assert "north" not in ours


def test_only_the_party_of_that_name_and_version_signs(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    words = ("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", node)
    text = (node / "node.toml").read_text()
    (tmp_path / "draft.json").write_bytes(draft(node, software=OTHER_SOFTWARE).to_bytes())
    assert shell.refused(*words, status=3)["code"] == "E-CODE"
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    (node / "node.toml").write_text(text.replace('partner = "north"', 'partner = "south"'))
    assert shell.refused(*words, status=3)["code"] == "E-AGR-PARTY"
    (node / "node.toml").write_text(text)
    shell.json(*init_words(tmp_path / "stranger"))
    assert shell.refused(*words[:-1], tmp_path / "stranger", status=3)["code"] == "E-AGR-PARTY"
    assert not (tmp_path / "signed.json").exists()


@pytest.mark.parametrize("words", [("show",), ("sign", "--out", "out.json"), ("install",)])
def test_a_bad_agreement_file_changes_nothing(
    shell: Shell, installed: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    whole = (tmp_path / "signed.json").read_bytes()
    before = (installed / "agreement.json").read_bytes()
    (tmp_path / "folder").mkdir()
    bad = {
        "empty": b"",
        "binary": bytes(range(256)),
        "huge": b" " * (3 << 20),
        "bom": b"\xef\xbb\xbf" + whole,
        "cut": whole[:-20],
        "array": b"[]",
        "deep": b"[" * 100_000,
        "altered": whole.replace(b"A", b"B", 1),
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    for name in (*bad, "folder", "missing"):
        error = shell.refused("agreement", words[0], name, *words[1:], "--dir", installed, status=3)
        assert error["code"].startswith("E-AGR"), (name, error)
        assert name in error["message"]
        assert error["remedy"]
        assert len(error["message"]) < 1_000
    assert not (tmp_path / "out.json").exists()
    assert (installed / "agreement.json").read_bytes() == before


def test_a_signed_copy_that_cannot_be_written_is_an_error_in_words(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    (tmp_path / "folder").mkdir()
    words = ("agreement", "sign", "draft.json", "--dir", node, "--out", "folder")
    assert shell.refused(*words, status=2)["code"] == "E-FILE"
    assert list((tmp_path / "folder").iterdir()) == []


# --- the rest --------------------------------------------------------------------------------


def test_check_names_each_problem_and_ends_as_the_first_would_anywhere(
    shell: Shell, installed: Path
) -> None:
    done = shell("check", "--dir", installed, "--format", "json")
    assert done.code == 1, "the connection is a matter of transport, as elsewhere"
    assert done.envelope["status"] == "refused"
    data = done.envelope["data"]
    assert data["passed"] is False
    failed = {c["check"]: c for c in data["checks"] if not c["passed"]}
    assert set(failed) == {"coordinator"}
    assert failed["coordinator"]["code"] == "E-TLS"
    assert failed["coordinator"]["code"] in done.err
    text = shell("check", "--dir", installed)
    assert "PROBLEM" in text.out
    assert "PASSED" not in text.out


def test_check_ends_with_the_status_that_other_commands_give_the_same_error(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    for words, status in ((("--dir", tmp_path / "none"), 2), (("--dir", installed), 3)):
        (installed / "agreement.json").unlink(missing_ok=True)
        done = shell("check", *words, "--format", "json")
        assert (done.code, done.envelope["status"]) == (status, "refused")
        assert shell("agreement", "show", *words).code == status


def test_check_tries_an_agreement_before_it_is_signed_or_installed(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    words = ("check", "--dir", node, "--agreement", "draft.json", "--format", "json")
    checks = {c["check"]: c for c in shell(*words).envelope["data"]["checks"]}
    assert checks["agreement"]["passed"]
    assert "not signed yet by north" in checks["agreement"]["details"]
    assert "not installed here yet" in checks["agreement"]["details"]
    assert "3 customers; beyond the agreed bounds" in checks["data"]["details"]
    (tmp_path / "customers.csv").write_text("customer_id,visit\na,1\n")
    checks = {c["check"]: c for c in shell(*words).envelope["data"]["checks"]}
    assert checks["data"]["code"] == "E-SOURCE-COLUMN"
    assert "[data.columns]" in checks["data"]["remedy"]


def test_a_node_without_a_run_says_so(shell: Shell, installed: Path) -> None:
    status = shell.json("status", "--dir", installed)
    nothing: dict[str, Any] = {"runs": [], "refusals": [], "waiting_for_approval": []}
    nothing |= {"warnings": [], "joined": None, "coordinator": {}, "readiness": [], "open_runs": []}
    nothing |= {"serving": False}
    nothing |= {"schedules": [], "waiting_versions": []}
    agreement = NodeHome.load(installed).signed_agreement().agreement
    nothing["agreements"] = [agreement.named()]
    nothing["notices"] = [agreement.named() | {"published": []}]
    assert "In force: agreement ours, version 1." in shell("status", "--dir", installed).out
    assert status == {"partner": "north", "releases": 0, **nothing}
    assert "no run yet" in shell("status", "--dir", installed).out
    assert shell.json("egress", "list", "--dir", installed)["messages"] == []
    assert "Nothing has left this node" in shell("egress", "list", "--dir", installed).out
    for words in (("segments", "list"), ("segments", "assign")):
        error = shell.refused(*words, "--dir", installed, status=3)
        assert error["code"] == "E-NO-RELEASE"
        assert error["remedy"]


def after_a_run(folder: Path, values: list[float], *, feature: str = "visits") -> Release:
    """Put the records of a simulated run with a release into the folder of the node that ran it."""
    home = NodeHome.load(folder)
    keystore = home.keystore()
    federation = small_federation(
        *values, feature=feature, highest="4", partner_keys=[keystore.identity, *OTHERS]
    )
    run = federation.run()
    text = home.config.file.read_text()
    told = f'notices = ["1", "{federation.agreement.purpose.notice_version}"]'
    home.config.file.write_text(text.replace('notices = ["1"]', told))
    store = home.store(keystore)
    now = "2026-01-01T22:41:03.123456Z"
    simulated = federation.nodes[0].store
    with store.transaction():
        store.keep_agreement(federation.signed, now=now)
        for record in reversed(simulated.runs()):
            store.save_run(record.state, agreement_hash=record.agreement_hash, now=now)
        for message in simulated.egress():
            store.save_egress(dataclasses.replace(message, at=now))
        release = run.release.release
        store.save_release(
            release.run_hash, federation.agreement.hash, run.release.to_bytes(), now=now
        )
    store.close()
    return release


def test_status_says_what_states_mean_and_shows_the_hashes_to_compare(
    shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = after_a_run(installed, [1.0, 2.0])
    (run,) = shell.json("status", "--dir", installed)["runs"]
    assert run["rounds_answered"] == release.rounds
    assert run["release"] == release.hash.hex()
    assert run["run_hash"] == release.run_hash.hex()
    assert run["agreement_hash"] == release.agreement_hash.hex()
    assert run["meaning"] == "ended with a release"
    monkeypatch.setenv("COLUMNS", "80")
    lines = shell("status", "--dir", installed).out.splitlines()
    assert "done: ended with a release." in lines
    assert any("2026-01-01 22:41 UTC" in line for line in lines)
    for name, value in (
        ("release  ", release.hash), ("run      ", release.run_hash),
        ("agreement", release.agreement_hash),
    ):  # fmt: skip
        assert f"  {name} {value.hex()}" in lines


def test_every_state_of_a_run_is_explained() -> None:
    assert set(STATE_WORDS) == set(Phase)


def test_segments_list_shows_small_numbers_and_the_hashes_to_compare(
    shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = after_a_run(installed, [0.0299, 0.0299])
    data = shell.json("segments", "list", "--dir", installed)
    assert data["run_hash"] == release.run_hash.hex()
    assert data["agreement_hash"] == release.agreement_hash.hex()
    assert (data["agreement"], data["agreement_version"]) == ("simulation", 1)
    monkeypatch.setenv("COLUMNS", "80")
    out = shell("segments", "list", "--dir", installed).out
    assert "0.0299" in out
    assert f"  release   {release.hash.hex()}" in out.splitlines()
    assert "under agreement simulation, version 1" in " ".join(out.split())


def test_no_features_name_is_cut_in_a_narrow_terminal(
    shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_a_run(installed, [1.0, 2.0], feature="share_of_orders_returned_within_a_fortnight")
    monkeypatch.setenv("COLUMNS", "45")
    assert "…" not in shell("segments", "list", "--dir", installed).out


def test_what_left_fits_a_terminal_with_every_time_whole(
    shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_a_run(installed, [1.0, 2.0])
    monkeypatch.setenv("COLUMNS", "80")
    done = shell("egress", "list", "--dir", installed)
    messages = shell.json("egress", "list", "--dir", installed)
    assert done.out.count("22:41:03") == len(messages["messages"])
    assert "2026-01-01 (UTC)" in done.out
    assert "…" not in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert messages["privacy"] == EXACT_WORDS
    assert "exact totals: not anonymous" in done.out


def test_assignments_say_that_totals_were_exact(shell: Shell, installed: Path) -> None:
    after_a_run(installed, [1.0, 2.0])
    words = ("segments", "assign", "--dir", installed)
    assert "exact totals: not anonymous" in shell(*words).out
    assert shell.json(*words)["privacy"] == EXACT_WORDS


def test_status_shows_the_newest_refusals(shell: Shell, installed: Path) -> None:
    node = open_node(installed)
    for agreement_hash in (bytes(32), bytes(32)):
        request = Open(agreement_hash=agreement_hash, run_id=b"\x22" * 16)
        with pytest.raises(FedsegError, match="E-AGR-OTHER"):
            node.handle(sign_request(request, COORDINATOR))
    (refusal,) = shell.json("status", "--dir", installed)["refusals"]
    assert (refusal["code"], refusal["run_id"], refusal["times"]) == ("E-AGR-OTHER", "22" * 16, 2)
    out = shell("status", "--dir", installed).out
    assert "Requests that this node refused" in out
    assert "E-AGR-OTHER" in out
    assert "22222222" in out


def test_a_release_under_an_earlier_agreement_is_shown_with_that_agreement(
    shell: Shell, installed: Path
) -> None:
    after_a_run(installed, [1.0, 2.0], feature="earlier")
    (segment,) = shell.json("segments", "list", "--dir", installed)["segments"]
    assert [(f["feature"], f["centre"]) for f in segment["features"]] == [("earlier", 1.5)]
    assert segment["size"] == 6


def test_a_damaged_state_is_an_error_in_words(shell: Shell, installed: Path) -> None:
    shell.json("status", "--dir", installed)
    for path in (installed / "state").glob("node.db*"):
        path.write_bytes(b"not a database " * 100)
    for words in (("status",), ("egress", "list"), ("segments", "list"), ("segments", "assign")):
        assert shell.refused(*words, "--dir", installed, status=1)["code"] == "E-STORE"


def test_a_process_that_opens_its_state_again_keeps_what_it_commits_afterwards(
    installed: Path,
) -> None:
    """Another process that closes the file last would take the log that this one writes to."""
    home = NodeHome.load(installed)
    script = (
        "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]); "
        "print(database.execute('SELECT name FROM sqlite_master').fetchall()); database.close()"
    )

    def seen_elsewhere() -> str:
        command = [sys.executable, "-c", script, str(home.state_file)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with closing(home.store(home.keystore())) as serving:
        home.store(home.keystore()).close()  # as the daily look after retention does
        assert not is_lost(home.state_file, home.keystore())
        seen_elsewhere()
        with serving.transaction():
            serving.ask("CREATE TABLE later (x INTEGER) STRICT")
        assert "later" in seen_elsewhere()


@pytest.mark.parametrize("lost", ["missing", "empty", "empty beside its log", "without tables"])
def test_a_state_that_was_lost_is_not_made_anew_without_a_word(
    shell: Shell, installed: Path, lost: str
) -> None:
    shell.json("status", "--dir", installed)
    assert shell.json("state", "check", "--dir", installed)["sound"]
    refused = shell.refused("state", "reset", "--yes", "--dir", installed, status=2)
    assert "is there" in refused["message"], "nothing is forgotten that is not lost"
    path = installed / "state" / "node.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 1")
        log = path.with_name("node.db-wal").read_bytes()
    for file in (installed / "state").glob("node.db*"):
        file.unlink()
    if lost.startswith("empty"):
        path.touch()
        if lost != "empty":
            path.with_name("node.db-wal").write_bytes(log)
    elif lost == "without tables":
        with closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM")
    for words in (("status",), ("segments", "exports"), ("rights", "list"), ("state", "check")):
        error = shell.refused(*words, "--dir", installed, status=1)
        assert (error["code"], "state reset --yes" in error["remedy"]) == ("E-STATE-LOST", True)
    with pytest.raises(StoreError):
        open_node(installed)
    error = shell.refused("state", "reset", "--dir", installed, status=2)
    assert "objections" in error["message"]
    assert "--yes" in error["remedy"]
    done = shell.json("state", "reset", "--yes", "--dir", installed)
    assert any("ledger" in what for what in done["forgotten"])
    assert shell.json("status", "--dir", installed)["runs"] == []
    path.unlink()
    assert shell.refused("status", "--dir", installed, status=1)["code"] == "E-STATE-LOST"


def test_a_folder_of_an_earlier_version_is_marked_when_it_is_opened(
    shell: Shell, installed: Path
) -> None:
    (installed / "keys" / "state-made").unlink(missing_ok=True)
    shell.json("status", "--dir", installed)
    assert (installed / "keys" / "state-made").exists()


def test_the_folder_may_come_from_the_environment(
    shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSEG_NODE_DIR", str(installed))
    assert shell.json("status")["partner"] == "north"


def test_serve_refuses_without_an_agreement_and_beside_another(
    shell: Shell, node: Path, installed: Path
) -> None:
    with NodeHome.load(installed).serving():
        done = shell("serve", "--dir", installed)
        assert (done.code, done.out) == (2, "")
        assert "another process serves" in done.err
    (installed / "agreement.json").unlink()
    done = shell("serve", "--dir", installed)
    assert done.code == 3
    assert "E-AGR-MISSING" in done.err


def test_ctrl_c_ends_quietly(shell: Shell, node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: NodeHome) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NodeHome, "keystore", interrupted)
    assert shell("status", "--dir", node).code in (1, 130)


# --- consent ---------------------------------------------------------------------------------

ASSESSMENT = b"why our interests outweigh"


@pytest.fixture
def interested(shell: Shell, tmp_path: Path) -> Path:
    """A node on the basis of legitimate interest; customer b objects."""
    (tmp_path / "objections.csv").write_text("customer_id\nb\nstranger\n")
    (tmp_path / "assessment.txt").write_bytes(ASSESSMENT)
    node = tmp_path / "interested"
    words = [w for w in init_words(node) if w not in ("--consents", "consents.csv")]
    shell.json(*words, "--objections", "objections.csv")
    config = node / "node.toml"
    text = config.read_text().replace('# assessment = "assessment.pdf"',
                                      f'assessment = "{tmp_path}/assessment.txt"')  # fmt: skip
    config.write_text(text)
    reference = hashlib.sha256(ASSESSMENT).hexdigest()
    offered = draft(node, basis={"basis": LEGITIMATE_INTEREST, "reference": reference})
    (tmp_path / "draft.json").write_bytes(offered.to_bytes())
    shell.json("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", node)
    shell.json("agreement", "install", "signed.json", "--dir", node)
    return node


def test_before_anybody_signs_it_is_said_why_nobody_would_be_counted(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    (tmp_path / "offered.json").write_bytes(draft(node).to_bytes())
    words = ("--agreement", "offered.json", "--dir", node)
    assert shell.json("consent", "status", *words)["eligible"] == 3
    consents = tmp_path / "consents.csv"
    text = consents.read_text()
    for there, own, asked in (
        ("ConsentGiven", "yes", "ConsentGiven and RenewedConsentGiven alone permit"),
        (SEGMENTATION, "newsletters", f"The agreed purpose is {SEGMENTATION}"),
        (",1\n", ",7\n", "Notices that count: 1."),
    ):
        consents.write_text(text.replace(there, own))
        assert asked in shell("consent", "status", *words).out
        assert shell.json("consent", "explain", "--subject", "b", *words)["eligible"] is False
    consents.write_text(text.replace("b,ConsentGiven", "b,yes"))
    assert "alone permit" not in shell("consent", "status", *words).out, "some are counted"


def test_consent_status_says_who_may_be_counted_and_what_keeps_the_others_out(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    withdraw(tmp_path, "b")
    data = shell.json("consent", "status", "--dir", installed)
    source, _ = data.pop("sources")
    assert data == {
        "basis": CONSENT, "customers": 3, "eligible": 2, "kept_out": {"withdrawn": 1},
        "warnings": [],
    }  # fmt: skip
    assert source["path"] == str(tmp_path / "consents.csv")
    assert (source["name"], source["holds"], source["kind"]) == ("consents", "consents", "csv")
    assert (source["ids"], source["ids_in_data"]) == (3, 3)
    assert source["updated_at"].endswith("Z")
    text = " ".join(shell("consent", "status", "--dir", installed).out.replace("│", " ").split())
    assert "Legal basis: consent." in text
    assert "2 are counted" in text
    assert "1 kept out: the latest event permits nothing" in text
    assert "0.0 hours ago" in text


def test_consent_status_on_legitimate_interest_counts_the_unknown(
    shell: Shell, interested: Path
) -> None:
    data = shell.json("consent", "status", "--dir", interested)
    assert data["basis"] == LEGITIMATE_INTEREST
    assert (data["customers"], data["eligible"]) == (3, 2)
    assert data["kept_out"] == {"objection": 1}
    assert [(s["ids"], s["ids_in_data"]) for s in data["sources"]] == [(2, 1), (0, 0)]
    assert data["sources"][-1]["name"] == REGISTER
    text = shell("consent", "status", "--dir", interested).out
    assert "Legal basis: legitimate interest." in text
    assert "kept out: objection, GPC or limit flag" in text


def test_a_list_of_objections_that_is_about_nobody_is_warned_of_everywhere(
    shell: Shell, interested: Path, tmp_path: Path
) -> None:
    """Ids in another spelling: whoever objected would be counted, and nothing would say so."""
    warned = "none of its 2 ids is in the data, so it keeps nobody out"
    assert shell.json("consent", "status", "--dir", interested)["warnings"] == []
    (tmp_path / "objections.csv").write_text("customer_id\nB\n00b\n")
    (warning,) = shell.json("consent", "status", "--dir", interested)["warnings"]
    assert warned in warning
    assert warned in " ".join(shell("consent", "status", "--dir", interested).err.split())
    notes = shell.json("data", "check", "--dir", interested)["notes"]
    assert [note for note in notes if warned in note]
    checked = shell("check", "--dir", interested, "--format", "json")
    (consent,) = [i for i in json.loads(checked.out)["data"]["checks"] if i["check"] == "consent"]
    assert consent["passed"]
    assert warned in consent["warnings"][0]
    told = shell("check", "--dir", interested)
    assert "WARNING" in told.out
    assert warned in " ".join(told.err.split())


def test_consent_status_refuses_what_a_question_would_be_refused_for(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    long_ago = (datetime.now(UTC) - timedelta(hours=49)).timestamp()
    os.utime(tmp_path / "consents.csv", (long_ago, long_ago))
    error = shell.refused("consent", "status", "--dir", installed, status=3)
    assert error["code"] == "E-CONSENT-STALE"
    assert "48 hours" in error["message"]
    (tmp_path / "consents.csv").unlink()
    error = shell.refused("consent", "status", "--dir", installed, status=3)
    assert error["code"] == "E-CONSENT-SOURCE"
    config = installed / "node.toml"
    config.write_text(config.read_text().replace('notices = ["1"]', 'notices = ["2"]'))
    error = shell.refused("consent", "status", "--dir", installed, status=3)
    assert error["code"] == "E-NOTICE"


def test_consent_explain_shows_which_rule_decides_and_what_each_table_holds(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    withdraw(tmp_path, "b")
    words = ("consent", "explain", "--dir", installed, "--subject")
    data = shell.json(*words, "b")
    assert (data["subject"], data["in_data"], data["warnings"]) == ("b", True, [])
    assert (data["eligible"], data["reason"]) == (False, "withdrawn")
    (source,) = data["sources"]
    assert (source["name"], source["reason"]) == ("consents", "withdrawn")
    assert [row["event"] for row in source["rows"]] == ["ConsentGiven", "ConsentWithdrawn"]
    assert source["rows"][1] == {
        "subject": "b", "event": "ConsentWithdrawn", "time": "2026-02-01T00:00:00Z",
        "purpose": SEGMENTATION, "notice": "1", "until": None,
    }  # fmt: skip
    text = shell(*words, "b").out
    assert "Customer b is not counted: the latest event permits nothing." in text
    assert "2026-02-01T00:00:00Z" in text
    assert "Customer c may be counted now." in shell(*words, "c").out
    data = shell.json(*words, "c")
    assert (data["eligible"], data["reason"]) == (True, None)


def test_consent_explain_tells_a_customer_without_a_record_from_one_without_data(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    words = ("consent", "explain", "--dir", installed, "--subject")
    data = shell.json(*words, "123")
    assert (data["in_data"], data["eligible"], data["reason"]) == (False, False, "unknown")
    text = shell(*words, "123").out
    assert "Customer 123 is not counted: no consent on record." in text
    assert "The data hold no such customer." in text
    assert "consents: nothing about this customer." in text
    (tmp_path / "customers.csv").write_text("customer_id,visits\nd,1\n")
    data = shell.json(*words, "d")
    assert (data["in_data"], data["reason"]) == (True, "unknown")


def test_consent_explain_on_legitimate_interest_shows_the_objection(
    shell: Shell, interested: Path
) -> None:
    words = ("consent", "explain", "--dir", interested, "--subject")
    assert shell.json(*words, "b")["reason"] == "objection"
    assert shell.json(*words, "c")["eligible"] is True
    text = shell(*words, "b").out
    assert "Customer b is not counted: objection, GPC or limit flag." in text
    assert "listed" in text


def test_consent_explain_answers_when_the_node_does_not_and_warns(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    long_ago = (datetime.now(UTC) - timedelta(hours=49)).timestamp()
    os.utime(tmp_path / "consents.csv", (long_ago, long_ago))
    done = shell("consent", "explain", "--dir", installed, "--subject", "b", "--format", "json")
    assert done.code == 0
    data = done.envelope["data"]
    assert data["eligible"] is True
    (warning,) = data["warnings"]
    assert "this node answers nothing now" in warning
    assert "Warning: this node answers nothing now" in done.err


def consents_in_sqlite(folder: Path, node: Path, newest: str) -> Path:
    """Have the node's consents be a table of SQLite without a heartbeat; its file."""
    path = folder / "crm.db"
    rows = list(csv.reader((folder / "consents.csv").read_text().splitlines()))[1:]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE wishes (customer_id, event, time, purpose, notice)")
        database.executemany("INSERT INTO wishes VALUES (?, ?, ?, ?, ?)", rows)
        database.execute("UPDATE wishes SET time = ? WHERE customer_id = 'c'", (newest,))
    config = node / "node.toml"
    named = f'kind = "csv"\npath = "{folder}/consents.csv"'
    text = config.read_text()
    assert text.count(named) == 1
    config.write_text(text.replace(named, f'kind = "sqlite"\npath = "{path}"\ntable = "wishes"'))
    return path


def test_consents_in_a_database_are_told_of_like_those_in_files(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    withdraw(tmp_path, "b")
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    path = consents_in_sqlite(tmp_path, installed, at.isoformat())
    data = shell.json("consent", "status", "--dir", installed)
    assert (data["customers"], data["eligible"], data["kept_out"]) == (3, 2, {"withdrawn": 1})
    source, _ = data["sources"]
    assert source["kind"] == "sqlite"
    assert source["path"] == f"table wishes of {path}"
    assert source["updated_at"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
    assert "2.0 hours ago" in shell("consent", "status", "--dir", installed).out
    found = shell.json("consent", "explain", "--dir", installed, "--subject", "b")
    assert found["reason"] == "withdrawn"
    assert [row["event"] for row in found["sources"][0]["rows"]] == [
        "ConsentGiven", "ConsentWithdrawn",
    ]  # fmt: skip
    assert found["warnings"] == []
    checked = shell("data", "check", "--dir", installed, "--format", "json").envelope["data"]
    assert checked["eligible"] == 2


def test_consents_in_a_database_that_are_too_old_refuse_a_question_and_are_explained(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    path = consents_in_sqlite(tmp_path, installed, "2026-01-05T00:00:00Z")
    error = shell.refused("consent", "status", "--dir", installed, status=3)
    assert error["code"] == "E-CONSENT-STALE"
    assert "2026-01-05 00:00 UTC" in error["message"]
    found = shell.json("consent", "explain", "--dir", installed, "--subject", "c")
    assert found["eligible"] is True
    (warning,) = found["warnings"]
    assert "2026-01-05 00:00 UTC" in warning
    path.unlink()
    error = shell.refused("consent", "status", "--dir", installed, status=3)
    assert error["code"] == "E-CONSENT-SOURCE"


def test_nothing_in_a_consent_table_can_dress_its_words(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    with (tmp_path / "consents.csv").open("a") as file:
        file.write(f"b,[red]x[/red]\u202e,2026-02-01T00:00:00Z,{SEGMENTATION},1\n")
    text = shell("consent", "explain", "--dir", installed, "--subject", "b").out
    assert "[red]x[/red]\\u202e" in text
    assert "\u202e" not in text


def test_consent_tables_fit_a_narrow_terminal(
    shell: Shell, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    withdraw(tmp_path, "b")
    for words in (("status",), ("explain", "--subject", "b")):
        out = shell("consent", *words, "--dir", installed).out
        assert max(map(len, out.splitlines())) <= 80
        assert "…" not in out


def test_the_agreement_says_purpose_notice_basis_and_consent_within_80_columns(
    shell: Shell, interested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = shell("agreement", "show", "--dir", interested).out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    text = " ".join(out.split())
    assert "fedseg:CustomerSegmentation" in text
    assert "notice that tells customers of it has version 1" in text
    assert "older than 48 hours" in text
    assert "legitimate interest" in text
    assert hashlib.sha256(ASSESSMENT).hexdigest() in re.sub(r"[│\s]|assessmentwith", "", out)


def test_init_without_consents_makes_a_node_that_check_does_not_pass(
    shell: Shell, tmp_path: Path
) -> None:
    node = tmp_path / "node"
    words = [w for w in init_words(node) if w not in ("--consents", "consents.csv")]
    assert shell.json(*words)["warnings"] == []
    assert NodeHome.load(node).config.consent.sources == ()
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    assert consent_check(shell, node)["code"] == "E-BASIS"


def test_init_writes_down_both_tables_and_the_notice(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text("\n")
    words = init_words(tmp_path / "node", objections="o.jsonl", notice_version="2.1")
    assert shell.json(*words)["warnings"] == []
    found = NodeHome.load(tmp_path / "node").config.consent
    assert found.notices == ("2.1",)
    assert [(s.holds, s.kind, s.place.name) for s in found.sources] == [
        ("consents", "csv", str(tmp_path / "consents.csv")),
        ("objections", "jsonl", str(tmp_path / "o.jsonl")),
    ]
    assert all(s.columns["subject"] == "customer_id" for s in found.sources)


def consent_check(shell: Shell, node: Path) -> dict[str, Any]:
    """What `check` says of consent, against the agreement in draft.json."""
    done = shell("check", "--dir", node, "--agreement", "draft.json", "--format", "json")
    found: dict[str, Any] = {c["check"]: c for c in done.envelope["data"]["checks"]}["consent"]
    return found


def test_assignments_are_written_of_customers_who_may_be_counted_alone(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    after_a_run(installed, [1.0, 2.0])
    words = ("segments", "assign", "--out", "mine.csv", "--dir", installed)
    assert shell.json(*words)["customers"] == 3
    withdraw(tmp_path, "b")
    assert shell.json(*words)["customers"] == 2
    with (tmp_path / "mine.csv").open(newline="") as file:
        assert [row["customer_id"] for row in csv.DictReader(file)] == ["00123", "c"]


def test_assignments_are_refused_when_a_question_would_be(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    after_a_run(installed, [1.0, 2.0])
    config = installed / "node.toml"
    text = config.read_text()
    words = ("segments", "assign", "--out", "mine.csv", "--dir", installed)
    for old, new, code in (
        (', "none"]', "]", "E-NOTICE"),
        (f'purpose = "{SEGMENTATION}"', 'purpose = "dpv:Marketing"', "E-PURPOSE"),
        ('holds = "consents"', 'holds = "objections"', "E-BASIS"),
    ):
        assert old in text
        config.write_text(text.replace(old, new))
        assert shell.refused(*words, status=3)["code"] == code
        assert not (tmp_path / "mine.csv").exists()


def test_init_names_the_signing_key_as_key_show_does(shell: Shell, tmp_path: Path) -> None:
    done = shell(*init_words(tmp_path / "node"))
    known = shell.json("key", "show", "--dir", tmp_path / "node")
    assert f"Signing key {known['key']}" in " ".join(done.out.split())
    card = json.loads((tmp_path / "node" / "partner-card.json").read_text())
    assert card["public_key"] == known["public_key"]
    shown = " ".join(shell("key", "show", "--dir", tmp_path / "node").out.split())
    assert f"it is {card['public_key']}" in shown
