"""The console of a node in a real browser: light and dark, narrow, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.site import Site
from partner_node.home import NodeHome
from tests.browser.chromium import serious
from tests.browser.consoles import Context, chromium, look, opened, served, signed_in
from tests.partner_node.consoles import accounts, cheap_keys, site
from tests.partner_node.held import installed, node, shell, waiting
from tests.partner_node.test_node_cli import after_a_run
from tests.shell import Shell

__all__ = [
    "accounts", "cheap_keys", "chromium", "installed", "node", "opened", "shell", "site", "waiting",
]  # fmt: skip

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATHS = (
    "/health", "/approvals", "/egress", "/egress/3", "/agreements", "/agreements/ours", "/budget",
    "/consent", "/requests", "/segments", "/exports", "/files", "/log", "/proposals", "/duties",
    "/nothing",
)  # fmt: skip


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    """A console that is served."""
    with served(site) as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_open_to_everybody(
    opened: Context, url: str, site: Site, scheme: str
) -> None:
    context = opened(color_scheme=scheme, viewport={"width": 1_280, "height": 900})
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{url}/sign-in")
    look(page, f"sign-in-{scheme}")
    assert serious(page) == []
    page = signed_in(context, url, site, Role.AUDITOR)
    page.on("console", lambda message: said.append(message.text))
    grounds = set()
    for path in PATHS:
        page.goto(url + path)
        look(page, f"{path.strip('/').replace('/', '-')}-{scheme}")
        assert serious(page) == [], path
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == {"rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)"}
    refused = [text for text in said if "server responded with a status of" not in text]
    assert refused == [], "what the policy for contents refuses is said there"


@pytest.mark.parametrize("width", [390, 1_600])
def test_no_page_is_wider_than_the_window(
    opened: Context, url: str, site: Site, width: int
) -> None:
    context = opened(viewport={"width": width, "height": 844})
    page = signed_in(context, url, site, Role.DATA_PROTECTION_OFFICER)
    for path in PATHS:
        page.goto(url + path)
        look(page, f"{path.strip('/').replace('/', '-')}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert width > 390 or serious(page) == [], path


@pytest.mark.parametrize("scripts", [True, False])
def test_somebody_approves_a_held_answer(
    opened: Context, url: str, site: Site, shell: Shell, waiting: Path, scripts: bool
) -> None:
    context = opened(java_script_enabled=scripts)
    page = signed_in(context, url, site, Role.APPROVER)
    page.get_by_role("link", name="Approvals").click()
    page.get_by_role("heading", name="Message 3 waits").wait_for()
    page.get_by_role("button", name="Approve message 3").click()
    page.wait_for_url(f"{url}/egress/3")
    assert "by anna.berg" in page.inner_text("main")
    (held,) = shell.json("egress", "list", "--dir", waiting)["held"]
    assert (held["state"], held["decided_by"]) == ("approved", "anna.berg")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{url}/sign-in")
    page.goto(f"{url}/approvals")
    assert page.url == f"{url}/sign-in"


@pytest.fixture
def released(waiting: Path) -> Path:
    """A node's folder with a release, before its console is opened."""
    after_a_run(waiting, [1.0, 2.0])
    return waiting


def test_a_marketer_exports_segments(
    released: Path, opened: Context, url: str, site: Site, shell: Shell
) -> None:
    page = signed_in(opened(java_script_enabled=False), url, site, Role.MARKETER, "mia")
    page.get_by_role("link", name="Exports").click()
    page.get_by_label("For", exact=True).select_option("evaluation")
    look(page, "exports-form")
    assert page.get_by_label("Customers of").count() == 1
    page.get_by_role("button", name="Write the file").click()
    page.get_by_text("Wrote ").wait_for()
    look(page, "exports-written")
    (record,) = shell.json("segments", "exports", "--dir", released)["exports"]
    assert (record["use"], record["written_by"]) == ("evaluation", "mia")
    assert Path(record["file"]).exists()


def test_a_page_renews_itself_and_keeps_the_focus(
    opened: Context, url: str, site: Site, waiting: Path
) -> None:
    page = signed_in(opened(), url, site, Role.APPROVER)
    page.goto(f"{url}/approvals")
    page.focus("#refuse-3")
    page.evaluate("document.querySelector('#live').dataset.old = 'yes'")
    with page.expect_response(f"{url}/approvals") as answered:
        page.evaluate(
            "htmx.ajax('GET', '/approvals', {source: '#live', select: '#live', swap: 'outerHTML',"
            " target: '#live'})"
        )
    assert answered.value.ok
    page.wait_for_function("document.querySelector('#live').dataset.old === undefined")
    assert page.evaluate("document.activeElement.id") == "refuse-3"


def test_the_way_past_the_menu_comes_first(opened: Context, url: str, site: Site) -> None:
    page = signed_in(opened(), url, site, Role.AUDITOR)
    page.goto(f"{url}/health")
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the content"
    assert skip.bounding_box() is not None
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_another_sites_page_decides_nothing(
    opened: Context, url: str, site: Site, accounts: Accounts, waiting: Path
) -> None:
    """A page of another origin sends the form of the person who is signed in."""
    context, before = opened(), accounts.acts.all()
    page = signed_in(context, url, site, Role.APPROVER)
    port = url.rpartition(":")[2]
    evil = context.new_page()
    evil.route("http://evil.example/", lambda route: route.fulfill(
        content_type="text/html",
        body=f"<form method=post action=http://127.0.0.1:{port}/approvals/approve>"
        "<input name=number value=3></form><script>document.forms[0].submit()</script>",
    ))  # fmt: skip
    evil.goto("http://evil.example/", wait_until="commit")
    evil.wait_for_url(f"{url}/approvals/approve")
    assert "E-FORM-STRANGE" in evil.inner_text("main")
    assert accounts.acts.all() == before
    page.goto(f"{url}/approvals")
    assert "Message 3 waits" in page.inner_text("main")
    assert NodeHome.load(waiting).accounts_file.exists()
