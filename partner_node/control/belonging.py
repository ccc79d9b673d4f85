"""A node's connection to the coordinator that it joined."""

from __future__ import annotations

from machine.certificates import private_pem
from partner_node.control.channel import Channel, Identity
from partner_node.home import NodeHome
from partner_node.link.proxy import way_to
from partner_node.membership import CERTIFICATE_FILE
from protocol.errors import ConfigError


def refuse_unjoined(home: NodeHome) -> None:
    """Raise ConfigError (E-NO-CONTROL) when `join` began with this folder and did not end."""
    certificate = home.keys_folder / CERTIFICATE_FILE
    if home.config.coordinator.control is not None and not certificate.exists():
        raise ConfigError(
            f"the node in {home.directory} has not joined: {certificate} is missing",
            code="E-NO-CONTROL",
            remedy="call `fedseg-node join` again with its invitation; for another invitation "
            "delete the folder, or name another by --dir",
        )


def open_channel(home: NodeHome, *, retries: bool = True) -> Channel:
    """A connection to the control port as this node, which joined.

    Raises:
        ConfigError: It did not join, or a file of it is missing (E-NO-CONTROL), or what names its
            proxy is wrong (E-PROXY).
    """
    refuse_unjoined(home)
    address = home.config.coordinator.control
    path = home.keys_folder / CERTIFICATE_FILE
    if address is None:
        raise ConfigError(
            f"the node in {home.directory} did not join by invitation",
            code="E-NO-CONTROL",
            remedy="exchange files with the operator by hand, or ask for an invitation and make a "
            "node with `fedseg-node join`",
        )
    roots = home.config.coordinator.root_certificates
    try:
        trusted, certificate = roots.read_bytes(), path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be read: {error.strerror}",
            remedy="put it back from a backup, or correct root_certificates in node.toml",
        ) from error
    return Channel(
        address,
        roots=trusted,
        identity=Identity(key=private_pem(home.keystore().node_key), certificate=certificate),
        retries=retries,
        proxy=way_to(address, home.config.coordinator.proxy),
    )
