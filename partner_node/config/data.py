"""``[data]`` of ``node.toml``, read and checked: the keys that a kind of source takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from partner_node.config.transactions import TRANSACTION_KEYS, read_transactions
from partner_node.config_section import ConfigSection
from partner_node.sources.dialect import INPUT, table_relation
from partner_node.sources.settings import (
    DEFAULT_PORT,
    DEFAULT_TIMEOUT_S,
    KINDS,
    SSL_MODES,
    DataSection,
    Kind,
    PostgreSQLServer,
    SslMode,
    is_kind,
    is_socket,
    is_ssl_mode,
    is_this_machine,
)
from partner_node.sources.transactions import ID_COLUMN, transactions_query

DEFAULT_CHUNK_ROWS: Final = 65_536
DEFAULT_MEMORY: Final = "512MB"

_Kind = TypeVar("_Kind", bound=str)

_EVERY_KIND: Final = (
    "kind", "id_column", "query", "query_file", "chunk_rows", "columns", "units", "transactions",
)  # fmt: skip
_DUCKDB_MEANS: Final = ("memory_limit", "temp_folder")
#: The keys that name a PostgreSQL server.
SERVER_KEYS: Final = (
    "host", "port", "database", "user", "password_file", "password_env", "ssl",
    "root_certificates", "timeout_s",
)  # fmt: skip
#: The keys that a kind takes beside those of every kind.
KEYS_OF_KIND: Final[Mapping[Kind, tuple[str, ...]]] = {
    "csv": ("path", "delimiter", *_DUCKDB_MEANS),
    "parquet": ("path", *_DUCKDB_MEANS),
    "duckdb": ("path", "table", *_DUCKDB_MEANS),
    "sqlite": ("path", "table"),
    "postgresql": ("table", *SERVER_KEYS),
}
#: What to do in place of a key that is not for a kind.
_INSTEAD: Final[Mapping[tuple[str, str], str]] = {
    ("path", "postgresql"): "name the server by host, port and database instead",
    ("table", "csv"): "name the file by path instead",
    ("table", "parquet"): "name the file by path instead",
    ("memory_limit", "sqlite"): "SQLite takes little memory by itself",
    ("temp_folder", "sqlite"): "set the variable SQLITE_TMPDIR for the service instead",
    ("memory_limit", "postgresql"): "the server has its own limits",
    ("temp_folder", "postgresql"): "the server has its own folder",
}
DATA_KEYS: Final = tuple(
    dict.fromkeys([*_EVERY_KIND, *(key for keys in KEYS_OF_KIND.values() for key in keys)])
)

_PART: Final = r'(?:"(?:[^"]|"")+"|[^".]+)'
_TABLE: Final = re.compile(rf"{_PART}(?:\.{_PART})?")
_TABLE_PART: Final = re.compile(_PART)
_HOST: Final = re.compile(r"/.*|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_data(data: ConfigSection) -> DataSection:
    """The section's values.

    Raises:
        ConfigError: E-CONFIG, naming the key, its value and the way out.
    """
    name = data.one_of("kind", KINDS)
    kind: Kind = name if is_kind(name) else "csv"
    refuse_misplaced(data, kind, _EVERY_KIND, KEYS_OF_KIND, instead=_INSTEAD)
    delimiter = read_delimiter(data)
    data.at_most_one_of("query", "query_file")
    table = read_table(data) if "table" in KEYS_OF_KIND[kind] else None
    query = data.optional("query")
    if query is None and data.sets("query_file"):
        query = data.text_of_file("query_file")
    observed = None
    if data.sets("transactions"):
        for key in ("query", "query_file", "id_column"):
            if data.sets(key):
                raise data.problem(
                    key,
                    "is set beside [data.transactions], which makes the query and its id",
                    f"keep either {key} or [data.transactions], where customer names the id",
                )
        relation = table_relation(table) if table else INPUT
        transactions = read_transactions(data.section("transactions", TRANSACTION_KEYS))
        observed = transactions.observed
        query = transactions_query(transactions, kind, relation)
        table = None
    return DataSection(
        kind=kind,
        path=None if kind == "postgresql" else str(data.path("path")),
        table=table,
        id_column=ID_COLUMN if data.sets("transactions") else data.text("id_column"),
        delimiter=delimiter,
        query=query,
        server=read_server(data) if kind == "postgresql" else None,
        chunk_rows=data.integer(
            "chunk_rows", lowest=1, highest=10_000_000, default=DEFAULT_CHUNK_ROWS
        ),
        memory_bytes=data.size("memory_limit", default=DEFAULT_MEMORY),
        temp_folder=data.path("temp_folder") if data.optional("temp_folder") else None,
        columns=data.mapping("columns"),
        units=data.mapping("units"),
        observed=observed,
    )


def read_delimiter(section: ConfigSection) -> str:
    """What stands between the values of a CSV file; raises ConfigError."""
    delimiter = section.text("delimiter", default=",", max_length=1)
    if not delimiter.isascii() or delimiter.isalnum() or delimiter in "\"'\r\n\\. -+":
        raise section.problem("delimiter", f"is {delimiter!r}", 'use one of "," ";" "|" or "\\t"')
    return delimiter


def refuse_misplaced(
    section: ConfigSection,
    kind: _Kind,
    every_kind: Sequence[str],
    of_kind: Mapping[_Kind, Sequence[str]],
    *,
    instead: Mapping[tuple[str, str], str] | None = None,
) -> None:
    """Refuse a key that another kind of source takes.

    Args:
        every_kind: The keys that all kinds take.
        of_kind: Those that a kind takes beside them.
        instead: What to do in place of a key, by key and kind; else its kinds are named.

    Raises:
        ConfigError: E-CONFIG.
    """
    for key in dict.fromkeys(key for keys in of_kind.values() for key in keys):
        if section.sets(key) and key not in (*every_kind, *of_kind[kind]):
            takers = ", ".join(f'"{k}"' for k, keys in of_kind.items() if key in keys)
            way = (instead or {}).get((key, kind), f"it belongs to kind = {takers}")
            raise section.problem(key, f"is not for kind = {kind!r}", f"remove it; {way}")


def read_table(data: ConfigSection) -> tuple[str, ...] | None:
    """A database's table by its name's parts; None where a query stands for it.

    Raises:
        ConfigError: E-CONFIG, it is no table's name, or there is neither; or both are.
    """
    queries = [key for key in ("query", "query_file") if data.sets(key)]
    if not data.sets("table"):
        if queries:
            return None
        raise data.problem(
            "table", "is missing", "name a table of the database, or write a query over its tables"
        )
    if queries:
        data.at_most_one_of("table", queries[0])
    text = data.text(
        "table", pattern=_TABLE, form='customers, or sales.customers, or "a.b"."c d" in quotes'
    )
    return tuple(
        part[1:-1].replace('""', '"') if part.startswith('"') else part
        for part in _TABLE_PART.findall(text)
    )


def read_server(data: ConfigSection) -> PostgreSQLServer:
    """Which PostgreSQL server, and as whom, by `SERVER_KEYS`; raises ConfigError."""
    host = data.text("host", pattern=_HOST, form='"db.example", or "/run/postgresql" for a socket')
    data.at_most_one_of("password_file", "password_env")
    ssl = _ssl(data, host)
    if data.sets("root_certificates") and ssl not in ("verify-full", "verify-ca"):
        raise data.problem(
            "root_certificates",
            f"is set, and ssl = {ssl!r} does not look at the server's certificate",
            'write ssl = "verify-full", or remove root_certificates',
        )
    return PostgreSQLServer(
        host=host,
        port=data.integer("port", lowest=1, highest=65_535, default=DEFAULT_PORT),
        database=data.text("database", max_length=63),
        user=data.text("user", max_length=63),
        password_file=data.path("password_file") if data.sets("password_file") else None,
        password_env=data.optional("password_env", pattern=_VARIABLE, form="FEDSEG_DATABASE"),
        ssl=ssl,
        root_certificates=data.path("root_certificates")
        if data.sets("root_certificates")
        else None,
        timeout_s=data.integer("timeout_s", lowest=1, highest=86_400, default=DEFAULT_TIMEOUT_S),
    )


def _ssl(data: ConfigSection, host: str) -> SslMode:
    """How the connection is protected; without TLS on this machine alone."""
    default = "disable" if is_socket(host) else "verify-full"
    mode = data.one_of("ssl", SSL_MODES, default=default)
    if is_socket(host) and mode != "disable":
        raise data.problem(
            "ssl", f"is {mode!r}, and a socket on this machine has no TLS", "remove ssl"
        )
    if mode == "disable" and not is_this_machine(host):
        raise data.problem(
            "ssl",
            f"is 'disable' for {host}: the password and the customers would cross the network "
            "for everybody to read",
            'write ssl = "verify-full", and root_certificates if the server has a certificate of '
            "your own authority",
        )
    return mode if is_ssl_mode(mode) else "verify-full"
