"""A small identity provider on loopback, with real keys, that also lies as tests say."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLIENT = "fedseg-test"


@cache
def rsa_key(name: str, bits: int = 2_048) -> rsa.RSAPrivateKey:
    """A key that lasts as long as the tests."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str | None) -> dict[str, Any]:
    """Its public half."""
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else (
        jwt.algorithms.ECAlgorithm
    )  # fmt: skip
    found: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
    return found | ({} if kid is None else {"kid": kid})


@dataclass
class Answer:
    """What an address answers instead of what it should."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Sign = Callable[[dict[str, Any]], str]


class FakeProvider:
    """One provider.

    Attributes:
        subject: Who signs in.
        claims: What its ID tokens say otherwise; None leaves a claim out.
        sign: How they are signed otherwise.
        keys: What it tells of its keys.
        description: What it says of itself otherwise.
        instead: What an address answers instead, by its path.
        asked: How often each address was asked.
        secret: Of the client; empty where it needs none.
        dressed: Changes the body of answers to codes, and adds headers.
        back: What comes back to the console otherwise.
    """

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.subject = "u-4711"
        self.claims: dict[str, Any] = {}
        self.sign: Sign = lambda claims: jwt.encode(
            claims, rsa_key("first"), algorithm="RS256", headers={"kid": "k1"}
        )
        self.keys: list[dict[str, Any]] = [jwk(rsa_key("first"), "k1")]
        self.description: dict[str, Any] = {}
        self.instead: dict[str, Answer] = {}
        self.asked: dict[str, int] = {}
        self.secret = ""
        self.back: dict[str, str | None] = {}
        self.dressed: Callable[[bytes], tuple[bytes, dict[str, str]]] = lambda body: (body, {})
        self.redirect_uris: set[str] = set()
        self._codes: dict[str, dict[str, str]] = {}

    def described(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        } | self.description

    def signed_in(self, url: str) -> str:
        """Where a browser is sent back to, once somebody signed in at an address of ours."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{self.issuer}/authorize?"), url
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        if self.redirect_uris:
            assert asked["redirect_uri"] in self.redirect_uris, "to the letter"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        back = {"code": code, "state": asked["state"]} | self.back
        query = urlencode({name: value for name, value in back.items() if value is not None})
        return f"{asked['redirect_uri']}?{query}"

    def token(self, form: dict[str, str], authorization: str) -> Answer:
        """An answer to a code."""
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        right = (
            asked is not None
            and asked["code_challenge"] == challenge
            and asked["redirect_uri"] == form.get("redirect_uri")
            and form.get("grant_type") == "authorization_code"
            and self._is_client(form, authorization)
        )
        if not right or asked is None:
            return Answer(400, b'{"error": "invalid_grant"}')
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": self.subject, "aud": CLIENT, "exp": now + 300, "iat": now,
            "nonce": asked["nonce"],
        } | self.claims  # fmt: skip
        token = self.sign({name: value for name, value in claims.items() if value is not None})
        body, headers = self.dressed(
            json.dumps({"id_token": token, "token_type": "Bearer"}).encode()
        )
        return Answer(200, body, headers)

    def _is_client(self, form: dict[str, str], authorization: str) -> bool:
        if not self.secret:
            return form.get("client_id") == CLIENT and not authorization
        if "client_secret" in form:
            return form.get("client_id") == CLIENT and form["client_secret"] == self.secret
        name, _, secret = (
            base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        )
        return (unquote(name), unquote(secret)) == (CLIENT, self.secret)

    def answer(self, method: str, url: str, body: bytes, authorization: str) -> Answer:
        """What one request gets."""
        path = urlsplit(url).path
        self.asked[path] = self.asked.get(path, 0) + 1
        if path in self.instead:
            return self.instead[path]
        match method, path:
            case "GET", "/.well-known/openid-configuration":
                return Answer(200, json.dumps(self.described()).encode())
            case "GET", "/keys":
                return Answer(200, json.dumps({"keys": self.keys}).encode())
            case "GET", "/authorize":
                page = f'<a id="go" href="{self.signed_in(self.issuer + url)}">Sign in</a>'
                return Answer(
                    200, page.replace("&", "&amp;").encode(), {"content-type": "text/html"}
                )
            case "POST", "/token":
                form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                return self.token(form, authorization)
        return Answer(404, b"{}")


@contextmanager
def running_provider() -> Iterator[FakeProvider]:
    """A provider that answers until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            found = provider.answer(
                self.command, self.path, body, self.headers.get("authorization", "")
            )
            self.send_response(found.status)
            headers = {"content-type": "application/json"} | found.headers
            for name, value in (headers | {"content-length": str(len(found.body))}).items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(found.body)
            except OSError:  # the console has read enough
                self.close_connection = True

        do_GET = do_POST = _do

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = FakeProvider(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join(20)
