"""Each page and act of a node's console as each role, and as nobody."""

from __future__ import annotations

from machine.accounts.roles import Role
from machine.web.site import Site
from tests.machine import access
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
    "/duties": {AUDITOR, DPO},
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
    "/exports/refuse": {APPROVER, MARKETER, DPO},
    "/approvals/approve": {APPROVER, DPO},
    "/approvals/refuse": {APPROVER, DPO},
}


#: What the forms of these tests, which are about nothing that there is, come to.
DONE = {"/checks": 200} | dict.fromkeys(
    ("/proposals/sign", "/proposals/decline", "/exports/write", "/exports/agree"), 400
)
FIELDS = {"number": "99", "id": "theirs"}


def path_of(pattern: str) -> str:
    return pattern.replace("{number:int}", "3").replace("{id}", "ours").replace("{hash}", "ab" * 32)


def test_the_tables_name_every_page_and_every_act(site: Site) -> None:
    access.named(site, PAGES, ACTS)


def test_each_page_opens_for_whom_the_table_says(site: Site) -> None:
    # The agreement of these tests is about exact totals, which have no budget, and the node did not
    # join.
    others = {"/budget/{id}": 409, "/proposals/{hash}": 400}
    access.pages_open(site, PAGES, person, path_of, lambda pattern: others.get(pattern, 200))


def test_each_act_is_done_for_whom_the_table_says(site: Site) -> None:
    access.acts_done(
        site, ACTS, person, FIELDS,
        lambda path, answer: answer.status_code == DONE.get(path, 404),
    )  # fmt: skip


def test_nobody_sees_anything_without_signing_in(site: Site) -> None:
    access.nobody_is_let_in(site, path_of, FIELDS)
