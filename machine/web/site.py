"""What a side gives to the shell: its pages, and what people do there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine.accounts.accounts import Account, Accounts
from machine.accounts.roles import Permission
from machine.shown import Shown

if TYPE_CHECKING:
    from machine.web.oidc.sign_in import SignInByProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of somebody who may make it.

    Attributes:
        path: Parts of the address, by their names in its pattern.
        form: Fields of the form that was sent; none of a page that is read.
        read: What was read for this request already, for whatever answers more of it.
    """

    account: Account
    path: Mapping[str, str]
    form: Mapping[str, str]
    now: datetime
    read: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page: read by its path, and as JSON by the path with ``.json`` behind.

    Attributes:
        path: Its address; parts in braces vary.
        show: Makes it; reads no customers.
        template: The file that writes it, in the shell's folder or the side's.
        extra: What the template needs beside; `renewed_s` in it goes before the page's own.
        in_menu: Whether the menu leads there.
        renewed_s: Seconds after which it renews itself where JavaScript is on; None for never.
    """

    path: str
    title: str
    permission: Permission
    show: Callable[[Asked], Shown]
    template: str = "page.html"
    extra: Callable[[Asked], Mapping[str, Any]] = field(default=lambda _: {})
    in_menu: bool = True
    renewed_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What an act returns that does nothing before a second person does the same.

    Attributes:
        shows: What `Act.do` returns else.
    """

    shows: str | Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that people do by sending a form to a path; the log has it.

    Attributes:
        name: What the log calls it.
        about: Says what it is about, for the log.
        do: Does it, and returns the path that shows what came of it, or the result itself.
    """

    path: str
    title: str
    name: str
    permission: Permission
    about: Callable[[Asked], str]
    do: Callable[[Asked], str | Shown | Waits]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One side's console.

    Attributes:
        name: Whose it is, for people.
        short: What it is, for the names of cookies: letters alone.
        first: How the first account is made, for whoever comes before there is one.
        hosts: Values of the header Host that are answered, like ``127.0.0.1:8321``.
        secure: Whether it is reached by TLS.
        templates: The side's own templates; None for none.
        oidc: Signing in by an identity provider; None where there is none.
    """

    name: str
    short: str
    first: str
    accounts: Accounts
    pages: tuple[Page, ...]
    acts: tuple[Act, ...]
    hosts: frozenset[str]
    secure: bool
    clock: Callable[[], datetime]
    templates: Path | None = None
    oidc: SignInByProvider | None = None
