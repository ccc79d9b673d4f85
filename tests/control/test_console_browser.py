"""A proposed agreement is read and signed in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.address import Address
from machine.web.application import application
from machine.web.serving import listening, serve
from machine.web.site import Site
from tests.browser.chromium import running_chromium, serious
from tests.browser.test_node_console import look, signed_in
from tests.control.commands import shell
from tests.control.lab import lab
from tests.control.parties import Signing, parties, signing
from tests.control.test_console_signing import accounts, answers, site

__all__ = ["accounts", "lab", "parties", "shell", "signing", "site"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    """A console that is served."""
    address, stop = Address(host="127.0.0.1", port=0), threading.Event()
    with listening(address) as listener:
        port = listener.getsockname()[1]
        app = application(replace(site, hosts=address.hosts(port)))
        thread = threading.Thread(target=serve, args=(app, address, listener, stop))
        thread.start()
        yield address.url(port).rstrip("/")
        stop.set()
        thread.join(20)


def test_two_people_sign_an_agreement(
    signing: Signing, site: Site, accounts: Accounts, url: str
) -> None:
    signing.propose_next(id=signing.parties.draft.agreement.id, four_eyes=["agreement"])
    full = signing.parties.draft.agreement.hash.hex()
    with running_chromium() as browser:
        for role, name, words in (
            (Role.DATA_PROTECTION_OFFICER, "dora", "a second person has to do the same"),
            (Role.APPROVER, "anna", "by dora, anna; the operator has the signature"),
        ):  # fmt: skip
            context = browser.new_context(viewport={"width": 390, "height": 844})
            page = signed_in(context, url, site, role, name)
            page.get_by_role("link", name="Proposals").click()
            page.locator(f'a[href="/proposals/{full}"]').click()
            assert serious(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            look(page, f"proposal-{name}")
            page.get_by_role("button", name="Sign", exact=True).click()
            page.get_by_text(words).wait_for()
            look(page, f"proposal-signed-{name}")
            context.close()
    assert "signed" in answers(signing)
