"""The machine's own Chromium, without a window; nothing is downloaded.

Where there is none the tests are skipped, and say so last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_AXE: Final = Path(__file__).parent / "axe" / "axe.min.js"
#: What fails a test: https://github.com/dequelabs/axe-core/blob/develop/doc/API.md#results-object
_SERIOUS: Final = ("serious", "critical")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser; skips where the machine has none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium here: {', '.join(NAMES)} (apt-get install chromium)")
    rights = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=rights)
        yield browser
        browser.close()


def serious(page: Page) -> list[dict[str, Any]]:
    """What keeps people out of a page, as axe-core finds it: rule and elements."""
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    return [
        {"rule": one["id"], "at": [node["html"] for node in one["nodes"]]}
        for one in found["violations"]
        if one["impact"] in _SERIOUS
    ]
