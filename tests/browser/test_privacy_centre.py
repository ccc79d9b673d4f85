"""The privacy centre and notices in a real browser: wide, narrow, light, dark, without scripts."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from partner_node.notices.catalogue import catalogue_of, languages
from partner_node.notices.centre import FILE, KINDS, Told, pages
from partner_node.segments import feedback_file
from tests.browser.chromium import serious
from tests.browser.consoles import Context, chromium, look, opened
from tests.partner_node.test_notices import noised, notice

__all__ = ["chromium", "opened"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    agreement = noised()
    told = [
        Told(texts=catalogue_of(name), notice=notice(agreement, name), published=None)
        for name in ("en", "de")
    ]
    for name, page in pages(told).items():
        (folder / name).write_text(page, encoding="utf-8")
    return folder


def url(site: Path, name: str) -> str:
    return (site / name).as_uri()


def saved(page: Page, subject: str, kind: str, folder: Path) -> Path:
    page.get_by_label("Your customer number").fill(subject)
    page.locator(f"input[value={kind}]").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the file").click()
    assert download.value.suggested_filename == FILE
    download.value.save_as(folder / FILE)
    return folder / FILE


@pytest.mark.parametrize(
    ("scheme", "width", "language"), [("light", 1_600, "en"), ("dark", 390, "de")]
)
def test_every_page_is_open_to_everybody_and_fits_the_window(
    opened: Context, site: Path, scheme: str, width: int, language: str
) -> None:
    context = opened(color_scheme=scheme, viewport={"width": width, "height": 844})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    for name in (f"{language}.html", f"notice-{language}.html"):
        page.goto(url(site, name))
        look(page, f"notice-{name}-{scheme}-{width}")
        assert serious(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    assert said == [], "what the policy for contents refuses is said there"


def test_a_notice_is_one_screen_first(opened: Context, site: Path) -> None:
    page = opened(viewport={"width": 1_600, "height": 900}).new_page()
    for language in languages():
        page.goto(url(site, f"notice-{language}.html"))
        box = page.locator(".first").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900


def test_what_a_customer_saves_is_what_feedback_import_reads(
    opened: Context, site: Path, tmp_path: Path
) -> None:
    page = opened(accept_downloads=True).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url(site, "en.html"))
    for kind in KINDS:
        file = saved(page, ' C "7", =1 ', kind, tmp_path)
        now = datetime.now(UTC) + timedelta(seconds=1)
        (said,) = feedback_file.read_feedback(file, now=now)
        assert (said.subject, said.kind) == ('C "7", =1', kind)
    assert FILE in page.get_by_role("status").inner_text()
    assert {one.split(":")[0] for one in asked} <= {"file", "blob"}, "nothing is sent"


def test_nothing_is_saved_without_a_customer_number(opened: Context, site: Path) -> None:
    page = opened().new_page()
    page.goto(url(site, "de.html"))
    page.get_by_role("button", name="Datei speichern").click()
    assert page.get_by_role("status").inner_text() == "Bitte geben Sie Ihre Kundennummer an."
    assert page.evaluate("document.activeElement.id") == "id"


def test_without_scripts_there_is_a_text_to_send(opened: Context, site: Path) -> None:
    page = opened(java_script_enabled=False).new_page()
    page.goto(url(site, "en.html"))
    assert not page.locator("form").is_visible()
    assert page.get_by_text("Your browser runs no scripts here").is_visible()
    assert page.locator(".text").is_visible()
    link = page.get_by_role("link", name="privacy@north.example").get_attribute("href")
    assert link is not None
    assert link.startswith("mailto:privacy@north.example?body=Customer%20number")


def test_a_notice_is_printed_with_all_of_its_text(opened: Context, site: Path) -> None:
    page = opened(viewport={"width": 800, "height": 1_100}).new_page()
    page.goto(url(site, "notice-de.html"))
    page.emulate_media(media="print")
    look(page, "notice-de-print")
    assert page.locator(".mark").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    if os.environ.get("FEDSEG_TEST_PICTURES"):
        page.pdf(path=Path(os.environ["FEDSEG_TEST_PICTURES"]) / "notice-de.pdf", format="A4")
