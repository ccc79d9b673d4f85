"""An identity provider: what it says of itself, its keys, and codes for ID tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from machine.web.oidc.fetching import Fetcher
from machine.web.oidc.flows import Flow
from machine.web.oidc.id_token import UnknownKeyError, verified_subject
from machine.web.oidc.kept import AGAIN, Kept
from machine.web.oidc.settings import OidcSettings, is_provider_url
from protocol.errors import RuleError

_DISCOVERY: Final = "/.well-known/openid-configuration"
_KEPT: Final = timedelta(hours=1)
_MOST_KEYS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a provider says of itself (OpenID Connect Discovery 1.0, 3).

    Attributes:
        says_issuer: Whether it names itself when a person comes back (RFC 9207).
        by_form: Whether the secret goes into the form instead of the header.
    """

    authorization: str
    token: str
    keys: str
    says_issuer: bool
    by_form: bool


class Provider:
    """One provider, as one console knows it.

    Args:
        secret: What it gave this console; empty for none.
        redirect_uri: Where it sends people back, to the letter.
    """

    def __init__(self, settings: OidcSettings, secret: str, redirect_uri: str) -> None:
        self._settings = settings
        self._secret = secret
        self._redirect_uri = redirect_uri
        self._fetcher = Fetcher(settings.issuer, settings.authority)
        self._description: Kept[Description] = Kept()
        self._keys: Kept[Sequence[Mapping[str, Any]]] = Kept()

    def described(self, now: datetime) -> Description:
        """What it says of itself, at most an hour old; raises as `Fetcher`, and RuleError."""
        return self._description.get(now, _KEPT, self._describe)

    def _describe(self) -> Description:
        values = self._fetcher.get(self._settings.issuer.rstrip("/") + _DISCOVERY)
        if values.get("issuer") != self._settings.issuer:
            raise _wrong("it calls itself by another issuer than [console.oidc]")
        ways = values.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Description(
            authorization=_url(values, "authorization_endpoint", query=True),
            token=_url(values, "token_endpoint", query=True),
            keys=_url(values, "jwks_uri", query=True),
            says_issuer=values.get("authorization_response_iss_parameter_supported") is True,
            by_form=isinstance(ways, list)
            and "client_secret_basic" not in ways
            and "client_secret_post" in ways,
        )

    def address(self, flow: Flow, now: datetime) -> str:
        """Where a person signs in, for one sign-in."""
        url = self.described(now).authorization
        asked = {
            "response_type": "code", "client_id": self._settings.client_id,
            "redirect_uri": self._redirect_uri, "scope": "openid", "state": flow.state,
            "nonce": flow.nonce, "code_challenge": flow.challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        if self._settings.acr_values:
            asked["acr_values"] = " ".join(self._settings.acr_values)
        return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"

    def check_issuer(self, named: str | None, now: datetime) -> None:
        """Refuse an answer of another provider (RFC 9207); raises RuleError (E-OIDC-FLOW)."""
        if named is None and not self.described(now).says_issuer:
            return
        if named != self._settings.issuer:
            raise RuleError(
                "another identity provider sent this answer", code="E-OIDC-FLOW",
                remedy="begin at the page to sign in",
            )  # fmt: skip

    def subject(self, code: str, flow: Flow, now: datetime) -> str:
        """Who came back with a code.

        Raises:
            FedsegError: The provider is not reached (E-OIDC-AWAY).
            RuleError: It does not take the code (E-OIDC), or its ID token is not what was asked for
                (E-OIDC-TOKEN).
        """
        described, settings = self.described(now), self._settings
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect_uri,
            "code_verifier": flow.verifier,
        }  # fmt: skip
        auth = None
        if not self._secret:
            form["client_id"] = settings.client_id
        elif described.by_form:
            form |= {"client_id": settings.client_id, "client_secret": self._secret}
        else:  # RFC 6749, 2.3.1: both as in a form
            auth = (quote(settings.client_id, safe=""), quote(self._secret, safe=""))
        token = self._fetcher.post(described.token, form, auth).get("id_token")
        for again in (False, True):
            try:
                return verified_subject(
                    token, self._current_keys(described, now, again=again),
                    issuer=settings.issuer, client_id=settings.client_id, nonce=flow.nonce,
                    begun_at=flow.begun_at, acr_values=settings.acr_values,
                )  # fmt: skip
            except UnknownKeyError:
                continue
        raise RuleError(
            "the identity provider's answer is signed by a key that it does not tell of",
            code="E-OIDC-TOKEN", remedy="sign in again",
        )  # fmt: skip

    def _current_keys(
        self, described: Description, now: datetime, *, again: bool
    ) -> Sequence[Mapping[str, Any]]:
        """Its keys; fetched anew where a token names an unknown one, but not often."""

        def fetch() -> Sequence[Mapping[str, Any]]:
            listed = self._fetcher.get(described.keys).get("keys")
            if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
                raise _wrong("it lists no keys, or too many")
            return [one for one in listed if isinstance(one, dict)]

        return self._keys.get(now, AGAIN if again else _KEPT, fetch)


def _url(values: Mapping[str, Any], name: str, *, query: bool) -> str:
    url = values.get(name)
    if not isinstance(url, str) or not is_provider_url(url, query=query):
        raise _wrong(f"its {name} is no address that is reached by TLS")
    return url


def _wrong(what: str) -> RuleError:
    return RuleError(
        f"the identity provider cannot be used: {what}", code="E-OIDC",
        remedy="compare [console.oidc] with what the provider says of itself, at its address with "
        f"{_DISCOVERY} behind it",
    )  # fmt: skip
