"""Pictures of consoles as a browser shows them, for the page that a story is written to.

A story in a plain run of the tests has no camera, so no browser is started.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page

from machine.accounts.roles import Role
from machine.web.site import Site
from tests.browser.chromium import running_chromium
from tests.browser.consoles import served, signed_in

WIDTH: Final = 1_000
#: What is below that is left out.
MOST_HEIGHT: Final = 820
#: Most bytes of one picture.
MOST_BYTES: Final = 60_000
SUFFIX: Final = ".webp"
_QUALITY: Final = 50
#: What is left above the part of a page that is shown.
_ABOVE: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A browser, and the folder that its pictures go to."""

    folder: Path
    browser: Browser

    def take(
        self,
        name: str,
        site: Site,
        role: Role,
        person: str,
        path: str,
        *,
        press: str = "",
        part: str = "body",
    ) -> None:
        """Somebody of a role signs in, opens a page, and perhaps presses a button.

        Args:
            name: The picture's.
            path: The page's, with a slash before it.
            press: What stands on the button; nothing is pressed where it is empty.
            part: A selector of the part of the page where the picture begins.
        """
        context = self.browser.new_context(
            color_scheme="light", viewport={"width": WIDTH, "height": MOST_HEIGHT}
        )
        with served(site) as url:
            page = signed_in(context, url, site, role, person)
            page.goto(url + path)
            if press:
                page.get_by_role("button", name=press).click()
                page.wait_for_load_state()
            self.folder.mkdir(exist_ok=True)
            (self.folder / f"{name}{SUFFIX}").write_bytes(_seen(page, part))
            context.close()


def _seen(page: Page, part: str) -> bytes:
    """The page from a part on, WebP; no higher than what stands on it."""
    box = page.locator(part).first.bounding_box()
    assert box is not None, part
    top = max(0, box["y"] - _ABOVE)
    height = min(page.evaluate("document.documentElement.scrollHeight") - top, MOST_HEIGHT)
    how = {
        "format": "webp",
        "quality": _QUALITY,
        "clip": {"x": 0, "y": top, "width": WIDTH, "height": height, "scale": 1},
        "captureBeyondViewport": True,
    }
    found = page.context.new_cdp_session(page).send("Page.captureScreenshot", how)
    return base64.b64decode(found["data"])


@contextmanager
def camera(folder: Path | None) -> Iterator[Camera | None]:
    """A camera for a folder; none where there is no folder."""
    with running_chromium() if folder is not None else nullcontext() as browser:
        yield None if folder is None or browser is None else Camera(folder=folder, browser=browser)
