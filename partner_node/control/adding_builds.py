"""Builds online: what is proposed for agreements in force here, and this node's signature."""

from __future__ import annotations

import logging
from functools import partial

from partner_node.adding_builds import accept, accepted, sign
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.in_force import for_each_in_force, where_known
from partner_node.control.one_by_one import one_by_one
from partner_node.home import NodeHome
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement
from protocol.control.calls import BUILDS, SIGN_BUILD
from protocol.control.v1.control_pb2 import (
    BuildsReply,
    BuildsRequest,
    SignBuildReply,
    SignBuildRequest,
)
from protocol.errors import AgreementError
from protocol.signing import key_id

logger = logging.getLogger(__name__)


def proposed_builds(home: NodeHome, agreement: Agreement) -> list[AddedBuild]:
    """What the coordinator has of an agreement's builds; every signature on them holds.

    Raises:
        FedsegError: It is not reached, or what it says is not so.
    """
    with open_channel(home) as channel:
        return _listed(channel, agreement)


def send_build_signature(home: NodeHome, agreement: Agreement, found: AddedBuild) -> bool:
    """Sign a build and send the signature; whether everybody has signed now who has to."""
    signed = sign(home, agreement, found)
    signature = signed.envelope.signatures[key_id(home.keystore().identity_public)]
    asked = SignBuildRequest(hash=agreement.hash, build=found.hash, signature=signature)
    with open_channel(home) as channel:
        return bool(channel.call(SIGN_BUILD, asked, SignBuildReply).complete)


def accept_builds(home: NodeHome, channel: Channel) -> None:
    """Accept the builds of agreements in force that everybody signed who has to.

    Raises:
        RuleError: A signature is wrong, a build is for another agreement, the coordinator refuses
            to say, or who signed one handed that key over (E-BUILD-UNSIGNED); other builds, and
            those of other agreements, are accepted.
    """
    for_each_in_force(home, partial(_accept, home, channel))


def _accept(home: NodeHome, channel: Channel, agreement: Agreement) -> None:
    if agreement.software.added_by is None:
        return
    envelopes = _envelopes(channel, agreement)
    one_by_one(partial(_accept_one, home, agreement, envelope) for envelope in envelopes)


def _accept_one(home: NodeHome, agreement: Agreement, envelope: bytes) -> None:
    one = _read(envelope, agreement)
    if missing := one.missing(agreement):
        if one.missing(agreement, kept=True) or _is_known(home, agreement, one):
            return  # somebody has not signed yet, or it was kept before a key was replaced
        raise AgreementError(
            f"fedseg {one.build.version} may not run under agreement {agreement.id} here: "
            f"{', '.join(p.id for p in missing)} handed over the key that signed it",
            code="E-BUILD-UNSIGNED",
            remedy="they have to sign it again: fedseg-node agreement builds sign",
        )
    if accept(home, agreement, one):
        logger.info(
            "control: fedseg %s may run under agreement %s, version %s, too",
            *(one.build.version, agreement.id, agreement.version),
        )


def _is_known(home: NodeHome, agreement: Agreement, one: AddedBuild) -> bool:
    return one.hash in {kept.hash for kept in accepted(home, agreement)}


def _listed(channel: Channel, agreement: Agreement) -> list[AddedBuild]:
    return [_read(envelope, agreement) for envelope in _envelopes(channel, agreement)]


def _envelopes(channel: Channel, agreement: Agreement) -> list[bytes]:
    envelopes: list[bytes] = []
    with where_known():
        reply = channel.call(BUILDS, BuildsRequest(hash=agreement.hash), BuildsReply)
        envelopes.extend(reply.envelopes)
    return envelopes


def _read(envelope: bytes, agreement: Agreement) -> AddedBuild:
    found = AddedBuild.from_bytes(envelope)
    found.missing(agreement)  # every signature on it holds
    return found
