"""Sources in databases of a server: address, account and protection of the connection."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeGuard, get_args

from machine.private_files import read_private_file
from partner_node.config_section import ConfigSection, toml_line, toml_text
from partner_node.sources.places import Said
from protocol.errors import KeystoreError, SourceError, UsageError

SslMode = Literal["verify-full", "verify-ca", "require", "disable"]
SSL_MODES: Final[tuple[SslMode, ...]] = get_args(SslMode)
#: Modes that verify the server's certificate.
VERIFYING: Final[tuple[SslMode, ...]] = ("verify-full", "verify-ca")
DEFAULT_TIMEOUT_S: Final = 3600
#: Ways out for keys and options of `init` that no kind at a server accepts.
INSTEAD: Final[Mapping[str, str]] = {
    "path": "name the server by host, port and database instead",
    "memory_limit": "the server has its own limits",
    "temp_folder": "the server has its own folder",
    "--data": "name the server by --host, --port and --database",
}

_HOST: Final = re.compile(r"/.*|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A database of a server, and the account that reads it. Names the password's place only.

    Attributes:
        host: Name or address, or the absolute path to the server's socket on this machine.
        port: Its port; its meaning for a socket depends on the kind of server.
        database: The database.
        user: The account; it needs the right to read and no other.
        password_file: File with the password, mode 0600; or None.
        password_env: Environment variable with the password; or None. With neither, no password is
            sent.
        ssl: How the connection is protected; ``disable`` on this machine alone.
        root_certificates: PEM file with the authority of the server's certificate; None for the
            operating system's.
        timeout_s: Longest time for one query, including the reading of its result.
    """

    host: str
    port: int
    database: str
    user: str
    password_file: Path | None
    password_env: str | None
    ssl: SslMode
    root_certificates: Path | None
    timeout_s: int

    @property
    def name(self) -> str:
        """The database, for messages."""
        at = f"socket {self.host}" if is_socket(self.host) else f"{self.host}:{self.port}"
        return f"database {self.database!r} at {at}"

    def password(self, environment: Mapping[str, str]) -> str:
        """The password; empty when none is configured.

        Raises:
            SourceError: E-SOURCE-PASSWORD, it cannot be read.
        """
        try:
            if self.password_file is not None:
                data = read_private_file(self.password_file, check_folder=False)
                text = data.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
            elif self.password_env is not None:
                text = environment[self.password_env]
            else:
                return ""
        except KeystoreError as error:
            raise SourceError(
                f"the password of {self.name}: {error.message}",
                code="E-SOURCE-PASSWORD",
                remedy="write it into the file that [data] password_file names, with mode 0600"
                if error.code == "E-KEY-MISSING"
                else error.remedy,
            ) from error
        except KeyError:
            text = ""
        except UnicodeDecodeError:
            text = "\0"
        if not text or "\0" in text:
            place = self.password_file or f"the environment variable {self.password_env}"
            raise SourceError(
                f"{place} holds no password: it is missing, empty or no text in UTF-8",
                code="E-SOURCE-PASSWORD",
                remedy="put the password there, and nothing else",
            )
        return text

    def authorities(self) -> Path:
        """File with the authorities that the server's certificate is verified against.

        Raises:
            SourceError: E-SOURCE-CONNECT, none is named and the operating system has none.
        """
        if self.root_certificates is not None:
            return self.root_certificates
        file = ssl.get_default_verify_paths().cafile
        if file is None:
            raise SourceError(
                "the operating system has no file with certificate authorities",
                code="E-SOURCE-CONNECT",
                remedy="set [data] root_certificates to the authority of the server's certificate",
            )
        return Path(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlaces:
    """The `PlaceReader` for databases of one kind of server.

    Attributes:
        port: The default port.
        socket: An example of `host` for a socket on this machine.
        socket_words: Description of that, in words.
    """

    port: int
    socket: str
    socket_words: str

    @property
    def keys(self) -> tuple[str, ...]:
        return (
            "host", "port", "database", "user", "password_file", "password_env", "ssl",
            "root_certificates", "timeout_s",
        )  # fmt: skip

    @property
    def options(self) -> tuple[str, ...]:
        return ("host", "port", "database", "user", "password_file", "ssl")

    def read(self, section: ConfigSection) -> Server:
        """The server that a section names; raises ConfigError."""
        host = section.text(
            "host", pattern=_HOST, form=f'"db.example", or "{self.socket}" for a socket'
        )
        section.at_most_one_of("password_file", "password_env")
        mode = _ssl(section, host)
        if section.sets("root_certificates") and mode not in VERIFYING:
            raise section.problem(
                "root_certificates",
                f"is set, and ssl = {mode!r} does not look at the server's certificate",
                'write ssl = "verify-full", or remove root_certificates',
            )
        return Server(
            host=host,
            port=section.integer("port", lowest=1, highest=65_535, default=self.port),
            database=section.text("database", max_length=63),
            user=section.text("user", max_length=63),
            password_file=section.path("password_file") if section.sets("password_file") else None,
            password_env=section.optional(
                "password_env", pattern=_VARIABLE, form="FEDSEG_DATABASE"
            ),
            ssl=mode,
            root_certificates=section.path("root_certificates")
            if section.sets("root_certificates")
            else None,
            timeout_s=section.integer(
                "timeout_s", lowest=1, highest=86_400, default=DEFAULT_TIMEOUT_S
            ),
        )

    def checked(self, said: Said, kind: str) -> dict[str, Any]:
        for name in ("host", "database", "user"):
            if not said[name]:
                raise UsageError(
                    f"--kind {kind} needs --{name}",
                    remedy="name the server, its database and the account that may read it",
                )
        mode = said["ssl"]
        if mode is not None and mode not in SSL_MODES:
            raise UsageError(f"--ssl is {mode!r}, allowed: {', '.join(SSL_MODES)}")
        told = {name: said[name] for name in self.options if said[name] is not None}
        if "password_file" in told:
            told["password_file"] = str(told["password_file"].absolute())
        return told

    def template(self, said: Said) -> str:
        port = said.get("port", self.port)
        password_file, mode = said.get("password_file"), said.get("ssl")
        return _TEMPLATE.format(
            socket=self.socket_words,
            host=toml_text(said.get("host", "localhost")),
            port=toml_line("port", str(port), None if port == self.port else port),
            database=toml_text(said.get("database", "customers")),
            user=toml_text(said.get("user", "fedseg")),
            password_file=toml_line(
                "password_file", toml_text(password_file or "password"), password_file
            ),
            ssl=toml_line("ssl", toml_text(mode or "verify-full"), mode),
            timeout_s=DEFAULT_TIMEOUT_S,
        )

    def missing(self, place: Server) -> list[str]:
        file = place.password_file
        if file is None or file.is_file():
            return []
        return [f"--password-file {file}: no such file; write the password there, with mode 0600"]


def is_socket(host: str) -> bool:
    """Whether a host is the path of a server's socket on this machine."""
    return host.startswith("/")


def is_this_machine(host: str) -> bool:
    """Whether a connection to a host cannot leave this machine."""
    if is_socket(host) or host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ssl_mode(text: str) -> TypeGuard[SslMode]:
    return text in SSL_MODES


def _ssl(section: ConfigSection, host: str) -> SslMode:
    """Read the protection of the connection; without TLS only on this machine."""
    default = "disable" if is_socket(host) else "verify-full"
    mode = section.one_of("ssl", SSL_MODES, default=default)
    if is_socket(host) and mode != "disable":
        raise section.problem(
            "ssl", f"is {mode!r}, and a socket on this machine has no TLS", "remove ssl"
        )
    if mode == "disable" and not is_this_machine(host):
        raise section.problem(
            "ssl",
            f"is 'disable' for {host}: the password and the customers would cross the network "
            "for everybody to read",
            'write ssl = "verify-full", and root_certificates if the server has a certificate of '
            "your own authority",
        )
    return mode if _is_ssl_mode(mode) else "verify-full"


_TEMPLATE: Final = """\
# The server, or the absolute path of {socket}. The account needs SELECT and no more.
host = {host}
{port}
database = {database}
user = {user}
# Its password: password_file (mode 0600) or password_env (a variable), or none.
{password_file}
# password_env = "FEDSEG_DATABASE_PASSWORD"
# "verify-full": the certificate is by a trusted authority and for this host; "verify-ca": by a
# trusted authority; "require": encrypted, to whomever; "disable": only on this machine.
{ssl}
# Authority of the server's certificate (PEM); by default the operating system's authorities.
# root_certificates = "database-ca.pem"
# Longest time that one query may take, its reading included.
# timeout_s = {timeout_s}
"""
