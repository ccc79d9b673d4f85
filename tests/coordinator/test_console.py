"""The coordinator's console: pages say what commands print, and people act as by commands."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.config import CoordinatorConfig
from coordinator.control.announcements import CHECK
from coordinator.report import released
from coordinator.report.released import views_in
from coordinator.runs.life import serve_lock
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from coordinator.store.hand_overs import KeptHandOvers
from coordinator.store.records import RunRow
from machine.accounts.roles import Role
from protocol.agreement.diligence import DiligenceRecord
from protocol.agreement.document import time_text
from protocol.agreement.hand_over import HandOver
from protocol.coordinator_round import Phase
from protocol.errors import ConfigError
from protocol.log.entries import Entry
from protocol.release.view import ReleaseView
from protocol.signing import key_id
from tests.coordinator.consoles import (
    CANARY_COUNT,
    CANARY_SPENT,
    World,
    customers,
    fresh,
    person,
    world,
)
from tests.coordinator.test_coordinator_cli import shell
from tests.shell import Shell

__all__ = ["fresh", "shell", "world"]

#: Pages, and the commands that print the same values.
SAME = {
    "/runs": ["run", "list"],
    "/runs/{run}": ["run", "show", "{run}"],
    "/plan/{id}": ["run", "plan", "--agreement", "ours"],
    "/partners": ["partner", "list"],
    "/diligence": ["partner", "diligence", "list"],
    "/keys": ["key", "show"],
    "/agreements": ["agreement", "list"],
    "/agreements/{hash}": ["agreement", "show", "ours"],
    "/releases": ["release", "list"],
    "/releases/{run}": ["release", "show", "{run}"],
    "/schedule": ["run", "schedule", "--count", "10"],
    "/log": ["user", "log"],
    "/duties": ["compliance", "status"],
}


@pytest.mark.parametrize("pattern", SAME)
def test_a_page_has_the_values_that_a_command_prints(
    shell: Shell, world: World, pattern: str
) -> None:
    words = [word.replace("{run}", world.finished) for word in SAME[pattern]]
    rita = person(world.site, Role.AUDITOR)
    printed = shell(*words, "--dir", world.directory, "--format", "json").envelope
    found = rita.get(f"{world.path(pattern)}.json").json()
    assert found == printed


def test_a_figure_has_one_form_on_the_page_of_a_release(world: World) -> None:
    page = person(world.site, Role.AUDITOR).get(world.path("/releases/{run}")).text
    text = html.unescape(re.sub(r"<[^>]*>", " ", page))
    assert re.findall(r"\d%", text) == []
    told = re.findall(r"customers, ([^ \n]+)", text)
    shares = [share for share in told if "%" in share]
    assert shares and all("\xa0%" in share and share.endswith("\xa0·\xa0new") for share in shares)


def test_every_page_but_the_budget_is_a_commands(world: World) -> None:
    assert {page.path for page in world.site.pages} == {*SAME, "/budget"}


def test_a_run_that_goes_on_says_who_is_missing_since_when_and_what_comes_next(
    world: World,
) -> None:
    oscar = person(world.site, Role.OPERATOR)
    page = oscar.get(f"/runs/{world.running}").text
    words = " ".join(page.split())
    for said in (
        "2 of 3 partners have answered", "It has waited for", "the run goes on without",
        "missing for", "answered", "no process serves this coordinator",
    ):  # fmt: skip
        assert said in words, said
    assert 'hx-trigger="every 2s"' in page
    with serve_lock(world.directory):
        assert "no process serves" not in oscar.get(f"/runs/{world.running}").text
    assert 'hx-trigger="every 5s"' in oscar.get("/runs").text


def test_all_runs_are_read_once_for_their_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many agreements there are, as it renews itself every few seconds."""
    read, real = [], CoordinatorStore.runs

    def counted(store: CoordinatorStore) -> list[RunRow]:
        read.append(store)
        return real(store)

    monkeypatch.setattr(CoordinatorStore, "runs", counted)
    assert world.finished in person(world.site, Role.OPERATOR).get("/runs").text
    assert len(read) == 1


def test_a_run_that_failed_says_why_and_the_way_out_and_renews_itself_no_more(
    world: World,
) -> None:
    page = person(world.site, Role.OPERATOR).get(f"/runs/{world.failed}").text
    for said in (
        "E-SET-QUORUM",
        "shop &lt;i&gt;2&lt;/i&gt; did not answer",
        "Way out: bring it back",
    ):
        assert said in page, said
    assert "hx-trigger" not in page


def test_a_run_that_finished_lists_its_rounds_and_leads_to_its_release(world: World) -> None:
    oscar = person(world.site, Role.OPERATOR)
    page = oscar.get(f"/runs/{world.finished}").text
    assert f'href="/releases/{world.finished}"' in page
    data = oscar.get(f"/runs/{world.finished}.json").json()["data"]
    assert [one["round"] for one in data["rounds"]] == list(range(1, len(data["rounds"]) + 1))
    assert len(data["rounds"]) > 1
    assert "Rounds</caption>" in page
    dora = person(world.site, Role.APPROVER)
    assert "/releases/" not in dora.get(f"/runs/{world.finished}").text


def test_a_release_has_cards_and_plots_that_the_policy_lets_a_browser_show(world: World) -> None:
    page = person(world.site, Role.MARKETER).get(f"/releases/{world.finished}").text
    assert page.count('<article class="card">') == 2
    assert page.count("<figure") >= 4
    assert "<svg" in page
    assert "Privacy: differentially private" in page
    assert "style=" not in page
    assert "&lt;svg" not in page
    assert f'href="/runs/{world.finished}"' not in page, "marketers may read no runs"
    page = person(world.site, Role.AUDITOR).get(f"/releases/{world.finished}").text
    assert f'href="/runs/{world.finished}"' in page


def test_an_agreement_is_in_plain_words_with_who_signed_and_who_is_missing(world: World) -> None:
    rita = person(world.site, Role.AUDITOR)
    listed = rita.get("/agreements").text
    ours, proposed = world.ours.hash.hex(), world.proposed.agreement.hash.hex()
    assert {f'href="/agreements/{ours}"', f'href="/agreements/{proposed}"'} <= set(
        re.findall(r'href="/agreements/\w+"', listed)
    )
    page = rita.get(f"/agreements/{ours}").text
    for words in ("READ THIS FIRST", "Signed by everyone: mid, north, south", "Never used"):
        assert words in page, words
    page = rita.get(f"/agreements/{proposed}").text
    for words in (
        "Not signed yet by: mid, south.", "Declined by: south.", "min_segment_size",
        "not &lt;b&gt;so&lt;/b&gt; small",
    ):  # fmt: skip
        assert words in page, words


def test_partners_are_shown_as_they_stand_with_codes_and_diligence(world: World) -> None:
    page = person(world.site, Role.AUDITOR).get("/partners").text
    for words in (
        "waits for its code", world.code("west"), "invited, until", "E-CONSENT-STALE", "PASSED",
        "0.1.0", "holds until",
    ):  # fmt: skip
        assert words in page, words
    assert "Admit a partner" not in page
    assert "Anna Berg" in person(world.site, Role.AUDITOR).get("/diligence").text


def test_the_budget_is_a_gauge(world: World) -> None:
    rita = person(world.site, Role.AUDITOR)
    page = rita.get("/budget").text
    assert '<meter min="0" max=' in page
    assert "is spent at most" in page
    rows = rita.get("/budget.json").json()["data"]["budgets"]
    assert [row["budget"] is None for row in rows if row["agreement"] == "ours"] == [True]
    assert sum(row["budget"] is not None for row in rows) == 1


def test_whatever_is_not_there_is_not_found(world: World) -> None:
    rita = person(world.site, Role.AUDITOR)
    for path in (
        f"/runs/{'ab' * 16}", "/runs/x", f"/releases/{world.failed}", "/releases/0",
        "/agreements/zz", f"/agreements/{'00' * 32}", "/plan/theirs",
    ):  # fmt: skip
        assert rita.get(path).status_code == 404, path
        assert rita.get(f"{path}.json").status_code == 404, path


def test_no_page_has_what_one_partner_alone_knows(world: World) -> None:
    """Counts, sums and values of one partner, however a number is written."""
    (*_, own) = customers()
    sums = [CANARY_COUNT, CANARY_SPENT, *own.sum(axis=0), *own.mean(axis=0), *np.square(own).sum(0)]
    canaries = {
        text
        for value in sums
        for text in (f"{value:.0f}", f"{value:,.0f}", f"{value:.2f}", f"{value:.4g}")
        if len(text.replace(",", "").replace(".", "")) >= 3
    }
    people = [person(world.site, role) for role in Role]
    seen = 0
    for page in world.site.pages:
        for path in {world.path(page.path), page.path.replace("{run}", world.running)}:
            for who in people:
                for end in ("", ".json"):
                    text = re.sub(r"<svg.*?</svg>", "", who.get(path + end).text, flags=re.S)
                    numbers = set(re.findall(r"(?<![\w.,])\d[\d,.]*\d(?![\w])", text))
                    assert not numbers & canaries, (path, numbers & canaries)
                    seen += len(numbers)
    assert seen > 100, "numbers are found where there are some"


# --- acts ----------------------------------------------------------------------------------------


def outcomes(world: World) -> list[tuple[str, str, str, str]]:
    return [(a.who, a.act, a.about, a.outcome) for a in world.accounts.acts.all()]


def test_a_run_is_started_and_stopped_by_whoever_may(fresh: World, shell: Shell) -> None:
    oscar = person(fresh.site, Role.OPERATOR, "oscar")
    answer = oscar.send("/runs/start", page="/runs", id="ours", without="")
    assert answer.status_code == 303, answer.text
    (row,) = fresh.store.runs()
    run = row.run_id.hex()
    assert answer.headers["location"] == f"/runs/{run}"
    assert "it has been asked for" in oscar.get(f"/runs/{run}").text.lower()
    again = oscar.send("/runs/start", page="/runs", id="ours")
    assert (again.status_code, "E-RUN-ACTIVE" in again.text) == (400, True)
    dora = person(fresh.site, Role.DATA_PROTECTION_OFFICER, "dora")
    assert dora.send("/runs/stop", page=f"/runs/{run}", run=run).status_code == 303
    assert fresh.store.run(row.run_id).code == "E-STOPPED"
    assert "E-STOPPED" in shell("run", "list", "--dir", fresh.directory).out
    twice = dora.send("/runs/stop", page=f"/runs/{run}", run=run)
    assert (twice.status_code, "has ended already" in twice.text) == (400, True)
    assert outcomes(fresh) == [
        ("oscar", "run start", "ours", "begun"), ("oscar", "run start", "ours", "done"),
        ("oscar", "run start", "ours", "begun"), ("oscar", "run start", "ours", "E-RUN-ACTIVE"),
        ("dora", "run stop", run, "begun"), ("dora", "run stop", run, "done"),
        ("dora", "run stop", run, "begun"), ("dora", "run stop", run, "E-USAGE"),
    ]  # fmt: skip


def test_commands_note_who_acts_too(fresh: World, shell: Shell) -> None:
    where = ("--dir", fresh.directory)
    shell.json("run", "start", "--agreement", "ours", *where)
    run = shell.json("run", "list", *where)["runs"][0]["run_id"]
    shell.json("run", "stop", *where)
    assert shell("run", "stop", *where).code == 2
    shell.json("run", "schedule", "--pause", "--reason", "audit", *where)
    shell.json("run", "schedule", "--resume", "--reason", "done", *where)
    code = fresh.code("west")
    shell.json("partner", "admit", "--code", code, *where)
    shell.json("partner", "check", "west", *where)
    shell.json("partner", "remove", "west", *where)
    found = [one for one in outcomes(fresh) if one[3] != "begun"]
    assert {who.endswith("(at the machine)") for who, *_ in found} == {True}
    assert [one[1:] for one in found] == [
        ("run start", "ours", "done"), ("run stop", run, "done"), ("run stop", run, "E-USAGE"),
        ("schedule pause", "ours", "done"), ("schedule resume", "ours", "done"),
        ("partner admit", code, "done"), ("partner check", "west", "done"),
        ("partner remove", "west", "done"),
    ]  # fmt: skip


def test_keys_that_were_handed_over_are_on_every_page_that_they_concern(
    fresh: World, shell: Shell
) -> None:
    rita = person(fresh.site, Role.AUDITOR)
    hash = fresh.ours.hash.hex()
    assert "No key was handed over" in rita.get("/keys").text
    assert "handed over" not in rita.get("/partners").text.partition("which were handed over")[0]
    assert rita.get(f"/agreements/{hash}.json").json()["data"]["hand_overs"] == []
    one = HandOver.make(
        fresh.nodes["north"].keystore.identity, Ed25519PrivateKey.generate(), partner="north",
        number=1, at="2026-11-30T10:00:00Z",
    )  # fmt: skip
    with fresh.store.transaction():
        KeptHandOvers(fresh.store).take([one], now=datetime.now(UTC))
    short = key_id(one.new_key)[:16]
    for page in ("/keys", f"/agreements/{hash}"):
        assert short in rita.get(page).text.replace("\n", ""), page
        (found,) = rita.get(f"{page}.json").json()["data"]["hand_overs"]
        assert (found["partner"], found["new_key"]) == ("north", key_id(one.new_key))
    assert "north handed its signing key over" in rita.get("/partners").text
    listed = rita.get("/partners.json").json()["data"]["partners"]
    handed = {line["partner"]: line["key_handed_over_at"] for line in listed}
    assert (handed["north"], handed["mid"]) == (one.at, None)
    assert {line["partner"]: line["diligence_until"] for line in listed}["north"], "it follows"
    rotated = shell.json("key", "rotate", "--dir", fresh.directory)
    own = rita.get("/keys.json").json()["data"]
    assert own["key"] == rotated["new_key"], "the console began under the key before"
    assert own == shell.json("key", "show", "--dir", fresh.directory)


def test_a_record_of_another_key_does_not_hold(fresh: World) -> None:
    rita = person(fresh.site, Role.AUDITOR)
    assert rita.get("/diligence.json").json()["data"]["records"][0]["holds"]
    now = datetime.now(UTC)
    values = {
        "partner": "north", "public_key": fresh.nodes["mid"].card.public_key.hex(),
        "checked": "its register", "by": "Anna Berg", "documents": [], "at": time_text(now),
        "expires": time_text(now + timedelta(days=30)),
    }  # fmt: skip
    signed = DiligenceRecord.sign(values, fresh.config.signing_key())
    Diligence(fresh.store).add(signed, now=now)
    (record,) = rita.get("/diligence.json").json()["data"]["records"]
    assert not record["holds"]
    assert "OF ANOTHER KEY" in rita.get("/diligence").text
    listed = rita.get("/partners.json").json()["data"]["partners"]
    assert {line["partner"]: line["diligence_until"] for line in listed}["north"] is None


def test_the_page_of_a_release_verifies_each_release_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counted(store: CoordinatorStore) -> list[tuple[bytes, str, ReleaseView]]:
        read.append(1)
        return views_in(store)

    monkeypatch.setattr(released, "views_in", counted)
    page = person(world.site, Role.MARKETER).get(f"/releases/{world.finished}")
    assert (page.status_code, read) == (200, [1])


def test_a_proposal_is_shown_by_the_command_as_by_the_page(world: World, shell: Shell) -> None:
    proposed, about = world.proposed.agreement, ("--dir", world.directory)
    printed = shell.json("agreement", "show", proposed.id, "--proposed", *about)
    assert (printed["agreement_hash"], printed["published"]) == (proposed.hash.hex(), False)
    page = person(world.site, Role.AUDITOR).get(f"/agreements/{proposed.hash.hex()}.json")
    assert page.json()["data"] == printed
    again = shell.json(
        "agreement", "show", proposed.id, "--proposed", "--version", proposed.version, *about
    )
    assert again == printed
    refused = shell.refused("agreement", "show", "nothing", "--proposed", *about, status=2)
    assert (refused["code"], "proposed here" in refused["message"]) == ("E-AGR-UNKNOWN", True)


def test_who_refused_late_is_told_before_a_run_begins(fresh: World, shell: Shell) -> None:
    for number in range(2):
        run_id = bytes([number]) * 16
        fresh.store.request_run(run_id, fresh.ours)
        progress = {"phase": Phase.APPROVALS, "refusals": {"mid": "E-EGRESS-REFUSED"}}
        fresh.store.report_progress(run_id, progress)
        fresh.store.fail(run_id, "E-SET-QUORUM", "refused", "")
    words = "mid refused at the end of 2 runs under this agreement (E-EGRESS-REFUSED)"
    form = person(fresh.site, Role.OPERATOR).get("/runs").text.partition("Start a run under")[2]
    assert words in form
    assert words not in person(fresh.site, Role.APPROVER).get("/runs").text
    said = shell("run", "start", "--agreement", "ours", "--dir", fresh.directory)
    assert words in " ".join(said.err.split())


def test_partners_are_left_out_by_their_ids(fresh: World) -> None:
    oscar = person(fresh.site, Role.OPERATOR)
    strange = oscar.send("/runs/start", page="/runs", id="ours", without="nobody")
    assert (strange.status_code, "is no party" in strange.text) == (400, True)
    assert (
        oscar.send("/runs/start", page="/runs", id="ours", without="mid, north").status_code == 303
    )
    assert fresh.store.runs()[0].without == ("mid", "north")


def test_a_partner_is_admitted_by_its_code_and_removed_by_its_name(fresh: World) -> None:
    anna = person(fresh.site, Role.APPROVER, "anna")
    wrong = anna.send("/partners/admit", page="/partners", code="ZZZZ-ZZZZ")
    assert wrong.status_code == 400
    assert "west" not in admitted(fresh)
    code = fresh.code("west")
    assert anna.send("/partners/admit", page="/partners", code=code).status_code == 303
    assert "west" in admitted(fresh)
    assert anna.send("/partners/remove", page="/partners", partner="west").status_code == 303
    assert "west" not in admitted(fresh)
    nobody = anna.send("/partners/remove", page="/partners", partner="west")
    assert (nobody.status_code, "not invited" in nobody.text) == (400, True)
    for field, path in (("code", "/partners/admit"), ("partner", "/partners/remove")):
        empty = anna.send(path, page="/partners", **{field: " "})
        assert (empty.status_code, "E-FORM" in empty.text) == (400, True)
    assert ("anna", "partner admit", code, "done") in outcomes(fresh)


def test_what_people_do_in_the_console_is_in_the_audit_log_with_their_names(fresh: World) -> None:
    anna, code = person(fresh.site, Role.APPROVER, "anna"), fresh.code("west")
    assert anna.send("/partners/admit", page="/partners", code=code).status_code == 303
    (number, data), *_ = reversed(fresh.store.log.numbered(kinds=["partner-admitted"]))
    assert Entry.from_bytes(data).about["by"] == "anna"
    assert number == fresh.store.log.size - 1


def admitted(world: World) -> set[str]:
    return {id for (id,) in world.store.ask("SELECT partner FROM admitted")}


def test_every_node_that_joined_is_asked_whether_it_is_ready(fresh: World) -> None:
    oscar = person(fresh.site, Role.OPERATOR)
    assert oscar.send("/partners/check", page="/partners").status_code == 303
    rows = fresh.store.ask("SELECT partner FROM announcements WHERE kind = ?", CHECK)
    assert {partner for (partner,) in rows} == {"mid", "north", "south"}


def test_a_schedule_is_paused_with_a_reason_and_resumed(fresh: World, shell: Shell) -> None:
    oscar = person(fresh.site, Role.OPERATOR, "oscar")
    assert "Pause the schedule of ours" in oscar.get("/schedule").text
    empty = oscar.send("/schedule/pause", page="/schedule", id="ours", reason="")
    assert (empty.status_code, "E-FORM" in empty.text) == (400, True)
    long = oscar.send("/schedule/pause", page="/schedule", id="ours", reason="x" * 201)
    assert long.status_code in (400, 409)
    paused = oscar.send("/schedule/pause", page="/schedule", id="ours", reason="audit <b>")
    assert paused.headers["location"] == "/schedule"
    page = oscar.get("/schedule").text
    assert "audit &lt;b&gt;" in page
    assert "Resume the schedule of ours" in page
    (one,) = shell.json("run", "schedule", "--dir", fresh.directory)["schedules"]
    assert one["paused"] is True
    oscar.send("/schedule/resume", page="/schedule", id="ours", reason="done")
    (one,) = shell.json("run", "schedule", "--dir", fresh.directory)["schedules"]
    assert one["paused"] is False


def test_before_anything_took_place_every_page_says_so(fresh: World) -> None:
    rita = person(fresh.site, Role.AUDITOR)
    for path, words in (
        ("/runs", "No run has been asked for yet"),
        ("/releases", "No run has ended with a release"),
        ("/log", "Nobody has done anything yet"),
    ):
        assert words in rita.get(path).text, path


# --- configuration and process -------------------------------------------------------------------


def config_with(world: World, lines: str) -> CoordinatorConfig:
    text = (world.directory / "coordinator.toml").read_text()
    changed = text.replace("[console]\n", f"[console]\n{lines}\n")
    return CoordinatorConfig.parse(changed.encode(), world.directory)


def test_an_identity_provider_is_reached_by_tls(fresh: World) -> None:
    assert config_with(fresh, "").oidc is None
    issuer = 'issuer = "https://login.example/a", client_id = "fedseg"'
    more = 'client_secret_file = "keys/oidc", name = "Staff login", acr_values = ["mfa"]'
    found = config_with(fresh, f'oidc = {{ {issuer}, {more}, authority = "ca.pem" }}').oidc
    assert found is not None
    assert (found.issuer, found.client_id) == ("https://login.example/a", "fedseg")
    assert (found.label, found.acr_values) == ("Staff login", ("mfa",))
    assert found.client_secret_file == fresh.directory / "keys" / "oidc"
    assert found.authority == fresh.directory / "ca.pem"
    plain = config_with(fresh, f"oidc = {{ {issuer} }}").oidc
    assert plain is not None
    assert (plain.label, plain.client_secret_file, plain.acr_values) == ("login.example", None, ())
    for wrong, words in (
        ('{ issuer = "http://login.example", client_id = "n" }', "reached by TLS"),
        ('{ issuer = "https://login.example" }', "client_id"),
        ('{ issuer = "https://login.example", client_id = "n", secret = "s" }', "secret"),
    ):
        with pytest.raises(ConfigError, match=words):
            config_with(fresh, f"oidc = {wrong}")


def test_the_console_is_on_this_machine_alone_unless_there_is_a_certificate(fresh: World) -> None:
    console = config_with(fresh, "").console
    assert (console.host, console.port, console.secure) == ("127.0.0.1", 8322, False)
    text = (fresh.directory / "coordinator.toml").read_text()
    before = text.replace("[console]\n", "")
    assert CoordinatorConfig.parse(before.encode(), fresh.directory).console == console
    assert config_with(fresh, 'host = "::1"\nport = 0').console.port == 0
    for host in ("0.0.0.0", "c.example", "10.0.0.5"):  # noqa: S104
        with pytest.raises(ConfigError, match="others may reach"):
            config_with(fresh, f'host = "{host}"')
    for lines in ('tls = { certificate = "c.crt" }', "color = 1", 'tls = { x = "y" }'):
        with pytest.raises(ConfigError):
            config_with(fresh, lines)
    both = 'host = "0.0.0.0"\ntls = { certificate = "c.crt", key = "c.key" }\nnames = ["c.example"]'
    console = config_with(fresh, both).console
    assert (console.secure, console.certificate) == (True, fresh.directory / "c.crt")
    assert console.names == ("c.example",)


@pytest.mark.slow
def test_the_command_serves_until_it_is_ended(fresh: World) -> None:
    file = fresh.directory / "coordinator.toml"
    file.write_text(file.read_text().replace("# port = 8322", "port = 0"))
    process = subprocess.Popen(
        [sys.executable, "-c", "from coordinator.cli import main; main()", "console", "--dir",
         str(fresh.directory), "--format", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["data"]["url"]
        page = httpx.get(f"{url}sign-in", timeout=10)
        assert "fedseg-coordinator user add" in page.text
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "GET /sign-in 200" in errors
    assert "Traceback" not in errors
