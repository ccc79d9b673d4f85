"""The template of ``node.toml``: every key, explained where it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from partner_node.config.data import DEFAULT_CHUNK_ROWS, DEFAULT_MEMORY
from partner_node.egress.settings import DEFAULT_HOLD_HOURS, NOTHING
from partner_node.sources.settings import DEFAULT_PORT, DEFAULT_TIMEOUT_S, Kind, SslMode
from protocol.agreement.governance import SEGMENTATION

DEFAULT_THREADS: Final = 2
DEFAULT_TEMP_SPACE: Final = "20GB"
DEFAULT_PASSPHRASE_VARIABLE: Final = "FEDSEG_PASSPHRASE"  # noqa: S105 - a name


def node_template(
    *,
    partner: str,
    address: str,
    kind: Kind = "csv",
    path: str = "customers.csv",
    table: str | None = None,
    host: str = "localhost",
    port: int = DEFAULT_PORT,
    database: str = "customers",
    user: str = "fedseg",
    password_file: str | None = None,
    ssl: SslMode | None = None,
    id_column: str = "customer_id",
    columns: Mapping[str, str] = MappingProxyType({}),
    agreement: str = "agreement.json",
    root_certificates: str = "coordinator-ca.pem",
    bundle_sha256: str | None = None,
    query_file: str | None = None,
    passphrase_file: str | None = None,
    consents: str | None = None,
    objections: str | None = None,
    births: str | None = None,
    youngest_customer: int | None = None,
    units: Mapping[str, str] = MappingProxyType({}),
    notice: str = "1",
) -> str:
    """A commented ``node.toml`` that `NodeConfig.load` accepts.

    Args:
        path: Of all kinds but ``postgresql``.
        table: Of a database; None with a `query_file`.
        host, port, database, user, password_file, ssl: Of ``postgresql``.
        columns: Column of each feature whose column has another name.
        passphrase_file: None for the environment variable `DEFAULT_PASSPHRASE_VARIABLE`.
        consents, objections, births: Files of them, .csv, .parquet or .jsonl.
        youngest_customer: No customer is younger, in years; None where births say it.
        units: Unit in which the data have each feature.
        notice: Version of the notice that tells of the purpose.
    """
    bundle = "" if bundle_sha256 is None else bundle_sha256
    mapping = [f"{_quoted(f)} = {_quoted(column)}" for f, column in columns.items()]
    if kind in ("duckdb", "sqlite", "postgresql") and table is None and query_file is None:
        table = "customers"
    data = _DATA[kind].format(
        path=_quoted(path),
        host=_quoted(host),
        port=_optional("port", str(port), None if port == DEFAULT_PORT else port),
        database=_quoted(database),
        user=_quoted(user),
        password_file=_optional(
            "password_file", _quoted(password_file or "password"), password_file
        ),
        ssl=_optional("ssl", _quoted(ssl or "verify-full"), ssl),
        timeout_s=DEFAULT_TIMEOUT_S,
        table=_optional("table", _quoted(table or "customers"), table),
        query_file=_optional("query_file", _quoted(query_file or "features.sql"), query_file),
        id_column=_quoted(id_column),
        chunk_rows=DEFAULT_CHUNK_ROWS,
        memory=_quoted(DEFAULT_MEMORY),
    )
    return (
        _HEAD.format(
            partner=_quoted(partner),
            agreement=_quoted(agreement),
            address=_quoted(address),
            root_certificates=_quoted(root_certificates),
            bundle=_optional("bundle_sha256", _quoted(bundle or "0" * 64), bundle_sha256),
        )
        + data
        + _FOOT.format(
            purpose=_quoted(SEGMENTATION),
            notices=f"[{_quoted(notice)}]",
            sources=_sources_template(consents, objections, births),
            youngest=_optional(
                "youngest_customer", str(youngest_customer or 18), youngest_customer
            ),
            hold=_quoted(NOTHING),
            hold_hours=DEFAULT_HOLD_HOURS,
            columns="\n".join(mapping or ['# monetary = "total_spent"']),
            units="\n".join(
                [f"{_quoted(f)} = {_quoted(unit)}" for f, unit in units.items()]
                or ['# monetary = "EUR"']
            ),
            passphrase=f"passphrase_env = {_quoted(DEFAULT_PASSPHRASE_VARIABLE)}"
            if passphrase_file is None
            else f"passphrase_file = {_quoted(passphrase_file)}",
            threads=DEFAULT_THREADS,
            temp_space=_quoted(DEFAULT_TEMP_SPACE),
        )
    )


_HEAD: Final = """\
# Configuration of a fedseg node. Relative paths start at this file's folder.
# A line that begins with "# name =" is an optional key with its default or an example.

[node]
# This partner's id in the agreement.
partner = {partner}
# The agreement, signed by all parties.
agreement = {agreement}
# Folders of the node's database, and of releases and assignments.
# state = "state"
# output = "segments"

[coordinator]
# host:port. The node connects outwards, nobody connects to it.
address = {address}
# Authority of the coordinator's certificate (PEM).
root_certificates = {root_certificates}
# The only app bundle that is answered; by default the one that this version of fedseg makes.
{bundle}

"""

_KIND: Final = """\
[data]
# "csv" (header line, UTF-8, may be .gz), "parquet", "duckdb", "sqlite" or "postgresql". Each has
# its own keys; see docs/sources.md, or call fedseg-node init --kind for a template.
"""
_ID: Final = """\
# One row a customer, each id once.
id_column = {id_column}
"""
_TABLE: Final = """\
# A table or view with one row a customer, its schema before it where it has one: "sales.customers";
# or, instead, one SELECT over the database's tables that makes one row a customer.
{table}
{query_file}
# query = "SELECT customer_id, count(*) AS frequency FROM orders GROUP BY customer_id"
"""
_INPUT: Final = """\
# One SELECT that turns the files, seen as the table "input", into one row a customer.
{query_file}
# query = "SELECT customer_id, count(*) AS frequency FROM input GROUP BY customer_id"
"""
_CHUNKS: Final = """\
# Invoice lines need no query: name their columns in [data.transactions], see docs/sources.md.
# Rows held at once.
# chunk_rows = {chunk_rows}
"""
_MEMORY: Final = """\
# Memory of the reader; what does not fit goes to a temporary folder (by default the system's).
# memory_limit = {memory}
# temp_folder = "temporary"
"""
_FILES: Final = """\
# A file, a glob, or a folder: all files of the kind in it, at any depth.
path = {path}
"""
_DATABASE: Final = """\
# The database's file; it is only read.
path = {path}
"""
_SERVER: Final = """\
# The server, or the absolute path of its socket's folder. The account needs SELECT and no more.
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
_DATA: Final[Mapping[Kind, str]] = {
    "csv": _KIND + 'kind = "csv"\n' + _FILES + _ID
    + """\
# Between the values of a CSV file.
# delimiter = ","
"""
    + _INPUT + "# Columns of a CSV file are text in it: CAST(Quantity AS DOUBLE).\n"
    + _CHUNKS + _MEMORY,
    "parquet": _KIND + 'kind = "parquet"\n' + _FILES + _ID + _INPUT + _CHUNKS + _MEMORY,
    "duckdb": _KIND + 'kind = "duckdb"\n' + _DATABASE + _ID + _TABLE + _CHUNKS + _MEMORY,
    "sqlite": _KIND + 'kind = "sqlite"\n' + _DATABASE + _ID + _TABLE + _CHUNKS,
    "postgresql": _KIND + 'kind = "postgresql"\n' + _SERVER + _ID + _TABLE + _CHUNKS,
}  # fmt: skip
_FOOT: Final = """\

# Feature of the agreement = column of the data, where the names differ.
[data.columns]
{columns}

# The unit in which the data have each feature; the agreement's must be the same.
[data.units]
{units}

# What customers were told, and where their wishes are kept; read anew before every question.
[consent]
# The agreed purpose, and the versions of your privacy notice that tell of it.
purpose = {purpose}
notices = {notices}
# With legitimate interest as the agreed basis: the assessment, whose SHA-256 the agreement has.
# assessment = "assessment.pdf"
# Customers below the agreed age are never counted. Say what your contracts allow, in years, or
# name a table of births below.
{youngest}
{sources}
# What waits for a person before it leaves; see docs/egress.md. Read when the node starts.
[egress]
# "none"; "answers": each answer to a question; "signed": also the signature on the release.
# hold = {hold}
# Hours after which a message that nobody approved is refused by itself.
# hold_hours = {hold_hours}

[keys]
# Private keys, encrypted; file mode 0600 in a folder of mode 0700.
# store = "keys/keystore.json"
# Their passphrase: passphrase_file (mode 0600) or passphrase_env (a variable), never both.
{passphrase}

[limits]
# Threads of the reader, and its most temporary space on disk.
# threads = {threads}
# temp_space = {temp_space}
"""


#: What a file of consents, objections or births is, by how its name ends; ``.gz`` may follow.
KIND_OF_SUFFIX: Final[Mapping[str, str]] = {
    ".csv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_SOURCE: Final = """\

[[consent.sources]]
name = {name}
holds = {name}
# "csv", "parquet" or "jsonl" (one JSON object a line); or "duckdb", "sqlite" or "postgresql".
kind = {kind}
path = {path}
{delimiter}\
# A table or view of a database, its schema before it where it has one; of "postgresql" also host,
# database, user and the other keys of a server as in [data], and no path:
#     table = "crm.{plain}"
{explained}\
# Touched by whatever brings the table up to date; else a file's own time counts, and in a database
# the newest time in the column that columns.updated names{newest}.
# heartbeat = "{plain}.ok"
"""
_CONSENTS: Final = """\
# One row an event: subject (the customer's id, in the column that [data] id_column names unless
# said here), event, time (with a zone), purpose, notice (its version) and, where it ends, until.
# columns = { subject = "person", time = "changed_at" }
# What all rows are about, where there is no column for it.
# constants = { notice = "1" }
# This table's own words for events; only ConsentGiven and RenewedConsentGiven permit.
# events = { yes = "ConsentGiven", no = "ConsentRefused" }
"""
_OBJECTIONS: Final = """\
# One row a customer who objects; or, with flags, those for whom one of these columns says so.
# columns = { subject = "person" }
# flags = ["objection", "gpc"]
"""


_BIRTHS: Final = """\
# One row a customer: subject, and born, a date like 1990-12-31 or a year.
# columns = { subject = "person", born = "date_of_birth" }
"""


def kind_of_file(path: str) -> str | None:
    """What a file of consents, objections or births is; None where its name does not tell.

    >>> kind_of_file("events.CSV.gz"), kind_of_file("events.jsonl"), kind_of_file("north.db")
    ('csv', 'jsonl', None)
    """
    return KIND_OF_SUFFIX.get(Path(path.casefold().removesuffix(".gz")).suffix)


def _sources_template(consents: str | None, objections: str | None, births: str | None) -> str:
    given = {
        "consents": (consents, _CONSENTS),
        "objections": (objections, _OBJECTIONS),
        "births": (births, _BIRTHS),
    }
    parts = {
        name: _SOURCE.format(
            name=_quoted(name),
            plain=name,
            kind=_quoted(kind := kind_of_file(path or "") or "csv"),
            path=_quoted(path or f"{name}.csv"),
            delimiter='# delimiter = ","\n' if kind == "csv" else "",
            newest=" or, without, the newest event" if name == "consents" else "",
            explained=explained,
        )
        for name, (path, explained) in given.items()
    }
    named = "".join(parts[name] for name, (path, _) in given.items() if path is not None)
    if named:
        return named
    return (
        "# No table of consents, objections or births is named yet. A section for each, such as:\n"
        + "".join(f"#   {line}".rstrip() + "\n" for line in parts["consents"].splitlines() if line)
    )


def _optional(key: str, value: str, given: object) -> str:
    """A line that sets a key, as a comment where no value was given."""
    return ("" if given is not None else "# ") + f"{key} = {value}"


def _quoted(text: str) -> str:
    """TOML's basic string, whose escapes are those of JSON plus DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
