"""``[data]`` of ``node.toml``: what a partner says about where its customers are."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal, TypeGuard, get_args

Kind = Literal["csv", "parquet", "duckdb", "sqlite", "postgresql"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SslMode = Literal["verify-full", "verify-ca", "require", "disable"]
SSL_MODES: Final[tuple[SslMode, ...]] = get_args(SslMode)

DEFAULT_PORT: Final = 5432
DEFAULT_TIMEOUT_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgreSQLServer:
    """Which PostgreSQL server, and as whom. Its password is never here, only where it is.

    Attributes:
        host: Name or address, or the absolute path of the folder with the server's socket.
        port: Its port; with a socket, the number in the socket's name.
        database: The database.
        user: The account; it needs the right to read and no other.
        password_file: File with the password, mode 0600; or None.
        password_env: Environment variable with the password; or None. With neither, the server
            is asked without one.
        ssl: How the connection is protected; ``disable`` on this machine alone.
        root_certificates: PEM file with the authority of the server's certificate; None for the
            operating system's.
        timeout_s: Longest time that one query may take, its reading included.
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
        """The database in messages."""
        at = f"socket {self.host}" if is_socket(self.host) else f"{self.host}:{self.port}"
        return f"database {self.database!r} at {at}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """``[data]``: where the customers are.

    Attributes:
        kind: What holds them.
        path: Absolute path; of CSV and Parquet also a glob or a folder. None for PostgreSQL.
        table: A database's table, its schema first where it has one; or None.
        id_column: Column with the customers' ids.
        delimiter: Between the values of a CSV file.
        query: Text of the feature query, also when it came from ``query_file``; or None.
        server: The PostgreSQL server; or None.
        chunk_rows: Rows held at once.
        memory_bytes: Limit of DuckDB's memory.
        temp_folder: For what does not fit into memory; None for the system's.
        columns: Column of each feature whose column has another name.
        units: Unit in which the data have each feature.
        observed: The day that features of transactions are of; None when nothing names one.
    """

    kind: Kind
    path: str | None
    table: tuple[str, ...] | None
    id_column: str
    delimiter: str
    query: str | None
    server: PostgreSQLServer | None
    chunk_rows: int
    memory_bytes: int
    temp_folder: Path | None
    columns: Mapping[str, str]
    units: Mapping[str, str]
    observed: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """``[limits]``: what reading the data may take from this machine.

    Attributes:
        threads: Threads of DuckDB.
        temp_bytes: Most temporary space on disk.
    """

    threads: int
    temp_bytes: int


def is_kind(text: str) -> TypeGuard[Kind]:
    """Whether a text names a kind of source."""
    return text in KINDS


def is_ssl_mode(text: str) -> TypeGuard[SslMode]:
    """Whether a text names a way to protect a connection."""
    return text in SSL_MODES


def is_socket(host: str) -> bool:
    """Whether a host is the folder of a server's socket on this machine."""
    return host.startswith("/")


def is_this_machine(host: str) -> bool:
    """Whether what goes to a host cannot leave this machine."""
    if is_socket(host) or host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
