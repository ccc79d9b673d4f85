"""Proposed agreements in a node's console: read, signed, declined, by one person or two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.site import Site
from partner_node.console.site import node_site
from partner_node.home import NodeHome
from tests.control.commands import shell
from tests.control.lab import lab
from tests.control.parties import Signing, parties, signing
from tests.machine.browsing import HOSTS
from tests.machine.people import accounts_at
from tests.partner_node.consoles import person

__all__ = ["lab", "parties", "shell", "signing"]


@pytest.fixture
def accounts(signing: Signing) -> Iterator[Accounts]:
    signing.home.accounts_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    opened = accounts_at(signing.home.accounts_file, signing.home.keystore())
    yield opened
    opened.close()


@pytest.fixture
def site(signing: Signing, accounts: Accounts) -> Site:
    return node_site(NodeHome.load(signing.home.directory), hosts=HOSTS, accounts=accounts)


def answers(signing: Signing) -> list[str]:
    """What this node answered to each proposal."""
    found = signing.call("proposals")["proposals"]
    own = signing.home.config.node.partner
    return [a["answer"] for one in found for a in one["answers"] if a["partner"] == own]


def signed_acts(signing: Signing) -> list[dict[str, str]]:
    """What the log of people says of signing."""
    acts = signing.shell.json("user", "log", "--dir", signing.home.directory)["acts"]
    return [act for act in acts if act["act"] == "agreement sign"]


def test_a_data_protection_officer_reads_and_signs(signing: Signing, site: Site) -> None:
    dora = person(site, Role.DATA_PROTECTION_OFFICER, "dora")
    page = dora.get("/proposals")
    printed = signing.call("proposals")
    assert dora.get("/proposals.json").json()["data"] == printed
    full = signing.parties.draft.agreement.hash.hex()
    assert f'href="/proposals/{full}"' in page.text
    path = f"/proposals/{full}"
    assert "Your signature binds this partner" in dora.get(path).text
    shown = dora.get(f"{path}.json").json()["data"]
    assert shown["agreement_hash"] == full
    done = dora.send("/proposals/sign", page=path, hash=full)
    assert done.status_code == 200, done.text
    assert "by dora; the operator has the signature" in done.text
    assert answers(signing) == ["signed"]
    own = signing.home.config.node.partner
    again = signing.call("show", "--proposed", signing.digits)["signatures"]
    assert [one["signed_by"] for one in again if one["party"] == own] == ["dora"]
    acts = signed_acts(signing)
    assert [(a["who"], a["act"], a["about"]) for a in acts] == [
        ("dora", "agreement sign", full[:16])
    ] * 2


def test_two_people_sign_where_the_agreement_says_so(signing: Signing, site: Site) -> None:
    signing.propose_next(id=signing.parties.draft.agreement.id, four_eyes=["agreement"])
    full = signing.parties.draft.agreement.hash.hex()
    path = f"/proposals/{full}"
    dora, anna = person(site, Role.DATA_PROTECTION_OFFICER, "dora"), person(site, Role.APPROVER)
    assert "Nobody has signed yet" in anna.get(path).text
    first = dora.send("/proposals/sign", page=path, hash=full)
    assert "second person" in first.text
    assert set(answers(signing)) == {"open"}
    assert "dora signs it if a second person does before" in anna.get(path).text
    twice = dora.send("/proposals/sign", page=path, hash=full)
    assert (twice.status_code, "E-FOUR-EYES" in twice.text) == (409, True)
    done = anna.send("/proposals/sign", page=path, hash=full)
    assert "by dora, approver" in done.text
    acts = signed_acts(signing)
    ended = [a["outcome"] for a in acts if a["outcome"] != "begun"]
    assert ended == ["waits", "E-FOUR-EYES", "done"]
    assert "signed" in answers(signing)


def test_one_person_declines_with_a_comment(signing: Signing, site: Site) -> None:
    full = signing.parties.draft.agreement.hash.hex()
    path = f"/proposals/{full}"
    dora = person(site, Role.DATA_PROTECTION_OFFICER)
    empty = dora.send("/proposals/decline", page=path, hash=full, comment=" ")
    assert (empty.status_code, "E-FORM" in empty.text) == (400, True)
    assert answers(signing) == ["open"]
    done = dora.send("/proposals/decline", page=path, hash=full, comment="Too few.\r\nAsk again.")
    assert done.headers["location"] == "/proposals"
    assert "Too few." in dora.get("/proposals").text
    assert answers(signing) == ["declined"]


@pytest.mark.parametrize("at_the_machine", [True, False])
def test_after_a_decline_two_people_sign_anew(
    signing: Signing, site: Site, at_the_machine: bool
) -> None:
    signing.propose_next(id=signing.parties.draft.agreement.id, four_eyes=["agreement"])
    full = signing.parties.draft.agreement.hash.hex()
    path = f"/proposals/{full}"
    dora, anna = person(site, Role.DATA_PROTECTION_OFFICER, "dora"), person(site, Role.APPROVER)
    dora.send("/proposals/sign", page=path, hash=full)
    if at_the_machine:
        signing.call("decline", signing.digits, "--comment", "Too few.")
    else:
        anna.send("/proposals/decline", page=path, hash=full, comment="Too few.")
    assert "Nobody has signed yet" in dora.get(path).text
    assert "second person" in anna.send("/proposals/sign", page=path, hash=full).text
    assert "signed" not in answers(signing)


def test_whoever_only_reads_has_no_form(signing: Signing, site: Site, tmp_path: Path) -> None:
    full = signing.parties.draft.agreement.hash.hex()
    page = person(site, Role.AUDITOR).get(f"/proposals/{full}")
    assert page.status_code == 200
    assert "<button" not in page.text.split("<main")[1]


def test_a_console_that_was_open_signs_with_the_key_of_now(signing: Signing, site: Site) -> None:
    home, id = signing.home, signing.parties.draft.agreement.id
    signing.agree()
    assert signing.take_up()
    dora = person(site, Role.DATA_PROTECTION_OFFICER, "dora")
    signing.propose_next(id=f"{id}-b")
    before = signing.parties.draft.agreement
    signing.shell.json("key", "rotate", "--dir", home.directory)
    page = f"/proposals/{before.hash.hex()}"
    done = dora.send("/proposals/sign", page=page, hash=before.hash.hex())
    assert (done.status_code, "E-KEY-ROTATED" in done.text) == (409, True), done.text
    signing.propose_next(id=f"{id}-c")
    anew = signing.parties.draft.agreement
    assert anew.parties[0].public_key != before.parties[0].public_key
    page = f"/proposals/{anew.hash.hex()}"
    done = dora.send("/proposals/sign", page=page, hash=anew.hash.hex())
    assert done.status_code == 200, done.text
    assert sorted(answers(signing)) == ["open", "signed", "signed"]
