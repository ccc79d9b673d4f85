"""Making a node's folder, and trying all that a run needs: `init`, `check`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.console import Format, FormatOption, diagnostics, output
from partner_node.cli.making import make_node
from partner_node.cli.node_options import (
    Births,
    Consents,
    Contact,
    Data,
    Database,
    Dpo,
    Host,
    IdColumn,
    Jurisdiction,
    Kind,
    LegalName,
    MaxCustomers,
    NoticeVersion,
    Objections,
    PassphraseEnv,
    PasswordFile,
    Port,
    QueryFile,
    Ssl,
    Table,
    Unit,
    User,
    YoungestCustomer,
)
from partner_node.cli.options import HERE, Directory
from partner_node.home import CARD_FILE, NodeHome

if TYPE_CHECKING:
    from partner_node.preflight import Report
from protocol.errors import AgreementError
from protocol.limits import USUAL_MAX_CUSTOMERS
from protocol.signing import key_id


def init(
    partner: Annotated[str, typer.Option(help="Short name in the agreement, like north-shop.")],
    legal_name: LegalName,
    contact: Contact,
    jurisdiction: Jurisdiction,
    coordinator: Annotated[str, typer.Option(help="host:port of the coordinator.")],
    root_certificates: Annotated[
        Path, typer.Option(help="Authority of the coordinator's certificate (PEM).")
    ],
    id_column: IdColumn,
    data: Data = None,
    kind: Kind = "csv",
    dpo: Dpo = None,
    table: Table = None,
    query_file: QueryFile = None,
    host: Host = None,
    port: Port = None,
    database: Database = None,
    user: User = None,
    password_file: PasswordFile = None,
    ssl: Ssl = None,
    consents: Consents = None,
    objections: Objections = None,
    births: Births = None,
    youngest_customer: YoungestCustomer = None,
    unit: Unit = None,
    notice_version: NoticeVersion = "1",
    max_customers: MaxCustomers = USUAL_MAX_CUSTOMERS,
    passphrase_env: PassphraseEnv = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make the node's folder: keys, configuration, and the card for the coordinator."""
    made = make_node(
        partner=partner,
        coordinator=coordinator,
        root_certificates=str(root_certificates.absolute()),
        control=None,
        legal_name=legal_name,
        contact=contact,
        jurisdiction=jurisdiction,
        id_column=id_column,
        data=data,
        kind=kind,
        dpo=dpo,
        table=table,
        query_file=query_file,
        host=host,
        port=port,
        database=database,
        user=user,
        password_file=password_file,
        ssl=ssl,
        consents=consents,
        objections=objections,
        births=births,
        youngest_customer=youngest_customer,
        unit=unit,
        notice_version=notice_version,
        max_customers=max_customers,
        passphrase_env=passphrase_env,
        directory=directory,
    )
    output.warn(made.warnings)
    output.result(
        {
            "directory": str(directory),
            "card": str(directory / CARD_FILE),
            "warnings": made.warnings,
            "key": key_id(made.card.public_key),
            **made.card.to_dict(),
        },
        f"Node made in {directory}. Send {directory / CARD_FILE} to the coordinator; it holds "
        "public keys only.",
        f"Signing key {key_id(made.card.public_key)}",
    )


def check(
    agreement: Annotated[
        Path | None,
        typer.Option(help="Check against this agreement, signed or not, before one is installed."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Preflight: everything that a run needs, or each problem with its way out.

    A node that joined by invitation tells its coordinator PASSED, or the codes, and nothing else.
    """
    from partner_node.preflight import preflight  # reads customers
    from partner_node.shown.checks import checks_shown

    now = datetime.now(UTC)
    report = preflight(directory, now=now, agreement_file=agreement, control=_try_control)
    told = _tell(directory, report, now) if agreement is None else False
    output.show(checks_shown(report, told=told))
    problems = [item.problem for item in report.items if item.problem is not None]
    for problem in problems:
        diagnostics.print(problem.diagnostics(), style="red")
    if problems:
        raise typer.Exit(problems[0].exit_code)


def _try_control(home: NodeHome, now: datetime, warnings: list[str]) -> str:
    from partner_node.control.reached import check_control  # gRPC takes long to import

    return check_control(home, now, warnings)


#: Checks without which nothing can be kept, and no key opens by which the node is known.
_NEEDED: Final = ("configuration", "keys and state")


def _tell(directory: Path, report: Report, now: datetime) -> bool:
    """Keep what a check found, and tell the coordinator of a node that joined; whether it knows."""
    if any(item.name in _NEEDED and not item.passed for item in report.items):
        return False
    home = NodeHome.load(directory)
    try:
        if home.config.coordinator.control is None or not home.in_force():
            return False
    except AgreementError:  # one stands in two places, as the report says
        return False
    from partner_node.control.readiness import note_readiness, told_now

    note_readiness(home, report, now=now)
    return told_now(home)
