"""The application: signing in and out, pages with their JSON, acts, and errors with a way out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from machine import envelope
from machine.accounts.roles import may
from machine.accounts.sessions import LONGEST, Session, Sessions
from machine.shown import Shown
from machine.web.forms import read_form, refuse_strangers
from machine.web.oidc.flows import GOOD_FOR
from machine.web.oidc.paths import BEGIN_PATH, RETURN_PATH
from machine.web.shield import Shield
from machine.web.site import Act, Asked, Page, Site, Waits
from machine.web.writing import Writer
from protocol.errors import FedsegError, RuleError, UsageError

if TYPE_CHECKING:
    from machine.web.oidc.sign_in import SignInByProvider

logger = logging.getLogger(__name__)

_STATIC: Final = Path(__file__).parent / "static"
_FILES: Final[Mapping[str, str]] = {
    "console.css": "text/css", "htmx.min.js": "text/javascript",
}  # fmt: skip
SIGN_IN: Final = "/sign-in"
_Handler = Callable[[Request], Awaitable[Response]]
#: HTTP statuses of errors; others follow from how a command would end.
_STATUS: Final[Mapping[str, int]] = {
    "E-SIGN-IN-FIRST": 401, "E-SIGN-IN": 401, "E-SIGN-IN-WAIT": 429, "E-ROLE": 403,
    "E-FORM-STRANGE": 403, "E-PAGE": 404, "E-EGRESS-UNKNOWN": 404, "E-AGR-UNKNOWN": 404,
    "E-EXPORT-UNKNOWN": 404,
    "E-OIDC": 502, "E-OIDC-AWAY": 503, "E-OIDC-FLOW": 400, "E-OIDC-TOKEN": 401,
    "E-OIDC-REFUSED": 401, "E-OIDC-ACCOUNT": 403,
    "E-RUN-UNKNOWN": 404, "E-NO-RELEASE": 404,
}  # fmt: skip
_STATUS_OF_EXIT: Final[Mapping[int, int]] = {1: 500, 2: 400, 3: 409}


def application(site: Site) -> ASGIApp:
    """The console of a side, as a server runs it."""
    return Shield(_Console(site).app(), hosts=site.hosts, secure=site.secure)


class _Console:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._sessions = Sessions(
            site.accounts, issuer=None if site.oidc is None else site.oidc.issuer
        )
        self._write = Writer(site)
        self._cookie = f"fedseg-{site.short}-session"
        self._visit = f"fedseg-{site.short}-visit"
        # Prefixed it is taken from this host alone; browsers want TLS for that.
        self._flow = f"{'__Host-' if site.secure else ''}fedseg-{site.short}-flow"

    def app(self) -> Starlette:
        """The application without its shield."""
        routes = [
            Route("/", self._route(self._first), methods=["GET"]),
            Route(SIGN_IN, self._route(self._sign_in_page), methods=["GET"]),
            Route(SIGN_IN, self._route(self._sign_in), methods=["POST"]),
            Route(BEGIN_PATH, self._route(self._begin_oidc), methods=["GET"]),
            Route(RETURN_PATH, self._route(self._finish_oidc), methods=["GET"]),
            Route("/sign-out", self._route(self._sign_out), methods=["POST"]),
            *(Route(f"/static/{name}", self._route(_file(name))) for name in _FILES),
        ]
        for page in self._site.pages:
            routes.append(Route(f"{page.path}.json", self._route(self._json(page))))
            routes.append(Route(page.path, self._route(self._page(page))))
        routes += [
            Route(act.path, self._route(self._act(act)), methods=["POST"])
            for act in self._site.acts
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: self._unknown})
        app.router.redirect_slashes = False
        return app

    # --- signing in and out ----------------------------------------------------------------------

    async def _sign_in_page(self, request: Request) -> Response:
        return self._with_visit(request, self._write.sign_in(request, self._visitor(request)))

    async def _sign_in(self, request: Request) -> Response:
        form = await read_form(request)
        refuse_strangers(request, form, request.cookies.get(self._visit))
        address = "" if request.client is None else request.client.host
        try:
            session = await run_in_threadpool(
                self._sessions.sign_in, form.get("name", ""), form.get("password", ""),
                form.get("code", ""), address=address, now=self._site.clock(),
            )  # fmt: skip
        except RuleError as error:
            return self._sign_in_failed(request, error)
        answer = RedirectResponse("/", status_code=303)
        self._set(answer, self._cookie, session.token)
        return answer

    async def _begin_oidc(self, request: Request) -> Response:
        oidc = self._oidc()
        if request.headers["host"].lower() != oidc.host.lower():
            return RedirectResponse(oidc.begin_url, status_code=303)  # the cookie is that host's
        try:
            url, cookie = await run_in_threadpool(oidc.begin, self._site.clock())
        except FedsegError as error:
            return self._sign_in_failed(request, error)
        answer = RedirectResponse(url, status_code=303)
        # Lax: the browser comes back from another site. It shows who began, and opens nothing.
        answer.set_cookie(
            self._flow, cookie, max_age=int(GOOD_FOR.total_seconds()), httponly=True,
            samesite="lax", secure=self._site.secure, path="/",
        )  # fmt: skip
        return answer

    async def _finish_oidc(self, request: Request) -> Response:
        oidc, now = self._oidc(), self._site.clock()
        address = "" if request.client is None else request.client.host
        try:
            session = await run_in_threadpool(
                self._vouched, oidc, request.cookies.get(self._flow, ""),
                dict(request.query_params), address, now,
            )  # fmt: skip
        except FedsegError as error:
            answer = self._sign_in_failed(request, error)
        else:
            answer = self._write.arrived(request)
            self._set(answer, self._cookie, session.token)
        answer.delete_cookie(
            self._flow, path="/", secure=self._site.secure, httponly=True, samesite="lax"
        )
        return answer

    def _vouched(
        self, oidc: SignInByProvider, cookie: str, answer: dict[str, str], address: str,
        now: datetime,
    ) -> Session:  # fmt: skip
        accounts = self._site.accounts
        accounts.guessing.refuse_vouched_early(address, now)
        try:
            subject = oidc.finish(cookie, answer, now)
            return self._sessions.sign_in_vouched(oidc.issuer, subject, now=now)
        except RuleError as error:
            # Any site can have a browser come here with nothing that was begun; the provider's
            # refusals are its own, or the settings'.
            if error.code == "E-OIDC-TOKEN":
                with accounts.database.transaction():
                    accounts.guessing.failed_vouched(address, now)
            raise

    def _oidc(self) -> SignInByProvider:
        if self._site.oidc is None:
            raise _no_page()
        return self._site.oidc

    def _sign_in_failed(self, request: Request, error: FedsegError) -> Response:
        page = self._write.sign_in(
            request, self._visitor(request), error=error, status=_status_of(error)
        )
        return self._with_visit(request, page)

    async def _sign_out(self, request: Request) -> Response:
        token = request.cookies.get(self._cookie)
        refuse_strangers(request, await read_form(request), token)
        await run_in_threadpool(self._sessions.end, token or "")
        answer = RedirectResponse(SIGN_IN, status_code=303)
        answer.delete_cookie(self._cookie)
        return answer

    def _visitor(self, request: Request) -> str:
        """The cookie of somebody who is not signed in yet, for the token of the form."""
        found = request.cookies.get(self._visit, "")
        if not found and not hasattr(request.state, "visit"):
            request.state.visit = self._write.new_visit()
        return found or str(request.state.visit)

    def _with_visit(self, request: Request, answer: Response) -> Response:
        self._set(answer, self._visit, self._visitor(request))
        return answer

    def _set(self, answer: Response, name: str, value: str) -> None:
        answer.set_cookie(
            name, value, max_age=int(LONGEST.total_seconds()), httponly=True, samesite="strict",
            secure=self._site.secure, path="/",
        )  # fmt: skip

    # --- pages and acts --------------------------------------------------------------------------

    async def _first(self, request: Request) -> Response:
        session = await self._session(request)
        menu = self._write.menu(session)
        return RedirectResponse(menu[0].path, status_code=303)

    def _page(self, page: Page) -> _Handler:
        async def answer(request: Request) -> Response:
            asked, session = await self._asked(request, page)
            shown = await run_in_threadpool(page.show, asked)
            extra = await run_in_threadpool(page.extra, asked)
            return self._write.page(request, session, page, shown, extra)

        return answer

    def _json(self, page: Page) -> _Handler:
        async def answer(request: Request) -> Response:
            asked, _ = await self._asked(request, page)
            shown = await run_in_threadpool(page.show, asked)
            say = envelope.refusal if shown.refused else envelope.success
            return Response(say(shown.values), media_type="application/json")

        return answer

    def _act(self, act: Act) -> _Handler:
        async def answer(request: Request) -> Response:
            form = await read_form(request)
            refuse_strangers(request, form, request.cookies.get(self._cookie))
            asked, session = await self._asked(request, act, form)
            done = await run_in_threadpool(self._done, act, asked)
            if isinstance(done, str):
                return RedirectResponse(done, status_code=303)
            return self._write.result(request, session, act, done)

        return answer

    def _done(self, act: Act, asked: Asked) -> str | Shown:
        who, about = asked.account.name, act.about(asked)
        with self._site.accounts.acts.noted(who, act.name, about, asked.now) as noted:
            done = act.do(asked)
            if isinstance(done, Waits):
                noted.waits()
                return done.shows
            return done

    async def _asked(
        self, request: Request, what: Page | Act, form: Mapping[str, str] | None = None
    ) -> tuple[Asked, Session]:
        """The request of somebody who may make it; raises RuleError for anybody else."""
        session = await self._session(request)
        if not may(session.account.role, what.permission):
            raise RuleError(
                f"your role, {session.account.role}, may not {what.permission}",
                code="E-ROLE",
                remedy="ask whoever runs this machine for another role: user role",
            )
        now = self._site.clock()
        path = {name: str(value) for name, value in request.path_params.items()}
        return Asked(account=session.account, path=path, form=form or {}, now=now), session

    async def _session(self, request: Request) -> Session:
        token = request.cookies.get(self._cookie, "")
        by_itself = "hx-request" in request.headers
        found = await run_in_threadpool(
            self._sessions.of, token, self._site.clock(), seen=not by_itself
        )
        if found is None:
            raise RuleError(
                "nobody is signed in here", code="E-SIGN-IN-FIRST", remedy="sign in first"
            )
        return found

    # --- errors ----------------------------------------------------------------------------------

    def _route(self, handler: _Handler) -> _Handler:
        """A handler whose errors are pages: nothing of what else was raised is shown or logged."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except FedsegError as error:
                return self._failed(request, error)
            except Exception as error:  # outermost: the place alone, never the message
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
                logger.error("E-INTERNAL: unexpected %s", where)
                told = FedsegError(
                    f"unexpected {where}", code="E-INTERNAL",
                    remedy="this is a defect in fedseg; report this line",
                )  # fmt: skip
            return self._failed(request, told)

        return answer

    def _failed(self, request: Request, error: FedsegError) -> Response:
        status = _status_of(error)
        if request.url.path.endswith(".json"):
            return Response(
                envelope.failure(error), status_code=status, media_type="application/json"
            )
        if error.code == "E-SIGN-IN-FIRST":
            if "hx-request" in request.headers:
                return Response(headers={"HX-Redirect": SIGN_IN})
            return RedirectResponse(SIGN_IN, status_code=303)
        return self._write.error(request, error, status)

    async def _unknown(self, request: Request, error: Exception) -> Response:
        return self._failed(request, _no_page())


def _no_page() -> UsageError:
    return UsageError("there is no such page", code="E-PAGE", remedy="begin at the first page: /")


def _file(name: str) -> _Handler:
    async def answer(_: Request) -> Response:
        return FileResponse(_STATIC / name, media_type=_FILES[name])

    return answer


def _status_of(error: FedsegError) -> int:
    return _STATUS.get(error.code, _STATUS_OF_EXIT[error.exit_code])
