"""The coordinator's console in a real browser: light, dark, narrow, with and without JavaScript."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from machine.accounts.roles import Role
from tests.browser.chromium import serious
from tests.browser.consoles import Context, chromium, look, opened, served, signed_in
from tests.coordinator.consoles import World, fresh
from tests.coordinator.consoles import world_in_file as world

__all__ = ["chromium", "fresh", "opened", "world"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    with served(world.site) as found:
        yield found


def entered(context: BrowserContext, url: str, world: World, role: Role) -> Page:
    return signed_in(context, url, world.site, role, f"{role.value}.{secrets.token_hex(3)}")


def paths(world: World) -> list[str]:
    """Every page, and those of runs that failed or go on."""
    found = [world.path(page.path) for page in world.site.pages]
    proposed = world.proposed.agreement.hash.hex()
    return [
        *found,
        f"/runs/{world.failed}",
        f"/runs/{world.running}",
        f"/agreements/{proposed}",
        "/x",
    ]


def name_of(world: World, path: str) -> str:
    """A picture's name."""
    for id, word in (
        (world.finished, "finished"), (world.failed, "failed"), (world.running, "running"),
        (world.ours.hash.hex(), "ours"), (world.proposed.agreement.hash.hex(), "proposed"),
    ):  # fmt: skip
        path = path.replace(id, word)
    return "coordinator-" + path.strip("/").replace("/", "-")


@pytest.mark.parametrize(
    ("scheme", "width", "role"),
    [("light", 1_600, Role.DATA_PROTECTION_OFFICER), ("dark", 390, Role.OPERATOR)],
)
def test_every_page_is_open_to_everybody_and_fits_the_window(
    opened: Context, url: str, world: World, scheme: str, width: int, role: Role
) -> None:
    context = opened(color_scheme=scheme, viewport={"width": width, "height": 844})
    page = entered(context, url, world, role)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    grounds = set()
    for path in paths(world):
        page.goto(url + path)
        look(page, f"{name_of(world, path)}-{scheme}")
        assert serious(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == {"rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)"}
    refused = [text for text in said if "server responded with a status of" not in text]
    assert refused == [], "what the policy for contents refuses is said there"


@pytest.mark.parametrize("scripts", [True, False])
def test_somebody_starts_a_run_and_stops_it(opened: Context, fresh: World, scripts: bool) -> None:
    with served(fresh.site) as url:
        context = opened(java_script_enabled=scripts)
        page = entered(context, url, fresh, Role.OPERATOR)
        page.get_by_role("button", name="Start a run under ours").click()
        page.wait_for_url(f"{url}/runs/*")
        (row,) = fresh.store.runs()
        assert page.url.endswith(row.run_id.hex())
        page.get_by_role("button", name="Stop run").click()
        page.get_by_text("E-STOPPED").wait_for()
        assert fresh.store.run(row.run_id).code == "E-STOPPED"
        page.get_by_role("link", name="Partners").click()
        page.get_by_label("The short code").fill(fresh.code("west"))
        page.get_by_role("button", name="Admit whoever has this code").click()
        page.get_by_role("cell", name="admitted").nth(3).wait_for()
        page.context.close()


def test_a_run_that_goes_on_renews_itself_and_keeps_what_somebody_types(
    opened: Context, fresh: World
) -> None:
    with served(fresh.site) as url:
        page = entered(opened(), url, fresh, Role.OPERATOR)
        fresh.store.request_run(bytes(16), fresh.ours)
        page.goto(f"{url}/runs")
        field = page.get_by_label("Partners to leave out")
        field.fill("mid")
        page.evaluate("document.querySelector('#live').dataset.old = 'yes'")
        page.locator("#live[data-old]").wait_for(state="detached")
        assert field.input_value() == "mid"
        page.goto(f"{url}/runs/{bytes(16).hex()}")
        fresh.store.fail(bytes(16), "E-STOPPED", "stopped")
        page.get_by_text("It failed").wait_for()
        assert page.locator("#live[hx-trigger]").count() == 0
        page.context.close()
