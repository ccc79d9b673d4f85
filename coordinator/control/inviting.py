"""Making an invitation: the text goes to the partner, the public half of its key is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from coordinator.config import CoordinatorConfig
from coordinator.control.invitations import InvitationRow, Invitations
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp
from machine.certificates import (
    CLOCK_ALLOWANCE,
    authority_certificate,
    key_fingerprint,
    pem,
)
from protocol.agreement.parties import PARTY_ID
from protocol.control.invitation import (
    Invitation,
    authority_name,
    invitation_id,
    key_of,
)
from protocol.errors import ConfigError, UsageError

#: Where a serving coordinator writes the address of its control port.
ADDRESS_FILE: Final = "control-address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new invitation.

    Attributes:
        replaced: Whether an earlier, open one is worth nothing any more.
    """

    invitation: Invitation
    replaced: bool


def invite(
    config: CoordinatorConfig,
    store: CoordinatorStore,
    partner: str,
    *,
    name: str,
    secret: bytes,
    now: datetime,
    end: datetime,
) -> Made:
    """Invite a partner's node.

    Args:
        partner: The id under which it joins.
        name: By what it reaches the coordinator: a name of the certificate.
        secret: 16 random bytes.

    Raises:
        UsageError: `partner` is no id.
        ConfigError: There is no control port, or its certificate cannot be read.
        MalformedError: Name and port do not fit into an invitation.
    """
    check_id(partner)
    invitation = Invitation(
        secret=secret,
        address=f"{f'[{name}]' if ':' in name else name}:{control_port(config)}",
        fingerprint=certificate_fingerprint(config.certificate),
        expires=int(end.timestamp()),
    )
    key = key_of(secret)
    row = InvitationRow(
        id=invitation_id(key.public_key()),
        partner=partner,
        authority=pem(
            authority_certificate(
                authority_name(key.public_key()),
                key,
                start=now - CLOCK_ALLOWANCE,
                end=invitation.end,
            )
        ).decode("ascii"),
        made_at=stamp(now),
        expires_at=stamp(invitation.end),
        node_key=None,
    )
    return Made(invitation=invitation, replaced=Invitations(store).add(row))


def check_id(partner: str) -> None:
    """Refuse what is no partner's id; raises UsageError."""
    if not re.fullmatch(PARTY_ID, partner):
        raise UsageError(
            f"{partner!r} is no partner's id", remedy="lower-case letters, digits, -: north-shop"
        )


def control_port(config: CoordinatorConfig) -> int:
    """The control port's number; raises ConfigError (E-NO-CONTROL) when there is none."""
    if config.control is None:
        raise ConfigError(
            "this coordinator has no control port: nobody can join by invitation",
            code="E-NO-CONTROL",
            remedy="exchange files by hand (`fedseg-node init`, `partner admit CARD`), or make a "
            "coordinator with `fedseg-coordinator init --control-port`",
        )
    if config.control.port:
        return config.control.port
    try:
        address = (config.directory / ADDRESS_FILE).read_text(encoding="ascii")
        return int(address.strip().rpartition(":")[2])
    except (OSError, ValueError) as error:
        raise ConfigError(
            "control_port is 0: its number is known only while the coordinator serves",
            remedy="start `fedseg-coordinator serve`, or set control_port in coordinator.toml",
        ) from error


def certificate_fingerprint(path: Path) -> bytes:
    """The fingerprint of the first certificate's key in a file (PEM); raises ConfigError."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is no certificate",
            remedy="give a PEM file, as certificate under [public] in coordinator.toml",
        ) from error
    return key_fingerprint(found.public_key())
