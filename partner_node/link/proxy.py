"""Which way a node goes out to its coordinator: directly, or through an HTTP proxy.

One rule for every connection: what ``node.toml`` names counts; else ``HTTPS_PROXY`` of the
environment, but for what ``NO_PROXY`` names, and never for this machine itself.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from machine.private_files import read_private_file
from protocol.errors import ConfigError, KeystoreError

#: The setting with which no proxy is used, whatever the environment names.
DIRECT: Final = "none"
_URL: Final = re.compile(
    r"http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):([0-9]{1,5})/?"
)
_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY")
_EXCEPTIONS: Final = ("no_proxy", "NO_PROXY")
_FORM: Final = 'write "http://host:port", like "http://proxy.example:8080"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """What a node is told of proxies.

    Attributes:
        address: ``host:port``, `DIRECT`, or None for what the environment names.
        password_file: File with ``user:password`` for the proxy, mode 0600.
        password_env: Environment variable with that.
        named_by: What says so, for messages.
    """

    address: str | None = None
    password_file: Path | None = None
    password_env: str | None = None
    named_by: str = "node.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        address: ``host:port``.
        credentials: ``user:password``; empty where it asks for none.
        named_by: Which setting names it.
    """

    address: str
    credentials: str = field(default="", repr=False)
    named_by: str = "node.toml"

    @property
    def words(self) -> str:
        """It in words, without credentials."""
        return f"the proxy {self.address} ({self.named_by})"

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password."""
        user, _, password = self.credentials.partition(":")
        return (user, password) if self.credentials else None

    @property
    def url(self) -> str:
        """It as a URL; with the credentials, so it goes nowhere but to clients."""
        login = "" if self.login is None else ":".join(quote(w, safe="") for w in self.login) + "@"
        return f"http://{login}{self.address}"


def way_to(
    address: str, settings: ProxySettings, *, environment: Mapping[str, str] = os.environ
) -> Proxy | None:
    """The proxy through which an address is reached; None for the direct way.

    Args:
        address: ``host:port``.

    Raises:
        ConfigError: E-PROXY, the environment names something else than an HTTP proxy, or the
            credentials cannot be read.
    """
    if settings.address == DIRECT:
        return None
    if settings.address is not None:
        found = Proxy(address=settings.address, named_by=settings.named_by)
    else:
        named = _of_environment(address, environment)
        if named is None:
            return None
        found = named
    credentials = _credentials(settings, environment) or found.credentials
    return Proxy(address=found.address, credentials=credentials, named_by=found.named_by)


def proxy_address(text: str) -> str:
    """The ``host:port`` of a setting, or `DIRECT`; raises ConfigError, which quotes nothing."""
    if text == DIRECT:
        return text
    if "@" in text:
        raise ConfigError(
            "the proxy's address has user and password in it",
            code="E-PROXY",
            remedy='write it as "http://host:port", and "user:password" into a file with mode 0600 '
            "that proxy_password_file names",
        )
    found = _URL.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 65_535:
        raise ConfigError("that is no address of an HTTP proxy", code="E-PROXY", remedy=_FORM)
    return f"{found[1]}:{found[2]}"


def _of_environment(address: str, environment: Mapping[str, str]) -> Proxy | None:
    variable = next((name for name in _VARIABLES if environment.get(name)), None)
    if variable is None or _is_exempt(address, environment):
        return None
    value = environment[variable]
    url = urlsplit(value if "://" in value else f"http://{value}")
    bare = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    try:
        where = proxy_address(bare if re.search(r":[0-9]+$", bare) else f"{bare}:80")
    except ConfigError as error:
        raise ConfigError(
            f"the environment variable {variable} names no HTTP proxy",
            code="E-PROXY",
            remedy=f'{_FORM}; or set proxy in [coordinator] of node.toml, "{DIRECT}" for no proxy',
        ) from error
    user, password = unquote(url.username or ""), unquote(url.password or "")
    return Proxy(address=where, credentials=f"{user}:{password}" if user else "", named_by=variable)


def _is_exempt(address: str, environment: Mapping[str, str]) -> bool:
    """Whether the environment's proxy is not for an address."""
    from urllib import request  # takes long to import

    host, _, port = address.rpartition(":")
    bare = host.strip("[]")
    if _is_this_machine(bare):
        return True
    exceptions = {"no": next((environment[n] for n in _EXCEPTIONS if environment.get(n)), "")}
    bypass = request.proxy_bypass_environment  # type: ignore[attr-defined]
    return any(bypass(name, exceptions) for name in (bare, f"{bare}:{port}"))


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def _credentials(settings: ProxySettings, environment: Mapping[str, str]) -> str:
    try:
        if settings.password_file is not None:
            place = str(settings.password_file)
            data = read_private_file(settings.password_file, check_folder=False)
            text = data.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        elif settings.password_env is not None:
            place = f"the environment variable {settings.password_env}"
            text = environment.get(settings.password_env, "")
        else:
            return ""
    except KeystoreError as error:
        raise ConfigError(
            f"user and password of the proxy: {error.message}",
            code="E-PROXY",
            remedy="write user:password into the file that proxy_password_file names, with mode "
            "0600"
            if error.code == "E-KEY-MISSING"
            else error.remedy,
        ) from error
    except UnicodeDecodeError:
        text = ""
    user, colon, _ = text.partition(":")
    if not (user and colon) or not text.isprintable():
        raise ConfigError(
            f"{place} holds no user and password for the proxy",
            code="E-PROXY",
            remedy="write user:password there, in one line of UTF-8, and nothing else",
        )
    return text
