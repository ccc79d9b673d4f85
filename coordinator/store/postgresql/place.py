"""Where the coordinator's database of PostgreSQL is: address, account, protection, password.

The address is a URL as libpq reads it, ``postgresql://ACCOUNT@HOST:PORT/DATABASE?OPTION=VALUE``,
without a password: it stands in ``coordinator.toml``.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from machine.private_files import read_private_file
from protocol.errors import ConfigError, KeystoreError, StoreError

#: What a URL may set; everything else that libpq knows is set here, or has no place in settings.
_OPTIONS: Final = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding", "options"}
)
_FILES: Final = ("sslrootcert", "sslcert", "sslkey")
_MODES: Final = ("verify-full", "verify-ca", "require", "disable")
_EXAMPLE: Final = "postgresql://fedseg@db.example/fedseg"
_CONNECT_S: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlace:
    """A database of a PostgreSQL server. Names the password's place only.

    Attributes:
        url: As it stands in the settings.
        folder: What files in the URL are relative to.
        password_file: File with the password, mode 0600; or None.
        password_env: Environment variable with the password; or None. With neither, no password is
            sent: the account is known by its socket or its certificate.
    """

    url: str
    folder: Path
    password_file: Path | None = None
    password_env: str | None = None

    def __post_init__(self) -> None:
        self._check()

    @property
    def name(self) -> str:
        """Server and database, for messages."""
        database = unquote(urlsplit(self.url).path.strip("/"))
        return f"database {database!r} at {','.join(self._addresses()) or 'this machine'}"

    def parameters(self, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
        """What libpq is told beside the URL, or instead of what it says.

        The password is among it: a process's arguments, which others may read, never have it.

        Raises:
            StoreError: E-STORE-PASSWORD, the password cannot be read.
        """
        set_here = self._options()
        for name in _FILES:
            if name in set_here:
                set_here[name] = str(self.folder.absolute() / set_here[name])
        set_here.setdefault("sslmode", "disable" if self._is_socket() else "verify-full")
        authorities = ssl.get_default_verify_paths().cafile
        if set_here["sslmode"].startswith("verify-") and authorities is not None:
            set_here.setdefault("sslrootcert", authorities)
        set_here.setdefault("options", "")  # not those of the environment
        password = self._password(environment)
        return set_here | ({"password": password} if password else {}) | {
            "application_name": "fedseg-coordinator",
            "client_encoding": "utf8",
            "connect_timeout": _CONNECT_S,
            "gssencmode": "disable",  # it would take the place of the TLS that was asked for
            # A server that vanished is noticed within half a minute.
            "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            # Of several hosts, the one that takes changes.
            "target_session_attrs": "read-write",
        }  # fmt: skip

    def _options(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    def _addresses(self) -> list[str]:
        at = urlsplit(self.url).netloc.rpartition("@")[2]
        return (self._options().get("host") or unquote(at)).split(",")

    def _hosts(self) -> list[str]:
        return [re.sub(r":\d+$", "", host).strip("[]") for host in self._addresses()]

    def _is_socket(self) -> bool:
        return all(host == "" or host.startswith("/") for host in self._hosts())

    def _check(self) -> None:
        try:
            read = urlsplit(self.url)
            options = parse_qsl(read.query, keep_blank_values=True, strict_parsing=bool(read.query))
        except ValueError:
            raise _refused("is no URL", f"write it as {_EXAMPLE}") from None
        if read.scheme not in ("postgresql", "postgres") or not self.url.isprintable():
            raise _refused("is not the URL of a PostgreSQL database", f"write it as {_EXAMPLE}")
        names = [name for name, _ in options]
        if read.password is not None or "password" in names:
            raise _refused(
                "holds a password in clear",
                "take it out, change it, and name its place with password_file or password_env",
            )
        if not read.username or not read.path.strip("/") or read.fragment:
            raise _refused("names no account or no database", f"write it as {_EXAMPLE}")
        for name in names:
            if name not in _OPTIONS or names.count(name) > 1:
                raise _refused(
                    f"sets {name}, which it may not, or twice",
                    f"it may set {', '.join(sorted(_OPTIONS))}",
                )
        mode = dict(options).get("sslmode", "verify-full")
        if mode not in _MODES:
            raise _refused(f"has sslmode {mode!r}", f"sslmode may be {', '.join(_MODES)}")
        if mode == "disable" and not all(map(is_this_machine, self._hosts())):
            raise _refused(
                "has sslmode 'disable' for another machine: the state would cross the network for "
                "everybody to read and change",
                "leave sslmode out, and name the authority of the server's certificate with "
                "sslrootcert if it is your own",
            )

    def _password(self, environment: Mapping[str, str]) -> str:
        try:
            if self.password_file is not None:
                data = read_private_file(self.password_file, check_folder=False)
                text = data.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
            elif self.password_env is not None:
                text = environment.get(self.password_env, "")
            else:
                return ""
        except KeystoreError as error:
            raise StoreError(
                f"the password of {self.name}: {error.message}",
                code="E-STORE-PASSWORD",
                remedy="write it into the file that [store] password_file names, with mode 0600"
                if error.code == "E-KEY-MISSING"
                else error.remedy,
            ) from error
        except UnicodeDecodeError:
            text = ""
        if not text or "\0" in text:
            place = self.password_file or f"the environment variable {self.password_env}"
            raise StoreError(
                f"{place} holds no password: it is missing, empty or no text in UTF-8",
                code="E-STORE-PASSWORD",
                remedy="put the password there, and nothing else",
            )
        return text


def is_this_machine(host: str) -> bool:
    """Whether a connection to a host cannot leave this machine; a socket's folder is one."""
    if host == "" or host.startswith("/") or host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(what: str, remedy: str) -> ConfigError:
    """The URL itself is not quoted: there may be a password in it."""
    return ConfigError(f"the store's URL {what}", code="E-STORE-URL", remedy=remedy)
