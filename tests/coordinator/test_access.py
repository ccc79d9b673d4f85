"""Each page and act of the coordinator's console as each role, and as nobody."""

from __future__ import annotations

from machine.accounts.roles import Role
from tests.coordinator.consoles import World, fresh, person
from tests.coordinator.consoles import world_in_file as world
from tests.machine import access

__all__ = ["fresh", "world"]

OPERATOR, APPROVER, AUDITOR, MARKETER, DPO = Role
_BUT_MARKETERS = {OPERATOR, APPROVER, AUDITOR, DPO}
#: Who may open a page, by its pattern.
PAGES: dict[str, set[Role]] = {
    "/runs": _BUT_MARKETERS,
    "/runs/{run}": _BUT_MARKETERS,
    "/plan/{id}": _BUT_MARKETERS,
    "/partners": _BUT_MARKETERS,
    "/diligence": _BUT_MARKETERS,
    "/keys": _BUT_MARKETERS,
    "/agreements": _BUT_MARKETERS,
    "/agreements/{hash}": _BUT_MARKETERS,
    "/releases": {OPERATOR, AUDITOR, MARKETER, DPO},
    "/releases/{run}": {OPERATOR, AUDITOR, MARKETER, DPO},
    "/budget": _BUT_MARKETERS,
    "/schedule": _BUT_MARKETERS,
    "/duties": _BUT_MARKETERS,
    "/log": {AUDITOR, DPO},
}
#: Who may do what, by the path of its form.
ACTS: dict[str, set[Role]] = {
    "/runs/start": {OPERATOR},
    "/runs/stop": {OPERATOR, DPO},
    "/schedule/pause": {OPERATOR},
    "/schedule/resume": {OPERATOR},
    "/partners/admit": {OPERATOR, APPROVER},
    "/partners/remove": {OPERATOR, APPROVER},
    "/partners/check": {OPERATOR},
}
#: About nothing that there is.
FIELDS = {
    "id": "theirs", "run": "00" * 16, "reason": "x", "code": "ZZZZ-ZZZZ", "partner": "nobody",
}  # fmt: skip


def test_the_tables_name_every_page_and_every_act(fresh: World) -> None:
    access.named(fresh.site, PAGES, ACTS)


def test_each_page_opens_for_whom_the_table_says(world: World) -> None:
    access.pages_open(world.site, PAGES, person, world.path)


def test_each_act_is_done_for_whom_the_table_says(fresh: World) -> None:
    access.acts_done(
        fresh.site, ACTS, person, FIELDS,
        lambda path, answer: answer.status_code
        == {"/partners/check": 303, "/runs/stop": 404, "/schedule/pause": 404,
            "/schedule/resume": 404}.get(path, 400),
    )  # fmt: skip
    assert fresh.store.runs() == []


def test_nobody_sees_anything_without_signing_in(fresh: World) -> None:
    access.nobody_is_let_in(fresh.site, fresh.path, FIELDS)


def test_a_page_has_the_forms_of_what_somebody_may_do_and_no_others(world: World) -> None:
    """What is hidden is refused, too; but nobody is offered what is refused."""
    found = {role: set[str]() for role in Role}
    for role in Role:
        who = person(world.site, role)
        for page in world.site.pages:
            for path in {world.path(page.path), page.path.replace("{run}", world.running)}:
                text = who.get(path).text
                found[role] |= {act for act in ACTS if f'action="{act}"' in text}
    expected = {role: {act for act, who in ACTS.items() if role in who} for role in Role}
    expected[OPERATOR].remove("/schedule/resume")  # nothing is paused
    assert found == expected
