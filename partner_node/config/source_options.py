"""The options of ``fedseg-node init`` that say where the customers are, checked together."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypedDict

from partner_node.sources.settings import KINDS, SSL_MODES, Kind, SslMode, is_kind, is_ssl_mode
from protocol.errors import UsageError

_SERVER: Final = ("host", "port", "database", "user", "password_file", "ssl")


class SourceOptions(TypedDict, total=False):
    """What `node_template` is told about the source."""

    kind: Kind
    path: str
    table: str
    host: str
    port: int
    database: str
    user: str
    password_file: str
    ssl: SslMode


def source_options(
    *,
    kind: str,
    path: Path | None,
    table: str | None,
    has_query: bool,
    host: str | None,
    port: int | None,
    database: str | None,
    user: str | None,
    password_file: Path | None,
    ssl: str | None,
) -> SourceOptions:
    """What the template of the configuration is told about the source.

    Args:
        has_query: Whether there is a feature query, which stands for a table.

    Raises:
        UsageError: An option is missing, or belongs to another kind.
    """
    if not is_kind(kind):
        raise UsageError(f"--kind is {kind!r}, allowed: {', '.join(KINDS)}")
    options = SourceOptions(kind=kind)
    server = {
        "host": host, "port": port, "database": database, "user": user,
        "password_file": password_file, "ssl": ssl,
    }  # fmt: skip
    if kind == "postgresql":
        if path is not None:
            raise UsageError(
                "--data is not for --kind postgresql",
                remedy="name the server by --host, --port and --database",
            )
        if not (host and database and user):
            missing = [name for name in ("host", "database", "user") if not server[name]]
            raise UsageError(
                f"--kind postgresql needs --{missing[0]}",
                remedy="name the server, its database and the account that may read it",
            )
        options |= SourceOptions(host=host, database=database, user=user)
        if port is not None:
            options["port"] = port
        if password_file is not None:
            options["password_file"] = str(password_file.absolute())
        if ssl is not None:
            if not is_ssl_mode(ssl):
                raise UsageError(f"--ssl is {ssl!r}, allowed: {', '.join(SSL_MODES)}")
            options["ssl"] = ssl
    else:
        for name in _SERVER:
            if server[name] is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for --kind postgresql",
                    remedy=f"leave it out, or set --kind; it is {kind} now",
                )
        if path is None:
            raise UsageError(f"--kind {kind} needs --data", remedy="name the file of the customers")
        options["path"] = str(path.absolute())
    if kind in ("csv", "parquet"):
        if table is not None:
            raise UsageError(
                f"--table is not for --kind {kind}", remedy="leave it out; --data names the file"
            )
    elif (table is None) != has_query:
        raise UsageError(
            f"--kind {kind} needs either --table or --query-file",
            remedy="name the table with one row a customer, or a query that makes it",
        )
    if table is not None:
        options["table"] = table
    return options
