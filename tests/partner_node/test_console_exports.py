"""Files of own customers' segments, asked for in the console."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.site import Site
from partner_node.console.site import node_site
from partner_node.home import NodeHome
from tests.machine.browsing import HOSTS, Person
from tests.partner_node.consoles import accounts, cheap_keys, person
from tests.partner_node.held import installed, node, shell
from tests.partner_node.test_four_eyes import Asking, asking
from tests.partner_node.test_node_cli import after_a_run
from tests.shell import Shell

__all__ = ["accounts", "asking", "cheap_keys", "installed", "node", "shell"]

#: What the page has, and what its form sends.
FORM = {"id": "ours", "use": "evaluation", "segment": "", "form": "csv", "escape": ""}


@pytest.fixture
def waiting(installed: Path) -> Path:
    return installed


Opened = Callable[[], Site]


@pytest.fixture
def opened(installed: Path, accounts: Accounts, shell: Shell) -> Opened:
    """Opens the console of a node with a release of one segment."""

    def site() -> Site:
        after_a_run(installed, [1.0, 2.0])
        return node_site(NodeHome.load(installed), hosts=HOSTS, accounts=accounts)

    return site


def written(folder: Path) -> list[Path]:
    output = NodeHome.load(folder).config.node.output
    return sorted(output.glob("export-*")) if output.exists() else []


def ask(who: Person, **changes: str) -> object:
    answer = who.send("/exports/write", page="/exports", **FORM | changes)
    return answer.status_code, answer.text


def test_a_marketer_writes_a_file_that_stays_at_the_machine(
    opened: Opened, installed: Path, shell: Shell
) -> None:
    site = opened()
    mia = person(site, Role.MARKETER, "mia")
    page = mia.get("/exports").text
    for words in ("evaluation", "all segments", "the browser gets no copy", "csv", "parquet"):
        assert words in page, words
    answer = mia.send("/exports/write", page="/exports", **FORM)
    assert answer.status_code == 200, answer.text
    (file,) = written(installed)
    assert str(file) in unescape(re.sub(r"<[^>]+>", "", answer.text))
    assert (file.stat().st_mode & 0o777, file.suffix) == (0o600, ".csv")
    assert "customer_id" in file.read_text()
    assert "customer_id" not in answer.text
    (record,) = shell.json("segments", "exports", "--dir", installed)["exports"]
    assert (record["use"], record["written_by"], record["file"]) == ("evaluation", "mia", str(file))
    acts = [a for a in shell.json("user", "log", "--dir", installed)["acts"] if a["who"] == "mia"]
    assert [(a["act"], a["about"], a["outcome"]) for a in acts] == [
        ("export segments", "ours evaluation", "begun"),
        ("export segments", "ours evaluation", "done"),
    ]
    (one,) = mia.get("/files.json").json()["data"]["files"]
    assert one["file"] == str(file)


def test_a_form_chooses_no_place_and_no_other_use(opened: Opened, installed: Path) -> None:
    mia = person(opened(), Role.MARKETER)
    for changes, code in (
        ({"use": "credit-decisions"}, "E-USE"), ({"use": ""}, "E-USE"),
        ({"form": "csv/../../x.csv"}, "E-FORM"), ({"form": "exe"}, "E-FORM"),
        ({"id": "theirs"}, "E-FORM"), ({"segment": "S9"}, "E-USAGE"),
        ({"out": "/tmp/x.csv", "use": "other"}, "E-USE"),
    ):  # fmt: skip
        answer = mia.send("/exports/write", page="/exports", **FORM | changes)
        assert code in answer.text, (changes, answer.text)
        assert answer.status_code in (400, 409)
    assert written(installed) == []


def test_a_second_person_agrees_to_the_same_file(
    opened: Opened, installed: Path, shell: Shell, asking: Asking
) -> None:
    asking("export")
    site = opened()
    mia, dora = person(site, Role.MARKETER, "mia"), person(site, Role.DATA_PROTECTION_OFFICER)
    answer = mia.send("/exports/write", page="/exports", **FORM)
    assert (answer.status_code, "second person" in answer.text) == (200, True)
    assert written(installed) == []
    (waits,) = dora.get("/exports.json").json()["data"]["waiting"]
    assert waits["first"] == "mia"
    page = dora.get("/exports").text
    assert "Write the file" not in page, "the second person begins nothing"
    wish = unescape(re.findall(r'name="wish" value="([^"]+)"', page)[0])
    twice = mia.send("/exports/agree", page="/exports", wish=wish)
    assert (twice.status_code, "E-FOUR-EYES" in twice.text) == (409, True)
    other = dora.send("/exports/agree", page="/exports", wish=wish.replace("false", "true"))
    assert (other.status_code, "E-FORM" in other.text) == (400, True)
    assert written(installed) == []
    done = dora.send("/exports/agree", page="/exports", wish=wish)
    assert done.status_code == 200, done.text
    assert len(written(installed)) == 1
    (record,) = shell.json("segments", "exports", "--dir", installed)["exports"]
    assert record["written_by"] == "mia, data-protection-officer"
    acts = shell.json("user", "log", "--dir", installed)["acts"]
    ended = [a["outcome"] for a in acts if a["act"] == "export segments" if a["outcome"] != "begun"]
    assert ended == ["waits", "E-FOUR-EYES", "E-FORM", "done"]
    assert dora.get("/exports.json").json()["data"]["waiting"] == []
    again = dora.send("/exports/agree", page="/exports", wish=wish)
    assert again.status_code == 400, "both words were used up"
    assert datetime.fromisoformat(record["at"]) <= datetime.now(UTC)


def test_one_person_refuses_a_file_and_both_ask_anew(
    opened: Opened, installed: Path, shell: Shell, asking: Asking
) -> None:
    asking("export")
    site = opened()
    mia, dora = person(site, Role.MARKETER, "mia"), person(site, Role.DATA_PROTECTION_OFFICER)

    def asked() -> str:
        mia.send("/exports/write", page="/exports", **FORM)
        (waits,) = shell.json("segments", "exports", "--dir", installed)["waiting"]
        assert waits["first"] == "mia"
        assert waits["digits"] in dora.get("/exports").text
        return str(waits["digits"])

    digits = asked()
    wish = unescape(re.findall(r'name="wish" value="([^"]+)"', dora.get("/exports").text)[0])
    for wrong in ("", digits[:3], "0" * 9):
        other = dora.send("/exports/refuse", page="/exports", file=wrong)
        assert (other.status_code, "E-EXPORT-UNKNOWN" in other.text) == (404, True)
    done = dora.send("/exports/refuse", page="/exports", file=digits)
    assert done.headers["location"] == "/exports"
    assert dora.get("/exports.json").json()["data"]["waiting"] == []
    late = dora.send("/exports/agree", page="/exports", wish=wish)
    assert (late.status_code, written(installed)) == (400, [])
    assert shell.json("segments", "refuse", asked(), "--dir", installed)["refused"] == digits
    assert shell.json("segments", "exports", "--dir", installed)["waiting"] == []
    words = ("segments", "refuse", digits, "--dir", installed)
    assert shell.refused(*words, status=2)["code"] == "E-EXPORT-UNKNOWN"
    acts = shell.json("user", "log", "--dir", installed)["acts"]
    refusals = [a["outcome"] for a in acts if a["act"] == "export refuse"]
    assert refusals.count("done") == 2
