"""fedseg-coordinator: every command, its JSON, its exit status, and what it says to wrong input."""

from __future__ import annotations

import dataclasses
import json
import stat
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator import cli
from coordinator.agreement_file import load_signed, load_yaml, template_of
from coordinator.cli import app, progress
from coordinator.config import CoordinatorConfig
from coordinator.draft_comments import with_comments
from coordinator.runs.life import serve_lock
from machine.text import minute
from protocol.agreement.document import Agreement
from protocol.agreement.partner_card import PartnerCard
from protocol.agreement.software import PROTOCOL
from protocol.agreement.stop import SignedStop
from protocol.agreement_rules import problems_of
from protocol.errors import RuleError
from protocol.release.document import EXACT_WORDS
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes
from tests.commands import commands_of, leaves
from tests.federations import small_federation
from tests.shell import Shell


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(capsys, monkeypatch, program="fedseg-coordinator")


INIT = ["init", "--legal-name", 'Op "1" \\ Ltd', "--contact", "ops@operator.example"]


@pytest.fixture
def home(shell: Shell, tmp_path: Path) -> Path:
    shell.json(*INIT, "--dir", tmp_path / "coordinator")
    return tmp_path / "coordinator"


KEYS = [Ed25519PrivateKey.generate() for _ in range(3)]
NODE_KEYS = [
    ec.generate_private_key(ec.SECP384R1())
    .public_key()
    .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    .decode("ascii")
    for _ in range(3)
]


OTHER_NODE_KEY = (
    ec.generate_private_key(ec.SECP384R1())
    .public_key()
    .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    .decode("ascii")
)


@pytest.fixture
def cards(tmp_path: Path) -> list[Path]:
    paths = []
    for i in range(3):
        card = PartnerCard(
            id=f"shop-{i}",
            legal_name=f'Shop: "{i}" # [red]\ue000',
            contact="a: b",
            dpo="c: d",
            jurisdictions=("DE", "US-CA"),
            public_key=public_bytes(KEYS[i]),
            node_key=NODE_KEYS[i],
            max_customers=100,
        )
        paths.append(tmp_path / f"card-{i}.json")
        paths[-1].write_bytes(card.to_bytes())
    return paths


@pytest.fixture
def draft(shell: Shell, home: Path, cards: list[Path], tmp_path: Path) -> Path:
    """An envelope that nobody signed, made from cards by way of YAML."""
    words = [w for path in cards for w in ("--card", path)]
    shell.json("agreement", "draft", "--dir", home, "--out", "a.yaml", *words)
    shell.json("agreement", "draft", "a.yaml", "--out", "draft.json")
    return tmp_path / "draft.json"


@pytest.fixture
def copies(draft: Path, tmp_path: Path) -> list[Path]:
    """A copy for each partner, with its signature."""
    signed = load_signed(draft)
    paths = []
    for i, key in enumerate(KEYS):
        copy = SignedAgreement(agreement=signed.agreement, envelope=signed.envelope.signed_by(key))
        paths.append(tmp_path / f"signed-{i}.json")
        paths[-1].write_bytes(copy.to_bytes())
    return paths


@pytest.fixture
def published(shell: Shell, home: Path, copies: list[Path]) -> Path:
    shell.json("agreement", "publish", *copies, "--out", "agreement.json", "--dir", home)
    return home


# --- help and usage --------------------------------------------------------------------------


ALL = commands_of(app)
LEAVES = leaves(ALL)


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(p) or "-" for p, _ in ALL])
def test_every_command_and_option_has_help(
    shell: Shell, path: tuple[str, ...], command: Any
) -> None:
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), (path, parameter.name)
    done = shell(*path, "--help")
    assert done.code == 0
    assert " ".join(("fedseg-coordinator", *path)) in " ".join(done.out.split())


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_an_unknown_option_is_wrong_usage(shell: Shell, path: tuple[str, ...]) -> None:
    done = shell(*path, "--bogus", "--format", "json")
    assert done.code == 2
    assert done.envelope["data"]["code"] == "E-USAGE"
    assert "--bogus" in done.err


NEED_NONE = {("state", "restore"), ("evidence", "answers"), ("log", "check-proof")}
NEED_FOLDER = [
    p for p in LEAVES if p[0] not in ("init", "serve", "agreement") and p not in NEED_NONE
]


@pytest.mark.parametrize("path", NEED_FOLDER, ids=" ".join)
def test_a_folder_that_is_no_coordinator_is_named(
    shell: Shell, path: tuple[str, ...], tmp_path: Path
) -> None:
    more = {
        "add": ["anna", "--role", "auditor"],
        "role": ["anna", "auditor"],
        "reset": ["anna"],
        "admit": ["card.json"],
        "invite": ["shop-0"],
        "remove": ["shop-0"],
        "export": ["--out", "x.json"],
        "accept": ["x.json"],
        "backup": ["x.tar"],
        "move": ["--to", "sqlite"],
        "trust": ["ca.crt"],
    }.get(path[-1], [])
    if path[0] == "log":
        more = {
            "prove": ["0", "--out", "x.proof"],
            "consistency": ["old.checkpoint", "new.checkpoint"],
            "export": ["copy"],
        }.get(path[-1], [])
    if path[:2] == ("partner", "diligence"):
        more = {
            "add": ["shop-0", "--checked", "x", "--by", "x"],
            "show": ["shop-0"],
        }.get(path[-1], [])
    error = shell.refused(*path, *more, "--dir", tmp_path / "none", status=2)
    assert "none/coordinator.toml" in error["message"]
    assert "init" in error["remedy"]


# --- init ------------------------------------------------------------------------------------


def test_init_makes_private_keys_and_a_configuration_that_loads(home: Path) -> None:
    mode = {p.name: stat.S_IMODE(p.stat().st_mode) for p in [home, *home.rglob("*")]}
    assert mode["coordinator"] == mode["keys"] == 0o700
    assert mode["coordinator.pem"] == mode["passphrase"] == mode["coordinator.key"] == 0o600
    config = CoordinatorConfig.load(home)
    assert config.legal_name == 'Op "1" \\ Ltd'
    assert config.certificate.exists()
    assert config.key.exists()
    config.signing_key()
    config.open_store().close()


def test_init_closes_a_folder_that_is_there_to_others(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    shell.json(*INIT, "--dir", folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_init_names_the_signing_key_as_key_show_does(shell: Shell, tmp_path: Path) -> None:
    done = shell(*INIT, "--dir", tmp_path / "c")
    known = shell.json("key", "show", "--dir", tmp_path / "c")
    assert f"Signing key {known['key']}" in " ".join(done.out.split())
    assert known["public_key"] not in done.out
    shown = shell("key", "show", "--dir", tmp_path / "c").out
    assert known["key"] in shown
    assert f"it is {known['public_key']}" in " ".join(shown.split())
    assert shell.json(*INIT, "--dir", tmp_path / "d")["key"] != known["key"]


def test_init_never_overwrites(shell: Shell, home: Path) -> None:
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    assert "exists" in shell.refused(*INIT, "--dir", home, status=2)["message"]
    (home / "coordinator.toml").unlink()
    del before[home / "coordinator.toml"]
    assert shell.refused(*INIT, "--dir", home, status=3)["code"] == "E-KEY-EXISTS"
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    "more",
    [("--port", "70000"), ("--port", "-1"), ("--port", "x"), ("--grace-s", "0"),
     ("--legal-name", ""), ("--contact", "a\x1b"), ("--host", "")],
    ids=str,
)  # fmt: skip
def test_init_refuses_a_wrong_value_before_it_makes_anything(
    shell: Shell, tmp_path: Path, more: tuple[str, str]
) -> None:
    shell.refused(*INIT, "--dir", tmp_path / "c", *more, status=2)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("more", "option", "hint"),
    [
        (("--name", "bücher.example"), "--name", "xn--bcher-kva.example"),
        (("--name", "good.example", "--name", ""), "--name", ""),
        (("--name", "two words"), "--name", ""),
        (("--name", "a" * 300), "--name", ""),
        (("--host", "bücher.example"), "--host", "xn--bcher-kva.example"),
        (("--port", "70000"), "--port", ""),
        (("--grace-s", "0"), "--grace-s", ""),
        (("--legal-name", ""), "--legal-name", ""),
        (("--contact", "a\x1b"), "--contact", ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_init_names_the_option_that_is_wrong(
    shell: Shell, tmp_path: Path, more: tuple[str, ...], option: str, hint: str
) -> None:
    error = shell.refused(*INIT, "--dir", tmp_path / "c", *more, status=2)
    assert option in error["message"]
    assert hint in error["message"]
    assert "coordinator.toml" not in error["message"] + error["remedy"]
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["coordinator.example", "*.trust.example", "127.0.0.1", "::1"])
def test_init_takes_names_and_addresses(shell: Shell, tmp_path: Path, name: str) -> None:
    shell.json(*INIT, "--dir", tmp_path / "c", "--name", name)


def test_an_init_that_fails_midway_leaves_nothing(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "disk")

    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(cli.setup, "make_server_certificate", no_room)
        for name in ("new", "there"):
            assert shell(*INIT, "--dir", tmp_path / name).code == 1
    assert not (tmp_path / "new").exists()
    assert [p.name for p in (tmp_path / "there").rglob("*")] == ["notes.txt"]
    shell.json(*INIT, "--dir", tmp_path / "there")


@pytest.mark.parametrize("words", [("yaml",), ("JSON",), ()], ids=str)
def test_only_the_format_json_prints_an_object(shell: Shell, words: tuple[str, ...]) -> None:
    done = shell("run", "list", "--format", *words)
    assert (done.code, done.out) == (2, "")
    assert "--format" in done.err


# --- agreement -------------------------------------------------------------------------------


def test_an_agreement_goes_from_cards_to_publication(
    shell: Shell, published: Path, copies: list[Path], tmp_path: Path
) -> None:
    status = shell.json("agreement", "status", *copies[:2])
    assert (status["signed"], status["missing"]) == (["shop-0", "shop-1"], ["shop-2"])
    complete = load_signed(tmp_path / "agreement.json").verify()
    assert complete.parties[1].legal_name == 'Shop: "1" # [red]\ue000'
    assert complete.coordinator.legal_name == 'Op "1" \\ Ltd'
    assert shell.json("agreement", "lint", "a.yaml")["problems"] == []
    assert shell.json("agreement", "lint", "draft.json")["agreement_hash"] == complete.hash.hex()
    text = shell("agreement", "lint", "a.yaml").out
    assert "no problems" in text
    assert "differentially private aggregate: epsilon 1 at delta" in text


def test_an_agreement_is_not_published_before_everyone_signed(
    shell: Shell, home: Path, copies: list[Path], tmp_path: Path
) -> None:
    words = ("agreement", "publish", *copies[:2], "--out", "agreement.json", "--dir", home)
    error = shell.refused(*words, status=3)
    assert error["code"] == "E-AGR-UNSIGNED"
    assert "shop-2" in error["message"]
    assert not (tmp_path / "agreement.json").exists()
    assert shell.refused("run", "start", "--dir", home, status=2)["remedy"]


def test_another_coordinators_agreement_is_not_published(
    shell: Shell, copies: list[Path], tmp_path: Path
) -> None:
    shell.json(*INIT, "--dir", tmp_path / "other")
    words = ("agreement", "publish", *copies, "--out", "x.json", "--dir", tmp_path / "other")
    assert shell.refused(*words, status=3)["code"] == "E-AGR-PARTY"


def test_copies_of_different_agreements_are_not_joined(
    shell: Shell, copies: list[Path], tmp_path: Path
) -> None:
    text = (
        (tmp_path / "a.yaml")
        .read_text()
        .replace("version: 1", "version: 2")
        .replace("supersedes: none", 'supersedes: "' + "00" * 32 + '"')
    )
    (tmp_path / "b.yaml").write_text(text)
    shell.json("agreement", "draft", "b.yaml", "--out", "b.json")
    error = shell.refused("agreement", "status", *copies[:2], "b.json", status=3)
    assert error["code"] == "E-AGR-SIGNATURE"
    assert f"{copies[0]} and b.json hold different agreements" in error["message"]


def test_a_copy_with_a_wrong_signature_is_named(
    shell: Shell, copies: list[Path], tmp_path: Path
) -> None:
    signed = load_signed(copies[1])
    stranger = signed.envelope.signed_by(Ed25519PrivateKey.generate())
    copies[1].write_bytes(SignedAgreement(agreement=signed.agreement, envelope=stranger).to_bytes())
    error = shell.refused("agreement", "status", *copies, status=3)
    assert error["message"].startswith(f"{copies[1]}: ")


def test_a_stop_ends_the_agreement_s_runs_and_lets_none_begin(
    shell: Shell, home: Path, tmp_path: Path
) -> None:
    store = CoordinatorConfig.load(home).open_store()
    fed = small_federation()
    store.add_agreement(fed.signed)
    store.request_run(b"\x11" * 16, fed.agreement)
    stop = SignedStop.sign(fed.agreement, fed.partner_keys[1], at="2026-05-01T10:00:00Z")
    forged = dataclasses.replace(stop.envelope, signatures={}).signed_by(fed.partner_keys[0])
    (tmp_path / "forged.json").write_bytes(forged.to_bytes())
    (tmp_path / "stop.json").write_bytes(stop.to_bytes())
    error = shell.refused("agreement", "stop", "forged.json", "--dir", home, status=3)
    assert error["code"] == "E-AGR-SIGNATURE"
    assert not store.run(b"\x11" * 16).ended
    done = shell.json("agreement", "stop", "stop.json", "--dir", home)
    assert (done["partner"], done["runs_ended"]) == ("partner-1", ["11" * 16])
    row = store.run(b"\x11" * 16)
    assert (row.state, row.code) == ("failed", "E-WITHDRAWN")
    with pytest.raises(RuleError, match="partner-1 stopped agreement") as caught:
        store.request_run(b"\x12" * 16, fed.agreement)
    assert caught.value.code == "E-WITHDRAWN"
    assert shell.json("agreement", "stop", "stop.json", "--dir", home)["runs_ended"] == []
    acts = shell.json("user", "log", "--dir", home)["acts"]
    ended = [(a["act"], a["outcome"]) for a in acts if a["outcome"] != "begun"]
    assert ended == [
        *[("agreement stop", "E-AGR-SIGNATURE")] * 2,
        *[("agreement stop", "done")] * 2,
    ]


def test_a_file_that_is_no_card_or_no_agreement_is_named(
    shell: Shell, home: Path, cards: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "north.csv").write_text("customer_id,spent\n1,2\n")
    for words in (
        ("agreement", "draft", "--out", "x.yaml", "--card", cards[0], "--card", "north.csv"),
        ("partner", "admit", cards[0], "north.csv"),
    ):
        error = shell.refused(*words, "--dir", home, status=3)
        assert error["message"].startswith("north.csv is no partner's card")
        assert "partner-card.json" in error["remedy"]
    (tmp_path / "card.json").write_bytes(cards[0].read_bytes())
    for words in (("status", "card.json"), ("lint", "card.json")):
        assert "card.json: " in shell.refused("agreement", *words, status=3)["message"]


def test_a_misspelt_field_is_named_before_the_one_that_is_missing(
    shell: Shell, draft: Path, tmp_path: Path
) -> None:
    text = (tmp_path / "a.yaml").read_text()
    for right, wrong in (
        ("effective:", "efective:"),
        ("max_customers:", "max_costumers:"),
        ("max_rounds:", "max_round:"),
        ("min_atom:", "min_atoms:"),
        ("unit:", "units:"),
    ):
        (tmp_path / "b.yaml").write_text(text.replace(right, wrong, 1))
        error = shell.refused("agreement", "lint", "b.yaml", status=3)
        assert error["message"].startswith("b.yaml: ")
        assert f"unknown field '{wrong[:-1]}'; did you mean '{right[:-1]}'?" in error["message"]


def test_lint_warns_of_an_agreement_for_other_software(
    shell: Shell, draft: Path, tmp_path: Path
) -> None:
    assert shell.json("agreement", "lint", "a.yaml")["warnings"] == []
    text = (tmp_path / "a.yaml").read_text()
    version = text.partition('package: fedseg, version: "')[2].partition('"')[0]
    (tmp_path / "b.yaml").write_text(text.replace(f'"{version}"', '"9.9"'))
    (warning,) = shell.json("agreement", "lint", "b.yaml")["warnings"]
    assert f"software.version is 9.9, installed is {version}" in warning
    assert "warning: software.version" in shell("agreement", "lint", "b.yaml").err


def test_a_draft_of_exact_totals_says_what_they_show_and_lint_warns(
    shell: Shell, home: Path, cards: list[Path], tmp_path: Path
) -> None:
    words = [w for path in cards for w in ("--card", path)]
    done = shell("agreement", "draft", "--exact", "--dir", home, "--out", "x.yaml", *words)
    said = "the coordinator and every partner can compute single customers' values"
    assert said in " ".join(done.err.split())
    text = (tmp_path / "x.yaml").read_text()
    line = "  exact_totals: rows of single customers can be computed\n"
    assert line in text
    (warning,) = shell.json("agreement", "lint", "x.yaml")["warnings"]
    assert said in warning
    assert "an epsilon of 8 to 10" in warning
    shell.json("agreement", "draft", "x.yaml", "--out", "x.json")
    (tmp_path / "y.yaml").write_text(text.replace(line, ""))
    for action in (("lint", "y.yaml"), ("draft", "y.yaml", "--out", "y.json")):
        error = shell.refused("agreement", *action, status=3)
        assert error["code"] == "E-PLAN"
        assert "write under plan, exact_totals: rows of single" in error["remedy"]
    assert not (tmp_path / "y.json").exists()


def test_draft_does_not_overwrite_and_lint_names_every_problem(
    shell: Shell, draft: Path, tmp_path: Path
) -> None:
    before = draft.read_bytes()
    error = shell.refused("agreement", "draft", "a.yaml", "--out", draft, status=2)
    assert "exists" in error["message"]
    assert draft.read_bytes() == before
    text = (tmp_path / "a.yaml").read_text()
    two_problems = text.replace("min_partners: 3", "min_partners: 4").replace(
        'max: "365"', 'max: "-1"'
    )
    (tmp_path / "bad.yaml").write_text(two_problems)
    done = shell("agreement", "lint", "bad.yaml")
    assert done.code == 3
    assert "E-FEATURE-BOUNDS" in done.err
    assert "E-PARTNERS" in done.err
    assert shell.refused("agreement", "draft", "bad.yaml", "--out", "x.json", status=3)
    assert not (tmp_path / "x.json").exists()


def test_a_draft_has_the_epsilon_that_was_asked_for_or_exact_totals(
    shell: Shell, home: Path, cards: list[Path], tmp_path: Path
) -> None:
    given = [word for path in cards for word in ("--card", path)]
    words = ("agreement", "draft", *given, "--dir", home, "--out")
    shell.json(*words, "half.yaml", "--epsilon", "0.5")
    agreed = load_yaml(tmp_path / "half.yaml")
    assert agreed.privacy is not None
    assert agreed.privacy.epsilon == Decimal("0.5")
    shell.json(*words, "exact.yaml", "--exact")
    assert load_yaml(tmp_path / "exact.yaml").privacy is None
    for draft in ("half.yaml", "exact.yaml"):
        assert load_yaml(tmp_path / draft).plan.start == ""
    for own in (("--epsilon", "1"), ("--exact",)):
        shell.json(*words, f"anew{own[0]}.yaml", *own, "--start", "anew")
        assert load_yaml(tmp_path / f"anew{own[0]}.yaml").plan.start == "anew"
    two = ("--four-eyes", "export", "--four-eyes", "agreement", "--four-eyes", "export")
    shell.json(*words, "two.yaml", *two)
    assert load_yaml(tmp_path / "two.yaml").four_eyes == ("agreement", "export")
    for wrong in ("0", "-1", "many", "1e9", "nan"):
        error = shell.refused(*words, "x.yaml", "--epsilon", wrong, status=2)
        assert "--epsilon" in error["message"]
    assert not (tmp_path / "x.yaml").exists()


# --- the next version ------------------------------------------------------------------------


def next_version(shell: Shell, home: Path, *words: object) -> dict[str, Any]:
    values: dict[str, Any] = shell.json(
        "agreement", "draft", "--next", "--dir", home, "--out", "next.yaml", *words
    )
    return values


def test_the_next_version_is_the_one_before_but_for_what_has_to_differ(
    shell: Shell, published: Path, tmp_path: Path
) -> None:
    before = load_signed(tmp_path / "agreement.json").agreement
    values = next_version(shell, published)
    assert (values["version"], values["changes"]["since_version"]) == (2, 1)
    written = load_yaml(tmp_path / "next.yaml")
    assert (written.version, written.supersedes) == (2, before.hash)
    days = {name: getattr(before, name) for name in ("effective", "review_by", "expires")}
    kept = dataclasses.replace(written, version=1, supersedes=None, **days)
    assert kept.to_bytes() == before.to_bytes()
    assert problems_of(written) == []


def test_what_changed_is_shown_when_the_next_version_is_checked_and_made(
    shell: Shell, published: Path, tmp_path: Path
) -> None:
    before = load_signed(tmp_path / "agreement.json").agreement
    next_version(shell, published)
    text = (tmp_path / "next.yaml").read_text(encoding="utf-8")
    assert "min_segment_size: 50" in text
    (tmp_path / "next.yaml").write_text(
        text.replace("min_segment_size: 50", "min_segment_size: 80"), encoding="utf-8"
    )
    changed = {
        "since_version": 1,
        "since_hash": before.hash.hex(),
        "fields": [{"field": "min_segment_size", "before": "50", "after": "80"}],
    }
    words = ("agreement", "lint", "next.yaml", "--dir", published)
    assert shell.json(*words)["changes"] == changed
    shown = shell(*words).out
    assert "What changed since version 1" in shown
    assert "min_segment_size" in shown
    made = shell.json("agreement", "draft", "next.yaml", "--out", "next.json", "--dir", published)
    assert made["changes"] == changed
    assert load_signed(tmp_path / "next.json").agreement.supersedes == before.hash
    elsewhere = ("agreement", "lint", "next.yaml", "--dir", tmp_path / "nowhere")
    assert shell.json(*elsewhere)["changes"] is None
    (why,) = shell.json(*elsewhere)["not_compared"]
    assert "name the folder with --dir" in why
    assert "Not compared: " in shell(*elsewhere).out
    assert shell.json(*words)["not_compared"] == []


def test_a_next_version_is_explained_as_a_new_agreement_is(
    shell: Shell, published: Path, tmp_path: Path
) -> None:
    next_version(shell, published)
    text = (tmp_path / "next.yaml").read_text(encoding="utf-8")
    head, _, rest = text.partition("schema:")
    assert "agreement lint FILE --dir FOLDER" in head
    written = load_yaml(tmp_path / "next.yaml")
    comments = [one for one in template_of(written).splitlines() if "#" in one][3:]
    assert len(comments) > 40
    for comment in comments:
        assert comment[comment.index("#") :] in rest
    assert (tmp_path / "next.yaml").read_text().count("\nschedule:") == 0


def test_a_field_that_may_be_left_out_takes_the_place_of_its_comment() -> None:
    template = "# About it.\nschema: 1\n\n# Runs.\n# every: {n: 1}\n\nlast:\n  a: 1  # why\n"
    left_out = with_comments(template, {"schema": "schema: 1\n", "last": "last:\n  a: 2\n"})
    assert left_out == "schema: 1\n\n# Runs.\n# every: {n: 1}\nlast:\n  a: 2  # why\n"
    plain = "schema: 1\nfirst:\n  a: 1\n# Of last.\nlast: 2\n"
    kept = {"schema": "schema: 1\n", "first": "first:\n  a: 2\n", "last": "last: 3\n"}
    said = "schema: 1\nfirst:\n  a: 2\n\n# Of last.\nlast: 3\n"
    assert with_comments("\n" + plain, kept) == said
    there = with_comments(template, {"schema": "schema: 1\n", "every": "every:\n  n: 2\n"})
    assert there == "schema: 1\n\n# Runs.\nevery:\n  n: 2\n"


def test_a_next_version_is_reviewed_and_ends_after_as_long_and_has_this_software(
    shell: Shell, home: Path, draft: Path, tmp_path: Path
) -> None:
    old = load_signed(draft).agreement
    old = dataclasses.replace(
        old,
        effective=old.effective - timedelta(days=100),
        review_by=old.effective - timedelta(days=40),
        expires=old.effective - timedelta(days=10),
        software=dataclasses.replace(old.software, version="0.0.1"),
    )
    publish(shell, home, old)
    next_version(shell, home)
    written = load_yaml(tmp_path / "next.yaml")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert today - written.effective <= timedelta(days=1)  # midnight may just have passed
    assert written.review_by - written.effective == timedelta(days=60)
    assert written.expires - written.effective == timedelta(days=90)
    assert written.software == load_signed(draft).agreement.software


def test_a_next_version_names_the_protocol_that_is_spoken_now(
    shell: Shell, home: Path, draft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = load_signed(draft).agreement
    publish(
        shell, home,
        dataclasses.replace(old, software=dataclasses.replace(old.software, protocol=PROTOCOL)),
    )  # fmt: skip
    for module in ("coordinator.next_version", "coordinator.cli.agreement"):
        monkeypatch.setattr(f"{module}.PROTOCOL", PROTOCOL + 1)
    next_version(shell, home)
    assert load_yaml(tmp_path / "next.yaml").software.protocol == PROTOCOL + 1
    words = ("agreement", "lint", "next.yaml", "--dir", home)
    assert not any("protocol" in one for one in shell.json(*words)["warnings"])
    text = (tmp_path / "next.yaml").read_text(encoding="utf-8")
    old_one = text.replace(f"protocol: {PROTOCOL + 1}", f"protocol: {PROTOCOL}")
    (tmp_path / "next.yaml").write_text(old_one, encoding="utf-8")
    (warning,) = [one for one in shell.json(*words)["warnings"] if "protocol" in one]
    assert f"software.protocol is {PROTOCOL}," in warning


def publish(shell: Shell, home: Path, agreement: Agreement) -> None:
    signed = SignedAgreement.draft(agreement)
    envelope = signed.envelope
    for key in KEYS[: agreement.n_partners]:
        envelope = envelope.signed_by(key)
    file = home.parent / f"{agreement.id}-{agreement.version}.json"
    file.write_bytes(SignedAgreement(agreement=agreement, envelope=envelope).to_bytes())
    out = file.with_suffix(".complete.json")
    shell.json("agreement", "publish", file, "--out", out, "--dir", home)


def test_partners_join_leave_and_change_with_the_next_version(
    shell: Shell, published: Path, cards: list[Path], tmp_path: Path
) -> None:
    card = PartnerCard.from_bytes(cards[0].read_bytes())
    joins = dataclasses.replace(card, id="shop-9", public_key=b"\x09" * 32, legal_name="Ninth")
    moved = dataclasses.replace(card, contact="new@shop.example", max_customers=250)
    for name, one in (("joins", joins), ("moved", moved)):
        (tmp_path / f"{name}.json").write_bytes(one.to_bytes())
    next_version(
        shell, published, "--card", "joins.json", "--card", "moved.json", "--without", "shop-1"
    )  # fmt: skip
    before = load_signed(tmp_path / "agreement.json").agreement
    written = load_yaml(tmp_path / "next.yaml")
    assert [party.id for party in written.parties] == ["shop-0", "shop-2", "shop-9"]
    assert written.parties[0] == dataclasses.replace(
        before.parties[0], contact="new@shop.example", max_customers=250
    )
    assert written.parties[1] == before.parties[2]
    assert written.parties[2].legal_name == "Ninth"
    assert written.parties[2].legal_basis == before.parties[0].legal_basis


@pytest.mark.parametrize(
    ("words", "said", "way_out"),
    [
        (("--without", "shop-7"), "shop-7 is no party of version 1", "shop-0, shop-1, shop-2"),
        (("--without", "shop-0", "--card", "card-0.json"), "has a card and leaves", ""),
        (("--epsilon", "2"), "--epsilon cannot be given beside --next", "change the file"),
        (("--exact",), "--exact cannot be given beside --next", ""),
        (("--start", "release"), "--start cannot be given beside --next", ""),
        (("--four-eyes", "egress"), "--four-eyes cannot be given beside --next", ""),
        (("--id", "others"), "no agreement others was published here", "our-segments"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_next_version_that_cannot_be_is_refused_and_nothing_is_written(
    shell: Shell, published: Path, tmp_path: Path,
    words: tuple[str, ...], said: str, way_out: str,
) -> None:  # fmt: skip
    error = shell.refused(
        "agreement", "draft", "--next", "--out", "x.yaml", "--dir", published, *words, status=2
    )
    assert said in error["message"]
    assert way_out in error["remedy"]
    assert not (tmp_path / "x.yaml").exists()


def test_options_that_would_be_without_effect_are_refused(
    shell: Shell, home: Path, cards: list[Path], draft: Path
) -> None:
    words = ("agreement", "draft", "--dir", home, "--out", "x")
    for more in (("a.yaml", "--next"), ("a.yaml", "--epsilon", "2"), ("--without", "shop-0")):
        error = shell.refused(*words, *more, status=2)
        assert "cannot be given beside" in error["message"]


def test_the_next_version_follows_the_last_one_and_several_agreements_are_told_apart(
    shell: Shell, home: Path, draft: Path, tmp_path: Path
) -> None:
    words = ("agreement", "draft", "--next", "--dir", home, "--out", "next.yaml")
    error = shell.refused(*words, status=2)
    assert "no agreement was published here yet" in error["message"]
    first = load_signed(draft).agreement
    second = dataclasses.replace(first, version=2, supersedes=first.hash)
    for agreement in (first, second, dataclasses.replace(first, id="others")):
        publish(shell, home, agreement)
    error = shell.refused(*words, status=2)
    assert "others, our-segments" in error["message"]
    assert "--id" in error["remedy"]
    assert not (tmp_path / "next.yaml").exists()
    next_version(shell, home, "--id", "our-segments")
    written = load_yaml(tmp_path / "next.yaml")
    assert (written.version, written.supersedes) == (3, second.hash)


@pytest.mark.parametrize(
    "name", ["empty.yaml", "binary.json", "folder", "none", "huge.yaml", "deep.json"]
)
def test_a_bad_agreement_file_is_an_error_in_words(shell: Shell, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "binary.json").write_bytes(bytes(range(256)))
    (tmp_path / "huge.yaml").write_bytes(b"#" * (3 << 20))
    (tmp_path / "deep.json").write_bytes(b"[" * 100_000)
    for words in (("lint", name), ("draft", name, "--out", "x.json"), ("status", name)):
        done = shell("agreement", *words)
        assert done.code in (2, 3)
        assert done.err.startswith("E-")
        assert len(done.err) < 1_000
    assert not (tmp_path / "x.json").exists()


def test_a_file_that_cannot_be_written_is_an_error_in_words(
    shell: Shell, draft: Path, copies: list[Path], home: Path
) -> None:
    for words in (
        ("draft", "a.yaml", "--out", "a.yaml/x.json"),
        ("draft", "--out", "a.yaml/x.yaml", "--dir", home),
        ("publish", *copies, "--out", "a.yaml/x.json", "--dir", home),
    ):
        done = shell("agreement", *words)
        assert done.code in (1, 2)
        assert "E-FILE" in done.err
        assert "a.yaml/x" in done.err


# --- partners --------------------------------------------------------------------------------


def test_cards_are_admitted_all_or_none(
    shell: Shell, home: Path, cards: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.json").write_text("{}")
    done = shell("partner", "admit", *cards, "bad.json", "--dir", home, "--format", "json")
    assert done.code == 3
    assert done.envelope["data"]["code"] == "E-MALFORMED"
    assert shell.json("partner", "list", "--dir", home)["admitted"] == {}
    shell.json("partner", "admit", *cards, "--dir", home)
    assert list(shell.json("partner", "list", "--dir", home)["admitted"]) == [
        "shop-0", "shop-1", "shop-2",
    ]  # fmt: skip
    assert "shop-1" in shell("partner", "list", "--dir", home).out


def test_a_card_that_cannot_be_admitted_is_an_error_in_words(
    shell: Shell, home: Path, cards: list[Path], tmp_path: Path
) -> None:
    shell.json("partner", "admit", cards[0], "--dir", home)
    twin = json.loads(cards[0].read_text()) | {"id": "twin"}
    (tmp_path / "twin.json").write_text(json.dumps(twin))
    error = shell.refused("partner", "admit", "twin.json", "--dir", home, status=2)
    assert error["code"] == "E-ADMITTED"
    other = twin | {"node_key": NODE_KEYS[0][:60] + "AAAA"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert shell("partner", "admit", "other.json", "--dir", home).code == 3
    for name in ("none.json", tmp_path):
        assert shell("partner", "admit", name, "--dir", home).code == 2
    assert list(shell.json("partner", "list", "--dir", home)["admitted"]) == ["shop-0"]


def card_with(source: Path, target: Path, **changes: object) -> Path:
    target.write_text(json.dumps(json.loads(source.read_text()) | changes))
    return target


def test_a_strangers_card_does_not_take_a_working_partners_place(
    shell: Shell, published: Path, cards: list[Path], tmp_path: Path
) -> None:
    shell.json("partner", "admit", *cards, "--dir", published)
    before = shell.json("partner", "list", "--dir", published)["admitted"]
    stranger = card_with(
        cards[0],
        tmp_path / "stranger.json",
        public_key=public_bytes(Ed25519PrivateKey.generate()).hex(),
        node_key=OTHER_NODE_KEY,
    )
    for more in ([], ["--replace"]):
        words = ("partner", "admit", stranger, *more, "--dir", published)
        error = shell.refused(*words, status=3)
        assert error["code"] == "E-AGR-PARTY"
        assert "'shop-0'" in error["message"]
        assert "a new version of the agreement has to be drafted" in error["remedy"]
    assert shell.json("partner", "list", "--dir", published)["admitted"] == before


def test_another_node_key_of_the_same_partner_is_taken_on_demand_and_named(
    shell: Shell, published: Path, cards: list[Path], tmp_path: Path
) -> None:
    shell.json("partner", "admit", *cards, "--dir", published)
    renewed = card_with(cards[0], tmp_path / "renewed.json", node_key=OTHER_NODE_KEY)
    error = shell.refused("partner", "admit", renewed, "--dir", published, status=2)
    assert error["code"] == "E-ADMITTED"
    assert "--replace" in error["remedy"]
    old = NODE_KEYS[0].split()[1][-24:]
    assert old in error["message"]
    done = shell("partner", "admit", renewed, "--replace", "--dir", published)
    assert done.code == 0
    assert old in done.out
    data = shell.json("partner", "admit", renewed, "--replace", "--dir", published)
    assert data == {"admitted": ["shop-0"], "replaced": {}}


def test_the_certificate_is_renewed_with_further_names(shell: Shell, home: Path) -> None:
    before = shell.json("certificate", "show", "--dir", home)
    authority = home / "tls" / "coordinator-ca.crt"
    earlier = authority.read_bytes()
    done = shell.json("certificate", "renew", "--name", "fed.example", "--dir", home)
    assert done["names"] == [*before["names"], "fed.example"]
    assert done["root_certificates"] == str(authority)
    waits = shell.json("certificate", "show", "--dir", home)
    assert waits["names"] == before["names"]
    assert set(waits["next"]["names"]) == set(done["names"])
    said = shell("certificate", "show", "--dir", home).out
    assert "The next one waits: for" in said and "certificate switch" in said
    assert authority.read_bytes().startswith(earlier) and authority.read_bytes() != earlier
    shell.json("certificate", "switch", "--dir", home)
    after = shell.json("certificate", "show", "--dir", home)
    assert (set(after["names"]), after["next"]) == (set(done["names"]), None)
    assert earlier not in authority.read_bytes()
    error = shell.refused("certificate", "renew", "--name", "no name", "--dir", home, status=2)
    assert error["message"].startswith("--name:")


def test_a_certificate_of_ones_own_is_not_replaced(shell: Shell, home: Path) -> None:
    settings = home / "coordinator.toml"
    own = home / "own.crt"
    own.write_bytes((home / "tls" / "coordinator.crt").read_bytes())
    settings.write_text(settings.read_text().replace("tls/coordinator.crt", "own.crt"))
    error = shell.refused("certificate", "renew", "--dir", home, status=2)
    assert "own.crt was not made here" in error["message"]
    own.write_text("no certificate")
    error = shell.refused("certificate", "show", "--dir", home, status=2)
    assert "own.crt is no certificate" in error["message"]


def test_a_removed_partner_may_not_connect_any_more(
    shell: Shell, home: Path, cards: list[Path]
) -> None:
    shell.json("partner", "admit", *cards, "--dir", home)
    assert shell.json("partner", "remove", "shop-1", "--dir", home) == {
        "removed": "shop-1", "was_admitted": True, "had_joined": False, "was_invited": False,
    }  # fmt: skip
    assert list(shell.json("partner", "list", "--dir", home)["admitted"]) == ["shop-0", "shop-2"]
    assert (
        "partner list"
        in shell.refused("partner", "remove", "shop-1", "--dir", home, status=2)["remedy"]
    )
    shell.json("partner", "admit", cards[1], "--dir", home)


def test_two_cards_of_one_partner_are_refused_by_their_files(
    shell: Shell, home: Path, cards: list[Path], tmp_path: Path
) -> None:
    for words in (
        ("partner", "admit", cards[0], cards[0]),
        ("agreement", "draft", "--out", "x.yaml", "--card", cards[0], "--card", cards[0]),
    ):
        error = shell.refused(*words, "--dir", home, status=2)
        assert "card-0.json and" in error["message"]
    assert not (tmp_path / "x.yaml").exists()


# --- runs and releases -----------------------------------------------------------------------


def test_a_run_is_requested_listed_and_stopped(shell: Shell, published: Path) -> None:
    done = shell("run", "start", "--dir", published, "--format", "json")
    assert done.code == 0
    run = done.envelope["data"]["run_id"]
    assert "no process serves" in done.err
    assert shell.refused("run", "start", "--dir", published, status=2)["code"] == "E-RUN-ACTIVE"
    (row,) = shell.json("run", "list", "--dir", published)["runs"]
    assert (row["run_id"], row["state"]) == (run, "requested")
    error = shell.refused("run", "watch", run[:6], "--dir", published, status=1)
    assert error["code"] == "E-NOT-SERVED"
    assert "stays requested" in error["message"]
    assert "serve" in error["remedy"]
    assert f"run stop {run[:8]}" in error["remedy"]
    assert shell.json("run", "stop", run[:6], "--dir", published)["run_id"] == run
    (row,) = shell.json("run", "list", "--dir", published)["runs"]
    assert (row["state"], row["code"]) == ("failed", "E-STOPPED")
    shell.patch.setenv("COLUMNS", "80")
    listed = shell("run", "list", "--dir", published).out
    assert "Runs, newest first" in listed
    assert f"{minute(row['created_at'])} " in listed, "as a node says times"
    assert f" {row['run_id'][:8]} " in listed
    assert "E-STOPPED" in listed
    assert "ended already" in shell.refused("run", "stop", "--dir", published, status=2)["message"]


def test_where_nothing_is_on_record_yet_lists_say_so(shell: Shell, published: Path) -> None:
    assert shell("run", "list", "--dir", published).out == "No run has been asked for yet.\n"
    done = shell("release", "list", "--dir", published)
    assert done.out == "No run has ended with a release yet.\n"
    error = shell.refused("release", "show", "--dir", published, status=2)
    assert error["message"] == "no run has ended with a release yet"
    error = shell.refused("run", "show", "--dir", published, status=2)
    assert error["message"] == "no run was asked for yet"


def test_a_run_can_be_told_to_go_without_partners_of_the_agreement(
    shell: Shell, published: Path
) -> None:
    words = ("run", "start", "--dir", published, "--without")
    error = shell.refused(*words, "nobody", status=2)
    assert "nobody" in error["message"]
    assert "shop-0, shop-1, shop-2" in error["remedy"]
    shell.json(*words, "shop-2")
    (row,) = shell.json("run", "list", "--dir", published)["runs"]
    assert row["without"] == ["shop-2"]


def test_watching_a_run_ends_with_it_and_with_its_reason(shell: Shell, published: Path) -> None:
    run = shell.json("run", "start", "--dir", published)["run_id"]

    def fail_soon() -> None:
        time.sleep(0.3)
        store = CoordinatorConfig.load(published).open_store()
        store.report_progress(
            bytes.fromhex(run),
            {"phase": "hellos", "doing": "waiting", "round": 0, "max_rounds": 5,
             "participants": ["shop-0"], "waiting_for": ["shop-0"]},
        )  # fmt: skip
        reason = "within 60 s shop-0 did not answer"
        store.fail(bytes.fromhex(run), "E-NO-PARTNERS", reason, "bring it back")
        store.close()

    with serve_lock(published) as free:
        assert free
        thread = threading.Thread(target=fail_soon)
        thread.start()
        done = shell("run", "watch", "--dir", published)
        thread.join(10)
    assert done.code == 1
    assert "E-NO-PARTNERS: within 60 s shop-0 did not answer" in done.err
    assert "Way out: bring it back" in done.err


@pytest.mark.slow
def test_where_nobody_sees_a_bar_each_phase_is_a_line_that_names_who_is_missing(
    shell: Shell, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.3)
    run = bytes.fromhex(shell.json("run", "start", "--dir", published)["run_id"])
    everyone = ["shop-0", "shop-1", "shop-2"]

    def report(phase: str, doing: str, missing: list[str], number: int = 0) -> None:
        store.report_progress(
            run,
            {"phase": phase, "doing": doing, "round": number, "max_rounds": 5,
             "participants": everyone, "waiting_for": missing, "left_out": [],
             "refusals": {"shop-2": "E-AGR-OTHER"} if "shop-2" in missing else {}},
        )  # fmt: skip

    store = CoordinatorConfig.load(published).open_store()

    def go_on() -> None:
        report("hellos", "waiting for partners to join", ["shop-1", "shop-2"])
        time.sleep(0.5)
        for number in range(1, 6):
            report("answers", "adding masked answers", [], number)
            time.sleep(0.15)
        store.fail(run, "E-STOPPED", "stopped by the operator")
        store.close()

    with serve_lock(published):
        thread = threading.Thread(target=go_on)
        thread.start()
        done = shell("run", "watch", "--dir", published, "--format", "json")
        thread.join(10)
    assert done.envelope["data"]["code"] == "E-STOPPED"
    lines = [line for line in done.err.splitlines() if " of at most " in line]
    assert len(lines) == 2, lines
    assert lines[0] == (
        "waiting for partners to join, before the 1st of at most 5, 1 of 3 partners have answered, "
        "waiting for shop-1, shop-2 (E-AGR-OTHER)"
    )
    assert lines[1].startswith("adding masked answers, round ")


def test_a_wait_that_lasts_names_who_is_missing_now_and_not_who_was_at_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one line of a phase came when all were missing, and stayed when all but one had come."""
    clock = {"now": 0.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock["now"])
    lines = progress._Lines()
    everybody = ["north", "east", "south"]
    for tenth in range(200):
        clock["now"] = tenth / 10
        lines.show(
            {
                "phase": "hellos",
                "doing": "waiting for partners to join",
                "round": 0,
                "max_rounds": 5,
                "participants": everybody,
                "left_out": [],
                "waiting_for": everybody if tenth < 5 else ["south"],
            }
        )
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("waiting for partners to join") == 2
    assert told.endswith("2 of 3 partners have answered, waiting for south")


def test_what_a_finished_run_says_ends_with_what_protects_its_customers(
    shell: Shell, home: Path
) -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    federation.store = CoordinatorConfig.load(home).open_store()
    federation.store.add_agreement(federation.signed)
    federation.run()
    row = federation.store.runs()[0]
    for words in (("run", "watch"), ("run", "list"), ("release", "list"), ("release", "show")):
        assert "exact totals: not anonymous" in shell(*words, "--dir", home).out, words
    assert shell.json("run", "watch", "--dir", home)["privacy"] == EXACT_WORDS
    for words in (("run", "watch"), ("release", "show")):
        assert "6 customers are in released segments: they leave no room" in " ".join(
            shell(*words, "--dir", home).out.split()
        )
    (release,) = shell.json("release", "list", "--dir", home)["releases"]
    assert release["run_id"] == row.run_id.hex()
    assert release["agreement"] == "simulation"
    assert release["participants"] == ["partner-0", "partner-1", "partner-2"]
    assert release["segments"] == ["S1", "S2"]
    shell.patch.setenv("COLUMNS", "80")
    listed = shell("release", "list", "--dir", home).out
    assert max(map(len, listed.splitlines())) <= 80
    header = next(line for line in listed.splitlines() if "run" in line)
    assert header.replace("┃", " ").split() == [
        "run", "agreement", "segments", "partners", "released"
    ]  # fmt: skip
    assert f"{minute(release['released_at'])} " in listed, "as a node says times"
    assert " ".join(f"Privacy: {EXACT_WORDS}.".split()) in " ".join(listed.split())
    federation.store.close()


def test_lint_warns_of_a_row_cap_far_above_what_the_last_release_counts(
    shell: Shell, home: Path, tmp_path: Path
) -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    parties = [replace(party, max_customers=1_000) for party in federation.agreement.parties]
    wide = replace(
        federation.agreement,
        version=2,
        supersedes=federation.agreement.hash,
        parties=tuple(parties),
    )
    file = tmp_path / "agreement.json"
    file.write_bytes(SignedAgreement.draft(wide).to_bytes())
    assert not any("max_customers" in w for w in _lint(shell, file, home))
    federation.store = CoordinatorConfig.load(home).open_store()
    federation.store.add_agreement(federation.signed)
    federation.run()
    federation.store.close()
    told = [w for w in _lint(shell, file, home) if w.startswith("max_customers of partner-")]
    assert len(told) == 3
    assert not any("max_customers" in w for w in _lint(shell, file, tmp_path / "nowhere"))


def _lint(shell: Shell, file: Path, home: Path) -> list[str]:
    warnings: list[str] = shell.json("agreement", "lint", file, "--dir", home)["warnings"]
    return warnings


def test_a_failed_run_that_is_watched_prints_one_envelope(shell: Shell, published: Path) -> None:
    run = shell.json("run", "start", "--dir", published)["run_id"]
    store = CoordinatorConfig.load(published).open_store()
    store.fail(bytes.fromhex(run), "E-NO-PARTNERS", "nobody came")
    store.close()
    done = shell("run", "watch", "--dir", published, "--format", "json")
    assert done.code == 1
    assert done.envelope["status"] == "failed"
    assert done.envelope["data"]["code"] == "E-NO-PARTNERS"


def test_an_unknown_run_or_release_is_wrong_usage(
    shell: Shell, published: Path, tmp_path: Path
) -> None:
    shell.json("run", "start", "--dir", published)
    for words in (
        ("run", "watch", "zz"),
        ("run", "stop", "zz"),
        ("release", "show"),
        ("release", "show", "zz"),
        ("release", "export", "--out", "x.json"),
    ):
        error = shell.refused(*words, "--dir", published, status=2)
        assert "run list" in error["remedy"]
    assert not (tmp_path / "x.json").exists()


def test_a_run_is_not_started_under_an_agreement_of_other_software(
    shell: Shell, home: Path, draft: Path, tmp_path: Path
) -> None:
    text = (tmp_path / "a.yaml").read_text()
    version = text.partition('package: fedseg, version: "')[2].partition('"')[0]
    (tmp_path / "b.yaml").write_text(text.replace(f'"{version}"', '"9.9"'))
    shell.json("agreement", "draft", "b.yaml", "--out", "b.json")
    signed = load_signed(tmp_path / "b.json")
    envelope = signed.envelope
    for key in KEYS:
        envelope = envelope.signed_by(key)
    (tmp_path / "b-signed.json").write_bytes(
        SignedAgreement(agreement=signed.agreement, envelope=envelope).to_bytes()
    )
    shell.json("agreement", "publish", "b-signed.json", "--out", "all.json", "--dir", home)
    assert shell.refused("run", "start", "--dir", home, status=3)["code"] == "E-CODE"
    assert shell.json("run", "list", "--dir", home)["runs"] == []
    unknown = shell.refused("run", "start", "--agreement", "x", "--dir", home, status=2)
    assert "'x'" in unknown["message"]


def test_a_run_under_one_of_several_agreements_names_it(
    shell: Shell, published: Path, draft: Path
) -> None:
    first = load_signed(draft).agreement
    publish(shell, published, dataclasses.replace(first, id="another"))
    error = shell.refused("run", "start", "--dir", published, status=2)
    assert error["code"] == "E-AGR-WHICH"
    assert f"another, {first.id}" in error["message"]
    for id in ("another", first.id):
        shell.json("run", "start", "--agreement", id, "--dir", published)
    runs = CoordinatorConfig.load(published).open_store().runs()
    assert len({run.agreement_hash for run in runs if not run.ended}) == 2


@pytest.mark.slow
def test_serve_refuses_beside_another(shell: Shell, home: Path) -> None:
    with serve_lock(home) as free:
        assert free
        done = shell("serve", "--dir", home)
    assert (done.code, done.out) == (2, "")
    assert "another process serves" in done.err
    assert not (home / "address").exists()


def test_a_damaged_database_is_an_error_in_words(shell: Shell, home: Path) -> None:
    for path in home.glob("coordinator.db*"):
        path.unlink()
    (home / "coordinator.db").write_bytes(b"not a database " * 100)
    for words in (("run", "list"), ("run", "start"), ("partner", "list"), ("release", "show")):
        assert shell.refused(*words, "--dir", home, status=1)["code"] == "E-STORE"
