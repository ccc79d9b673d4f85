"""Options of `init` and `join` that say who the partner is and where its customers are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from partner_node.config.template import one_of
from partner_node.sources.kinds import KINDS
from partner_node.sources.servers import ServerPlaces
from protocol.limits import MAX_CUSTOMERS_PER_PARTNER

#: Readers of the options that name a database at a server, by the kind of source.
SERVERS: Final = {k.name: k.place for k in KINDS.values() if isinstance(k.place, ServerPlaces)}

LegalName = Annotated[str, typer.Option(help="The organisation's legal name.")]
Contact = Annotated[str, typer.Option(help="Where the organisation is reached.")]
Jurisdiction = Annotated[
    list[str],
    typer.Option(
        help="Country whose law protects the customers, like DE or US-CA; repeat it for several."
    ),
]
IdColumn = Annotated[str, typer.Option(help="Column with the customers' ids.")]
Data = Annotated[
    Path | None,
    typer.Option(
        help="The customers' file; of csv and parquet also a glob or a folder. Not for "
        f"{one_of(tuple(SERVERS))}."
    ),
]
Kind = Annotated[str, typer.Option(help=f"{one_of(tuple(KINDS))}; see docs/sources.md.")]
Dpo = Annotated[
    str | None,
    typer.Option(help="Where its data protection officer is reached; as --contact when left out."),
]
Table = Annotated[
    str | None,
    typer.Option(
        help="The table of a database, like customers or sales.customers; or --query-file."
    ),
]
QueryFile = Annotated[
    Path | None,
    typer.Option(
        help="SQL that makes one row a customer; it reads files as table `input`, in a "
        "database the database's own tables."
    ),
]
Host = Annotated[
    str | None,
    typer.Option(
        help=f"The server of {one_of(tuple(SERVERS))}, or the absolute path of "
        f"{', of '.join(k.socket_words for k in SERVERS.values())}."
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        help=f"Its port; {' or '.join(str(k.port) for k in SERVERS.values())} when left out.",
        min=1,
        max=65_535,
    ),
]
Database = Annotated[str | None, typer.Option(help="The server's database.")]
User = Annotated[str | None, typer.Option(help="The account there; it needs SELECT and no more.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with its password, mode 0600. The password itself is no option."),
]
Ssl = Annotated[
    str | None,
    typer.Option(
        help="verify-full (when left out), verify-ca, require, or on this machine disable."
    ),
]
Consents = Annotated[
    Path | None,
    typer.Option(
        help="Table of consents, .csv, .parquet or .jsonl: one row an event. One in a database "
        "is named in node.toml; see docs/consent.md."
    ),
]
Objections = Annotated[
    Path | None, typer.Option(help="Table of customers who object: one row each.")
]
Births = Annotated[
    Path | None, typer.Option(help="Table of customers' births: a date or a year each.")
]
YoungestCustomer = Annotated[
    int | None,
    typer.Option(
        help="Instead of --births: no customer is younger, in years, as your contracts say.",
        min=0,
        max=120,
    ),
]
Unit = Annotated[
    list[str] | None,
    typer.Option(help="FEATURE=UNIT: the unit in which the data have a feature; repeat it."),
]
NoticeVersion = Annotated[
    str, typer.Option(help="Version of your notice that tells customers of the purpose.")
]
MaxCustomers = Annotated[
    int,
    typer.Option(
        help="Row cap: most customers that the node may count.",
        min=1,
        max=MAX_CUSTOMERS_PER_PARTNER,
    ),
]
PassphraseEnv = Annotated[
    bool, typer.Option(help="Take the passphrase from FEDSEG_PASSPHRASE, not from a file.")
]
