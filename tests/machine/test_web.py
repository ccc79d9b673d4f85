"""The shell of consoles: who gets in, what every answer has, and how an error is told."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from rich.text import Text

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Permission, Role
from machine.accounts.sessions import IDLE
from machine.shown import Shown
from machine.tables import Table
from machine.web.address import Address
from machine.web.application import application
from machine.web.parts import html_parts
from machine.web.serving import listening, serve
from machine.web.site import Act, Asked, Page, Site
from protocol.errors import ConfigError, FedsegError, RuleError
from tests.machine.browsing import HOST, HOSTS, Clock, Person, token_of
from tests.machine.people import accounts_at, add

EVIL = "<script>alert(1)</script>\u202e"


def _numbers(_: Asked) -> Shown:
    table = Table(title="Numbers")
    table.add_column("name")
    table.add_column("how many", justify="right")
    table.add_row(EVIL, "3")
    return Shown(values={"name": EVIL}, parts=["Words\nin lines", "", table], warnings=["Soon"])


def _broken(asked: Asked) -> Shown:
    raise ValueError(f"customer 4711 {asked.path}")


def _act(asked: Asked) -> str | Shown:
    match asked.form.get("how"):
        case "page":
            return Shown(values={}, parts=["Found"])
        case "refused":
            raise RuleError(EVIL, code="E-NO", remedy="none")
    return "/numbers"


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    opened = accounts_at()
    yield opened
    opened.close()


@pytest.fixture
def site(accounts: Accounts) -> Site:
    read, decide = Permission.READ_EGRESS, Permission.DECIDE_EGRESS
    return Site(
        name="Test", short="test", first="side user add", accounts=accounts,
        pages=(
            Page(path="/numbers", title="Numbers", permission=read, show=_numbers, renewed_s=5),
            Page(path="/broken/{id}", title="X", permission=read, show=_broken, in_menu=False),
            Page(path="/cards", title="Cards", permission=Permission.READ_SEGMENTS, show=_numbers),
        ),
        acts=(Act(path="/act", title="Act", name="act", permission=decide,
                  about=lambda asked: asked.form.get("about", ""), do=_act),),
        hosts=HOSTS, secure=False, clock=Clock(),
    )  # fmt: skip


@pytest.fixture
def anna(site: Site) -> Person:
    """An approver who is signed in."""
    person = Person(site)
    answer = person.sign_in(add(site.accounts))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    return person


# --- signing in ----------------------------------------------------------------------------------


def test_whoever_is_not_signed_in_is_led_there(site: Site) -> None:
    person = Person(site)
    answer = person.get("/numbers")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    told = person.get("/numbers.json")
    assert (told.status_code, told.json()["data"]["code"]) == (401, "E-SIGN-IN-FIRST")
    assert person.get("/numbers", **{"hx-request": "true"}).headers["hx-redirect"] == "/sign-in"


def test_the_page_says_how_the_first_account_is_made_until_there_is_one(site: Site) -> None:
    person = Person(site)
    assert "side user add" in person.get("/sign-in").text
    add(site.accounts)
    assert "side user add" not in person.get("/sign-in").text


def test_the_cookie_is_for_this_site_alone_and_no_script_reads_it(site: Site) -> None:
    answer = Person(site).sign_in(add(site.accounts))
    cookie = answer.headers["set-cookie"].lower()
    assert "fedseg-test-session=" in cookie
    for word in ("httponly", "samesite=strict", "path=/"):
        assert word in cookie
    assert "secure" not in cookie


def test_whoever_is_signed_in_comes_to_the_first_page_of_the_role(site: Site) -> None:
    for name, role, first in (
        ("anna", Role.APPROVER, "/numbers"), ("mia", Role.MARKETER, "/cards"),
    ):  # fmt: skip
        person = Person(site)
        person.sign_in(add(site.accounts, name, role))
        assert person.get("/").headers["location"] == first


def test_what_is_wrong_is_said_alike_and_waits_are_told(site: Site) -> None:
    enrolment = add(site.accounts)
    person = Person(site)
    texts = set()
    for changes in ({"name": "nobody"}, {"password": "another word!"}, {"code": "1"}, {}):
        if changes:
            answer = person.sign_in(enrolment, **changes)
            assert answer.status_code == 401
            texts.add(answer.text)
    assert len(texts) == 1
    for _ in range(5):
        answer = person.sign_in(enrolment, code="1")
    assert answer.status_code == 429
    assert "seconds" in answer.text


def test_signing_out_ends_the_session(anna: Person) -> None:
    token = anna.client.cookies["fedseg-test-session"]
    assert anna.send("/sign-out", page="/numbers").headers["location"] == "/sign-in"
    anna.client.cookies.set("fedseg-test-session", token)
    assert anna.get("/numbers").status_code == 303


def test_a_page_that_renews_itself_does_not_keep_a_session(site: Site, anna: Person) -> None:
    clock = site.clock
    assert isinstance(clock, Clock)
    for _ in range(3):
        clock.forward(seconds=IDLE.total_seconds() / 2 - 1)
        answer = anna.get("/numbers", **{"hx-request": "true"})
    assert "hx-redirect" in answer.headers


# --- forms ---------------------------------------------------------------------------------------


def test_an_act_is_done_once_the_form_is_ours_and_is_in_the_log(site: Site, anna: Person) -> None:
    answer = anna.send("/act", page="/numbers", about="3")
    assert (answer.status_code, answer.headers["location"]) == (303, "/numbers")
    assert "Found" in anna.send("/act", page="/numbers", how="page").text
    assert anna.send("/act", page="/numbers", how="refused").status_code == 409
    said = [(one.who, one.act, one.about, one.outcome) for one in site.accounts.acts.all()]
    assert said[:2] == [("anna", "act", "3", "begun"), ("anna", "act", "3", "done")]
    assert said[-1][3] == "E-NO"


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, ""), ({}, "0" * 64), ({}, "é"),
        ({"origin": "http://evil.example"}, None), ({"origin": "null"}, None),
        ({"origin": "http://127.0.0.1:9999"}, None),
        ({"sec-fetch-site": "cross-site"}, None), ({"sec-fetch-site": "same-site"}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/act", "/sign-out"])
def test_a_form_of_another_site_does_nothing(
    site: Site, anna: Person, headers: dict[str, str], token: str | None, path: str
) -> None:
    right = token_of(anna.get("/numbers").text)
    answer = anna.post(path, headers, form_token=right if token is None else token)
    assert (answer.status_code, "E-FORM-STRANGE" in answer.text) == (403, True)
    assert site.accounts.acts.all() == []
    assert anna.get("/numbers").status_code == 200


def test_nobody_is_signed_in_by_another_sites_form(site: Site) -> None:
    enrolment = add(site.accounts)
    person = Person(site)
    person.get("/sign-in")
    assert person.post("/sign-in", name="anna", form_token="0" * 64).status_code == 403
    assert person.sign_in(enrolment).status_code == 303


def test_a_token_is_of_one_session(site: Site, anna: Person) -> None:
    bert = Person(site)
    bert.sign_in(add(site.accounts, "bert"))
    assert anna.post("/act", form_token=token_of(bert.get("/numbers").text)).status_code == 403


@pytest.mark.parametrize("body", [b"x" * 16_385, b"\xff", b"&".join([b"a=1"] * 30)])
def test_what_is_no_form_is_refused(anna: Person, body: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = anna.client.post("/act", content=body, headers=headers)
    assert (answer.status_code, "E-FORM" in answer.text) == (400, True)
    answer = anna.client.post("/act", json={"about": "3"})
    assert answer.status_code == 400


# --- what every answer has -----------------------------------------------------------------------


def test_every_answer_has_the_headers_that_keep_others_out(anna: Person) -> None:
    answers = [
        anna.get(path)
        for path in ("/numbers", "/numbers.json", "/nothing", "/static/console.css", "/broken/1")
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        for name, value in {
            "cache-control": "no-store", "x-frame-options": "DENY",
            "x-content-type-options": "nosniff", "referrer-policy": "same-origin",
        }.items():  # fmt: skip
            assert answer.headers[name] == value
        assert "strict-transport-security" not in answer.headers


def test_pages_hold_no_script_or_style_of_their_own(anna: Person) -> None:
    text = anna.get("/numbers").text + anna.get("/sign-in").text
    assert "<style" not in text
    assert " style=" not in text
    assert "onclick" not in text
    assert text.count("<script") == text.count('<script src="/static/htmx.min.js" defer>') == 2


@pytest.mark.parametrize("host", ["evil.example:8321", "127.0.0.1", "127.0.0.1:8322", "", "x@y"])
def test_another_hosts_name_is_not_answered(anna: Person, host: str) -> None:
    answer = anna.get("/numbers", host=host)
    assert (answer.status_code, "E-HOST" in answer.text) == (421, True)
    assert "Numbers" not in answer.text
    assert anna.get("/numbers", host=HOST.upper()).status_code == 200


def test_what_others_wrote_is_text(anna: Person) -> None:
    text = anna.get("/numbers").text
    assert "&lt;script&gt;alert" in text
    assert "<script>alert" not in text
    failed = anna.send("/act", page="/numbers", how="refused").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in failed


def test_a_page_and_its_json_say_the_same(anna: Person) -> None:
    assert anna.get("/numbers.json").json() == {
        "schema_version": 5, "status": "ok", "data": {"name": EVIL},
    }  # fmt: skip
    text = anna.get("/numbers").text
    for words in (
        'scope="col" class="number">how many', '<td class="number">3', "<caption>Numbers",
        'class="lines">Words\nin lines', "Warning:</strong> Soon", 'hx-trigger="every 5s"',
        'aria-current="page"', 'href="#content"', 'lang="en"', "numbers.json",
    ):  # fmt: skip
        assert words in text, words


def test_a_role_that_may_not_is_told_so(site: Site, anna: Person) -> None:
    answer = anna.get("/cards")
    assert (answer.status_code, "E-ROLE" in answer.text) == (403, True)
    assert anna.get("/cards.json").json()["data"]["code"] == "E-ROLE"
    assert "/cards" not in anna.get("/numbers").text
    auditor = Person(site)
    auditor.sign_in(add(site.accounts, "rita", Role.AUDITOR))
    assert auditor.send("/act", page="/numbers").status_code == 403
    assert site.accounts.acts.all() == []


def test_an_unexpected_error_tells_its_place_alone(
    anna: Person, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/broken/1", "/broken/1.json"):
        answer = anna.get(path)
        assert (answer.status_code, "E-INTERNAL" in answer.text) == (500, True)
        assert "test_web.py" in answer.text
        assert "4711" not in answer.text + caplog.text
    assert "E-INTERNAL: unexpected ValueError at test_web.py" in caplog.text


@pytest.mark.parametrize("path", ["/nothing", "/static/", "/static/..%2fsite.py", "/numbers/"])
def test_an_address_that_is_none_is_told(anna: Person, path: str) -> None:
    answer = anna.get(path)
    assert (answer.status_code, "E-PAGE" in answer.text) == (404, True)


def test_a_page_is_only_read_and_an_act_only_sent(anna: Person) -> None:
    assert anna.get("/act").status_code == 404
    assert anna.post("/numbers").status_code == 404


def test_logs_have_no_query_and_no_line_ends(
    anna: Person, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        anna.get("/numbers?name=4711")
        anna.get("/no%0Athing")
    assert "GET /numbers 200" in caplog.text
    assert "GET /no thing 404" in caplog.text
    assert "4711" not in "".join(r.getMessage() for r in caplog.records if "web" in r.name)


def test_static_files_are_ours(anna: Person) -> None:
    person = Person(anna.site)
    assert person.get("/static/console.css").headers["content-type"].startswith("text/css")
    assert "htmx" in person.get("/static/htmx.min.js").text


# --- parts and serving ---------------------------------------------------------------------------


def test_a_table_without_headers_names_its_rows_and_anything_else_is_refused() -> None:
    table = Table(show_header=False)
    table.add_row("what", Text("value"))
    (part,) = html_parts([table])
    assert (part.kind, part.rows) == ("table", (("what", "value"),))
    assert part.kind == "table" and part.headers == ()
    with pytest.raises(TypeError):
        html_parts([3])
    table.add_row("what", table)
    with pytest.raises(TypeError):
        html_parts([table])


def test_a_console_answers_at_its_port_until_it_is_stopped(site: Site) -> None:
    address = Address(host="127.0.0.1", port=0)
    stop = threading.Event()
    with listening(address) as listener:
        port = listener.getsockname()[1]
        where = Address(host="127.0.0.1", port=port)
        with pytest.raises(ConfigError, match="E-CONSOLE-PORT"):
            listening(where)
        app = application(_at(site, address.hosts(port)))
        thread = threading.Thread(target=serve, args=(app, address, listener, stop))
        thread.start()
        try:
            answer = httpx.get(f"{address.url(port)}sign-in", timeout=10)
            assert (answer.status_code, "server" in answer.headers) == (200, False)
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
                raw.sendall(b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n")
                assert b"400" in raw.recv(100)
        finally:
            stop.set()
            thread.join(10)
    assert not thread.is_alive()


def test_nobody_chooses_the_address_that_attempts_count_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[uvicorn.Config] = []
    load = uvicorn.Config.load

    def noted(config: uvicorn.Config) -> None:
        made.append(config)
        load(config)

    monkeypatch.setattr(uvicorn.Config, "load", noted)
    stop = threading.Event()
    stop.set()
    address = Address(host="127.0.0.1", port=0)
    with listening(address) as listener:
        serve(application(site), address, listener, stop)
    assert [config.proxy_headers for config in made] == [False]


def test_a_certificate_that_cannot_be_read_is_named(site: Site, tmp_path) -> None:
    address = Address(
        host="127.0.0.1", port=0, certificate=tmp_path / "x.crt", key=tmp_path / "x.key"
    )
    with listening(address) as listener, pytest.raises(FedsegError, match="E-CONSOLE-TLS"):
        serve(application(site), address, listener, threading.Event())


def test_with_tls_cookies_and_browsers_are_told_so(site: Site) -> None:
    import dataclasses

    person = Person(dataclasses.replace(site, secure=True))
    answer = person.get("/sign-in")
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "strict-transport-security" in answer.headers


def test_addresses_say_which_names_are_answered() -> None:
    plain = Address(host="127.0.0.1", port=8321)
    assert plain.hosts(8321) == {"127.0.0.1:8321", "localhost:8321", "[::1]:8321"}
    named = Address(host="10.0.0.5", port=443, certificate=plain.certificate, names=("n.example",))
    assert "n.example:443" in named.hosts(443)
    assert named.url(443) == "http://n.example:443/"
    assert named.url(80) == "http://n.example/"


@pytest.mark.parametrize("port", [443, 8_443])
@pytest.mark.parametrize("name", ["n.example", "::1"])
def test_the_address_that_people_open_is_written_as_browsers_write_it(
    tmp_path, name: str, port: int
) -> None:
    where = Address(host="10.0.0.5", port=port, certificate=tmp_path / "x.crt", names=(name,))
    url = httpx.URL(where.url(port))
    assert (url.scheme, url.path) == ("https", "/")
    assert httpx.Request("GET", url).headers["host"] == str(where.url(port))[8:-1]
    assert httpx.Request("GET", url).headers["host"] in where.hosts(port)


def _at(site: Site, hosts: frozenset[str]) -> Site:
    import dataclasses

    return dataclasses.replace(site, hosts=hosts)
