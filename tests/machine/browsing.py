"""Somebody at a console, without a browser: cookies are kept, forms are sent as pages have them."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime, timedelta

from httpx import Response

from machine.accounts.accounts import Enrolment
from machine.web.application import application
from machine.web.site import Site
from tests.agreement_names import check_names
from tests.machine.people import PASSWORD, code_of

with warnings.catch_warnings():
    # It wants another library for HTTP than the one that the project has.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

HOST = "127.0.0.1:8321"
HOSTS = frozenset({HOST})


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


class Person:
    """A browser that follows no redirects, and whoever sits at it."""

    def __init__(self, site: Site, *, host: str = HOST) -> None:
        self.site = site
        self.host = host
        self.client = TestClient(
            application(site), base_url=f"http://{host}", follow_redirects=False,
            raise_server_exceptions=True,
        )  # fmt: skip

    def get(self, path: str, **headers: str) -> Response:
        return _checked(self.client.get(path, headers=headers))

    def send(self, path: str, *, page: str, **fields: str) -> Response:
        """Send a form as it is on a page, which has the token."""
        token = token_of(self.get(page).text)
        return self.post(path, form_token=token, **fields)

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> Response:
        sent = {"origin": f"http://{self.host}", "sec-fetch-site": "same-origin"}
        return _checked(self.client.post(path, data=fields, headers=sent | (headers or {})))

    def sign_in(self, enrolment: Enrolment, **changes: str) -> Response:
        self.get("/sign-in")
        fields = {
            "name": enrolment.account.name, "password": PASSWORD,
            "code": code_of(enrolment, self.site.clock()),
        }  # fmt: skip
        return self.send("/sign-in", page="/sign-in", **fields | changes)


def _checked(found: Response) -> Response:
    """A page; an agreement in its JSON is named as everywhere."""
    if found.headers.get("content-type", "").startswith("application/json"):
        check_names(found.json())
    return found


def token_of(text: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', text)
    assert found is not None, text
    return found[1]
