"""Documents in a real browser: light and dark, on a phone and a wide screen, and on paper."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from machine.text import shown
from protocol.evidence.document import Answer, Source
from protocol.evidence.forms import Form
from protocol.evidence.forms_of import AT_NODE
from protocol.evidence.looking import Materials
from protocol.evidence.writing import rendered
from tests.browser.chromium import running_chromium, serious
from tests.protocol.evidence.materials import NOW, agreement_values, broken, materials

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: The width of A4 within the margins, in CSS pixels.
PAPER = 672
LONG = "Averyveryverylongwordthatnobodywouldwriteandsomebodydoes" * 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, once for this file."""
    with running_chromium() as found:
        yield found


def hard_to_show() -> Materials:
    """Facts of which one is not there, with many rows and words that break nowhere."""
    values = agreement_values()
    one = values["features"][0]
    values["features"] = [one | {"name": f"feature_{number}"} for number in range(40)]
    values["purpose"]["text"] = LONG
    return broken(replace(materials("node"), agreement=values), Source("measured", "backup", ""))


def page_of(form: Form, folder: Path) -> Path:
    """A document with a blank, an answer, and questions that are open."""
    answered = form.questions[0].key
    said = {answered: Answer(text=LONG, by="A. Officer", on=NOW.date())}
    file = folder / f"{form.kind}.html"
    file.write_text(rendered(form.filled(hard_to_show(), said), "html", shown), encoding="utf-8")
    return file


@pytest.mark.parametrize("form", AT_NODE.values(), ids=AT_NODE)
def test_a_document_can_be_read_on_every_screen_and_fits_on_paper(
    browser: Browser, tmp_path: Path, form: Form
) -> None:
    file = page_of(form, tmp_path)
    for width, scheme in ((390, "dark"), (1600, "light")):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not serious(page)
        if pictures := os.environ.get("FEDSEG_TEST_PICTURES"):
            page.screenshot(path=f"{pictures}/evidence-{form.kind}-{width}.png", full_page=True)
        page.close()
    page = browser.new_page(viewport={"width": PAPER, "height": 900}, color_scheme="dark")
    page.goto(file.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert ink == "rgb(28, 39, 51)", "paper is light, whatever the screen is"
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.close()
