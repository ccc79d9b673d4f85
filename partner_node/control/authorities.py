"""Taking the authorities that the coordinator states, into the file that this node trusts.

A statement is taken only if the coordinator's signing key in force signed it, if it is later than
the last one, and if the control port shows a certificate of one of them: so neither whoever has the
key of the certificate alone, nor an old statement, changes whom a node trusts, and no node cuts
itself off. SPEC.md, section 17.5.
"""

from __future__ import annotations

import logging
import ssl
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from machine.files import write_file
from partner_node.control.channel import Channel, away
from partner_node.control.in_force import where_known
from partner_node.home import NodeHome
from partner_node.link.proxy import way_to
from partner_node.link.trouble import of_failure
from partner_node.link.tunnel import secured
from partner_node.membership import AUTHORITY_FILE, Membership
from partner_node.store.authorities import TakenAuthorities
from partner_node.store.times import stamp
from protocol.control.authorities import Authorities, words_of
from protocol.control.calls import AUTHORITIES
from protocol.control.v1.control_pb2 import AuthoritiesReply, AuthoritiesRequest
from protocol.errors import RuleError, UsageError

logger = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0


def take_authorities(home: NodeHome, channel: Channel) -> None:
    """Ask what was stated since, and trust that; the coordinator is told what this node has.

    A coordinator of an earlier version states nothing.

    Raises:
        RuleError: It is not the coordinator's (E-AUTHORITIES, E-AUTHORITIES-SIGNATURE), an old one
            (E-AUTHORITIES-OLD), or would cut this node off (E-AUTHORITIES-CUT); or the file that
            the node trusts is not the node's own (E-AUTHORITIES-FILE). Nothing is changed then.
        FedsegError: The coordinator is not reached, or a file cannot be read or written.
    """
    membership = Membership.load(home.directory)
    if membership is None:  # nobody is known here whose signature counts
        return
    key = home.hand_overs.load().latest_of(membership.coordinator_key, partner="")
    with where_known(), closing(home.store(home.keystore())) as store:
        taken = TakenAuthorities(store)
        last = taken.load()
        told = _ask(channel, last.number if last is not None and _has(home, last) else 0)
        if not told.envelope:
            return
        found, now = Authorities.from_bytes(told.envelope), datetime.now(UTC)
        found.verify(key)
        _check_later(found, last)
        found.check_time(now)
        _trust(home, found, last)
        taken.note(found, now=stamp(now))
        named = " and ".join(map(words_of, found.certificates))
        logger.warning(
            "control: the coordinator's certificate may be of these authorities: %s", named
        )
        _ask(channel, found.number)


def _ask(channel: Channel, number: int) -> AuthoritiesReply:
    return channel.call(AUTHORITIES, AuthoritiesRequest(number=number), AuthoritiesReply)


def _check_later(found: Authorities, last: Authorities | None) -> None:
    if last is None or found.number > last.number:
        return
    if found.envelope.payload != last.envelope.payload:  # the same again, where a file was changed
        raise RuleError(
            f"authorities that nodes shall trust: what was stated has number {found.number}, and "
            f"is older than what this node took, which has {last.number}",
            code="E-AUTHORITIES-OLD",
            remedy="nothing was changed; where the coordinator was put back from a backup, its "
            f"operator states them anew, with --at-least {last.number + 1} if that is said again",
        )


def _check_connection(home: NodeHome, found: Authorities) -> None:
    """Refuse authorities of which the control port's certificate is none, for the link's rules."""
    address = home.config.coordinator.control or ""
    proxy = way_to(address, home.config.coordinator.proxy)
    context = ssl.create_default_context(cadata=found.pem.decode("ascii"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # as in `pinned`
    context.set_alpn_protocols(["h2"])
    try:
        with secured(address, context, proxy, timeout_s=_TIMEOUT_S):
            return
    except ssl.SSLCertVerificationError as error:
        failure = RuleError(
            "authorities that nodes shall trust: the coordinator's certificate is of none of them "
            f"({of_failure(error).words}), so this node would be cut off",
            code="E-AUTHORITIES-CUT",
            remedy="nothing was changed; ask the operator, who sees it in `certificate show`",
        )
    except OSError as error:
        raise away(address, of_failure(error), proxy) from error
    raise failure


def _trust(home: NodeHome, found: Authorities, last: Authorities | None) -> None:
    """Have the file say what was stated.

    What is missing from a file that is another's, or is dropped and stands there still, is left to
    people, who are told once: until they did it nothing is tried again.

    Raises:
        RuleError: As `_check_connection`; or the file is not in the node's folder, and has other
            ones, or cannot be written (E-AUTHORITIES-FILE).
    """
    file, beside = home.config.coordinator.root_certificates, home.directory / AUTHORITY_FILE
    is_own, has_all = _is_own(home, file), _has(home, found)
    dropped = _dropped(home, found, last)
    takes = is_own or (has_all and not dropped)
    if takes or not _says(beside, found):
        _check_connection(home, found)
    if is_own:
        try:
            write_file(file, found.pem, mode=0o644)
        except UsageError as error:
            raise RuleError(
                f"the authority of the coordinator's certificate changes: {error.message}",
                code="E-AUTHORITIES-FILE",
                remedy=error.remedy,
            ) from error
    if takes:
        return
    if not _says(beside, found):
        write_file(beside, found.pem, mode=0o644)
    if not has_all:
        raise RuleError(
            f"the authority of the coordinator's certificate is about to change, and {file} is not "
            f"in this node's folder: add what is in {beside} to it, or name that file as "
            "root_certificates in node.toml",
            code="E-AUTHORITIES-FILE",
            remedy="do that before the operator switches to the new certificate; then start serve "
            "again where node.toml was changed",
        )
    raise RuleError(
        f"{file} is not in this node's folder, and trusts "
        f"{' and '.join(map(words_of, dropped))} still, which the coordinator uses no more",
        code="E-AUTHORITIES-FILE",
        remedy=f"take that out of it; what is left is in {beside}",
    )


def _says(file: Path, stated: Authorities) -> bool:
    try:
        return file.read_bytes() == stated.pem
    except OSError:
        return False


def _dropped(
    home: NodeHome, found: Authorities, last: Authorities | None
) -> list[x509.Certificate]:
    """The authorities of the last statement that a later one only drops, and the file has still.

    One that adds another too is taken: the node has to be known not to be cut off.
    """
    if last is None or not {*found.certificates} < {*last.certificates}:
        return []
    there = _authorities_in(home)
    return [one for one in last.certificates if one not in found.certificates and one in there]


def _is_own(home: NodeHome, file: Path) -> bool:
    """Whether it is a file of the node's folder, and no link to another one."""
    folder = home.directory.resolve()
    return not file.is_symlink() and file.parent.resolve().is_relative_to(folder)


def _has(home: NodeHome, stated: Authorities) -> bool:
    """Whether the node's file has every authority of a statement; more do not matter."""
    return {*stated.certificates} <= _authorities_in(home)


def _authorities_in(home: NodeHome) -> set[x509.Certificate]:
    """Those in the node's file; none where it cannot be read."""
    try:
        data = home.config.coordinator.root_certificates.read_bytes()
        return {*x509.load_pem_x509_certificates(data)}
    except (OSError, ValueError):
        return set()
