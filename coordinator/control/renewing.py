"""Replacing the certificate that `init` made, and its authority, without cutting a node off.

First the next certificate waits in one file, nodes are told to trust its authority beside the one
in force, and nothing changes for whoever connects. Then it is switched: it takes the place of the
one in force, and nodes are told to trust its authority alone.

A machine may be switched off after any step. The next certificate lies in one file with its key and
its authority. To switch is to give that file another name: from then on whoever serves, or calls a
command that changes certificates, ends what was begun. SPEC.md, section 17.5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from coordinator.config import CoordinatorConfig
from coordinator.control.authorities import Outstanding, StatedAuthorities, outstanding
from coordinator.control.changing_keys import changing_keys
from coordinator.control.rotating import check_in_force, finish
from coordinator.control.shown_certificate import chain_of
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from machine.files import sync_folder, write_file
from machine.private_files import read_private_file, remove_private_file
from protocol.control.authorities import (
    Authorities,
    certifies,
    pem_of,
    read_authorities,
    words_of,
)
from protocol.errors import ConfigError, FedsegError, MalformedError, RuleError, UsageError
from protocol.signing import public_bytes

#: So long a service waits at its start for a command that changes keys, or backs them up.
_OTHERS_END_S: Final = 600.0
#: The files of `init`.
CERTIFICATE_FILE: Final = "tls/coordinator.crt"
CERTIFICATE_KEY_FILE: Final = "tls/coordinator.key"
AUTHORITY_FILE: Final = "tls/coordinator-ca.crt"
#: A certificate that waits, with its key and its authority; and the same once it is switched.
NEXT_FILE: Final = "tls/coordinator-next.pem"
SWITCHING_FILE: Final = "tls/coordinator-switching.pem"
#: What nodes are told to trust, as a file for those that did not join, beside a certificate of the
#: operator's own.
STATED_FILE: Final = "tls/stated-ca.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCertificate:
    """A certificate that is to take the place of the one in force.

    Attributes:
        key: Its private key, PEM.
    """

    key: bytes = field(repr=False)
    certificate: x509.Certificate
    authority: x509.Certificate

    def to_bytes(self) -> bytes:
        """All of it as PEM, in one text."""
        return self.key + pem_of([self.certificate, self.authority])

    @staticmethod
    def read(path: Path) -> NextCertificate:
        """Read the file; raises ConfigError, or KeystoreError when others may read it."""
        data = read_private_file(path, check_folder=False)
        try:
            certificate, authority = x509.load_pem_x509_certificates(data)
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{path} is no certificate with its key and its authority",
                remedy="delete it, and call `fedseg-coordinator certificate renew` again",
            ) from error
        return NextCertificate(
            key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            certificate=certificate,
            authority=authority,
        )


def authority_file(config: CoordinatorConfig) -> Path:
    """Where the authority is that nodes without an invitation get as a file."""
    if config.control is not None:
        return config.control.authority
    return config.certificate.with_name(f"{config.certificate.stem}-ca.crt")


def made_here(config: CoordinatorConfig) -> bool:
    """Whether the settings name the certificate that `init` made."""
    found = (config.certificate, config.key, authority_file(config))
    files = (CERTIFICATE_FILE, CERTIFICATE_KEY_FILE, AUTHORITY_FILE)
    return found == tuple(config.directory / file for file in files)


def file_for_nodes(config: CoordinatorConfig) -> Path:
    """The file with what was stated last, for nodes that did not join; there once it was stated."""
    return authority_file(config) if made_here(config) else config.directory / STATED_FILE


def is_switching(config: CoordinatorConfig) -> bool:
    """Whether a switch was begun, and whoever serves or renews has to end it."""
    return made_here(config) and (config.directory / SWITCHING_FILE).exists()


def waiting(config: CoordinatorConfig) -> NextCertificate | None:
    """The certificate that waits to be switched to; None where none does."""
    path = config.directory / NEXT_FILE
    return NextCertificate.read(path) if made_here(config) and path.exists() else None


def renew(
    config: CoordinatorConfig,
    store: CoordinatorStore,
    made: NextCertificate,
    *,
    now: datetime,
    least: int = 0,
) -> Authorities:
    """Have a certificate wait, and tell nodes to trust its authority too.

    One that waited before is forgotten, and so is its authority. Where nodes cannot be told, none
    waits that did not wait before.

    Args:
        least: As in `StatedAuthorities.state`.

    Raises:
        ConfigError: The certificate in force was not made here, or cannot be read.
        FedsegError: Keys or state cannot be read or written.
    """
    if not made_here(config):
        raise ConfigError(
            f"{config.certificate} was not made here",
            remedy="renew it where it came from; this command makes certificates of `init` anew. "
            "Its authority is new too? `fedseg-coordinator certificate trust`",
        )
    with changing_keys(config):
        settle(config, store, now=now)
        config.signing_key()  # nothing may wait that nobody can tell nodes of
        before = waiting(config)
        write_file(config.directory / NEXT_FILE, made.to_bytes(), mode=0o600)
        try:
            settle(config, store, now=now, least=least)
        except FedsegError:
            if not _is_told(store, made):
                _take_back(config, before)
            raise
        return _stated(store)


def switch(
    config: CoordinatorConfig,
    store: CoordinatorStore,
    *,
    without_waiting: bool = False,
    without: Collection[str] = (),
    now: datetime,
) -> Outstanding:
    """Put the certificate that waits in force, and have nodes trust its authority alone.

    Args:
        without_waiting: Whether to do it though partners have not taken its authority.
        without: Partners that are not waited for; all others are.

    Returns:
        Whoever had not taken it: they get the file by hand.

    Raises:
        UsageError: None waits (E-SWITCH-NOTHING), or no such partner is admitted.
        RuleError: Partners have not taken its authority (E-SWITCH-WAITS).
    """
    with changing_keys(config):
        switching, left = is_switching(config), outstanding(store)
        settle(config, store, now=now)
        if switching:  # an earlier call was switched off, and its end is what was asked for
            return left
        if waiting(config) is None:
            raise UsageError(
                "no certificate waits to be switched to",
                code="E-SWITCH-NOTHING",
                remedy="make one: fedseg-coordinator certificate renew",
            )
        left = outstanding(store)
        awaited = left.without(_admitted(store, without))
        if awaited.all and not without_waiting:
            raise _waits(awaited, authority_file(config))
        next_file, switching_file = config.directory / NEXT_FILE, config.directory / SWITCHING_FILE
        next_file.rename(switching_file)
        sync_folder(switching_file.parent)
        settle(config, store, now=now)
        return left


def trust(
    config: CoordinatorConfig,
    store: CoordinatorStore,
    certificates: Sequence[x509.Certificate],
    *,
    now: datetime,
    least: int = 0,
) -> Authorities:
    """Tell nodes which authorities to trust, where the certificate is the operator's own.

    Args:
        least: As in `StatedAuthorities.state`.

    Raises:
        UsageError: A certificate that was made here waits (E-SWITCH-FIRST).
        ConfigError: The certificate in force is of none of them, or one of them has ended
            (E-AUTHORITIES): every node would be cut off.
    """
    chain = chain_of(config.certificate)
    if not any(certifies(one, chain) for one in certificates):
        raise ConfigError(
            f"{config.certificate}, which is in force, is of none of these authorities: every node "
            "would be cut off",
            code="E-AUTHORITIES",
            remedy="name the authority of the certificate in force too, beside that of the next",
        )
    for one in certificates:
        if one.not_valid_after_utc <= now:
            raise ConfigError(
                f"the authority {words_of(one)} has ended",
                code="E-AUTHORITIES",
                remedy="leave it out",
            )
    with changing_keys(config):
        settle(config, store, now=now)
        if waiting(config) is not None:
            raise UsageError(
                "a certificate that was made here waits, and nodes are told to trust its authority",
                code="E-SWITCH-FIRST",
                remedy="switch to it first: fedseg-coordinator certificate switch",
            )
        key = config.signing_key()
        stated = StatedAuthorities(store).state(certificates, key, now=now, least=least)
        _write_for_nodes(config, stated.certificates)
        return stated


def settle(
    config: CoordinatorConfig, store: CoordinatorStore, *, now: datetime, least: int = 0
) -> None:
    """End what was switched off in between; call it while nobody else changes the keys.

    Where the signing key was replaced meanwhile, what nodes are told is signed anew.

    Args:
        least: As in `StatedAuthorities.state`, where something is to be stated.
    """
    switching = config.directory / SWITCHING_FILE
    if is_switching(config):
        found = NextCertificate.read(switching)
        write_file(config.key, found.key, mode=0o600)
        write_file(config.certificate, pem_of([found.certificate]), mode=0o644)
        _trust_alone(config, store, [found.authority], now=now, least=least)
        remove_private_file(switching)
        return
    coming = waiting(config)
    if coming is not None:
        chain = chain_of(config.certificate)
        kept = [
            one
            for one in _authorities_of(authority_file(config))
            if certifies(one, chain) and one.not_valid_after_utc > now
        ]
        _trust_alone(config, store, [*kept, coming.authority], now=now, least=least)
        return
    newest = StatedAuthorities(store).newest()
    if newest is None:
        return
    if not newest.is_signed_by(public_bytes(config.signing_key())):
        StatedAuthorities(store).state(newest.certificates, config.signing_key(), now=now)
    if not made_here(config):
        _write_for_nodes(config, newest.certificates)


def settled(config: CoordinatorConfig, store: CoordinatorStore) -> None:
    """End what was switched off, of keys and of certificates, as the only one who changes them.

    A backup that is made at the same time ends the same, and is waited for: a service that ends
    because of it would not be started again.

    Raises:
        KeystoreError: The signing key was handed over (E-KEY-ROTATED).
        FedsegError: As `finish` and `settle`.
    """
    now = datetime.now(UTC)
    with changing_keys(config, wait_s=_OTHERS_END_S):
        finish(config, store, now=now)
        check_in_force(config, store)
        settle(config, store, now=now)


def _trust_alone(
    config: CoordinatorConfig,
    store: CoordinatorStore,
    certificates: Sequence[x509.Certificate],
    *,
    now: datetime,
    least: int,
) -> None:
    """Have the file for nodes say so, and the statement; what says so already is left alone."""
    key, stated = config.signing_key(), StatedAuthorities(store)
    newest = stated.newest()
    if (
        newest is None
        or not _same(newest.certificates, certificates)
        or not newest.is_signed_by(public_bytes(key))
        or newest.number < least
    ):
        stated.state(certificates, key, now=now, least=least)
    _write_for_nodes(config, certificates)


def _write_for_nodes(config: CoordinatorConfig, certificates: Sequence[x509.Certificate]) -> None:
    """Have the file for nodes say so; what says so already is left alone."""
    file, data = file_for_nodes(config), pem_of(certificates)
    if _bytes_of(file) != data:
        write_file(file, data, mode=0o644)


def _admitted(store: CoordinatorStore, names: Collection[str]) -> Collection[str]:
    known = AdmittedNodes(store).key_of_partner()
    for name in names:
        if name not in known:
            raise UsageError(
                f"--without {name}: no such partner is admitted",
                remedy=f"admitted: {', '.join(sorted(known)) or 'nobody'}",
            )
    return names


def _is_told(store: CoordinatorStore, made: NextCertificate) -> bool:
    try:
        newest = StatedAuthorities(store).newest()
    except FedsegError:  # what cannot be read was not written either
        return False
    return newest is not None and made.authority in newest.certificates


def _take_back(config: CoordinatorConfig, before: NextCertificate | None) -> None:
    """Have what waited before wait again, if anything did."""
    if before is None:
        remove_private_file(config.directory / NEXT_FILE)
    else:
        write_file(config.directory / NEXT_FILE, before.to_bytes(), mode=0o600)


def _stated(store: CoordinatorStore) -> Authorities:
    newest = StatedAuthorities(store).newest()
    if newest is None:
        raise UsageError("another process changed the certificate meanwhile", remedy="try again")
    return newest


def _authorities_of(file: Path) -> tuple[x509.Certificate, ...]:
    try:
        return read_authorities(file.read_bytes())
    except (OSError, MalformedError) as error:
        raise ConfigError(
            f"{file} cannot be read, or is no authority's certificate",
            remedy="put it back from a backup",
        ) from error


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _same(some: Iterable[x509.Certificate], others: Iterable[x509.Certificate]) -> bool:
    return {*some} == {*others}


def _waits(left: Outstanding, file: Path) -> RuleError:
    online = f"not taken yet by {', '.join(left.online)}" if left.online else ""
    by_hand = (
        f"not known of {', '.join(left.by_hand)}, whose nodes did not join and get {file} by hand"
        if left.by_hand
        else ""
    )
    return RuleError(
        "the authority of the certificate that waits is "
        f"{'; '.join(words for words in (online, by_hand) if words)}: their nodes would be cut off",
        code="E-SWITCH-WAITS",
        remedy="wait until nodes that joined serve, with a program that takes it (`certificate "
        f"show` says who has it); or have a partner put {file} in the place of its "
        "root_certificates, and switch with --without NAME; --without-waiting waits for nobody",
    )
