"""The coordinator's configuration: ``coordinator.toml`` in its folder. Unknown keys are refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.console_section import CONSOLE_TEMPLATE, read_console, read_oidc
from coordinator.keystore import load_key, opened_with, read_passphrase
from coordinator.patience import Patience
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.settings import StoreSettings, without_section
from machine.metrics.settings import (
    LOOPBACK,
    METRICS_TEMPLATE,
    MetricsSettings,
    is_address,
)
from machine.private_files import next_of
from machine.traces import TRACES_TEMPLATE, TraceSettings, is_endpoint
from machine.web.address import Address
from machine.web.oidc.settings import OidcSettings
from protocol.errors import ConfigError, MalformedError
from protocol.strict import Fields

if TYPE_CHECKING:
    from machine.accounts.accounts import Accounts

FILE_NAME: Final = "coordinator.toml"
KEY_FILE: Final = "keys/coordinator.pem"
PASSPHRASE_FILE: Final = "keys/passphrase"  # noqa: S105  # a file's name, not a passphrase
MAX_CONFIG_BYTES: Final = 1 << 20
STORE_FILE: Final = "coordinator.db"
#: Says when the last backup was written.
BACKUP_NOTE: Final = "last-backup"
ACCOUNTS_FILE: Final = "accounts.db"
#: Log file of the processes that drive runs.
DRIVER_LOG_FILE: Final = "server_app.log"

_TEMPLATE: Final = """\
# Configuration of a fedseg coordinator. Paths are relative to this file's folder.

[operator]
legal_name = {legal_name}
contact = {contact}

[public]
# The only port that partners reach. The certificate names what they call it by:
# fedseg-coordinator certificate show, renew --name. Or give one of your own.
host = {host}
port = {port}
certificate = {certificate}
key = {key}
{control}
[keys]
# The passphrase of keys/coordinator.pem: a file of mode 0600, or passphrase_env = "VARIABLE".
passphrase_file = {passphrase_file}

[runs]
# Seconds that a missing partner is waited for before the run goes on without it, or ends.
grace_s = {grace_s}
# Seconds after which an unanswered request is sent again.
resend_s = {resend_s}
# Seconds at the end of a run in which nodes can take its release, or the word that it failed.
# Whoever is away for longer is told in the next run.
farewell_s = {farewell_s}

{console}
{metrics}
{traces}"""


_CONTROL: Final = """\
# The second port, on which partners join by invitation and are told what goes on. Without it files
# are carried by hand.
control_port = {port}
# The authority (PEM) of the certificate above: what nodes that join are to trust.
authority = {authority}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """Settings of the control port.

    Attributes:
        port: Its number, at the public port's address; 0 selects a free one.
        authority: The authority (PEM) of the public ports' certificate, for nodes that join.
    """

    port: int
    authority: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorConfig:
    """Settings of one coordinator.

    Attributes:
        directory: Its folder.
        host, port: Public address; port 0 selects a free one.
        certificate, key: The public port's TLS certificate and private key, PEM.
        control: The control port; None where files are carried by hand.
        passphrase_file, passphrase_env: Place of the signing key's passphrase; exactly one is set.
        store: The server's database with the state; None for a file in the folder.
        console: Where people reach its console.
        oidc: Who vouches for people there beside passwords; None for nobody.
        metrics: Where metrics and health are to be had; None for nowhere.
        traces: Where spans are sent; None for nowhere.
        written: What is written in the file, tables in tables.
    """

    directory: Path
    legal_name: str
    contact: str
    host: str
    port: int
    certificate: Path
    key: Path
    control: ControlSettings | None
    passphrase_file: Path | None
    passphrase_env: str | None
    patience: Patience
    store: StoreSettings | None
    console: Address
    oidc: OidcSettings | None = None
    metrics: MetricsSettings | None = None
    traces: TraceSettings | None = None
    written: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def load(directory: Path) -> CoordinatorConfig:
        """Read ``coordinator.toml`` in `directory`; raises ConfigError."""
        path = directory / FILE_NAME
        try:
            with path.open("rb") as file:
                data = file.read(MAX_CONFIG_BYTES + 1)
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read: {error.strerror}",
                remedy="make it with `fedseg-coordinator init`, or name the folder with --dir",
            ) from error
        return CoordinatorConfig.parse(data, directory)

    @staticmethod
    def parse(data: bytes, directory: Path) -> CoordinatorConfig:
        """Read the bytes of a ``coordinator.toml`` in `directory`; raises ConfigError."""
        path = directory / FILE_NAME
        if len(data) > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} has more than {MAX_CONFIG_BYTES} bytes")
        try:
            values = tomllib.loads(data.decode("utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{path} is not TOML: {error}", remedy=f"mend {path}") from error
        try:
            return replace(_read(Fields(values, FILE_NAME), directory), written=values)
        except MalformedError as error:
            raise ConfigError(error.message, remedy=f"mend it in {path}") from error

    def passphrase(self) -> bytes:
        """The passphrase of the coordinator's keys; raises KeystoreError."""
        return read_passphrase(file=self.passphrase_file, variable=self.passphrase_env)

    def passphrases(self) -> list[bytes]:
        """Those that a key may have: two where a change of it was switched off in between."""
        found = [self.passphrase()]
        if self.passphrase_file is not None and (after := next_of(self.passphrase_file)).exists():
            found.append(read_passphrase(file=after, variable=None))
        return found

    def signing_key(self) -> Ed25519PrivateKey:
        """Load the coordinator's signing key; raises KeystoreError."""
        return opened_with(self.passphrases(), lambda p: load_key(self.directory / KEY_FILE, p))

    @property
    def state_name(self) -> str:
        """Where the state is, for people."""
        return str(self.directory / STORE_FILE) if self.store is None else self.store.place.name

    def open_accounts(self) -> Accounts:
        """Open the accounts of people who use the dashboard; raises StoreError."""
        from machine.accounts.accounts import Accounts, FileModeAlone

        return Accounts(self.directory / ACCOUNTS_FILE, FileModeAlone())

    def open_store(self) -> CoordinatorStore:
        """Open the coordinator's database; raises StoreError."""
        if self.store is not None:
            return CoordinatorStore(self.store.open())
        return CoordinatorStore.in_file(self.directory / STORE_FILE)


def template(
    *,
    legal_name: str,
    contact: str,
    host: str,
    port: int,
    certificate: str,
    key: str,
    patience: Patience,
    control_port: int | None = None,
    authority: str = "",
    store: StoreSettings | None = None,
) -> str:
    """The text of a new ``coordinator.toml``; without a control port where that is None.

    Without a store's settings the state is in a file of the folder.
    """
    control = (
        ""
        if control_port is None
        else _CONTROL.format(port=control_port, authority=quoted(authority))
    )
    text = _TEMPLATE.format(
        legal_name=quoted(legal_name),
        contact=quoted(contact),
        host=quoted(host),
        port=port,
        certificate=quoted(certificate),
        key=quoted(key),
        control=control,
        passphrase_file=quoted(PASSPHRASE_FILE),
        grace_s=int(patience.grace_s),
        resend_s=int(patience.resend_s),
        farewell_s=int(patience.farewell_s),
        console=CONSOLE_TEMPLATE,
        metrics=METRICS_TEMPLATE,
        traces=TRACES_TEMPLATE,
    )
    return text if store is None else f"{text}\n{store.section(quoted)}"


def with_store(found: bytes, directory: Path, store: StoreSettings | None) -> bytes:
    """The bytes of a ``coordinator.toml`` with another place for the state, else as they were.

    Raises:
        ConfigError: They are not as `init` writes them, so that this cannot be done.
    """
    text = without_section(found.decode("utf-8-sig"))
    if store is not None:
        text += f"\n{store.section(quoted)}"
    changed = text.encode("utf-8")
    before = CoordinatorConfig.parse(found, directory)
    if CoordinatorConfig.parse(changed, directory) != replace(before, store=store):
        raise ConfigError(
            f"{directory / FILE_NAME} is written in a way that cannot be changed by a program",
            remedy="write [store] and its keys on lines of their own, at the end of the file",
        )
    return changed


def quoted(text: str) -> str:
    """`text` in double quotes, valid in both TOML and YAML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _read(fields: Fields, directory: Path) -> CoordinatorConfig:
    operator = fields.object("operator")
    public = fields.object("public")
    keys = fields.object("keys")
    runs = fields.object("runs")
    by_file, by_variable = keys.has("passphrase_file"), keys.has("passphrase_env")
    if by_file == by_variable:
        raise MalformedError(
            f"{FILE_NAME}.keys needs exactly one of passphrase_file and passphrase_env"
        )
    has_control = public.has("control_port")
    if has_control != public.has("authority"):
        raise MalformedError(f"{FILE_NAME}.public needs both control_port and authority, or none")
    defaults = Patience()
    console = fields.object("console") if fields.has("console") else None
    config = CoordinatorConfig(
        directory=directory,
        legal_name=operator.text("legal_name", max_length=200),
        contact=operator.text("contact", max_length=200),
        host=public.text("host", max_length=253),
        port=public.integer("port", at_least=0, at_most=65_535),
        certificate=directory / public.text("certificate", max_length=1_000),
        key=directory / public.text("key", max_length=1_000),
        control=(
            ControlSettings(
                port=public.integer("control_port", at_least=0, at_most=65_535),
                authority=directory / public.text("authority", max_length=1_000),
            )
            if has_control
            else None
        ),
        passphrase_file=(
            directory / keys.text("passphrase_file", max_length=1_000) if by_file else None
        ),
        passphrase_env=keys.text("passphrase_env", max_length=200) if by_variable else None,
        patience=Patience(
            grace_s=runs.integer("grace_s", at_least=1, at_most=86_400),
            resend_s=runs.integer("resend_s", at_least=1, at_most=3_600),
            poll_s=defaults.poll_s,
            farewell_s=(
                runs.integer("farewell_s", at_least=0, at_most=3_600)
                if runs.has("farewell_s")
                else defaults.farewell_s
            ),
        ),
        store=StoreSettings.read(fields.object("store"), directory)
        if fields.has("store")
        else None,
        metrics=_metrics(fields.object("metrics")) if fields.has("metrics") else None,
        traces=_traces(fields.object("traces")) if fields.has("traces") else None,
        console=read_console(console, directory),
        oidc=read_oidc(console, directory),
    )
    for section in (operator, public, keys, runs, fields):
        section.finish()
    if config.control is not None and config.port == config.control.port != 0:
        raise MalformedError(f"{FILE_NAME}.public.control_port is the number of the port itself")
    return config


def _metrics(section: Fields) -> MetricsSettings | None:
    host = section.text("host", max_length=64) if section.has("host") else LOOPBACK
    if not is_address(host):
        raise MalformedError(
            f"{FILE_NAME}.metrics.host is {host!r}, and is to be an IP address of this machine"
        )
    port = section.integer("port", at_least=0, at_most=65_535) if section.has("port") else None
    section.finish()
    return None if port is None else MetricsSettings(host=host, port=port)


def _traces(section: Fields) -> TraceSettings | None:
    endpoint = section.text("endpoint", max_length=1_000) if section.has("endpoint") else None
    section.finish()
    if endpoint is None:
        return None
    if not is_endpoint(endpoint):
        raise MalformedError(  # without the text: there may be a password in it
            f"{FILE_NAME}.traces.endpoint is to be a URL, http:// or https://, without a user and "
            "a password"
        )
    return TraceSettings(endpoint=endpoint)
