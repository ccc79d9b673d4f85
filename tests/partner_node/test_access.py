"""Each page and act of a node's console as each role, and as nobody."""

from __future__ import annotations

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.site import Site
from tests.machine.browsing import Person, token_of
from tests.partner_node.consoles import accounts, cheap_keys, person, site
from tests.partner_node.held import installed, node, shell, waiting

__all__ = ["accounts", "cheap_keys", "installed", "node", "shell", "site", "waiting"]

OPERATOR, APPROVER, AUDITOR, MARKETER, DPO = Role
#: Who may open a page, by its pattern.
PAGES: dict[str, set[Role]] = {
    "/health": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/approvals": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/egress": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/egress/{number:int}": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/agreements": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/agreements/{id}": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/proposals": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/proposals/{hash}": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/budget": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/budget/{id}": {OPERATOR, APPROVER, AUDITOR, DPO},
    "/consent": {OPERATOR, DPO},
    "/requests": {AUDITOR, DPO},
    "/segments": {AUDITOR, MARKETER},
    "/exports": {APPROVER, MARKETER, DPO},
    "/files": {AUDITOR, MARKETER, DPO},
    "/log": {AUDITOR, DPO},
}
#: Who may do what, by the path of its form.
ACTS: dict[str, set[Role]] = {
    "/checks": {OPERATOR},
    "/consent/count": {OPERATOR, DPO},
    "/segments/reach": {MARKETER},
    "/proposals/sign": {APPROVER, DPO},
    "/proposals/decline": {APPROVER, DPO},
    "/exports/write": {MARKETER},
    "/exports/agree": {APPROVER, MARKETER, DPO},
    "/approvals/approve": {APPROVER, DPO},
    "/approvals/refuse": {APPROVER, DPO},
}


def address(pattern: str) -> str:
    """One address of a pattern."""
    return pattern.replace("{number:int}", "3").replace("{id}", "ours").replace("{hash}", "ab" * 32)


def test_the_tables_name_every_page_and_every_act(site: Site) -> None:
    assert set(PAGES) == {page.path for page in site.pages}
    assert set(ACTS) == {act.path for act in site.acts}


def test_each_page_opens_for_whom_the_table_says(site: Site) -> None:
    for role in Role:
        who = person(site, role)
        menu = who.get(who.get("/").headers["location"]).text.split("</nav>")[0]
        for pattern, allowed in PAGES.items():
            path = address(pattern)
            for end in ("", ".json"):
                answer = who.get(path + end)
                # The agreement of these tests is about exact totals, which have no budget, and the
                # node did not join.
                opened = {"/budget/{id}": 409, "/proposals/{hash}": 400}.get(pattern, 200)
                expected = opened if role in allowed else 403
                assert answer.status_code == expected, (role, path + end, answer.text)
                assert ("E-ROLE" in answer.text) == (role not in allowed)
            in_menu = f'<a href="{path}"' in menu
            assert in_menu == (role in allowed and "{" not in pattern), (role, path)


def test_each_act_is_done_for_whom_the_table_says(site: Site, accounts: Accounts) -> None:
    for role in Role:
        who = person(site, role)
        token = token_of(who.get(who.get("/").headers["location"]).text)
        for path, allowed in ACTS.items():
            answer = who.post(path, form_token=token, number="99", id="theirs")
            if role not in allowed:
                assert (answer.status_code, "E-ROLE" in answer.text) == (403, True), (role, path)
            else:
                expected = 200 if path == "/checks" else 404
                if path.startswith(("/proposals", "/exports")):
                    expected = 400
                assert answer.status_code == expected, (role, path, answer.text)
        done = {one.act for one in accounts.acts.all() if one.who == role.value}
        assert done == {act.name for act in site.acts if role in ACTS[act.path]}


def test_nobody_sees_anything_without_signing_in(site: Site) -> None:
    nobody = Person(site)
    for pattern in PAGES:
        path = address(pattern)
        assert nobody.get(path).headers["location"] == "/sign-in"
        assert nobody.get(f"{path}.json").status_code == 401
    for path in ACTS:
        assert nobody.post(path, number="3").status_code == 403
