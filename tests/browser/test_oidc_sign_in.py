"""Signing in by an identity provider of another site, in a real browser: its cookies decide."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.address import Address
from machine.web.application import application
from machine.web.oidc.sign_in import SignInByProvider
from machine.web.serving import listening, serve
from tests.browser.chromium import running_chromium, serious
from tests.browser.test_node_console import look
from tests.machine.oidc_provider import FakeProvider
from tests.machine.test_oidc import accounts, provider, settings, site_of

__all__ = ["accounts", "provider"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def url(accounts: Accounts, provider: FakeProvider) -> Iterator[str]:
    """A console at localhost; the provider is at 127.0.0.1, another site to browsers."""
    address = Address(host="127.0.0.1", port=0, names=("localhost",))
    stop = threading.Event()
    with listening(address) as listener:
        port = listener.getsockname()[1]
        oidc = SignInByProvider.at(settings(provider), address, port)
        provider.redirect_uris = {oidc.redirect_uri}
        site = replace(site_of(accounts, oidc), hosts=address.hosts(port))
        thread = threading.Thread(target=serve, args=(application(site), address, listener, stop))
        thread.start()
        yield address.url(port).rstrip("/")
        stop.set()
        thread.join(20)


@pytest.mark.parametrize("scripts", [True, False])
def test_somebody_comes_back_from_another_site(
    url: str, provider: FakeProvider, accounts: Accounts, scripts: bool
) -> None:
    with running_chromium() as browser:
        context = browser.new_context(java_script_enabled=scripts)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        # By the other name first: the sign-in begins where the provider sends people back.
        page.goto(url.replace("localhost", "127.0.0.1") + "/sign-in")
        look(page, f"sign-in-provider-{scripts}")
        if scripts:
            assert serious(page) == []
        page.get_by_role("link", name="Sign in with Staff login").click()
        page.wait_for_url(f"{provider.issuer}/authorize**")
        page.locator("#go").click()
        page.wait_for_url(f"{url}/numbers")
        assert "anna, approver" in page.inner_text("header")
        cookies = {c["name"]: c for c in context.cookies(url)}
        assert cookies["fedseg-test-session"]["sameSite"] == "Strict"
        assert "fedseg-test-flow" not in cookies
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{url}/sign-in")
        assert [text for text in said if "status of" not in text] == []
    assert accounts.get("anna").role is Role.APPROVER
