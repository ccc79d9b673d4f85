"""Creation of a certificate authority for one service.

For demos and evaluation: in production the gateway's certificate comes from the operator's own
authority. The authority's private key is used once and never written down, so nobody can issue a
second certificate.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from coordinator.control.renewing import NextCertificate
from machine.certificates import (
    CLOCK_ALLOWANCE,
    authority_certificate,
    common_name,
    key_usage,
    pem,
    private_pem,
)
from machine.files import write_file
from protocol.errors import ConfigError

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")

_LABEL: Final = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
#: Letters, digits and hyphens, in labels; the first may be an asterisk.
_DNS_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """Files of one server's certificate.

    Attributes:
        authority: The authority's certificate (PEM), which the other side trusts. Public.
        certificate: The server's certificate (PEM). Public.
        key: The server's private key (PEM, mode 0600).
    """

    authority: Path
    certificate: Path
    key: Path

    def exists(self) -> bool:
        """Whether all three files are there."""
        return all(path.is_file() for path in (self.authority, self.certificate, self.key))


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What a server certificate says.

    Attributes:
        names: DNS names and IP addresses that it is for.
        expires: When it ends.
    """

    names: tuple[str, ...]
    expires: datetime.datetime


def read_certificate(path: Path) -> CertificateFacts:
    """What the first certificate in a file (PEM) says; raises ConfigError."""
    try:
        return facts_of(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise ConfigError(
            f"{path} is no certificate that names whom it is for",
            remedy="give a PEM file, as certificate under [public] in coordinator.toml",
        ) from error


def facts_of(certificate: x509.Certificate) -> CertificateFacts:
    """What a certificate says; raises ExtensionNotFound when it names nobody."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return CertificateFacts(
        names=(
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        ),
        expires=certificate.not_valid_after_utc,
    )


def certificate_files(directory: Path, *, name: str) -> ServerCertificate:
    """The files that `make_server_certificate` writes for `name` in `directory`."""
    return ServerCertificate(
        authority=directory / f"{name}-ca.crt",
        certificate=directory / f"{name}.crt",
        key=directory / f"{name}.key",
    )


def make_server_certificate(
    directory: Path,
    *,
    name: str,
    hosts: Sequence[str],
    now: datetime.datetime,
    lifetime_days: int,
) -> ServerCertificate:
    """Make an authority and one server certificate signed by it, and write the three files.

    Args:
        directory: Folder for the files; created if missing. Earlier ones of the same name are
            replaced.
        name, hosts, now, lifetime_days: As for `new_certificate`, which also raises.
    """
    made = new_certificate(name=name, hosts=hosts, now=now, lifetime_days=lifetime_days)
    files = certificate_files(directory, name=name)
    write_file(files.authority, pem(made.authority), mode=0o644)
    write_file(files.certificate, pem(made.certificate), mode=0o644)
    write_file(files.key, made.key, mode=0o600)
    return files


def new_certificate(
    *, name: str, hosts: Sequence[str], now: datetime.datetime, lifetime_days: int
) -> NextCertificate:
    """Make an authority and one server certificate signed by it (ECDSA P-256).

    Args:
        name: Stem of the file names, also in the authority's subject.
        hosts: DNS names and IP addresses that the certificate is valid for; at least one.
        now: The time from which it is valid, with a time zone.
        lifetime_days: Days until it expires.

    Raises:
        ValueError: `hosts` is empty, or one of them is not a name or address (`check_host`).
    """
    if not hosts:
        raise ValueError("hosts: a server certificate needs at least one name or address")
    for host in hosts:
        check_host(host)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = f"fedseg {name} authority"
    start, end = now - CLOCK_ALLOWANCE, now + datetime.timedelta(days=lifetime_days)
    authority = authority_certificate(authority_name, authority_key, start=start, end=end)
    server = (
        x509.CertificateBuilder()
        .subject_name(common_name(hosts[0][:64]))
        .issuer_name(common_name(authority_name))
        .public_key(server_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return NextCertificate(key=private_pem(server_key), certificate=server, authority=authority)


def check_host(host: str) -> None:
    """Refuse what is neither an IP address nor a DNS name in ASCII; raises ValueError.

    >>> check_host("bücher.example")
    Traceback (most recent call last):
    ValueError: 'bücher.example' is no name for a certificate; write it as 'xn--bcher-kva.example'
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if len(host) <= 253 and _DNS_NAME.fullmatch(host):
            return
    else:
        return
    try:
        ascii_name = host.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_name = ""
    better = ascii_name != host and len(ascii_name) <= 253 and _DNS_NAME.fullmatch(ascii_name)
    way_out = f"; write it as {ascii_name!r}" if better else ""
    raise ValueError(f"{host!r} is no name for a certificate{way_out}")


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
