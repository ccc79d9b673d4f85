"""Writing pages: templates that escape every value, and the menu of what somebody may see."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from machine.accounts.roles import may
from machine.accounts.sessions import Session
from machine.shown import Shown
from machine.text import shown as visible
from machine.web.forms import TOKEN_FIELD, form_token
from machine.web.parts import html_parts
from machine.web.site import Act, Page, Site
from protocol.errors import FedsegError

_OURS: Final = Path(__file__).parent / "templates"
_VISIT_BYTES: Final = 16


class Writer:
    """Writes the pages of one side."""

    def __init__(self, site: Site) -> None:
        self._site = site
        folders = [_OURS, *([] if site.templates is None else [site.templates])]
        self._templates = Environment(
            loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters["visible"] = visible

    def new_visit(self) -> str:
        """A random value for the cookie of somebody who is not signed in yet."""
        return secrets.token_urlsafe(_VISIT_BYTES)

    def menu(self, session: Session | None) -> Sequence[Page]:
        """The pages that somebody may see."""
        if session is None:
            return ()
        role = session.account.role
        return [page for page in self._site.pages if page.in_menu and may(role, page.permission)]

    def sign_in(
        self, request: Request, visit: str, *, error: FedsegError | None = None, status: int = 200
    ) -> Response:
        """The page to sign in; says how the first account is made where there is none."""
        return self._written(
            request, "sign_in.html", None, status=status, title="Sign in", token=form_token(visit),
            error=error, first=None if self._site.accounts.all() else self._site.first,
            oidc=self._site.oidc,
        )  # fmt: skip

    def arrived(self, request: Request) -> Response:
        """The page that leads on from the provider, as cookies go with what our own pages ask."""
        return self._written(request, "arrived.html", None, title="Signed in")

    def page(
        self, request: Request, session: Session, page: Page, shown: Shown, extra: Mapping[str, Any]
    ) -> Response:
        """A page."""
        return self._written(
            request, page.template, session, title=page.title, shown=shown,
            parts=html_parts(shown.parts), json_path=f"{request.url.path}.json",
            **{"renewed_s": page.renewed_s, **extra},
        )  # fmt: skip

    def result(self, request: Request, session: Session, act: Act, shown: Shown) -> Response:
        """What came of an act."""
        return self._written(
            request, "page.html", session, title=act.title, shown=shown,
            parts=html_parts(shown.parts), renewed_s=None, json_path=None,
        )  # fmt: skip

    def error(self, request: Request, error: FedsegError, status: int) -> Response:
        """An error, with its code and the way out."""
        return self._written(
            request, "error.html", None, status=status, title=f"Not done: {error.code}", error=error
        )

    def _written(
        self,
        request: Request,
        template: str,
        session: Session | None,
        *,
        title: str,
        status: int = 200,
        **values: Any,
    ) -> Response:
        text = self._templates.get_template(template).render(
            **{"token": "" if session is None else form_token(session.token), **values},
            title=title, site=self._site.name, here=request.url.path, menu=self.menu(session),
            account=None if session is None else session.account, token_field=TOKEN_FIELD,
        )  # fmt: skip
        return HTMLResponse(text, status_code=status)
