"""Signing and accepting builds at a node, wherever they came from."""

from __future__ import annotations

from datetime import UTC, datetime

from partner_node.home import NodeHome
from partner_node.store.builds import AcceptedBuilds
from partner_node.store.times import stamp
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement


def sign(home: NodeHome, agreement: Agreement, added: AddedBuild) -> AddedBuild:
    """Add this node's signature.

    Raises:
        AgreementError: This node is no party of the agreement, or the build is not for it.
    """
    added.missing(agreement)  # nobody signs beside an invalid signature
    agreement.index_of_key(home.keystore().identity_public)
    return added.signed_by(home.keystore().identity)


def accept(home: NodeHome, agreement: Agreement, added: AddedBuild) -> bool:
    """Keep a build that everybody signed who has to; whether it is new here.

    Raises:
        AgreementError: Not everybody did (E-BUILD-UNSIGNED), or it is for another agreement.
    """
    store = home.store(home.keystore())
    try:
        return AcceptedBuilds(store).accept(added, agreement, now=stamp(datetime.now(UTC)))
    finally:
        store.close()


def accepted(home: NodeHome, agreement: Agreement) -> list[AddedBuild]:
    """The builds that were accepted here for an agreement."""
    store = home.store(home.keystore())
    try:
        return AcceptedBuilds(store).of(agreement)
    finally:
        store.close()
