"""``certificate``: commands about the public ports' certificate."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from coordinator.cli.noting import noted
from coordinator.cli.options import HERE, Directory
from coordinator.cli.setup import LIFETIME_DAYS, SERVER_NAME, check_host_option
from coordinator.config import CoordinatorConfig
from coordinator.control import renewing
from coordinator.control.authorities import Outstanding, outstanding
from coordinator.control.invitations import Invitations
from coordinator.control.renewing import authority_file, file_for_nodes
from coordinator.service.certificates import new_certificate, read_certificate
from coordinator.shown.certificate import certificate_shown
from coordinator.store.coordinator_store import CoordinatorStore
from machine.console import Format, FormatOption, output
from protocol.control.authorities import MAX_NUMBER, read_authorities, words_of
from protocol.errors import MalformedError, UsageError

AtLeast = Annotated[
    int,
    typer.Option(
        "--at-least",
        metavar="NUMBER",
        min=0,
        max=MAX_NUMBER,
        help="Give the statement this number at least: one more than the number that a node's "
        "E-AUTHORITIES-OLD names, where a clock was ahead before a backup was put back.",
    ),
]

app = typer.Typer(help="Show and replace the public ports' certificate.", no_args_is_help=True)


@app.command("show")
def show(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """For which names the certificate is, and until when; which one waits, and who trusts it."""
    config = CoordinatorConfig.load(directory)
    with closing(config.open_store()) as store:
        output.show(certificate_shown(config, store))


@app.command("renew")
def renew(
    name: Annotated[
        list[str] | None,
        typer.Option(help="A further name or address that partners use; repeat it for several."),
    ] = None,
    at_least: AtLeast = 0,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Have a new certificate and authority wait, and nodes trust both; `switch` puts it in force.

    It is for the names of before and those given.
    """
    for value in name or ():
        check_host_option("--name", value)
    config, now = CoordinatorConfig.load(directory), datetime.now(UTC)
    hosts = list(dict.fromkeys([*read_certificate(config.certificate).names, *(name or ())]))
    made = new_certificate(name=SERVER_NAME, hosts=hosts, now=now, lifetime_days=LIFETIME_DAYS)
    with (
        closing(config.open_store()) as store,
        noted(config, "certificate renew", ", ".join(hosts)),
    ):
        stated = renewing.renew(config, store, made, now=now, least=at_least)
        left = outstanding(store)
    output.result(
        {
            "names": hosts,
            "expires": made.certificate.not_valid_after_utc.isoformat(),
            "root_certificates": str(authority_file(config)),
            "number": stated.number,
            "not_taken": list(left.online),
            "by_hand": list(left.by_hand),
        },
        f"A certificate for {', '.join(hosts)} waits, and nothing changes yet. Nodes are told to "
        "trust its authority beside the one in force.",
        *_left_words(config, left),
        "When every partner has it (`certificate show`), put it in force: fedseg-coordinator "
        "certificate switch" + "".join(f" --without {name}" for name in left.by_hand),
    )


@app.command("switch")
def switch(
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="NAME",
            help="Do not wait for this partner, which has the file, or gets it by hand; repeat it "
            "for several.",
        ),
    ] = None,
    without_waiting: Annotated[
        bool,
        typer.Option(
            "--without-waiting",
            help="Also while partners have not taken its authority: they get the file by hand.",
        ),
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put the certificate that waits in force, and have nodes forget the authority of before.

    A process that serves shows it within a second to whoever connects.
    """
    config = CoordinatorConfig.load(directory)
    names = tuple(without or ())
    about = "without waiting" if without_waiting else ""
    about = f"without {', '.join(names)}" if names and not about else about
    with closing(config.open_store()) as store, noted(config, "certificate switch", about):
        now = datetime.now(UTC)
        left = renewing.switch(
            config, store, without_waiting=without_waiting, without=names, now=now
        )
        anew = _open_invitations(store, now)
    found = read_certificate(config.certificate)
    output.result(
        {
            "names": list(found.names),
            "expires": found.expires.isoformat(),
            "root_certificates": str(authority_file(config)),
            "not_taken": list(left.online),
            "by_hand": list(left.by_hand),
            "invitations": anew,
        },
        f"The certificate in force is for {', '.join(found.names)}, until "
        f"{found.expires:%Y-%m-%d}; a process that serves shows it from now on.",
        f"Give {', '.join(left.all)} {authority_file(config)} by hand, for root_certificates in "
        "their node.toml: without it they are cut off."
        if left.all
        else "",
        f"Make the open invitations of {', '.join(anew)} anew: they name the certificate before."
        if anew
        else "",
        "Make a backup now: fedseg-coordinator state backup",
    )


@app.command("trust")
def trust(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="PEM files with the authorities that nodes shall trust, that of the certificate "
            "in force among them.",
        ),
    ],
    at_least: AtLeast = 0,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Where the certificate is your own: state which authorities nodes shall trust, and no others.

    Name the old and the new one; replace the certificate when every partner has them; then name the
    new one alone.
    """
    config, now = CoordinatorConfig.load(directory), datetime.now(UTC)
    certificates = [one for file in files for one in _read(file)]
    certificates = list(dict.fromkeys(certificates))
    about = ", ".join(map(words_of, certificates))
    with closing(config.open_store()) as store, noted(config, "certificate trust", about):
        stated = renewing.trust(config, store, certificates, now=now, least=at_least)
        left = outstanding(store)
    output.result(
        {
            "number": stated.number,
            "certificates": [words_of(one) for one in stated.certificates],
            "root_certificates": str(file_for_nodes(config)),
            "not_taken": list(left.online),
            "by_hand": list(left.by_hand),
        },
        f"Nodes are told to trust {about}, and no other authority.",
        *_left_words(config, left),
        "Replace the certificate when `certificate show` says that every partner that joined has "
        "taken it, and all others have the file."
        if len(certificates) > 1
        else "",
    )


def _read(file: Path) -> tuple[x509.Certificate, ...]:
    try:
        return read_authorities(file.read_bytes())
    except (OSError, MalformedError) as error:
        why = error.message if isinstance(error, MalformedError) else error.strerror
        raise UsageError(
            f"{file}: {why}", remedy="give PEM files with the certificates of authorities"
        ) from error


def _left_words(config: CoordinatorConfig, left: Outstanding) -> list[str]:
    return [
        f"Not taken yet by {', '.join(left.online)}: their nodes take it while they serve."
        if left.online
        else "",
        f"Give {', '.join(left.by_hand)} {file_for_nodes(config)} by hand, for root_certificates "
        "in their node.toml."
        if left.by_hand
        else "",
    ]


def _open_invitations(store: CoordinatorStore, now: datetime) -> list[str]:
    return [one.partner for one in Invitations(store).valid(now) if one.node_key is None]
