"""Making a node's folder, and trying all that a run needs: `init`, `check`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from machine.console import Format, FormatOption, diagnostics, output
from machine.files import write_file
from machine.private_files import write_private_file
from machine.tables import folding_table
from partner_node.cli.options import HERE, Directory
from partner_node.config.node_config import NodeConfig
from partner_node.config.source_options import source_options
from partner_node.config.template import (
    CONSENT_DATABASES,
    KIND_OF_SUFFIX,
    kind_of_file,
    one_of,
)
from partner_node.home import CARD_FILE, FILE_NAME, PASSPHRASE_FILE, home_passphrase
from partner_node.keystore import Keystore
from partner_node.sources.files import find_files
from partner_node.sources.kinds import KINDS
from partner_node.sources.servers import ServerPlaces
from protocol.agreement.features import FEATURE_NAME
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import MalformedError, SourceError, UsageError
from protocol.limits import MAX_CUSTOMERS_PER_PARTNER

#: Readers of the options that name a database at a server, by the kind of source.
SERVERS: Final = {k.name: k.place for k in KINDS.values() if isinstance(k.place, ServerPlaces)}


def init(
    partner: Annotated[str, typer.Option(help="Short name in the agreement, like north-shop.")],
    legal_name: Annotated[str, typer.Option(help="The organisation's legal name.")],
    contact: Annotated[str, typer.Option(help="Where the organisation is reached.")],
    jurisdiction: Annotated[
        list[str],
        typer.Option(
            help="Country whose law protects the customers, like DE or US-CA; repeat it for "
            "several."
        ),
    ],
    coordinator: Annotated[str, typer.Option(help="host:port of the coordinator.")],
    root_certificates: Annotated[
        Path, typer.Option(help="Authority of the coordinator's certificate (PEM).")
    ],
    id_column: Annotated[str, typer.Option(help="Column with the customers' ids.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="The customers' file; of csv and parquet also a glob or a folder. Not for "
            f"{one_of(tuple(SERVERS))}."
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option(help=f"{one_of(tuple(KINDS))}; see docs/sources.md.")
    ] = "csv",
    dpo: Annotated[
        str | None,
        typer.Option(
            help="Where its data protection officer is reached; as --contact when left out."
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="The table of a database, like customers or sales.customers; or --query-file."
        ),
    ] = None,
    query_file: Annotated[
        Path | None,
        typer.Option(
            help="SQL that makes one row a customer; it reads files as table `input`, in a "
            "database the database's own tables."
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help=f"The server of {one_of(tuple(SERVERS))}, or the absolute path of "
            f"{', of '.join(k.socket_words for k in SERVERS.values())}."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help=f"Its port; {' or '.join(str(k.port) for k in SERVERS.values())} when left out.",
            min=1,
            max=65_535,
        ),
    ] = None,
    database: Annotated[str | None, typer.Option(help="The server's database.")] = None,
    user: Annotated[
        str | None, typer.Option(help="The account there; it needs SELECT and no more.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="File with its password, mode 0600. The password itself is no option."),
    ] = None,
    ssl: Annotated[
        str | None,
        typer.Option(
            help="verify-full (when left out), verify-ca, require, or on this machine disable."
        ),
    ] = None,
    consents: Annotated[
        Path | None,
        typer.Option(
            help="Table of consents, .csv, .parquet or .jsonl: one row an event. One in a database "
            "is named in node.toml; see docs/consent.md."
        ),
    ] = None,
    objections: Annotated[
        Path | None, typer.Option(help="Table of customers who object: one row each.")
    ] = None,
    births: Annotated[
        Path | None, typer.Option(help="Table of customers' births: a date or a year each.")
    ] = None,
    youngest_customer: Annotated[
        int | None,
        typer.Option(
            help="Instead of --births: no customer is younger, in years, as your contracts say.",
            min=0,
            max=120,
        ),
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(help="FEATURE=UNIT: the unit in which the data have a feature; repeat it."),
    ] = None,
    notice_version: Annotated[
        str, typer.Option(help="Version of your notice that tells customers of the purpose.")
    ] = "1",
    max_customers: Annotated[
        int,
        typer.Option(
            help="Row cap: most customers that the node may count.",
            min=1,
            max=MAX_CUSTOMERS_PER_PARTNER,
        ),
    ] = 1_000_000,
    passphrase_env: Annotated[
        bool, typer.Option(help="Take the passphrase from FEDSEG_PASSPHRASE, not from a file.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make the node's folder: keys, configuration, and the card for the coordinator."""
    if (directory / FILE_NAME).exists():
        raise UsageError(
            f"{directory / FILE_NAME} exists already",
            remedy="choose another --dir; an existing node is never overwritten",
        )
    text = NodeConfig.template(
        partner=partner,
        address=coordinator,
        id_column=id_column,
        root_certificates=str(root_certificates.absolute()),
        query_file=None if query_file is None else str(query_file.absolute()),
        passphrase_file=None if passphrase_env else PASSPHRASE_FILE,
        **source_options(
            kind=kind,
            table=table,
            has_query=query_file is not None,
            place={
                "data": data,
                "host": host,
                "port": port,
                "database": database,
                "user": user,
                "password_file": password_file,
                "ssl": ssl,
            },
        ),
        consents=_wishes("consents", consents),
        objections=_wishes("objections", objections),
        births=_wishes("births", births),
        youngest_customer=youngest_customer,
        units=_units(unit or ()),
        notice=notice_version,
    )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    made = [directory / FILE_NAME]
    write_file(directory / FILE_NAME, text.encode("utf-8"))
    try:
        config = NodeConfig.load(directory / FILE_NAME)
        if not passphrase_env:
            passphrase = secrets.token_urlsafe(32).encode("ascii")
            write_private_file(directory / PASSPHRASE_FILE, passphrase + b"\n")
            made.append(directory / PASSPHRASE_FILE)
        keystore = Keystore.create(config.keys.store, home_passphrase(config))
        made.append(config.keys.store)
        card = _card(
            PartnerCard(
                id=partner,
                legal_name=legal_name,
                contact=contact,
                dpo=dpo or contact,
                jurisdictions=tuple(jurisdiction),
                public_key=keystore.identity_public,
                node_key=keystore.node_public_openssh().decode("ascii").strip(),
                max_customers=max_customers,
            )
        )
        write_file(directory / CARD_FILE, card.to_bytes())
    except BaseException:
        for path in made:
            path.unlink()
        raise
    warnings = _missing_files(config)
    output.warn(warnings)
    output.result(
        {
            "directory": str(directory),
            "card": str(directory / CARD_FILE),
            "warnings": warnings,
            **card.to_dict(),
        },
        f"Node made in {directory}. Send {directory / CARD_FILE} to the coordinator; it holds "
        "public keys only.",
    )


def _wishes(option: str, path: Path | None) -> str | None:
    """The absolute path of a file of consents, objections or births; raises UsageError."""
    if path is None:
        return None
    if kind_of_file(path.name) is None:
        endings = ", ".join(KIND_OF_SUFFIX)
        raise UsageError(
            f"--{option} {path}: the name ends with none of {endings}",
            remedy=f"name a file of that kind; for a table in a database leave --{option} out, and "
            f'write it into node.toml: [[consent.sources]] with holds = "{option}", kind = '
            f"{one_of(CONSENT_DATABASES)}, path and table (docs/consent.md)",
        )
    return str(path.absolute())


def _units(words: Sequence[str]) -> dict[str, str]:
    """The units of features, as ``FEATURE=UNIT`` says them; raises UsageError."""
    units = {}
    for word in words:
        name, _, text = word.partition("=")
        if not re.fullmatch(FEATURE_NAME, name) or not text:
            raise UsageError(
                f"--unit {word!r} is not of the form FEATURE=UNIT", remedy="such as monetary=EUR"
            )
        units[name] = text
    return units


def _missing_files(config: NodeConfig) -> list[str]:
    """Warnings about missing files that the configuration names; only `check` needs them."""
    warnings = KINDS[config.data.kind].place.missing(config.data.place)
    for source in config.consent.sources:
        try:
            find_files(source.place.name, section="[[consent.sources]]")  # init names files alone
        except SourceError as error:
            warnings.append(f"--{source.holds} {error.message}; {error.remedy}")
    authority = config.coordinator.root_certificates
    if not authority.is_file():
        warnings.append(
            f"--root-certificates {authority}: no such file; ask the operator for "
            "coordinator-ca.crt, or correct root_certificates in node.toml"
        )
    return warnings


def _card(card: PartnerCard) -> PartnerCard:
    """Return the card if the coordinator will be able to read it; else UsageError."""
    try:
        return PartnerCard.from_bytes(card.to_bytes())
    except MalformedError as error:
        raise UsageError(error.message, remedy="call init again with another value") from error


def check(
    agreement: Annotated[
        Path | None,
        typer.Option(help="Check against this agreement, signed or not, before one is installed."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Preflight: everything that a run needs, or each problem with its way out."""
    from partner_node.preflight import preflight  # reads customers

    report = preflight(directory, now=datetime.now(UTC), agreement_file=agreement)
    table = folding_table("check", "result", "details", title="Preflight")
    for item in report.items:
        result = "PROBLEM" if not item.passed else "WARNING" if item.warnings else "passed"
        table.add_row(item.name, result, item.details)
    output.warn([warning for item in report.items for warning in item.warnings])
    output.result(
        {"passed": report.passed, "checks": [item.to_dict() for item in report.items]},
        table,
        "PASSED" if report.passed else "",
        refused=not report.passed,
    )
    problems = [item.problem for item in report.items if item.problem is not None]
    for problem in problems:
        diagnostics.print(problem.diagnostics(), style="red")
    if problems:
        raise typer.Exit(problems[0].exit_code)
