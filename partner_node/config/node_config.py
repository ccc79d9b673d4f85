"""The node's configuration, ``node.toml``: strict and typed; `template` explains each key.

An unknown key is refused with the nearest known one. Relative paths start at the file's folder.
It contains no secret: for the passphrase of the key store and a database's password it names a file
or an environment variable.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from machine.files import open_regular
from machine.metrics.settings import MetricsSettings
from machine.traces import TraceSettings
from machine.web.address import Address
from machine.web.oidc.settings import OidcSettings
from partner_node.config.agreements import AgreementSection, read_agreements
from partner_node.config.consent import CONSENT_KEYS, read_consent
from partner_node.config.console import CONSOLE_KEYS, read_console, read_oidc
from partner_node.config.data import DATA_KEYS, read_data
from partner_node.config.egress import EGRESS_KEYS, read_egress
from partner_node.config.metrics import (
    METRICS_KEYS,
    TRACES_KEYS,
    read_metrics,
    read_traces,
)
from partner_node.config.receipts import RECEIPTS_KEYS, ReceiptsSection, read_receipts
from partner_node.config.rights import RIGHTS_KEYS, RightsSection, read_rights
from partner_node.config.template import (
    DEFAULT_PASSPHRASE_VARIABLE,
    DEFAULT_TEMP_SPACE,
    DEFAULT_THREADS,
    node_template,
)
from partner_node.config_section import MAX_CONFIG_BYTES, ConfigSection, refuse_unknown
from partner_node.consent.settings import ConsentSection
from partner_node.egress.settings import EgressSection
from partner_node.link.proxy import ProxySettings, proxy_address
from partner_node.sources.settings import DataSection, LimitsSection
from protocol.errors import ConfigError

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "node": ("partner", "agreement", "state", "output"),
    "coordinator": (
        "address",
        "root_certificates",
        "control",
        "bundle_sha256",
        "proxy",
        "proxy_password_file",
        "proxy_password_env",
    ),
    "data": DATA_KEYS,
    "consent": CONSENT_KEYS,
    "egress": EGRESS_KEYS,
    "receipts": RECEIPTS_KEYS,
    "rights": RIGHTS_KEYS,
    "console": CONSOLE_KEYS,
    "keys": ("store", "passphrase_file", "passphrase_env"),
    "limits": ("threads", "temp_space"),
    "metrics": METRICS_KEYS,
    "traces": TRACES_KEYS,
}
#: Sections under one name, each of another agreement.
_AGREEMENTS: Final = "agreements"
_PARTNER: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSection:
    """``[node]``: the partner and the places of its files.

    Attributes:
        partner: This partner's id in the agreement.
        agreement: The signed agreement.
        state: Folder of the node's database.
        output: Folder for releases and assignments.
    """

    partner: str
    agreement: Path
    state: Path
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSection:
    """``[coordinator]``: the server that the node connects to.

    Attributes:
        address: ``host:port`` of the gateway.
        root_certificates: PEM file with the authority of the gateway's certificate.
        control: ``host:port`` of the control port; None where files are carried by hand.
        bundle_sha256: The only app bundle that is answered, in hex; None for the one that this
            version of fedseg makes.
        proxy: The HTTP proxy on the way to both ports, or what is to be asked for it.
    """

    address: str
    root_certificates: Path
    control: str | None
    bundle_sha256: str | None
    proxy: ProxySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSection:
    """``[keys]``: the key store and where its passphrase is; exactly one of the two is set.

    Attributes:
        store: The encrypted key store.
        passphrase_file: File with the passphrase, mode 0600.
        passphrase_env: Environment variable with the passphrase.
    """

    store: Path
    passphrase_file: Path | None
    passphrase_env: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """A node's whole configuration.

    Attributes:
        file: The file it was read from.
        written: What is written there, tables in tables.
        metrics: Where metrics and health are to be had; None for nowhere.
        traces: Where spans are sent; None for nowhere.
        first: What is particular to the agreement of ``[node]``; it has no id here.
        agreements: What is particular to the agreements beside it, by their ids.
    """

    file: Path
    written: Mapping[str, Any] = field(compare=False, repr=False)
    node: NodeSection
    coordinator: CoordinatorSection
    data: DataSection
    consent: ConsentSection
    egress: EgressSection
    receipts: ReceiptsSection
    rights: RightsSection
    console: Address
    oidc: OidcSettings | None
    keys: KeysSection
    limits: LimitsSection
    metrics: MetricsSettings | None
    traces: TraceSettings | None
    first: AgreementSection
    agreements: Mapping[str, AgreementSection]

    @staticmethod
    def load(path: Path) -> NodeConfig:
        """Read and check ``node.toml``.

        Raises:
            ConfigError: E-CONFIG, naming the section, the key, its value and the way out.
        """
        file = path.absolute()
        content = _read_toml(file)
        refuse_unknown(content, (*_KEYS, _AGREEMENTS), f"{file}: unknown section")
        sections = {
            name: ConfigSection(file, name, content.get(name, {}), known)
            for name, known in _KEYS.items()
        }
        node, coordinator, data, consent, egress, receipts, rights = list(sections.values())[:7]
        console, keys, limits, metrics, traces = list(sections.values())[7:]
        customers = read_data(data)
        wishes = read_consent(consent, id_column=customers.id_column)
        held = read_egress(egress)
        first = AgreementSection(
            id="", file=node.path("agreement"), data=customers, consent=wishes, egress=held
        )
        others = read_agreements(file, content.get(_AGREEMENTS, {}), first=first)
        return NodeConfig(
            file=file,
            written=content,
            node=NodeSection(
                partner=node.text("partner", pattern=_PARTNER, form="north-shop"),
                agreement=first.file,
                state=node.path("state", default="state"),
                output=node.path("output", default="segments"),
            ),
            coordinator=CoordinatorSection(
                address=coordinator.address("address"),
                root_certificates=coordinator.path("root_certificates"),
                control=coordinator.address("control") if coordinator.optional("control") else None,
                bundle_sha256=coordinator.optional(
                    "bundle_sha256", pattern=_SHA256, form="64 hex digits in lower case"
                ),
                proxy=_proxy(coordinator),
            ),
            data=customers,
            consent=wishes,
            egress=held,
            receipts=read_receipts(receipts),
            rights=read_rights(rights),
            console=read_console(console),
            oidc=read_oidc(console),
            keys=_keys_section(keys),
            limits=LimitsSection(
                threads=limits.integer("threads", lowest=1, highest=64, default=DEFAULT_THREADS),
                temp_bytes=limits.size("temp_space", default=DEFAULT_TEMP_SPACE),
            ),
            metrics=read_metrics(metrics),
            traces=read_traces(traces),
            first=first,
            agreements=others,
        )

    def under(self, agreement_id: str) -> NodeConfig:
        """What holds under an agreement: its own section, where there is one."""
        own = self.agreements.get(agreement_id, self.first)
        return replace(
            self,
            node=replace(self.node, agreement=own.file),
            data=own.data,
            consent=own.consent,
            egress=own.egress,
        )

    template = staticmethod(node_template)


def _proxy(coordinator: ConfigSection) -> ProxySettings:
    coordinator.at_most_one_of("proxy_password_file", "proxy_password_env")
    address = None
    if coordinator.sets("proxy"):
        text = coordinator.text("proxy")
        try:
            address = proxy_address(text)
        except ConfigError as error:
            words = f"is refused: {error.message}"
            raise coordinator.problem("proxy", words, error.remedy) from error
    return ProxySettings(
        address=address,
        password_file=coordinator.path("proxy_password_file")
        if coordinator.optional("proxy_password_file")
        else None,
        password_env=coordinator.optional(
            "proxy_password_env", pattern=_VARIABLE, form="FEDSEG_PROXY"
        ),
    )


def _keys_section(keys: ConfigSection) -> KeysSection:
    keys.at_most_one_of("passphrase_file", "passphrase_env")
    variable = keys.optional("passphrase_env", pattern=_VARIABLE, form=DEFAULT_PASSPHRASE_VARIABLE)
    file = keys.path("passphrase_file") if keys.optional("passphrase_file") else None
    if variable is None and file is None:
        raise keys.problem(
            "passphrase_file or passphrase_env",
            "is missing",
            f'add passphrase_env = "{DEFAULT_PASSPHRASE_VARIABLE}" and set that variable',
        )
    return KeysSection(
        store=keys.path("store", default="keys/keystore.json"),
        passphrase_file=file,
        passphrase_env=variable,
    )


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with open_regular(file) as opened:
            data = opened.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{file}: {error.strerror}",
            remedy="make one with `fedseg-node join` and your invitation (or `fedseg-node init`, "
            "where files are carried by hand), or correct the path",
        ) from error
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"{file} has more than {MAX_CONFIG_BYTES} bytes", remedy="correct the path"
        )
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also for a number with thousands of digits
        raise ConfigError(
            f"{file} is not TOML: {error}",
            remedy="correct that place; texts need quotes, a key may occur once",
        ) from error
