"""``join``: makes a node by an invitation, and has it enrolled."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, Verbatim, output
from machine.files import open_regular, write_file
from partner_node.cli.making import MadeNode, make_node
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
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory
from partner_node.home import CARD_FILE, FILE_NAME, NodeHome
from partner_node.link.proxy import ProxySettings, proxy_address, way_to
from partner_node.membership import AUTHORITY_FILE, CERTIFICATE_FILE, Membership
from protocol.control.enrolment import short_code
from protocol.control.invitation import MAX_CHARACTERS, Invitation
from protocol.errors import RuleError, UsageError
from protocol.limits import USUAL_MAX_CUSTOMERS


def join(
    invitation: Annotated[
        str, typer.Argument(help="The invitation, or a file that has it; from the operator.")
    ],
    legal_name: LegalName,
    contact: Contact,
    jurisdiction: Jurisdiction,
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
    proxy: Annotated[
        str | None,
        typer.Option(
            help='The HTTP proxy on the way out, http://host:port, or "none"; when left out what '
            "HTTPS_PROXY says."
        ),
    ] = None,
    proxy_password_file: Annotated[
        Path | None, typer.Option(help="File with user:password for it, mode 0600.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make a node by an invitation: all of `init`, and the coordinator has its card."""
    from partner_node.control.joining import FINAL, enrol, greet  # gRPC takes long to import

    invited = Invitation.from_text(_text(invitation))
    now = datetime.now(UTC)
    _refuse_member(directory)
    settings = ProxySettings(
        address=None if proxy is None else proxy_address(proxy),
        password_file=proxy_password_file,
        named_by="--proxy",
    )
    greeting = greet(invited, now=now, proxy=way_to(invited.address, settings))
    made: MadeNode | None = None
    if not (directory / FILE_NAME).exists():
        made = make_node(
            partner=greeting.partner,
            coordinator=greeting.address,
            root_certificates=AUTHORITY_FILE,
            control=invited.address,
            authority=greeting.authority,
            proxy=proxy,
            proxy_password_file=proxy_password_file,
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
    home = NodeHome.load(directory)
    _refuse_other(home, invited)
    card = (directory / CARD_FILE).read_bytes()
    way = way_to(invited.address, home.config.coordinator.proxy)
    code = short_code(card, greeting.key)
    try:
        with noted(home, "join", greeting.partner, now):
            certificate = enrol(invited, greeting, home.keystore(), card, now=now, proxy=way)
            write_file(home.keys_folder / CERTIFICATE_FILE, certificate, mode=0o600)
            Membership(  # last: a node that has one has joined
                legal_name=greeting.legal_name,
                contact=greeting.contact,
                coordinator_key=greeting.key,
                code=code,
            ).save(directory)
    except RuleError as error:
        if error.code in FINAL and made is not None:  # nobody can join with it: it is in the way
            made.remove(home.accounts_file)
        raise
    warnings = [] if made is None else made.warnings
    output.warn(warnings)
    output.result(
        {
            "directory": str(directory),
            "partner": greeting.partner,
            "code": code,
            "coordinator": greeting.legal_name,
            "contact": greeting.contact,
            "warnings": warnings,
        },
        f"Node of {greeting.partner} made in {directory}; {greeting.legal_name} has its card.",
        Verbatim(f"Short code: {code}"),
        f"Tell it to {greeting.legal_name} over the telephone ({greeting.contact}; take the number "
        "from elsewhere): its operator sees the same one, and admits this node.",
        f"Start it, now or later: fedseg-node serve --dir {directory}",
    )


def _text(invitation: str) -> str:
    """The invitation's text, from the command line or from a file."""
    path = Path(invitation)
    try:
        if len(invitation) > MAX_CHARACTERS or not path.is_file():
            return invitation
        with open_regular(path) as file:
            return file.read(2 * MAX_CHARACTERS).decode("ascii", "replace")
    except (OSError, ValueError):
        return invitation


def _refuse_member(directory: Path) -> None:
    if Membership.load(directory) is not None:
        raise UsageError(
            f"the node in {directory} joined already",
            remedy="see `fedseg-node status`; to change what it reads edit "
            f"{directory / FILE_NAME}; for another node choose another --dir",
        )


def _refuse_other(home: NodeHome, invited: Invitation) -> None:
    """Go on only in a folder that an earlier, interrupted `join` made for this coordinator."""
    if home.config.coordinator.control != invited.address:
        raise UsageError(
            f"{home.config.file} exists already, and is not of a node that joins at "
            f"{invited.address}",
            remedy="choose another --dir; an existing node is never overwritten",
        )
