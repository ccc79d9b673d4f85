"""ID tokens: signed by the provider, for this console, for this sign-in, and now.

OpenID Connect Core 1.0, 3.1.3.7. Signatures are checked by PyJWT.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.exceptions import PyJWTError

from machine.accounts.accounts import is_subject
from protocol.errors import RuleError

#: Signatures with the provider's public keys alone; what a shared secret signs is refused.
ALGORITHMS: Final = ("RS256", "ES256")
LEEWAY_S: Final = 60
_MIN_RSA_BITS: Final = 2_048


class UnknownKeyError(Exception):
    """A token names a key that is not among the provider's."""


def verified_subject(
    token: object,
    keys: Sequence[Mapping[str, Any]],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    begun_at: datetime,
    acr_values: tuple[str, ...] = (),
) -> str:
    """Who an ID token says somebody is, at its issuer.

    Args:
        token: What the provider answered.
        keys: The provider's public keys, as JSON Web Keys.
        nonce: Of this sign-in.
        begun_at: When this sign-in began: older tokens are of another one.
        acr_values: How the person may have signed in; empty for any way.

    Raises:
        UnknownKeyError: It names another key: the provider may have made new ones.
        RuleError: It is not what was asked for (E-OIDC-TOKEN).
    """
    if not isinstance(token, str):
        raise _refused("there is none")
    try:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise _refused("it is not signed by RS256 or ES256")
        claims = jwt.decode(
            token, _key_of(header, keys, algorithm), algorithms=[algorithm], audience=client_id,
            issuer=issuer, leeway=LEEWAY_S,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )  # fmt: skip
    except PyJWTError as error:
        raise _refused(type(error).__name__) from None
    _check_audience(claims, client_id)
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise _refused("it is of another sign-in")
    issued = claims["iat"]
    if not isinstance(issued, int | float) or issued < begun_at.timestamp() - LEEWAY_S:
        raise _refused("it was issued before this sign-in began")
    if acr_values and claims.get("acr") not in acr_values:
        raise _refused("the person signed in there in a way that is not enough here")
    subject = claims["sub"]
    if not is_subject(subject):
        raise _refused("it names nobody")
    return str(subject)


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != client_id:
        raise _refused("it was issued to another program")


def _key_of(
    header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]], algorithm: str
) -> RSAPublicKey | EllipticCurvePublicKey:
    """The one key that may have signed; raises UnknownKeyError where there is none."""
    kid = header.get("kid")
    found = []
    for one in keys:
        if one.get("use", "sig") != "sig" or one.get("alg", algorithm) != algorithm:
            continue
        if kid is not None and one.get("kid") != kid:
            continue
        key = _read(one, algorithm)
        if key is not None:
            found.append(key)
    if not found:
        raise UnknownKeyError
    if len(found) > 1:
        raise _refused("it does not say which key signed it")
    return found[0]


def _read(
    values: Mapping[str, Any], algorithm: str
) -> RSAPublicKey | EllipticCurvePublicKey | None:
    """A public key of the right kind and size; None for any other."""
    if values.get("kty") != {"RS256": "RSA", "ES256": "EC"}[algorithm]:
        return None
    try:
        key = jwt.PyJWK(dict(values), algorithm=algorithm).key
    except (PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if key.key_size >= _MIN_RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey):
        return key if isinstance(key.curve, SECP256R1) else None
    return None


def _refused(why: str) -> RuleError:
    return RuleError(
        f"the identity provider's answer is not accepted: {why}", code="E-OIDC-TOKEN",
        remedy="sign in again; when it stays, compare [console.oidc] and the clocks",
    )  # fmt: skip
