"""Signing in by an identity provider: what it says of a person is believed, once, and no more."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from httpx import Response

from machine.accounts.accounts import Accounts
from machine.accounts.guessing import FREE_OF_ADDRESS
from machine.accounts.roles import Permission, Role
from machine.shown import Shown
from machine.web.address import Address
from machine.web.oidc.fetching import MAX_BYTES
from machine.web.oidc.flows import GOOD_FOR, Flows
from machine.web.oidc.settings import OidcSettings, is_provider_url
from machine.web.oidc.sign_in import SignInByProvider
from machine.web.site import Page, Site
from protocol.errors import FedsegError
from tests.machine.browsing import HOST, HOSTS, Clock, Person
from tests.machine.oidc_provider import (
    CLIENT,
    Answer,
    FakeProvider,
    ec_key,
    jwk,
    rsa_key,
    running_provider,
)
from tests.machine.people import NOW, PASSWORD, accounts_at, add

BASE = f"http://{HOST}/"


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with running_provider() as found:
        found.redirect_uris = {f"{BASE}sign-in/oidc/return"}
        yield found


@pytest.fixture
def accounts(provider: FakeProvider) -> Iterator[Accounts]:
    opened = accounts_at()
    opened.add_vouched(
        "anna", Role.APPROVER, issuer=provider.issuer, subject=provider.subject, now=NOW
    )
    yield opened
    opened.close()


def settings(provider: FakeProvider, **changes: Any) -> OidcSettings:
    return OidcSettings(issuer=provider.issuer, client_id=CLIENT, name="Staff login", **changes)


def site_of(accounts: Accounts, oidc: SignInByProvider | None, *, secure: bool = False) -> Site:
    return Site(
        name="Test", short="test", first="side user add", accounts=accounts,
        pages=(
            Page(
                path="/numbers", title="Numbers", permission=Permission.READ_EGRESS,
                show=lambda _: Shown(values={}, parts=["Here"]),
            ),
        ),
        acts=(), hosts=HOSTS | {"localhost:8321"}, secure=secure, clock=Clock(), oidc=oidc,
    )  # fmt: skip


@pytest.fixture
def site(accounts: Accounts, provider: FakeProvider) -> Site:
    return site_of(accounts, SignInByProvider(settings(provider), "", BASE))


@pytest.fixture
def anna(site: Site) -> Person:
    return Person(site)


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def come_back(who: Person, provider: FakeProvider) -> Response:
    """Sign in at the provider, and come back."""
    sent = who.get("/sign-in/oidc")
    assert sent.status_code == 303, sent.text
    return who.get(path_of(provider.signed_in(sent.headers["location"])))


def is_in(who: Person) -> bool:
    return who.get("/numbers").status_code == 200


def refused(who: Person, answer: Response, code: str) -> None:
    assert f"<strong>{code}</strong>" in answer.text, answer.text
    assert answer.status_code >= 400
    assert 'name="password"' in answer.text, "there is another way in"
    assert not is_in(who)


# --- the way there and back ----------------------------------------------------------------------


def test_whoever_has_an_account_comes_in(anna: Person, provider: FakeProvider) -> None:
    page = anna.get("/sign-in").text
    assert f'href="{BASE}sign-in/oidc">Sign in with Staff login' in page
    answer = come_back(anna, provider)
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/">' in answer.text
    (session,) = [c for c in answer.headers.get_list("set-cookie") if "-session=" in c]
    assert "HttpOnly" in session
    assert "SameSite=strict" in session
    assert anna.get("/").headers["location"] == "/numbers"
    assert "anna, approver" in anna.get("/numbers").text


def test_the_provider_is_asked_with_a_fresh_state_nonce_and_challenge(
    anna: Person, provider: FakeProvider
) -> None:
    asked = []
    for _ in range(2):
        sent = anna.get("/sign-in/oidc")
        asked.append(parse_qs(urlsplit(sent.headers["location"]).query))
        (cookie,) = sent.headers.get_list("set-cookie")
        for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=600"):
            assert part in cookie
        assert "form-action 'self'" in sent.headers["content-security-policy"]
    for name in ("state", "nonce", "code_challenge"):
        (first,), (second,) = asked[0][name], asked[1][name]
        assert len(first) >= 43
        assert first != second
    assert provider.asked == {"/.well-known/openid-configuration": 1}, "kept for an hour"
    anna.site.clock.forward(hours=2)  # type: ignore[attr-defined]
    anna.get("/sign-in/oidc")
    assert provider.asked == {"/.well-known/openid-configuration": 2}


def test_by_tls_the_cookie_is_bound_to_the_host(accounts: Accounts, provider: FakeProvider) -> None:
    site = site_of(accounts, SignInByProvider(settings(provider), "", BASE), secure=True)
    (cookie,) = Person(site).get("/sign-in/oidc").headers.get_list("set-cookie")
    assert cookie.startswith("__Host-fedseg-test-flow=")
    assert "Secure" in cookie
    assert "Domain" not in cookie


def test_whoever_came_by_another_name_begins_where_the_provider_sends_back(site: Site) -> None:
    sent = Person(site, host="localhost:8321").get("/sign-in/oidc")
    assert sent.headers["location"] == f"{BASE}sign-in/oidc"
    assert "set-cookie" not in sent.headers


def test_without_a_provider_there_is_no_such_page(accounts: Accounts) -> None:
    who = Person(site_of(accounts, None))
    assert "Sign in with" not in who.get("/sign-in").text
    for path in ("/sign-in/oidc", "/sign-in/oidc/return?code=a&state=b"):
        assert who.get(path).status_code == 404


def test_a_person_without_an_account_is_told_what_to_ask_for(
    anna: Person, provider: FakeProvider
) -> None:
    provider.subject = "<b>u 4712"
    answer = come_back(anna, provider)
    refused(anna, answer, "E-OIDC-ACCOUNT")
    assert "user add NAME --role ROLE --oidc &#39;&lt;b&gt;u 4712&#39;" in answer.text


def test_an_account_is_of_one_provider_and_one_subject(
    anna: Person, accounts: Accounts, provider: FakeProvider
) -> None:
    accounts.remove("anna")
    accounts.add_vouched(
        "b", Role.AUDITOR, issuer="https://other.example", subject="u-4711", now=NOW
    )
    add(accounts, "u-4711", Role.OPERATOR)
    refused(anna, come_back(anna, provider), "E-OIDC-ACCOUNT")


def test_no_password_opens_the_account_of_somebody_who_is_vouched_for(anna: Person) -> None:
    for password in ("", PASSWORD):
        answer = anna.send("/sign-in", page="/sign-in", name="anna", password=password, code="1")
        assert "E-SIGN-IN" in answer.text
    assert not is_in(anna)


def test_another_role_ends_the_session(
    anna: Person, accounts: Accounts, provider: FakeProvider
) -> None:
    come_back(anna, provider)
    accounts.change_role("anna", Role.AUDITOR, NOW)
    assert not is_in(anna)


# --- who comes back ------------------------------------------------------------------------------


def test_nobody_comes_back_twice(anna: Person, provider: FakeProvider) -> None:
    sent = anna.get("/sign-in/oidc")
    cookie = sent.headers["set-cookie"].split("=", 1)[1].split(";")[0]
    back = path_of(provider.signed_in(sent.headers["location"]))
    assert anna.get(back).status_code == 200
    other = Person(anna.site)
    other.client.cookies.set("fedseg-test-flow", cookie)
    refused(other, other.get(back), "E-OIDC-FLOW")


def test_a_code_that_was_used_signs_nobody_in(anna: Person, provider: FakeProvider) -> None:
    first = path_of(provider.signed_in(anna.get("/sign-in/oidc").headers["location"]))
    used = parse_qs(urlsplit(first).query)["code"][0]
    assert anna.get(first).status_code == 200
    other = Person(anna.site)
    provider.back = {"code": used}
    refused(other, come_back(other, provider), "E-OIDC")


def test_somebody_elses_answer_signs_nobody_in(anna: Person, provider: FakeProvider) -> None:
    """Somebody has a victim's browser come back with an answer of his own (CSRF at sign-in)."""
    evil = Person(anna.site)
    back = path_of(provider.signed_in(evil.get("/sign-in/oidc").headers["location"]))
    refused(anna, anna.get(back), "E-OIDC-FLOW")
    anna.get("/sign-in/oidc")
    refused(anna, anna.get(back), "E-OIDC-FLOW")
    assert "/token" not in provider.asked


@pytest.mark.parametrize("state", [None, "", "x" * 43])
def test_another_state_signs_nobody_in(
    anna: Person, provider: FakeProvider, state: str | None
) -> None:
    provider.back = {"state": state}
    refused(anna, come_back(anna, provider), "E-OIDC-FLOW")
    assert "/token" not in provider.asked


def test_a_sign_in_is_good_for_ten_minutes(anna: Person, provider: FakeProvider) -> None:
    sent = anna.get("/sign-in/oidc")
    back = path_of(provider.signed_in(sent.headers["location"]))
    anna.site.clock.forward(seconds=GOOD_FOR.total_seconds() + 1)  # type: ignore[attr-defined]
    refused(anna, anna.get(back), "E-OIDC-FLOW")


def test_what_the_provider_refuses_is_said_in_its_code_alone(
    anna: Person, provider: FakeProvider
) -> None:
    for said, words in (("access_denied", "access_denied"), ("<script>", "in: an error")):
        provider.back = {"code": None, "error": said, "error_description": "<b>evil</b>"}
        answer = come_back(anna, provider)
        refused(anna, answer, "E-OIDC-REFUSED")
        assert words in answer.text
        assert "evil" not in answer.text


def test_an_answer_of_another_provider_is_refused(anna: Person, provider: FakeProvider) -> None:
    provider.back = {"iss": "https://evil.example"}
    refused(anna, come_back(anna, provider), "E-OIDC-FLOW")
    assert "/token" not in provider.asked, "the code goes to nobody"
    provider.back = {"iss": provider.issuer}
    come_back(anna, provider)
    assert is_in(anna)


def test_a_provider_that_names_itself_has_to(anna: Person, provider: FakeProvider) -> None:
    provider.description = {"authorization_response_iss_parameter_supported": True}
    refused(anna, come_back(anna, provider), "E-OIDC-FLOW")


def test_whoever_brings_wrong_tokens_often_waits_and_passwords_do_not(
    anna: Person, accounts: Accounts, provider: FakeProvider
) -> None:
    provider.claims = {"aud": "another"}
    for _ in range(FREE_OF_ADDRESS + 1):
        assert "E-OIDC-TOKEN" in come_back(anna, provider).text
    provider.claims = {}
    asked = provider.asked["/token"]
    answer = come_back(anna, provider)
    assert (answer.status_code, "E-SIGN-IN-WAIT" in answer.text) == (429, True)
    assert "user reset" not in answer.text
    assert provider.asked["/token"] == asked
    assert Person(anna.site).sign_in(add(accounts, "bernd")).status_code == 303


def test_nobody_waits_for_what_another_site_or_the_provider_did(
    anna: Person, accounts: Accounts, provider: FakeProvider
) -> None:
    evil = Person(anna.site)
    for _ in range(FREE_OF_ADDRESS + 2):
        assert "E-OIDC-FLOW" in evil.get("/sign-in/oidc/return?code=a&state=b").text
        provider.back = {"state": "another"}
        assert "E-OIDC-FLOW" in come_back(evil, provider).text
        provider.back = {"code": None, "error": "access_denied"}
        assert "E-OIDC-REFUSED" in come_back(evil, provider).text
        provider.back, provider.instead = {}, {"/token": Answer(400, b"{}")}
        assert "E-OIDC" in come_back(evil, provider).text
        provider.instead, provider.subject = {}, "nobody"
        assert "E-OIDC-ACCOUNT" in come_back(evil, provider).text
        provider.subject = "u-4711"
    assert Person(anna.site).sign_in(add(accounts, "bernd")).status_code == 303
    come_back(anna, provider)
    assert is_in(anna)


def test_wrong_passwords_hold_nobody_up_who_comes_from_the_provider(
    anna: Person, accounts: Accounts, provider: FakeProvider
) -> None:
    with accounts.database.transaction():
        for number in range(FREE_OF_ADDRESS + 5):
            accounts.guessing.failed(f"name-{number}", "testclient", anna.site.clock())
    assert Person(anna.site).sign_in(add(accounts, "bernd")).status_code == 429
    come_back(anna, provider)
    assert is_in(anna)


@pytest.mark.parametrize("issuer", [None, "https://other.example"])
def test_a_session_ends_where_another_provider_or_none_vouches_now(
    anna: Person, accounts: Accounts, provider: FakeProvider, issuer: str | None
) -> None:
    come_back(anna, provider)
    bernd = Person(anna.site)
    bernd.sign_in(add(accounts, "bernd"))
    other = None
    if issuer is not None:
        other = SignInByProvider(replace(settings(provider), issuer=issuer), "", BASE)
    changed = site_of(accounts, other)
    for who, status in ((anna, 303), (bernd, 200)):
        after = Person(changed)
        after.client.cookies = who.client.cookies
        assert after.get("/numbers").status_code == status
    assert not is_in(anna), "it does not come back with the provider"


def test_flows_that_nobody_ends_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("machine.web.oidc.flows._MOST", 3)
    flows = Flows()
    cookies = [flows.begin(NOW)[0] for _ in range(4)]
    assert [flows.take(cookie, NOW) is not None for cookie in cookies] == [False, True, True, True]
    assert flows.take(cookies[1], NOW) is None


# --- what the provider says ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"aud": None}, {"aud": []},
        {"aud": [CLIENT, "another"]}, {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"}, {"iss": "https://evil.example"}, {"iss": None},
        {"exp": time.time() - 3_600}, {"exp": None}, {"iat": None}, {"iat": time.time() - 3_600},
        {"iat": time.time() + 3_600}, {"nbf": time.time() + 3_600}, {"sub": None}, {"sub": ""},
        {"sub": "ü"}, {"sub": "x" * 256},
    ],
)  # fmt: skip
def test_a_token_that_says_something_else_is_refused(
    anna: Person, provider: FakeProvider, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    refused(anna, come_back(anna, provider), "E-OIDC-TOKEN")


def test_a_token_for_this_console_beside_others_is_taken(
    anna: Person, provider: FakeProvider
) -> None:
    provider.claims = {"aud": [CLIENT, "another"], "azp": CLIENT}
    come_back(anna, provider)
    assert is_in(anna)


def public_pem() -> bytes:
    return rsa_key("first").public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


def by_hand(claims: dict[str, Any], algorithm: str, sign: Callable[[bytes], bytes]) -> str:
    """Signed with a key that the library would not take, or would warn of."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head = json.dumps({"alg": algorithm, "typ": "JWT", "kid": "k1"}).encode()
    signed = part(head) + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(sign(signed))).decode()


def by_secret(claims: dict[str, Any], secret: bytes) -> str:
    return by_hand(claims, "HS256", lambda signed: hmac.digest(secret, signed, hashlib.sha256))


FORGED: dict[str, Any] = {
    "no signature": lambda c: jwt.encode(c, None, algorithm="none", headers={"kid": "k1"}),
    "HS256 with the public key": lambda c: by_secret(c, public_pem()),
    "HS256 with the client's secret": lambda c: by_secret(c, b"secret"),
    "another key under this name": lambda c: jwt.encode(
        c, rsa_key("evil"), algorithm="RS256", headers={"kid": "k1"}
    ),
    "an unknown key": lambda c: jwt.encode(
        c, rsa_key("evil"), algorithm="RS256", headers={"kid": "k9"}
    ),
    "another algorithm of the same key": lambda c: jwt.encode(
        c, rsa_key("first"), algorithm="PS256", headers={"kid": "k1"}
    ),
    "its own key inside": lambda c: jwt.encode(
        c, rsa_key("evil"), algorithm="RS256", headers={"jwk": jwk(rsa_key("evil"), "k1")}
    ),
    "no token": lambda _: "abc",
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("how", FORGED)
def test_a_token_that_the_provider_did_not_sign_is_refused(
    anna: Person, provider: FakeProvider, how: str
) -> None:
    provider.sign = FORGED[how]
    refused(anna, come_back(anna, provider), "E-OIDC-TOKEN")


def test_a_token_by_an_elliptic_curve_is_taken(anna: Person, provider: FakeProvider) -> None:
    provider.keys.append(jwk(ec_key("curve"), "e1"))
    provider.sign = lambda claims: jwt.encode(
        claims, ec_key("curve"), algorithm="ES256", headers={"kid": "e1"}
    )
    come_back(anna, provider)
    assert is_in(anna)


def test_a_short_key_and_one_for_another_use_are_not_taken(
    anna: Person, provider: FakeProvider
) -> None:
    short = rsa_key("short", 1_024)
    provider.keys = [jwk(short, "k1")]
    provider.sign = lambda c: by_hand(
        c, "RS256", lambda signed: short.sign(signed, PKCS1v15(), SHA256())
    )
    refused(anna, come_back(anna, provider), "E-OIDC-TOKEN")
    anna.site.clock.forward(seconds=11)  # type: ignore[attr-defined]
    provider.keys = [jwk(rsa_key("first"), "k1") | {"use": "enc"}]
    provider.sign = lambda c: jwt.encode(
        c, rsa_key("first"), algorithm="RS256", headers={"kid": "k1"}
    )
    refused(anna, come_back(anna, provider), "E-OIDC-TOKEN")


def test_a_token_says_which_of_several_keys_signed_it(anna: Person, provider: FakeProvider) -> None:
    provider.sign = lambda c: jwt.encode(c, rsa_key("first"), algorithm="RS256")
    provider.keys.append(jwk(rsa_key("evil"), "k2"))
    refused(anna, come_back(anna, provider), "E-OIDC-TOKEN")
    provider.keys.pop()
    anna.site.clock.forward(seconds=11)  # type: ignore[attr-defined]
    anna.site.oidc._provider._keys._found = None  # type: ignore[union-attr]  # as after an hour
    come_back(anna, provider)
    assert is_in(anna), "of one key nothing need be said"


def test_new_keys_are_fetched_when_a_token_names_one_but_not_often(
    anna: Person, provider: FakeProvider
) -> None:
    come_back(anna, provider)
    assert provider.asked["/keys"] == 1
    provider.keys = [jwk(rsa_key("second"), "k2")]
    provider.sign = lambda c: jwt.encode(
        c, rsa_key("second"), algorithm="RS256", headers={"kid": "k2"}
    )
    other = Person(anna.site)
    refused(other, come_back(other, provider), "E-OIDC-TOKEN")
    assert provider.asked["/keys"] == 1, "ten seconds are not over"
    anna.site.clock.forward(seconds=11)  # type: ignore[attr-defined]
    come_back(other, provider)
    assert is_in(other)
    assert provider.asked["/keys"] == 2


def test_how_somebody_signed_in_may_be_asked_for(
    accounts: Accounts, provider: FakeProvider
) -> None:
    oidc = SignInByProvider(settings(provider, acr_values=("mfa", "phr")), "", BASE)
    who = Person(site_of(accounts, oidc))
    asked = parse_qs(urlsplit(who.get("/sign-in/oidc").headers["location"]).query)
    assert asked["acr_values"] == ["mfa phr"]
    for given in (None, "password", ["mfa"]):
        provider.claims = {"acr": given}
        if given == ["mfa"]:
            provider.claims = {"acr": "MFA"}
        refused(who, come_back(who, provider), "E-OIDC-TOKEN")
    provider.claims = {"acr": "phr"}
    come_back(who, provider)
    assert is_in(who)


@pytest.mark.parametrize(
    ("path", "answer", "code"),
    [
        ("/token", Answer(200, b"[]"), "E-OIDC"),
        ("/token", Answer(200, b"{"), "E-OIDC"),
        ("/token", Answer(200, b"[" * 100_000), "E-OIDC"),
        ("/token", Answer(200, b"{}"), "E-OIDC-TOKEN"),
        ("/token", Answer(500, b"{}"), "E-OIDC"),
        ("/token", Answer(307, b"{}", {"location": "/elsewhere"}), "E-OIDC"),
        ("/keys", Answer(302, b"{}", {"location": "/elsewhere"}), "E-OIDC"),
        ("/keys", Answer(200, b'{"keys": {}}'), "E-OIDC"),
        ("/keys", Answer(200, b'{"keys": [' + b"{}," * 60 + b"{}]}"), "E-OIDC"),
        ("/keys", Answer(200, b'{"keys": [1, {}, {"kty": "RSA", "kid": "k1"}]}'), "E-OIDC-TOKEN"),
    ],
)
def test_an_answer_that_is_none_signs_nobody_in(
    anna: Person, provider: FakeProvider, path: str, answer: Answer, code: str
) -> None:
    provider.instead = {path: answer}
    refused(anna, come_back(anna, provider), code)
    assert "/elsewhere" not in provider.asked


def test_a_right_answer_that_is_too_large_or_packed_signs_nobody_in(
    anna: Person, provider: FakeProvider
) -> None:
    provider.dressed = lambda body: (body + b" " * MAX_BYTES, {})
    refused(anna, come_back(anna, provider), "E-OIDC")
    provider.dressed = lambda body: (body, {"content-encoding": "identity"})
    refused(anna, come_back(anna, provider), "E-OIDC")
    provider.dressed = lambda body: (body + b" " * 1_000, {})
    come_back(anna, provider)
    assert is_in(anna)


def test_a_slow_provider_and_many_at_once_hold_nobody_up(
    anna: Person, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetcher = anna.site.oidc._provider._fetcher  # type: ignore[union-attr]
    taken = 0
    while fetcher._free.acquire(blocking=False):
        taken += 1
    assert taken == 4
    answer = anna.get("/sign-in/oidc")
    assert (answer.status_code, "too many people" in answer.text) == (503, True)
    for _ in range(taken):
        fetcher._free.release()
    monkeypatch.setattr("machine.web.oidc.fetching._LONGEST_S", -1.0)
    answer = anna.get("/sign-in/oidc")
    assert (answer.status_code, "too slowly" in answer.text) == (503, True)
    monkeypatch.undo()
    asked = dict(provider.asked)
    answer = anna.get("/sign-in/oidc")
    assert (answer.status_code, "too slowly" in answer.text) == (503, True)
    assert provider.asked == asked, "ten seconds are not over"
    anna.site.clock.forward(seconds=11)  # type: ignore[attr-defined]
    come_back(anna, provider)
    assert is_in(anna), "each place was given back"


def test_nobody_waits_while_keys_are_fetched_for_another(
    anna: Person, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = anna.site
    fetcher = site.oidc._provider._fetcher  # type: ignore[union-attr]
    get, inside, go_on = fetcher.get, threading.Event(), threading.Event()

    def slow(url: str) -> dict[str, Any]:
        if url.endswith("/keys") and not inside.is_set():
            inside.set()
            assert go_on.wait(30)
        return get(url)

    monkeypatch.setattr(fetcher, "get", slow)
    first = threading.Thread(target=come_back, args=(Person(site), provider), daemon=True)
    first.start()
    try:
        assert inside.wait(30)
        second = threading.Thread(target=come_back, args=(anna, provider), daemon=True)
        second.start()
        second.join(30)
        assert is_in(anna)
    finally:
        go_on.set()
        first.join(30)


def test_what_the_provider_just_failed_to_say_is_not_asked_again_at_once(
    anna: Person, provider: FakeProvider
) -> None:
    provider.instead = {"/keys": Answer(500, b"{}")}
    for _ in range(3):
        refused(anna, come_back(anna, provider), "E-OIDC")
    assert provider.asked["/keys"] == 1
    provider.instead = {}
    anna.site.clock.forward(seconds=11)  # type: ignore[attr-defined]
    come_back(anna, provider)
    assert is_in(anna)


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://evil.example"}, {"issuer": None},
        {"authorization_endpoint": "http://evil.example/a"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://evil.example/t"}, {"token_endpoint": None},
        {"jwks_uri": "ftp://evil.example/k"}, {"jwks_uri": "https://u:p@evil.example/k"},
    ],
)  # fmt: skip
def test_a_description_that_leads_astray_is_not_followed(
    anna: Person, provider: FakeProvider, description: dict[str, Any]
) -> None:
    provider.description = description
    answer = anna.get("/sign-in/oidc")
    assert (answer.status_code, "E-OIDC:" in answer.text.replace("</strong>", "")) == (502, True)
    assert "location" not in answer.headers


def test_while_the_provider_is_away_passwords_go_on(
    accounts: Accounts, provider: FakeProvider
) -> None:
    away = replace(settings(provider), issuer="http://127.0.0.1:9")
    who = Person(site_of(accounts, SignInByProvider(away, "", BASE)))
    answer = who.get("/sign-in/oidc")
    assert (answer.status_code, "E-OIDC-AWAY" in answer.text) == (503, True)
    assert "ConnectError" in answer.text
    assert who.sign_in(add(accounts, "bernd")).status_code == 303


# --- the secret, addresses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "ways", [None, ["client_secret_post"], ["client_secret_post", "client_secret_basic"]]
)
def test_a_secret_is_sent_as_the_provider_takes_it(
    accounts: Accounts, provider: FakeProvider, ways: list[str] | None, tmp_path: Path
) -> None:
    provider.secret = "p:ss/wörd".encode().decode("ascii", "ignore") + "%+"
    if ways is not None:
        provider.description = {"token_endpoint_auth_methods_supported": ways}
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text(provider.secret + "\n")
    found = settings(provider, client_secret_file=file)
    address = Address(host="127.0.0.1", port=8321)
    who = Person(site_of(accounts, SignInByProvider.at(found, address, 8321)))
    come_back(who, provider)
    assert is_in(who)
    other = Person(site_of(accounts, SignInByProvider(found, "another", BASE)))
    refused(other, come_back(other, provider), "E-OIDC")


def test_a_secret_that_others_may_read_or_that_is_none_is_refused(
    provider: FakeProvider, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    for mode, text in ((0o644, "s"), (0o600, ""), (0o600, "a\nb")):
        file.write_text(text)
        file.chmod(mode)
        found = settings(provider, client_secret_file=file)
        with pytest.raises(FedsegError):
            SignInByProvider.at(found, Address(host="127.0.0.1", port=1), 1)


def test_an_authority_that_is_no_file_is_named(provider: FakeProvider, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    for file in ("ca.pem", "missing.pem"):
        with pytest.raises(FedsegError, match="authority"):
            SignInByProvider(settings(provider, authority=tmp_path / file), "", BASE)


def test_a_provider_is_reached_by_tls_or_at_this_machine() -> None:
    for url in (
        "https://a.example",
        "https://a.example:8443/x",
        "http://127.0.0.1:1",
        "http://[::1]/",
    ):
        assert is_provider_url(url), url
    for url in (
        "http://a.example", "ftp://a.example", "https://", "https://a@b.example", "a.example",
        "https://a.example/?x", "https://a.example/#x", "https://a.example:x/", "https://ä.example",
        "https://a.example/ b", "",
    ):  # fmt: skip
        assert not is_provider_url(url), url
