"""The console of a node: pages say what commands print, and people decide about what waits."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.site import Site
from partner_node.config.node_config import NodeConfig
from partner_node.console.site import node_site
from partner_node.home import NodeHome
from protocol.errors import ConfigError
from tests.machine.browsing import HOSTS
from tests.partner_node.consoles import accounts, cheap_keys, person, site
from tests.partner_node.held import installed, node, shell, waiting
from tests.partner_node.nodes import successor
from tests.partner_node.test_access import path_of
from tests.partner_node.test_node_cli import PRIVACY, after_a_run
from tests.shell import Shell

__all__ = ["accounts", "cheap_keys", "installed", "node", "shell", "site", "waiting"]

#: Pages, and the commands that print the same values.
SAME = {
    "/health.json": ["status"],
    "/egress.json": ["egress", "list"],
    "/egress/3.json": ["egress", "show", "3"],
    "/agreements/ours.json": ["agreement", "show"],
    "/budget.json": ["budget", "cap"],
    "/log.json": ["user", "log"],
    "/duties.json": ["compliance", "status"],
    "/requests.json": ["rights", "list"],
    "/files.json": ["retention", "list"],
}


@pytest.mark.parametrize("path", SAME)
def test_a_page_has_the_values_that_a_command_prints(
    shell: Shell, waiting: Path, site: Site, path: str
) -> None:
    printed = shell(*SAME[path], "--dir", waiting, "--format", "json").envelope
    found = person(site, Role.AUDITOR).get(path)
    assert found.json() == printed


def test_health_says_whether_a_process_serves(site: Site, waiting: Path) -> None:
    rita = person(site, Role.AUDITOR)
    assert "No process serves this node" in rita.get("/health").text
    with NodeHome.load(waiting).serving():
        text = rita.get("/health").text
        assert rita.get("/health.json").json()["data"]["serving"] is True
    assert "This node serves." in text
    assert "Run the checks" not in text
    assert "In force: agreement ours, version 1" in text


def test_a_look_at_the_lock_keeps_no_node_from_serving(waiting: Path) -> None:
    home = NodeHome.load(waiting)
    entered, leave = threading.Event(), threading.Event()

    def look() -> None:
        from machine.locks import held

        with held(waiting / "state" / "serve.lock") as ours:
            assert ours
            entered.set()
            leave.wait(10)

    (waiting / "state").mkdir(exist_ok=True)
    looking = threading.Thread(target=look)
    looking.start()
    entered.wait(10)
    threading.Timer(0.1, leave.set).start()
    with home.serving():
        looking.join(10)
        assert home.is_served()


def test_whoever_may_approves_and_is_on_record(site: Site, waiting: Path, shell: Shell) -> None:
    anna = person(site, Role.APPROVER, "anna.berg")
    page = anna.get("/approvals").text
    for words in ("Message 3 waits", "Approve message 3", "own customers counted", "exact sums"):
        assert words in page, words
    answer = anna.send("/approvals/approve", page="/approvals", number="3")
    assert (answer.status_code, answer.headers["location"]) == (303, "/egress/3")
    shown = anna.get("/egress/3")
    assert "approved" in shown.text
    assert "by anna.berg" in shown.text
    again = anna.send("/approvals/refuse", page="/health", number="3")
    assert (again.status_code, "E-EGRESS-DECIDED" in again.text) == (409, True)
    (held,) = shell.json("egress", "list", "--dir", waiting)["held"]
    assert (held["state"], held["decided_by"]) == ("approved", "anna.berg")
    acts = [a for a in shell.json("user", "log", "--dir", waiting)["acts"] if a["about"] == "3"]
    assert [(a["who"], a["act"], a["about"], a["outcome"]) for a in acts][:2] == [
        ("anna.berg", "egress approve", "3", "begun"), ("anna.berg", "egress approve", "3", "done"),
    ]  # fmt: skip


def test_a_refusal_stays(site: Site) -> None:
    dora = person(site, Role.DATA_PROTECTION_OFFICER)
    dora.send("/approvals/refuse", page="/approvals", number="3")
    assert "refused" in dora.get("/egress/3").text
    assert "waits</h2>" not in dora.get("/approvals").text


def test_whoever_only_reads_sees_what_waits_and_no_button(site: Site) -> None:
    page = person(site, Role.AUDITOR).get("/approvals").text
    assert "Message 3 waits" in page
    assert "Your role may not decide" in page
    assert "<button" not in page.split("<main")[1]


def test_a_form_that_names_no_message_decides_nothing(site: Site) -> None:
    anna = person(site, Role.APPROVER)
    for number in ("", "x", "-1", "1" * 30, "3 "):
        answer = anna.send("/approvals/approve", page="/approvals", number=number)
        assert (answer.status_code, "E-FORM" in answer.text) == (400, True)
    assert "Message 3 waits" in anna.get("/approvals").text


def test_commands_note_who_decides_too(shell: Shell, waiting: Path) -> None:
    shell.json("egress", "approve", "3", "--dir", waiting)
    (held,) = shell.json("egress", "list", "--dir", waiting)["held"]
    assert held["decided_by"].endswith("(at the machine)")
    assert "by " in shell("egress", "show", "3", "--dir", waiting).out
    assert [
        (a["act"], a["outcome"]) for a in shell.json("user", "log", "--dir", waiting)["acts"]
    ] == [
        ("agreement sign", "begun"), ("agreement sign", "done"),
        ("agreement install", "begun"), ("agreement install", "done"),
        ("egress approve", "begun"), ("egress approve", "done"),
    ]  # fmt: skip


def test_opening_a_page_reads_no_customers_and_the_checks_do(
    site: Site, waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    own = NodeHome.customers

    def counted(home: NodeHome, *words: Any, **named: Any) -> Any:
        opened.append(home)
        return own(home, *words, **named)

    monkeypatch.setattr(NodeHome, "customers", counted)
    who = person(site, Role.OPERATOR)
    auditor = person(site, Role.AUDITOR)
    for page in site.pages:
        path = path_of(page.path)
        who.get(path)
        auditor.get(path)
    assert opened == []
    for path, page, words in (
        ("/checks", "/health", "Preflight"), ("/consent/count", "/consent", "may be counted"),
    ):  # fmt: skip
        answer = who.send(path, page=page, id="ours")
        assert answer.status_code == 200, answer.text
        assert words in answer.text
        assert opened != []
        opened.clear()


def test_an_agreement_is_in_plain_words_with_who_signed(site: Site) -> None:
    rita = person(site, Role.AUDITOR)
    assert 'href="/agreements/ours"' in rita.get("/agreements").text
    page = rita.get("/agreements/ours").text
    for words in ("READ THIS FIRST", "Signed by everyone", "at this node", "[red]Other[/red]"):
        assert words in page, words
    assert "\ue000" not in page
    assert rita.get("/agreements/theirs").status_code == 404


def test_a_marketer_has_segments_and_own_customers_in_ranges_when_asked(
    accounts: Accounts, waiting: Path, shell: Shell
) -> None:
    release = after_a_run(waiting, [1.0, 2.0])
    site = node_site(NodeHome.load(waiting), hosts=HOSTS, accounts=accounts)
    mia = person(site, Role.MARKETER)
    assert release.hash.hex() in mia.get("/segments").text
    printed = shell.json("segments", "list", "--dir", waiting)
    assert mia.get("/segments.json").json()["data"] == {"releases": [printed]}
    answer = mia.send("/segments/reach", page="/segments", id="ours")
    assert answer.status_code == 200, answer.text
    assert "told in ranges of" in answer.text
    assert "Count own customers" not in person(site, Role.AUDITOR).get("/segments").text


def test_the_budget_of_an_agreement_with_noise_is_a_gauge(
    site: Site, waiting: Path, shell: Shell, tmp_path: Path
) -> None:
    plan = {"name": "lloyd-dp", "max_rounds": 4}
    (tmp_path / "next.json").write_bytes(successor(waiting, privacy=PRIVACY, plan=plan))
    shell.json("agreement", "install", "next.json", "--dir", waiting)
    rita = person(site, Role.AUDITOR)
    page = rita.get("/budget").text
    assert '<meter min="0" max=' in page
    assert "is spent; runs left:" in page
    assert "Part of the budget of ours that is spent" in page
    printed = shell.json("budget", "show", "--dir", waiting)
    assert rita.get("/budget/ours.json").json()["data"] == printed


def test_a_node_without_a_release_says_so_to_the_marketer(site: Site) -> None:
    assert "no release yet" in person(site, Role.MARKETER).get("/segments").text


# --- configuration and process -------------------------------------------------------------------


def config_with(tmp_path: Path, lines: str) -> NodeConfig:
    text = NodeConfig.template(partner="north", address="c.example:1")
    path = tmp_path / "node.toml"
    path.write_text(text.replace("[console]\n", f"[console]\n{lines}\n"))
    return NodeConfig.load(path)


def test_the_console_is_on_this_machine_alone_unless_there_is_a_certificate(
    tmp_path: Path,
) -> None:
    console = config_with(tmp_path, "").console
    assert (console.host, console.port, console.secure) == ("127.0.0.1", 8321, False)
    assert config_with(tmp_path, 'host = "::1"\nport = 0').console.port == 0
    for host in ("0.0.0.0", "node.example", "10.0.0.5"):  # noqa: S104
        with pytest.raises(ConfigError, match="others may reach"):
            config_with(tmp_path, f'host = "{host}"')
    with pytest.raises(ConfigError, match=r"tls\] key is missing"):
        config_with(tmp_path, 'tls = { certificate = "c.crt" }')
    both = 'host = "0.0.0.0"\ntls = { certificate = "c.crt", key = "c.key" }\nnames = ["n.example"]'
    console = config_with(tmp_path, both).console
    assert (console.secure, console.certificate) == (True, tmp_path / "c.crt")


def test_an_identity_provider_is_reached_by_tls(tmp_path: Path) -> None:
    assert config_with(tmp_path, "").oidc is None
    lines = (
        'issuer = "https://login.example/a", client_id = "node", client_secret_file = "keys/oidc"'
    )
    more = 'name = "Staff login", acr_values = ["mfa"], authority = "ca.pem"'
    found = config_with(tmp_path, f"oidc = {{ {lines}, {more} }}").oidc
    assert found is not None
    assert (found.issuer, found.client_id) == ("https://login.example/a", "node")
    assert (found.label, found.acr_values) == ("Staff login", ("mfa",))
    assert found.client_secret_file == tmp_path / "keys" / "oidc"
    assert found.authority == tmp_path / "ca.pem"
    plain = config_with(
        tmp_path, 'oidc = { issuer = "https://login.example", client_id = "n" }'
    ).oidc
    assert plain is not None
    assert (plain.label, plain.client_secret_file, plain.acr_values) == ("login.example", None, ())
    for wrong, words in (
        ('{ issuer = "http://login.example", client_id = "n" }', "reached by TLS"),
        ('{ issuer = "https://login.example" }', "client_id is missing"),
        ('{ issuer = "https://login.example", client_id = "n", secret = "s" }', "unknown key"),
    ):
        with pytest.raises(ConfigError, match=words):
            config_with(tmp_path, f"oidc = {wrong}")


@pytest.mark.slow
def test_the_command_serves_until_it_is_ended(installed: Path) -> None:
    file = installed / "node.toml"
    file.write_text(file.read_text().replace("# port = 8321", "port = 0"))
    process = subprocess.Popen(
        [sys.executable, "-c", "from partner_node.cli import main; main()", "console", "--dir",
         str(installed), "--log-format", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        import httpx

        assert process.stderr is not None
        url = json.loads(process.stderr.readline())["message"].removeprefix("Console: ")
        page = httpx.get(f"{url}sign-in", timeout=10)
        assert "fedseg-node user add" in page.text
    finally:
        process.terminate()
        text, errors = process.communicate(timeout=20)
    assert (process.returncode, text) == (0, ""), errors
    lines = [json.loads(line)["message"] for line in errors.splitlines()]
    assert any("GET /sign-in 200" in line for line in lines)
    assert errors.count("Traceback") == 0
