"""The documents are true: commands exist, links lead somewhere, the quick starts work."""

from __future__ import annotations

import ast
import csv
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
import pytest
import typer

import coordinator.cli
import partner_node.cli
import simulations.cli
from coordinator.runs.remedies import REMEDIES
from machine.accounts.roles import Permission, Role, may
from partner_node.config.data import DATA_KEYS, KEYS_OF_KIND
from partner_node.config.node_config import NodeConfig
from partner_node.config.transactions import TRANSACTION_KEYS
from partner_node.consent.gate import ConsentGate
from partner_node.consent.settings import NEEDED, OPTIONAL, ConsentSource
from partner_node.consent.verdicts import NO_FLAG
from partner_node.sources.day_forms import DATE_SIGNS
from partner_node.sources.kinds import KINDS, open_source
from partner_node.sources.servers import Server
from partner_node.sources.transactions import FEATURES
from protocol.agreement import governance
from protocol.errors import AgreementError
from tests.commands import child_of
from tests.partner_node.postgresql_server import Database, running_server

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
APPS = {
    "fedseg-node": partner_node.cli.app,
    "fedseg-coordinator": coordinator.cli.app,
    "fedseg-simulate": simulations.cli.app,
}


def commands_in(text: str) -> list[str]:
    """Command lines of fedseg in shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("fedseg-")]


def documented() -> list[tuple[str, str]]:
    return [
        (path.name, line)
        for path in DOCUMENTS
        for line in commands_in(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("document", "line"), documented())
def test_every_documented_command_is_taken_by_its_program(document: str, line: str) -> None:
    program, *words = shlex.split(line)
    command: click.Command = typer.main.get_command(APPS[program])
    path = []
    context = click.Context(command, info_name=program)
    while isinstance(command, click.Group):
        found = child_of(command, context, words[0])
        assert found is not None, f"{document}: {program} has no command {words[0]!r}"
        path.append(words.pop(0))
        command = found
        context = click.Context(command, info_name=path[-1], parent=context)
    options, _, _ = command.make_parser(context).parse_args(list(words))
    required = [p.name for p in command.params if p.required]
    missing = [name for name in required if not options.get(name or "")]
    assert not missing, f"{document}: {line} lacks {missing}"


@pytest.mark.slow
def test_the_evaluators_commands_can_be_given_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "quickstart-evaluator.md").read_text(encoding="utf-8")
    generate, *clusters, demo = commands_in(text.split("\n## ")[0])
    assert demo.startswith("fedseg-simulate demo ")  # tests/end_to_end runs what it calls
    monkeypatch.chdir(tmp_path)
    for line in (generate, *clusters):
        words = [
            found
            for word in shlex.split(line)
            for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
        ]
        monkeypatch.setattr("sys.argv", [*words])
        with pytest.raises(SystemExit) as ended:
            simulations.cli.main()
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        expected = ("note: delta is 0.00001, as a", "note: a simulation: the noise")
        assert all(n.startswith(expected) for n in re.findall("note:.*", said.err))
        if line in clusters:
            assert "customers of 3 partners, 5 features" in said.out


SOURCES = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
SOURCE_EXAMPLES = re.findall(r"```toml\n(.*?)```", SOURCES, flags=re.DOTALL)


@pytest.mark.parametrize("example", SOURCE_EXAMPLES)
def test_every_example_of_a_source_loads_and_opens(tmp_path: Path, example: str) -> None:
    (tmp_path / "features.sql").write_text("SELECT * FROM input", encoding="utf-8")
    text = NodeConfig.template(partner="north", address="c.example:1")
    before, rest = text.split("[data]\n")
    path = tmp_path / "node.toml"
    path.write_text(before + example + "\n[keys]" + rest.split("[keys]")[1], encoding="utf-8")
    config = NodeConfig.load(path)
    open_source(config.data, config.limits)
    if config.data.columns:
        assert set(config.data.columns.values()) <= {"total_spent", *FEATURES}


def test_every_kind_of_source_and_every_key_of_it_is_documented() -> None:
    kinds = {tomllib.loads(example)["data"]["kind"] for example in SOURCE_EXAMPLES}
    assert kinds == set(KINDS)
    table = SOURCES.split("## CSV")[0]
    for key in set(DATA_KEYS) - {"columns", "units", "transactions"}:
        assert f"`{key}`" in table, key
    for kind, keys in KEYS_OF_KIND.items():
        header, *lines = [line for line in table.splitlines() if line.startswith("|")]
        at = [cell.strip() for cell in header.split("|")].index(kind)
        taken = [line for line in lines[1:] if line.split("|")[at].strip()]
        named = set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in taken)))
        assert named == {*keys, "kind", "id_column", "query", "query_file", "chunk_rows"}


def test_the_page_on_adding_a_kind_of_source_names_files_that_there_are() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = page.split("## A kind of source")[1].split("\n## ")[0]
    places = [ROOT, *(ROOT / name for name in ("partner_node", "tests/partner_node"))]
    for name in re.findall(r"`([\w./<>]+\.(?:py|md|toml|txt))`", text):
        if name in ("kind.py", "dialect.py", "queries.py", "source.py", "errors.py"):
            paths = [ROOT / "partner_node" / "sources" / "mysql" / name]
        else:
            paths = [place / name.replace("<kind>", "mysql") for place in places]
        assert any(path.exists() for path in paths), name
    codes = {"-".join(("E-SOURCE", c)) for c in re.findall(r"`(?:E-SOURCE)?-([A-Z]+)`", text)}
    assert codes <= codes_in("partner_node/sources/**/*.py")


def test_every_key_of_transactions_is_documented() -> None:
    example = tomllib.loads(SOURCE_EXAMPLES[-1])["data"]["transactions"]
    assert {*example, "amount"} == set(TRANSACTION_KEYS)
    table = SOURCES.split("## Transactions")[1]
    for name in (*TRANSACTION_KEYS, *DATE_SIGNS):
        assert f"`{name}`" in table


def test_readme_shows_commands_of_all_three_programs() -> None:
    shown = {line.split()[0] for line in commands_in((ROOT / "README.md").read_text())}
    assert shown == set(APPS)


def test_the_readme_is_short_and_shows_what_comes_out() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 600
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")


CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "index.md" or f"]({path.name})" in index, path.name
    readers = re.findall(r"(?m)^\*\*(.+?)\*\*", index)
    assert len(readers) == len(set(readers))


def test_decisions_are_numbered_one_after_the_other() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_no_change_stands_in_the_changelog_twice() -> None:
    entries = [line[:60] for line in CHANGELOG.splitlines() if line.startswith("- ")]
    assert len(entries) == len(set(entries))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_to_files(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


DOCUMENTS_ON_EXACT_TOTALS = [
    "README.md", "docs/guarantees.md", "docs/privacy.md", "protocol/SPEC.md"
]  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS_ON_EXACT_TOTALS)
def test_documents_say_that_exact_totals_let_everybody_compute_single_customers(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").lower()
    said = "the coordinator and every partner can (then )?compute single customers' values"
    assert re.search(said, text) is not None


@pytest.mark.parametrize("name", ["README.md", "docs/guarantees.md", "docs/privacy.md"])
def test_whoever_says_that_all_is_noised_says_that_thresholds_are_exact(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    (said,) = re.findall(
        r"(?:Everything|What|All) (?:that )?[^.]*is differentially private.*", text
    )
    after = text[text.index(said) :]
    promise = after[: after.index("\n\n")] if name == "docs/privacy.md" else said
    assert "whether a node answers at all" in promise or "whether it answers at all" in promise
    assert "#what-is-not-promised" in promise


def test_what_hides_a_change_at_a_node_put_back_within_a_round_is_said() -> None:
    """That it is so: tests/protocol/test_noise_in_rounds.py."""
    text = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    assert "the difference of this node's own two shares of noise alone" in text


def test_the_readme_says_that_exact_totals_are_not_anonymous() -> None:
    assert "exact totals: not anonymous" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_code_with_a_way_out_is_in_the_operators_table() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"(?m)^\| (E-[A-Z-]+) \|", text))
    assert set(REMEDIES) <= listed


@pytest.mark.parametrize("reader", ["operator", "evaluator"])
def test_quick_starts_say_which_runs_may_differ_and_numbers_belong_to_a_release(
    reader: str,
) -> None:
    part = (ROOT / "docs" / f"quickstart-{reader}.md").read_text(encoding="utf-8")
    for words in ("local optim", "draws its start", "from the last release"):
        assert words in part


def test_the_changelog_has_an_entry_for_the_version_that_is_built() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_pinned_versions_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "--" not in text
    assert all("==" in line for line in text.splitlines() if line and not line.startswith("#"))


def test_ci_calls_the_test_command_of_the_readme() -> None:
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("exec make test")


# --- docs/consent.md -----------------------------------------------------------------------------

CONSENT = (ROOT / "docs" / "consent.md").read_text(encoding="utf-8")
#: Heading, sample table, who may be counted, TOML.
EXAMPLES = re.findall(
    r"### ([^\n]+)\n.*?```(?:csv|json)\n(.*?)```\n\nMay be counted on 1 March 2026: ([^.]*?)[.,]?"
    r"(?:\.| and).*?```toml\n(.*?)```",
    CONSENT,
    flags=re.DOTALL,
)
FIRST_OF_MARCH = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_every_configuration_in_the_document_on_consent_is_tried() -> None:
    assert len(EXAMPLES) == CONSENT.count("```toml") == 5


@pytest.mark.parametrize(
    ("sample", "counted", "toml"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_examples_of_consent_sources_load_and_count_whom_they_say(
    tmp_path: Path, request: pytest.FixtureRequest, sample: str, counted: str, toml: str
) -> None:
    whole = next(example[3] for example in EXAMPLES if "[node]" in example[3])
    text = toml if "[node]" in toml else whole.split("[[consent.sources]]")[0] + toml
    text += "" if "[keys]" in toml else '[keys]\npassphrase_env = "FEDSEG_PASSPHRASE"\n'
    (tmp_path / "node.toml").write_text(text, encoding="utf-8")
    config = NodeConfig.load(tmp_path / "node.toml").consent
    (source,) = config.sources
    at = FIRST_OF_MARCH.timestamp() - 3_600
    if isinstance(source.place, Server):
        source = _in_a_server(source, sample, request.getfixturevalue("postgresql"))
    else:
        for path in filter(None, (Path(source.place.name), source.heartbeat)):
            path.write_text(sample, encoding="utf-8")
            os.utime(path, (at, at))
    by_consent = source.holds == "consents"
    gate = ConsentGate(
        [source],
        basis=governance.CONSENT if by_consent else governance.LEGITIMATE_INTEREST,
        purpose=governance.SEGMENTATION,
        notices=config.notices,
        max_age=timedelta(hours=2),
        children_under=16,
        youngest_customer=18,
        left_out=frozenset,
    )
    ids = sorted(set(re.findall(r"C-\d+", sample)))
    allowed = gate.snapshot(FIRST_OF_MARCH).allowed(np.array(ids, dtype=object))
    assert [i for i, one in zip(ids, allowed, strict=True) if one] == re.findall(r"C-\d+", counted)


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with running_server(tmp_path_factory.mktemp("postgresql")) as database:
        yield database


def _in_a_server(source: ConsentSource, sample: str, database: Database) -> ConsentSource:
    """The source at a server of our own, with the sample as its table, times with a zone."""
    header, *lines = csv.reader(sample.splitlines())
    columns = ", ".join(f"{n} {'timestamptz' if n.endswith('_at') else 'text'}" for n in header)
    table = ".".join(source.table)
    database.run(f"CREATE SCHEMA {source.table[0]};; CREATE TABLE {table} ({columns})")
    for line in lines:
        values = ", ".join(f"'{value}'" if value else "NULL" for value in line)
        database.run(f"INSERT INTO {table} VALUES ({values})")
    return replace(source, place=database.server)


def test_every_refusal_of_the_consent_gate_is_in_the_documents() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "partner_node" / "consent").glob("*.py")
        if path.stem not in ("count", "words")  # refusals of an answer, not of the gate
    )
    features = "".join(
        (ROOT / "partner_node" / "columns" / f"{name}.py").read_text(encoding="utf-8")
        for name in ("agreed", "excluded")
    )
    operating = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    codes = set(re.findall(r'"(E-[A-Z-]+)"', sources))
    assert len(codes) == 6
    for code in codes:
        assert code in CONSENT
        assert f"| {code} |" in operating
    others = set(re.findall(r'"(E-[A-Z-]+)"', features)) - codes
    assert len(others) == 3
    for code in others:
        assert f"`{code}`" in (ROOT / "docs" / "sources.md").read_text(encoding="utf-8") or (
            code == "E-FEATURE-UNLISTED"
        )
        assert f"| {code} |" in operating


def test_every_event_flag_and_rule_is_in_the_document_on_consent() -> None:
    for word in ("ConsentGiven", "RenewedConsentGiven"):
        assert f"`{word}`" in CONSENT
    for flag in filter(None, NO_FLAG):
        assert f"`{flag}`" in CONSENT
    for part in (*NEEDED, *OPTIONAL):
        assert f"| `{part}` |" in CONSENT


# --- docs/errors.md ------------------------------------------------------------------------------

ERRORS = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
#: Code, when, what to do, test, what the coordinator sees.
CHECKS = re.findall(r"(?m)^\| (E-[A-Z-]+) \| (.+?) \| (.+?) \| `(.+?)` \| (.+?) \|$", ERRORS)
#: A code of other people's lists, and the test of what is done here.
NOT_OURS = re.findall(r"(?m)^\| (E-[A-Z-]+) \| [^|]+ \| `([^`|]+)` \|$", ERRORS)
CHECKING = (
    "protocol/agreement/document.py", "protocol/agreement/stop.py", "protocol/agreement_rules.py",
    "protocol/signed_agreement.py", "protocol/privacy/ledger.py", "partner_node/columns/*.py",
    "partner_node/segments/retention.py", "partner_node/node.py", "partner_node/consent/*.py",
    "partner_node/egress/*.py",
)  # fmt: skip
#: In `node.py`, but no check of what was agreed: the request is for no run, or an answer failed.
OTHERWISE = {"E-RUN-OTHER", "E-SOURCE"}


def codes_in(*patterns: str) -> set[str]:
    """Codes that stand in the sources."""
    found: set[str] = set()
    for pattern in patterns:
        paths = list(ROOT.glob(pattern))
        assert paths, pattern
        for path in paths:
            found.update(re.findall(r'"(E-[A-Z]+(?:-[A-Z]+)*)"', path.read_text(encoding="utf-8")))
    return found


STORE_CODES = {c for c in codes_in("coordinator/store/**/*.py") if c.startswith("E-STORE-")}


def test_every_code_of_the_coordinators_store_is_in_both_tables() -> None:
    operating = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    assert len(STORE_CODES) > 8
    assert {code for code, *_ in CHECKS} >= STORE_CODES
    assert {code for code in STORE_CODES if f"| {code} |" in operating} == STORE_CODES


def test_every_check_of_a_node_is_in_the_table_of_errors_once() -> None:
    rows = [line for line in ERRORS.splitlines() if line.startswith("| E-")]
    assert len(rows) == len(CHECKS) + len(NOT_OURS)
    codes = [code for code, *_ in CHECKS]
    assert len(codes) == len(set(codes))
    checked = (codes_in(*CHECKING) | {AgreementError.default_code}) - OTHERWISE
    assert len(checked) > 30
    assert checked <= set(codes), checked - set(codes)


def test_the_table_of_errors_names_no_code_that_is_not_raised() -> None:
    raised = codes_in(*(f"{package}/**/*.py" for package in ("protocol", "partner_node")))
    raised_here = codes_in("coordinator/agreement_file.py") | STORE_CODES
    assert {code for code, *_ in CHECKS} <= raised | raised_here
    assert {code for code, _ in NOT_OURS} == {"E-SEGMENT-SMALL", "E-DP-UNIT", "E-ROUNDS"}
    assert not {code for code, _ in NOT_OURS} & raised


@pytest.mark.parametrize(
    ("code", "test"),
    [(code, test) for code, _, _, test, _ in CHECKS] + [("", test) for _, test in NOT_OURS],
)
def test_every_test_in_the_table_of_errors_is_there_and_about_its_code(
    code: str, test: str
) -> None:
    file, name = test.split("::")
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    defined = [n.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    assert defined.count(name) == 1
    assert re.search(rf"{code}(?![A-Z-])", text)


def test_the_table_of_errors_says_what_the_coordinator_sees() -> None:
    for code, _, _, _, seen in CHECKS:
        assert re.fullmatch(r"nothing|the code(; with noise E-SOURCE( for [a-z ]+)?)?", seen), code


def test_the_table_of_roles_is_the_one_that_is_asked() -> None:
    text = (ROOT / "docs" / "console.md").read_text(encoding="utf-8")
    lines = text.split("| may |")[1].split("\n\n")[0].splitlines()
    roles = [Role(cell.strip().replace(" ", "-")) for cell in lines[0].strip("|").split("|")]
    said = {}
    for line in lines[2:]:
        permission, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        said[Permission(permission)] = [cell == "yes" for cell in cells]
    assert said == {p: [may(role, p) for role in roles] for p in Permission}


# --- docs/codes.md -------------------------------------------------------------------------------

#: Only an example in a doctest.
NOBODYS = {"E-NOBODY-KNOWS"}


def test_every_code_stands_in_a_table() -> None:
    packages = ("machine", "protocol", "partner_node", "coordinator", "simulations")
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "protocol" / "SPEC.md"]
    rows = (line for page in pages for line in page.read_text(encoding="utf-8").splitlines())
    told = {
        code
        for row in rows
        if row.startswith("|")
        for code in re.findall(r"E-[A-Z]+(?:-[A-Z]+)*", row.split("|")[1])
    }
    codes = codes_in(*(f"{package}/**/*.py" for package in packages)) - NOBODYS
    assert len(codes) > 150
    assert not codes - told
