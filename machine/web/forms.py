"""Forms: read up to a size, and taken from our own pages alone."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from protocol.errors import RuleError, UsageError

MAX_BYTES: Final = 16_384
_MOST_FIELDS: Final = 20
_TYPE: Final = "application/x-www-form-urlencoded"
#: The field that every form has.
TOKEN_FIELD: Final = "form_token"  # noqa: S105 - a name
_LABEL: Final = b"fedseg/form/1"


def form_token(cookie: str) -> str:
    """What a form must hold that is sent with a cookie; nobody makes it without the cookie."""
    return hmac.new(cookie.encode(), _LABEL, hashlib.sha256).hexdigest()


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form.

    Raises:
        UsageError: It is no form, or too large (E-FORM).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != _TYPE:
        raise _no_form()
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BYTES:
            raise _no_form()
    try:
        pairs = parse_qsl(
            data.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS,
            errors="strict",
        )  # fmt: skip
    except ValueError as error:
        raise _no_form() from error
    return dict(pairs)


def refuse_strangers(request: Request, form: Mapping[str, str], cookie: str | None) -> None:
    """Refuse a form that another site had a browser send; raises RuleError (E-FORM-STRANGE)."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    host = request.headers["host"].lower()
    token = form.get(TOKEN_FIELD, "")
    right = cookie is not None and hmac.compare_digest(
        token.encode("utf-8", "replace"), form_token(cookie).encode()
    )
    ours = origin is None or urlsplit(origin).netloc.lower() == host
    if not right or not ours or site != "same-origin":
        raise RuleError(
            "this form did not come from a page of this console, or its page is too old",
            code="E-FORM-STRANGE",
            remedy="open the page again, and send it from there",
        )


def _no_form() -> UsageError:
    return UsageError(
        f"what was sent is no form of at most {MAX_BYTES} bytes",
        code="E-FORM",
        remedy="open the page again, and send it from there",
    )
