"""Making a node's folder: configuration, keys and card."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from machine.files import write_file
from machine.private_files import write_private_file
from partner_node.config.node_config import NodeConfig
from partner_node.config.source_options import source_options
from partner_node.config.template import (
    CONSENT_DATABASES,
    KIND_OF_SUFFIX,
    kind_of_file,
    one_of,
)
from partner_node.home import CARD_FILE, FILE_NAME, PASSPHRASE_FILE
from partner_node.keystore import Keystore
from partner_node.open_keys import home_passphrase
from partner_node.sources.files import find_files
from partner_node.sources.kinds import KINDS, open_source
from partner_node.sources.source import numbers
from protocol.agreement.features import FEATURE_NAME
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import MalformedError, SourceError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeNode:
    """A new node's folder.

    Attributes:
        warnings: Files that the configuration names and that are not there; or, where all are, why
            the customers in them cannot be read.
        files: What was written, in that order.
        folder_is_new: Whether the node's folder was made, too.
    """

    card: PartnerCard
    warnings: list[str]
    files: tuple[Path, ...]
    folder_is_new: bool

    def remove(self, *more: Path) -> None:
        """Remove what was written, and `more` of it; of the folders those that are then empty."""
        files = (*self.files, *more)
        for path in files:
            path.unlink(missing_ok=True)
        for folder in sorted({path.parent for path in files}, reverse=True):
            is_ours = self.folder_is_new or folder != self.files[0].parent
            if is_ours and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def make_node(
    *,
    partner: str,
    coordinator: str,
    root_certificates: str,
    control: str | None = None,
    authority: bytes | None = None,
    proxy: str | None = None,
    proxy_password_file: Path | None = None,
    legal_name: str,
    contact: str,
    jurisdiction: list[str],
    id_column: str,
    data: Path | None,
    kind: str,
    dpo: str | None,
    table: str | None,
    query_file: Path | None,
    host: str | None,
    port: int | None,
    database: str | None,
    user: str | None,
    password_file: Path | None,
    ssl: str | None,
    consents: Path | None,
    objections: Path | None,
    births: Path | None,
    youngest_customer: int | None,
    unit: list[str] | None,
    notice_version: str,
    max_customers: int,
    passphrase_env: bool,
    directory: Path,
) -> MadeNode:
    """Make a node's folder; the arguments are the options of `init`.

    Args:
        root_certificates: As ``node.toml`` is to name it.
        control: ``host:port`` of the coordinator's control port; None where files are carried.
        authority: What to write into the file `root_certificates`, in the folder; None where
            somebody else puts it there.
        proxy, proxy_password_file: The proxy on the way out.

    Raises:
        UsageError, ConfigError, KeystoreError: What is wrong; nothing is left behind.
    """
    if (directory / FILE_NAME).exists():
        raise UsageError(
            f"{directory / FILE_NAME} exists already",
            remedy="choose another --dir; an existing node is never overwritten",
        )
    text = NodeConfig.template(
        partner=partner,
        address=coordinator,
        id_column=id_column,
        root_certificates=root_certificates,
        control=control,
        proxy=proxy,
        proxy_password_file=None
        if proxy_password_file is None
        else str(proxy_password_file.absolute()),
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
    folder_is_new = not directory.exists()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    made = [directory / FILE_NAME]
    write_file(directory / FILE_NAME, text.encode("utf-8"))
    try:
        config = NodeConfig.load(directory / FILE_NAME)
        if authority is not None:
            write_file(config.coordinator.root_certificates, authority, mode=0o644)
            made.append(config.coordinator.root_certificates)
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
        made.append(directory / CARD_FILE)
    except BaseException:
        for path in made:
            path.unlink()
        raise
    warnings = _missing_files(config) or _unread_data(config)
    return MadeNode(card=card, warnings=warnings, files=tuple(made), folder_is_new=folder_is_new)


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


def _unread_data(config: NodeConfig) -> list[str]:
    """What is wrong with the first customers of a file; of databases only `check` looks."""
    data = config.data
    if KINDS[data.kind].has_tables:
        return []
    columns = numbers(*dict.fromkeys(data.columns.values()))
    try:
        next(iter(open_source(data, config.limits).chunks(columns, max_rows=1)), None)
    except SourceError as error:
        return [f"{error.message}; {error.remedy}; [data] in {config.file}"]
    return []


def _card(card: PartnerCard) -> PartnerCard:
    """Return the card if the coordinator will be able to read it; else UsageError."""
    try:
        return PartnerCard.from_bytes(card.to_bytes())
    except MalformedError as error:
        raise UsageError(error.message, remedy="call init again with another value") from error
