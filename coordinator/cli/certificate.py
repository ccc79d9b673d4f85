"""``certificate``: commands about the public port's certificate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from coordinator.cli.noting import noted
from coordinator.cli.options import HERE, Directory
from coordinator.cli.setup import LIFETIME_DAYS, SERVER_NAME, check_host_option
from coordinator.config import CoordinatorConfig
from coordinator.service.certificates import (
    ServerCertificate,
    certificate_files,
    make_server_certificate,
    read_certificate,
)
from machine.console import Format, FormatOption, output
from protocol.errors import ConfigError

app = typer.Typer(help="Show and renew the public port's certificate.", no_args_is_help=True)


@app.command("show")
def show(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """For which names the public port's certificate is, and until when."""
    found = read_certificate(CoordinatorConfig.load(directory).certificate)
    output.result(
        {"names": list(found.names), "expires": found.expires.isoformat()},
        f"For {', '.join(found.names)}, until {found.expires:%Y-%m-%d %H:%M} UTC.",
    )


@app.command("renew")
def renew(
    name: Annotated[
        list[str] | None,
        typer.Option(help="A further name or address that partners use; repeat it for several."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make a new certificate and authority, for the names of before and those given."""
    for value in name or ():
        check_host_option("--name", value)
    config = CoordinatorConfig.load(directory)
    files = _own_files(config)
    hosts = list(dict.fromkeys([*read_certificate(files.certificate).names, *(name or ())]))
    with noted(config, "certificate renew", ", ".join(hosts)):
        made = make_server_certificate(
            directory / "tls",
            name=SERVER_NAME,
            hosts=hosts,
            now=datetime.now(UTC),
            lifetime_days=LIFETIME_DAYS,
        )
    output.result(
        {"names": hosts, "root_certificates": str(made.authority)},
        f"The certificate is for {', '.join(hosts)}. Give partners {made.authority} anew, for "
        "root_certificates in their node.toml, then start serve again."
        + ("" if config.control is None else " Make open invitations anew: they name the old one."),
    )


def _own_files(config: CoordinatorConfig) -> ServerCertificate:
    """The files that `init` made; raises ConfigError when another certificate is set."""
    files = certificate_files(config.directory / "tls", name=SERVER_NAME)
    if (config.certificate, config.key) != (files.certificate, files.key):
        raise ConfigError(
            f"{config.certificate} was not made here",
            remedy="renew it where it came from; this command makes certificates of `init` anew",
        )
    return files
