"""A served console, and people who sign in to it with a real browser.

Test files get the fixtures by importing them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from machine.accounts.roles import Role
from machine.web.address import Address
from machine.web.application import application
from machine.web.serving import listening, serve
from machine.web.site import Site
from tests.browser.chromium import running_chromium
from tests.machine.people import PASSWORD, add, code_of

Context = Callable[..., BrowserContext]


@contextmanager
def served(site: Site) -> Iterator[str]:
    """Serve a console on loopback; its address without a slash at the end."""
    address, stop = Address(host="127.0.0.1", port=0), threading.Event()
    with listening(address) as listener:
        port = listener.getsockname()[1]
        app = application(replace(site, hosts=address.hosts(port)))
        thread = threading.Thread(target=serve, args=(app, address, listener, stop))
        thread.start()
        try:
            yield address.url(port).rstrip("/")
        finally:
            stop.set()
            thread.join(20)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Context]:
    """Makes contexts: browsers of their own, without each other's cookies."""
    made: list[BrowserContext] = []

    def make(**how: Any) -> BrowserContext:
        made.append(chromium.new_context(**how))
        made[-1].set_default_timeout(20_000)
        return made[-1]

    yield make
    for context in made:
        context.close()


def signed_in(
    context: BrowserContext, url: str, site: Site, role: Role, name: str = "anna.berg"
) -> Page:
    """A page of somebody who signed in by keyboard alone."""
    enrolment = add(site.accounts, name, role)
    page = context.new_page()
    page.goto(f"{url}/")
    page.focus("#name")
    for text in (name, PASSWORD, code_of(enrolment, site.clock())):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda found: "sign-in" not in found)
    return page


def look(page: Page, name: str) -> None:
    """Keep a picture where somebody asked for pictures."""
    folder = os.environ.get("FEDSEG_TEST_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
