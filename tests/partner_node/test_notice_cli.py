"""The commands of notices, and what a node answers when the published one does not tell enough."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from partner_node.home import NodeHome
from partner_node.notices.centre import KINDS
from partner_node.notices.publishing import CONFIRMED
from partner_node.segments import feedback_file
from protocol.agreement.document import Agreement
from protocol.errors import RuleError
from tests.agreed_terms import agreed_feature
from tests.partner_node.nodes import complete, installed, node, shell, successor
from tests.shell import Shell

__all__ = ["installed", "node", "shell"]

PURPOSE = {"text": "We form groups to send offers that fit.", "notice_version": "1"}


@pytest.fixture
def ours(shell: Shell, node: Path, tmp_path: Path) -> Path:
    """A node with an agreement of one feature in force."""
    (tmp_path / "ours.json").write_bytes(complete(node, purpose=PURPOSE))
    shell.json("agreement", "install", "ours.json", "--dir", node)
    return node


def rendered(shell: Shell, home: Path, file: str = "notice.html", *words: object) -> Path:
    shell.json("notice", "render", "--out", file, *words, "--dir", home)
    return Path(file)


def check(home: Path) -> None:
    """The rules of the agreement in force, as they are asked before every question."""
    from datetime import UTC, datetime

    place = NodeHome.load(home)
    agreement: Agreement = place.signed_agreement().agreement
    store = place.store(place.keystore())
    place.rules(agreement, place.party(agreement), store).check(datetime.now(UTC))
    store.close()


def refused(home: Path) -> RuleError:
    with pytest.raises(RuleError) as found:
        check(home)
    assert found.value.code == "E-NOTICE"
    return found.value


def follow(shell: Shell, home: Path, **changes: Any) -> None:
    """The next version of the agreement comes into force."""
    Path("next.json").write_bytes(successor(home, **({"purpose": PURPOSE} | changes)))
    shell.json("agreement", "install", "next.json", "--dir", home)


WIDER = {"features": [agreed_feature("visits"), agreed_feature("orders")]}


# --- render --------------------------------------------------------------------------------------


def test_a_notice_is_printed_with_how_easily_it_reads(shell: Shell, ours: Path) -> None:
    done = shell("notice", "render", "--dir", ours)
    assert done.out.startswith("# How we form groups")
    assert re.search(r"First screen: reading ease \d\d \(Flesch 1948", done.err)
    assert "fedseg-node notice words" in done.err
    german = shell("notice", "render", "--language", "de", "--format", "html", "--dir", ours)
    assert '<html lang="de"' in german.out
    assert "Amstad" in german.err
    data = shell.json("notice", "render", "--dir", ours)
    assert data["readability"]["first"]["ease"] > 60
    assert data["facts"]["features"] == ["visits"]
    assert data["not_stated"] == ["[rights] authority", "[rights] data_from"]


@pytest.mark.parametrize("ending", ["html", "md", "json"])
def test_a_notice_is_written_as_its_file_ends(shell: Shell, ours: Path, ending: str) -> None:
    text = rendered(shell, ours, f"notice.{ending}").read_text()
    assert text.startswith({"html": "<!doctype html>", "md": "# How", "json": "{"}[ending])
    assert shell.refused("notice", "render", "--out", "n.docx", "--dir", ours, status=2)


def test_own_words_are_said_in_a_file_and_kept_for_the_next_agreement(
    shell: Shell, ours: Path
) -> None:
    made = shell.json("notice", "words", "--out", "own.toml", "--dir", ours)
    file = Path("own.toml")
    file.write_text(
        file.read_text().replace(
            'says = "Visits"\nown = ""', 'says = "Visits"\nown = "How often you come"'
        )
    )
    assert "How often you come" in rendered(shell, ours, "n.md", "--words", "own.toml").read_text()
    follow(shell, ours, **WIDER)
    again = shell.json("notice", "words", "--words", "own.toml", "--out", "new.toml", "--dir", ours)
    assert (made["said"], again["said"]) == (0, 1)
    assert again["texts"] > made["texts"]
    shell.refused("notice", "words", "--out", "own.toml", "--dir", ours, status=2)


# --- publish -------------------------------------------------------------------------------------


def test_a_published_notice_is_on_record_and_in_the_audit_log(shell: Shell, ours: Path) -> None:
    file = rendered(shell, ours)
    url = "https://north.example/privacy"
    data = shell.json("notice", "publish", file, "--url", url, "--dir", ours)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (data["sha256"], data["notice_version"], data["language"]) == (digest, "1", "en")
    assert shell.json("notice", "list", "--dir", ours)["notices"][0]["url"] == url
    told = shell.json("notice", "show", 1, "--out", "kept.html", "--dir", ours)
    assert told["facts"]["features"] == ["visits"]
    assert Path("kept.html").read_bytes() == file.read_bytes()
    entry = shell.json("log", "show", "--kind", "notice", "--dir", ours)["entries"][0]
    assert (entry["sha256"], entry["version"], entry["own"]) == (digest, "1", False)
    assert entry["by"] == data["published_by"] != ""
    acts = shell.json("user", "log", "--dir", ours)
    assert "notice publish" in json.dumps(acts)
    unknown = shell.refused("notice", "show", 2, "--dir", ours, status=2)
    assert unknown["code"] == "E-NOTICE-UNKNOWN"


def test_a_notice_of_which_words_were_changed_is_not_published(shell: Shell, ours: Path) -> None:
    file = rendered(shell, ours)
    file.write_text(file.read_text().replace("no others", "some others"))
    error = shell.refused("notice", "publish", file, "--dir", ours, status=2)
    assert error["code"] == "E-NOTICE-MARK"
    Path("none.html").write_text("<p>We form groups.</p>")
    error = shell.refused("notice", "publish", "none.html", "--dir", ours, status=2)
    assert error["code"] == "E-NOTICE-MARK"
    assert shell.json("notice", "list", "--dir", ours)["notices"] == []


def test_a_notice_that_is_marked_otherwise_than_is_said_is_not_published(
    shell: Shell, ours: Path
) -> None:
    file = rendered(shell, ours)
    for words in (("--version", "2"), ("--language", "de")):
        error = shell.refused("notice", "publish", file, *words, "--dir", ours, status=2)
        assert error["code"] == "E-NOTICE-MARK"


def test_a_notice_of_another_agreement_is_not_published(shell: Shell, ours: Path) -> None:
    file = rendered(shell, ours)
    follow(shell, ours, **WIDER)
    error = shell.refused("notice", "publish", file, "--dir", ours, status=3)
    assert error["code"] == "E-NOTICE-OTHER"


def test_a_text_of_ones_own_is_published_when_each_fact_is_confirmed(
    shell: Shell, ours: Path
) -> None:
    own = Path("own.html")
    own.write_text("<h1>Groups</h1><p>North, office@north.example, kept 90 days.</p>")
    words = ["notice", "publish", own, "--own-text", "--language", "en", "--dir", ours]
    said = [word for name in CONFIRMED for word in ("--confirm", name)]
    for missing in range(len(CONFIRMED)):
        fewer = said[: 2 * missing] + said[2 * missing + 2 :]
        error = shell.refused(*words, *fewer, status=2)
        assert error["code"] == "E-NOTICE-CONFIRM"
        assert f": {CONFIRMED[missing]}: " in error["message"]
    data = shell.json(*words, *said)
    assert data["own_text"] is True
    assert any("dpo@partner.example" in warning for warning in data["warnings"])
    assert not any("number 90" in warning for warning in data["warnings"])
    check(ours)
    shell.refused(*words[:3], *said[:2], "--dir", ours, status=2)  # nothing to confirm
    for wrong in (("--language", "English"), ("--version", "version 2")):
        shell.refused(*words, *said, *wrong, status=2)
    shell.refused(*words[:4], *said, "--dir", ours, status=2)  # in no language


def test_a_version_is_published_with_one_set_of_facts(shell: Shell, ours: Path) -> None:
    first = rendered(shell, ours)
    shell.json("notice", "publish", first, "--dir", ours)
    shell.json("notice", "publish", rendered(shell, ours, "again.md"), "--dir", ours)
    follow(shell, ours, **WIDER)
    second = rendered(shell, ours, "second.html")
    error = shell.refused("notice", "publish", second, "--dir", ours, status=2)
    assert error["code"] == "E-NOTICE-VERSION"
    assert "the feature 'orders'" in error["message"]


# --- E-NOTICE by hash ----------------------------------------------------------------------------


def test_where_nothing_was_published_the_configuration_holds_and_that_is_said(
    shell: Shell, ours: Path
) -> None:
    check(ours)
    status = shell("status", "--dir", ours)
    assert "Under ours notice 1 is taken on trust" in status.out
    assert shell.json("status", "--dir", ours)["notices"][0]["published"] == []
    checked = {
        one["check"]: one
        for one in json.loads(shell("check", "--dir", ours, "--format", "json").out)["data"][
            "checks"
        ]
    }
    assert "notice 1 is taken on trust" in checked["consent"]["details"]


def test_a_published_notice_that_tells_of_the_agreement_lets_the_node_answer(
    shell: Shell, ours: Path
) -> None:
    shell.json("notice", "publish", rendered(shell, ours), "--dir", ours)
    check(ours)
    assert (
        "notice 1 is the one published here (en, rendered, SHA-256"
        in shell("status", "--dir", ours).out
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (WIDER, "the feature 'orders'"),
        ({"purpose": PURPOSE | {"text": "Something else."}}, "the purpose in the words"),
        ({"results_use": {"allowed": ["own-marketing", "assortment"], "forbidden": [],
                          "recipients": ["the partners", "a broker"]}}, "the recipient 'a broker'"),
        ({"retention": {"assignments_days": 400, "records_days": 730}}, "kept 400 days (told: 90)"),
    ],
)  # fmt: skip
def test_an_agreement_that_changed_is_answered_when_the_published_notice_tells_of_it(
    shell: Shell, ours: Path, changes: dict[str, Any], said: str
) -> None:
    shell.json("notice", "publish", rendered(shell, ours), "--dir", ours)
    follow(shell, ours, **changes)
    error = refused(ours)
    assert said in error.message
    assert "new notice_version" in str(error.remedy)


def test_a_new_version_of_the_notice_is_published_before_the_agreement_comes_into_force(
    shell: Shell, ours: Path
) -> None:
    shell.json("notice", "publish", rendered(shell, ours), "--dir", ours)
    changes: dict[str, Any] = {
        "purpose": PURPOSE | {"notice_version": "2"},
        "retention": {"assignments_days": 91, "records_days": 730},
    }
    Path("coming.json").write_bytes(successor(ours, **changes))
    coming = ("--agreement", "coming.json")
    file = rendered(shell, ours, "two.html", *coming)
    data = shell.json("notice", "publish", file, *coming, "--dir", ours)
    assert 'add "2" to [consent] notices' in data["warnings"][0]
    shell.json("agreement", "install", "coming.json", "--dir", ours)
    config = ours / "node.toml"
    config.write_text(config.read_text().replace('notices = ["1"]', 'notices = ["1", "2"]'))
    error = refused(ours)
    assert "notice 1 (en) does not tell" in error.message
    assert "take '1' out of [consent] notices" in str(error.remedy)
    config.write_text(config.read_text().replace('notices = ["1", "2"]', 'notices = ["2"]'))
    check(ours)


def test_a_version_that_was_not_published_is_refused_once_another_was(
    shell: Shell, ours: Path
) -> None:
    shell.json("notice", "publish", rendered(shell, ours), "--dir", ours)
    follow(shell, ours, purpose=PURPOSE | {"notice_version": "2"})
    config = ours / "node.toml"
    config.write_text(config.read_text().replace('notices = ["1"]', 'notices = ["2"]'))
    assert "'2', which was not published here" in refused(ours).message


def test_notices_in_several_languages_stand_side_by_side(shell: Shell, ours: Path) -> None:
    for language in ("en", "de"):
        file = rendered(shell, ours, f"{language}.html", "--language", language)
        shell.json("notice", "publish", file, "--dir", ours)
    check(ours)
    assert len(shell.json("status", "--dir", ours)["notices"][0]["published"]) == 2


# --- verify --------------------------------------------------------------------------------------


def test_what_stands_on_a_site_is_held_against_what_was_published(shell: Shell, ours: Path) -> None:
    file = rendered(shell, ours)
    shell.json("notice", "publish", file, "--dir", ours)
    page = Path("saved.html")
    page.write_bytes(file.read_bytes())
    words = ("notice", "verify", "--url-file", page, "--dir", ours)
    assert shell.json(*words)["same_bytes"] is True
    page.write_text("<nav>Shop</nav>" + file.read_text().replace("<main>", "<div>"))
    found = shell.json(*words)
    assert (found["same_bytes"], found["same_words"]) == (False, True)
    page.write_text(page.read_text().replace("no others", "many others"))
    done = shell(*words)
    assert done.code == 3
    assert "“no” reads “many”" in done.out
    page.write_text("<p>Nothing.</p>")
    assert shell.refused(*words, status=2)["code"] == "E-NOTICE-MARK"


def test_a_text_of_ones_own_is_found_within_a_page(shell: Shell, ours: Path) -> None:
    text = "We form groups of customers with partners. " * 3 + "Write to us to say no."
    Path("own.html").write_text(f"<p>{text}</p>")
    said = [word for name in CONFIRMED for word in ("--confirm", name)]
    shell.json(
        "notice", "publish", "own.html", "--own-text", "--language", "en", *said, "--dir", ours
    )
    page = Path("saved.html")
    words = ("notice", "verify", "--url-file", page, "--dir", ours)
    page.write_text(f"<nav>Shop</nav><p>{text}</p><footer>Imprint</footer>")
    assert shell.json(*words)["same_words"] is True
    page.write_text(page.read_text().replace("to say no", "to say yes"))
    assert shell(*words).code == 3


# --- the privacy centre --------------------------------------------------------------------------


def test_the_privacy_centre_has_the_published_notice_and_says_which_are_not(
    shell: Shell, ours: Path
) -> None:
    file = rendered(shell, ours)
    shell.json("notice", "publish", file, "--dir", ours)
    made = shell.json("notice", "centre", "--out", "site", "--dir", ours)
    names = ["index.html", "en.html", "notice-en.html", "de.html", "notice-de.html"]
    assert (made["pages"], made["unpublished"]) == (names, ["de"])
    assert (Path("site") / "notice-en.html").read_bytes() == file.read_bytes()
    page = (Path("site") / "en.html").read_text()
    assert "office@north.example" not in page, "the agreement's contact is told"
    assert "privacy@north.example" in page
    german = Path("site") / "notice-de.html"
    assert shell.json("notice", "publish", german, "--dir", ours)["language"] == "de"
    assert shell.json("notice", "centre", "--out", "site", "--dir", ours)["unpublished"] == []


def test_of_a_published_page_that_loads_something_the_centre_warns(
    shell: Shell, ours: Path
) -> None:
    shell.json("notice", "render", "--out", "n.html", "--dir", ours)
    page = Path("n.html").read_text().replace("<body>", '<body><img alt="" src="//x.example/i">')
    Path("n.html").write_text(page)
    shell.json("notice", "publish", "n.html", "--dir", ours)
    words = ("notice", "centre", "--out", "site", "--language", "en", "--dir", ours)
    (warned,) = shell.json(*words)["warnings"]
    assert warned.endswith("load, send or run something: img, src")


def test_the_privacy_centre_takes_own_words_for_each_language(shell: Shell, ours: Path) -> None:
    shell.json("notice", "words", "--out", "own.toml", "--dir", ours)
    file = Path("own.toml")
    file.write_text(file.read_text().replace('"Visits"\nown = ""', '"Visits"\nown = "Besuche"'))
    words = ("notice", "centre", "--out", "site", "--language", "de", "--dir", ours)
    shell.json(*words, "--words", "de=own.toml")
    assert "Besuche" in (Path("site") / "index.html").read_text()
    for wrong in ("own.toml", "de=", "fr=own.toml"):
        shell.refused(*words, "--words", wrong, status=2)


def test_what_the_centre_offers_is_feedback() -> None:
    assert set(KINDS) < set(feedback_file.KINDS)
