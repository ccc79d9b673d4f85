"""Each page and act of a console as each role, and as nobody: what a table says, and nothing else.

A table names who may, by the pattern of a page or the path of an act; one that lacks a page or an
act of the site fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from httpx import Response

from machine.accounts.roles import Role
from machine.web.site import Site
from tests.machine.browsing import Person, token_of

Table = Mapping[str, set[Role]]
#: Makes somebody of a role who is signed in.
SignedIn = Callable[[Site, Role], Person]


def named(site: Site, pages: Table, acts: Table) -> None:
    """The tables name every page and every act of the site."""
    assert set(pages) == {page.path for page in site.pages}
    assert set(acts) == {act.path for act in site.acts}


def pages_open(
    site: Site,
    pages: Table,
    person: SignedIn,
    path_of: Callable[[str], str],
    opened: Callable[[str], int] = lambda _: 200,
) -> None:
    """Each page, and its JSON, opens for whom the table says; the menu leads there.

    Args:
        path_of: A page's address, of its pattern.
        opened: The status with which a page opens, of its pattern.
    """
    for role in Role:
        who = person(site, role)
        menu = who.get(who.get("/").headers["location"]).text.split("</nav>")[0]
        for page in site.pages:
            allowed, path = pages[page.path], path_of(page.path)
            for end in ("", ".json"):
                answer = who.get(path + end)
                expected = opened(page.path) if role in allowed else 403
                assert answer.status_code == expected, (role, path + end, answer.text)
                assert ("E-ROLE" in answer.text) == (role not in allowed)
            assert (f'<a href="{path}"' in menu) == (role in allowed and page.in_menu), (role, path)


def acts_done(
    site: Site,
    acts: Table,
    person: SignedIn,
    fields: Mapping[str, str],
    done: Callable[[str, Response], bool],
) -> None:
    """Each act is done for whom the table says, and noted; for others nothing is.

    Args:
        fields: What each form has.
        done: Whether an answer is that of somebody who may do the act at a path.
    """
    for role in Role:
        who = person(site, role)
        token = token_of(who.get(who.get("/").headers["location"]).text)
        before = len(site.accounts.acts.all())
        for act in site.acts:
            answer = who.post(act.path, form_token=token, **fields)
            if role in acts[act.path]:
                assert done(act.path, answer), (role, act.path, answer.text)
            else:
                refused = (answer.status_code, "E-ROLE" in answer.text)
                assert refused == (403, True), (role, act.path)
        noted = {one.act for one in site.accounts.acts.all()[before:]}
        assert noted == {act.name for act in site.acts if role in acts[act.path]}


def nobody_is_let_in(site: Site, path_of: Callable[[str], str], fields: Mapping[str, str]) -> None:
    """Whoever is not signed in sees and does nothing."""
    nobody, before = Person(site), site.accounts.acts.all()
    for page in site.pages:
        path = path_of(page.path)
        assert nobody.get(path).headers["location"] == "/sign-in"
        assert nobody.get(f"{path}.json").status_code == 401
    before = site.accounts.acts.all()
    for act in site.acts:
        assert nobody.post(act.path, **fields).status_code == 403
    assert site.accounts.acts.all() == before
