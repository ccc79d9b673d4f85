"""The template of ``node.toml``, with a comment that explains each key."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from machine.metrics.settings import METRICS_TEMPLATE
from machine.traces import TRACES_TEMPLATE
from partner_node.config.agreements import AGREEMENTS_TEMPLATE
from partner_node.config.console import DEFAULT_HOST, DEFAULT_PORT
from partner_node.config_section import toml_line, toml_text
from partner_node.consent.kinds import KINDS as CONSENT_KINDS
from partner_node.egress.settings import DEFAULT_HOLD_HOURS, NOTHING
from partner_node.sources.kind import FileFormat
from partner_node.sources.kinds import KINDS
from partner_node.sources.servers import ServerPlaces
from protocol.agreement.governance import SEGMENTATION

_WIDTH: Final = 100
DEFAULT_THREADS: Final = 2
DEFAULT_TEMP_SPACE: Final = "20GB"
DEFAULT_PASSPHRASE_VARIABLE: Final = "FEDSEG_PASSPHRASE"  # noqa: S105 - a name


def node_template(
    *,
    partner: str,
    address: str,
    kind: str = "csv",
    id_column: str = "customer_id",
    columns: Mapping[str, str] = MappingProxyType({}),
    agreement: str = "agreement.json",
    root_certificates: str = "coordinator-ca.pem",
    control: str | None = None,
    bundle_sha256: str | None = None,
    proxy: str | None = None,
    proxy_password_file: str | None = None,
    query_file: str | None = None,
    passphrase_file: str | None = None,
    consents: str | None = None,
    objections: str | None = None,
    births: str | None = None,
    youngest_customer: int | None = None,
    units: Mapping[str, str] = MappingProxyType({}),
    notice: str = "1",
    **source: Any,
) -> str:
    """A commented ``node.toml`` that `NodeConfig.load` accepts.

    Args:
        kind: Kind of source, by its name in the table of kinds.
        columns: Column of each feature whose column has another name.
        control: ``host:port`` of the coordinator's control port; None for an example.
        proxy, proxy_password_file: As ``[coordinator]`` is to name them; None for examples.
        passphrase_file: None for the environment variable `DEFAULT_PASSPHRASE_VARIABLE`.
        consents, objections, births: Files of them, .csv, .parquet or .jsonl.
        youngest_customer: No customer is younger, in years; None with a table of births.
        units: Unit in which the data have each feature.
        notice: Version of the notice that informs customers of the purpose.
        source: Keys of ``[data]`` by which the kind names where the customers are.
    """
    bundle = "" if bundle_sha256 is None else bundle_sha256
    mapping = [f"{toml_text(f)} = {toml_text(column)}" for f, column in columns.items()]
    said = {"id_column": id_column, "query_file": query_file, **source}
    return (
        _HEAD.format(
            partner=toml_text(partner),
            agreement=toml_text(agreement),
            address=toml_text(address),
            root_certificates=toml_text(root_certificates),
            control=toml_line("control", toml_text(control or "coordinator.example:9444"), control),
            proxy=toml_line("proxy", toml_text(proxy or "http://proxy.example:8080"), proxy),
            proxy_password=toml_line(
                "proxy_password_file",
                toml_text(proxy_password_file or "proxy-password"),
                proxy_password_file,
            ),
            bundle=toml_line("bundle_sha256", toml_text(bundle or "0" * 64), bundle_sha256),
        )
        + _kind_lines(kind)
        + KINDS[kind].template(said)
        + _FOOT.format(
            purpose=toml_text(SEGMENTATION),
            notices=f"[{toml_text(notice)}]",
            sources=_sources_template(consents, objections, births),
            youngest=toml_line(
                "youngest_customer", str(youngest_customer or 18), youngest_customer
            ),
            hold=toml_text(NOTHING),
            metrics=METRICS_TEMPLATE,
            traces=TRACES_TEMPLATE,
            hold_hours=DEFAULT_HOLD_HOURS,
            columns="\n".join(mapping or ['# monetary = "total_spent"']),
            units="\n".join(
                [f"{toml_text(f)} = {toml_text(unit)}" for f, unit in units.items()]
                or ['# monetary = "EUR"']
            ),
            console_host=toml_text(DEFAULT_HOST),
            console_port=DEFAULT_PORT,
            agreements=AGREEMENTS_TEMPLATE,
            passphrase=f"passphrase_env = {toml_text(DEFAULT_PASSPHRASE_VARIABLE)}"
            if passphrase_file is None
            else f"passphrase_file = {toml_text(passphrase_file)}",
            threads=DEFAULT_THREADS,
            temp_space=toml_text(DEFAULT_TEMP_SPACE),
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
# host:port of its control port, where this node joined by invitation (fedseg-node join).
{control}
# The HTTP proxy on the way to both, "http://host:port", or "none"; by default what HTTPS_PROXY and
# NO_PROXY of the environment say. TLS passes through it unopened.
{proxy}
# What it asks for, user:password, in a file (mode 0600) or an environment variable.
{proxy_password}
# proxy_password_env = "FEDSEG_PROXY"
# The only app bundle that is answered; by default the one that this version of fedseg makes.
{bundle}

"""

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
# `fedseg-node notice publish` puts on record what each of them tells.
purpose = {purpose}
notices = {notices}
# With legitimate interest as the agreed basis: the assessment, whose SHA-256 the agreement has.
# assessment = "assessment.pdf"
# Customers below the agreed age are never counted. Say what your contracts allow, in years, or
# name a table of births below.
{youngest}
{sources}
# What waits for a person before it leaves; see docs/egress.md.
[egress]
# "none"; "answers": each answer to a question; "signed": also the signature on the release.
# hold = {hold}
# Hours after which a message that nobody approved is refused by itself.
# hold_hours = {hold_hours}

# Whether it is kept, under a keyed hash, who was counted in which answer, so that customers can be
# given receipts; see docs/rights.md. From when on it is not, the audit log says.
[receipts]
# keep = true

# What customers who ask are told; see docs/rights.md.
[rights]
# The supervisory authority for complaints, and where the data come from.
# authority = "Data protection authority of the state, Castle Street 1, Examplefield"
# data_from = "Your orders in our shop"

# Where people reach this node's console (fedseg-node console); see docs/console.md.
[console]
# This machine alone, unless there is a certificate with its key (PEM).
# host = {console_host}
# port = {console_port}
# tls = {{ certificate = "console.crt", key = "console.key" }}
# Names under which people reach it there.
# names = ["node.example"]
# People whom your identity provider signs in, beside those with passwords (OpenID Connect).
# oidc = {{ issuer = "https://login.example/realms/staff", client_id = "fedseg-node" }}

{agreements}
[keys]
# Private keys, encrypted; file mode 0600 in a folder of mode 0700.
# store = "keys/keystore.json"
# Their passphrase: passphrase_file (mode 0600) or passphrase_env (a variable), never both.
{passphrase}

[limits]
# Threads of the reader, and its most temporary space on disk.
# threads = {threads}
# temp_space = {temp_space}

{metrics}
{traces}"""


_FILES: Final[Mapping[str, FileFormat]] = {
    kind.name: kind.read_as
    for kind in CONSENT_KINDS.values()
    if isinstance(kind.read_as, FileFormat)
}
#: Kinds of database in which tables of consents may lie.
CONSENT_DATABASES: Final = tuple(f'"{k.name}"' for k in CONSENT_KINDS.values() if k.is_database)
#: The kind of a file of consents, objections or births, by its suffix; ``.gz`` may follow.
KIND_OF_SUFFIX: Final[Mapping[str, str]] = {
    suffix: name for name, form in _FILES.items() for suffix in form.suffixes
}
_SOURCE: Final = """\

[[consent.sources]]
name = {name}
holds = {name}
{kinds}
kind = {kind}
path = {path}
{delimiter}\
{tables}
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
    """The kind of a file of consents, objections or births; None where its suffix is unknown.

    >>> kind_of_file("events.CSV.gz"), kind_of_file("events.jsonl"), kind_of_file("north.db")
    ('csv', 'jsonl', None)
    """
    return KIND_OF_SUFFIX.get(Path(path.casefold().removesuffix(".gz")).suffix)


def _sources_template(consents: str | None, objections: str | None, births: str | None) -> str:
    servers = [f'"{k.name}"' for k in CONSENT_KINDS.values() if isinstance(k.place, ServerPlaces)]
    given = {
        "consents": (consents, _CONSENTS),
        "objections": (objections, _OBJECTIONS),
        "births": (births, _BIRTHS),
    }
    parts = {
        name: _SOURCE.format(
            name=toml_text(name),
            plain=name,
            kinds=_comment(
                one_of([_hinted(kind, form.hint) for kind, form in _FILES.items()])
                + f"; or {one_of(CONSENT_DATABASES)}."
            ),
            tables=_comment(
                "A table or view of a database, its schema before it where it has one; of "
                f"{one_of(servers)} also host, database, user and the other keys of a server as "
                "in [data], and no path:"
            ),
            kind=toml_text(kind := kind_of_file(path or "") or "csv"),
            path=toml_text(path or f"{name}.csv"),
            delimiter='# delimiter = ","\n' if "delimiter" in CONSENT_KINDS[kind].keys else "",
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


def _kind_lines(kind: str) -> str:
    """The beginning of ``[data]``."""
    names = [_hinted(k.name, k.hint) for k in KINDS.values()]
    words = (
        f"{one_of(names)}. Each has its own keys; see docs/sources.md, or call fedseg-node init "
        "--kind for a template."
    )
    return f"[data]\n{_comment(words)}\nkind = {toml_text(kind)}\n"


def one_of(names: Sequence[str]) -> str:
    """Alternatives in words.

    >>> one_of(["a", "b", "c"])
    'a, b or c'
    """
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _hinted(name: str, hint: str) -> str:
    return f'"{name}" ({hint})' if hint else f'"{name}"'


def _comment(words: str) -> str:
    return textwrap.fill(
        words, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
