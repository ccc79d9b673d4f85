"""``init``: creates a coordinator's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from coordinator import config as settings
from coordinator.cli.options import (
    HERE,
    Directory,
    StorePasswordEnv,
    StorePasswordFile,
    store_settings,
)
from coordinator.config import CoordinatorConfig
from coordinator.keystore import create_key, create_passphrase
from coordinator.patience import Patience
from coordinator.service.bundle import bundle_sha256
from coordinator.service.certificates import certificate_files, check_host, make_server_certificate
from coordinator.store.settings import FILE
from machine.console import Format, FormatOption, output
from machine.files import write_file
from protocol.errors import ConfigError, UsageError
from protocol.signing import key_id, public_bytes

SERVER_NAME = "coordinator"
LIFETIME_DAYS = 825
_INIT_OPTIONS = {
    "operator.legal_name": "--legal-name",
    "operator.contact": "--contact",
    "public.host": "--host",
    "public.port": "--port",
    "public.control_port": "--control-port",
    "runs.grace_s": "--grace-s",
}


def init(
    legal_name: Annotated[str, typer.Option(help="Who operates the coordinator.")],
    contact: Annotated[str, typer.Option(help="Where its operator is reached.")],
    directory: Directory = HERE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 9443,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Name or address that partners use; repeat it for several."),
    ] = None,
    control_port: Annotated[
        int | None,
        typer.Option(
            help="Port on which partners join by invitation; the one after --port when left out."
        ),
    ] = None,
    by_hand: Annotated[
        bool,
        typer.Option("--by-hand", help="Without that port: files are carried by hand alone."),
    ] = False,
    grace_s: Annotated[int, typer.Option(help="Seconds a missing partner is waited for.")] = 60,
    store: Annotated[
        str,
        typer.Option(
            help="Where the state is: sqlite, a file in the folder; or the URL of a database of "
            "PostgreSQL, without a password."
        ),
    ] = FILE,
    store_password_file: StorePasswordFile = None,
    store_password_env: StorePasswordEnv = None,
    format: Format = FormatOption,
) -> None:
    """Make the coordinator's folder: configuration, signing key, TLS certificate, database."""
    if (directory / settings.FILE_NAME).exists():
        raise UsageError(
            f"{directory / settings.FILE_NAME} exists already",
            remedy="choose another --dir; an existing coordinator is never overwritten",
        )
    hosts = name or [host]
    for option, value in [("--host", host), *(("--name", n) for n in name or ())]:
        check_host_option(option, value)
    if by_hand and control_port is not None:
        raise UsageError(
            "--by-hand and --control-port exclude each other", remedy="leave one of them out"
        )
    if control_port is None and not by_hand:
        control_port = port + 1 if port else 0
    place = store_settings(
        store, directory, password_file=store_password_file, password_env=store_password_env
    )
    tls = certificate_files(directory / "tls", name=SERVER_NAME)
    text = settings.template(
        legal_name=legal_name,
        contact=contact,
        host=host,
        port=port,
        certificate=str(tls.certificate.relative_to(directory)),
        key=str(tls.key.relative_to(directory)),
        patience=Patience(grace_s=grace_s),
        control_port=control_port,
        authority=str(tls.authority.relative_to(directory)),
        store=place,
    )
    _check_options(text, directory)
    with _all_or_nothing(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        passphrase = create_passphrase(directory / settings.PASSPHRASE_FILE)
        key = create_key(directory / settings.KEY_FILE, passphrase)
        files = make_server_certificate(
            directory / "tls",
            name=SERVER_NAME,
            hosts=hosts,
            now=datetime.now(UTC),
            lifetime_days=LIFETIME_DAYS,
        )
        if place is not None:
            place.make()
        write_file(directory / settings.FILE_NAME, text)
        CoordinatorConfig.load(directory).open_store().close()
    data = {
        "directory": str(directory),
        "key": key_id(public_bytes(key)),
        "public_key": public_bytes(key).hex(),
        "root_certificates": str(files.authority),
        "control_port": control_port,
        "bundle_sha256": bundle_sha256(),
    }
    output.result(
        data,
        f"Coordinator made in {directory}. "
        + (
            f"Give partners {files.authority}"
            if control_port is None
            else "Invite partners: fedseg-coordinator partner invite ID"
        ),
        f"Signing key {data['key']}",
    )


def check_host_option(option: str, value: str) -> None:
    """Refuse what no certificate can be for; raises UsageError, which names the option."""
    try:
        check_host(value)
    except ValueError as error:
        raise UsageError(
            f"{option}: {error}", remedy="give a DNS name in ASCII or an IP address"
        ) from error


def _check_options(text: str, directory: Path) -> None:
    """Refuse options from which an invalid configuration would follow; errors name the options."""
    try:
        CoordinatorConfig.parse(text.encode("utf-8"), directory)
    except ConfigError as error:
        message = error.message
        for key, option in _INIT_OPTIONS.items():
            message = message.replace(f"{settings.FILE_NAME}.{key}", option)
        raise UsageError(message, remedy="see `fedseg-coordinator init --help`") from error


@contextmanager
def _all_or_nothing(directory: Path) -> Iterator[None]:
    """Remove what the block created in `directory` if it raises; keep what was there before."""
    existed, mode = directory.exists(), directory.stat().st_mode if directory.exists() else 0
    before = set(directory.rglob("*"))
    try:
        yield
    except BaseException:
        for path in sorted(set(directory.rglob("*")) - before, reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        if existed:
            directory.chmod(mode & 0o7777)
        elif directory.exists():
            directory.rmdir()
        raise
