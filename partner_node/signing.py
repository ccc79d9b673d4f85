"""Signing an agreement at a node, by one person or, where it says so, by two."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Final, TypeVar

from partner_node.agreeing import latest_version
from partner_node.agreement_files import missing_signatures, naming, own_place
from partner_node.four_eyes import Confirmations, First, needs_two
from partner_node.home import NodeHome
from partner_node.store.node_store import NodeStore
from partner_node.store.times import moment, stamp
from partner_node.trained import check_trained
from protocol.agreement.document import Agreement
from protocol.agreement.governance import SIGNING
from protocol.agreement.named_keys import check_named_keys
from protocol.agreement.software import Software
from protocol.errors import AgreementError
from protocol.signed_agreement import SignedAgreement

T = TypeVar("T")

#: For people, where one person took back what another one began.
FORGOTTEN: Final = "The first signature that waited here for a second person is forgotten."


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """A signature that was made; it leaves this node by `let_out`.

    Attributes:
        copy: The agreement with it.
        by: Who signed, both where two had to.
        before: When it was signed here for the first time; None for just now.
    """

    copy: SignedAgreement
    by: str
    before: datetime | None = None


def sign_agreement(
    home: NodeHome, signed: SignedAgreement, where: Path, *, by: str, now: datetime
) -> Signing | First:
    """Add this node's signature; where two people have to sign, when the second one does.

    Args:
        where: The file, for messages.
        by: Who signs, as the log names them.

    Returns:
        The signature; or that nothing is signed before a second person signs too.

    Raises:
        AgreementError: This node is no party of it, or not by its key in force; a signature in it
            is wrong; it names a key that was handed over (E-KEY-ROTATED); or other code is
            installed here.
        RuleError: Two people have to sign, and this one did already (E-FOUR-EYES); or this one
            lacks the training that it demands (E-TRAINING).
    """
    keystore, agreement = home.keystore(), signed.agreement
    _check(home, signed, where)
    with closing(home.store(keystore)) as store:
        before = store.signed_at(agreement.hash)
        check_trained(store, agreement, by, now)
        if needs_two_to_sign(home, store, agreement):
            with store.transaction():
                joined = Confirmations(store, home.people()).join(
                    SIGNING, agreement.hash.hex(), by=by, now=now,
                    what=f"signing agreement {agreement.id}, version {agreement.version},",
                )  # fmt: skip
            if isinstance(joined, First):
                return joined
            by = joined
    envelope = signed.envelope.signed_by(keystore.identity)
    return Signing(
        copy=SignedAgreement(agreement=agreement, envelope=envelope),
        by=by,
        before=None if before is None else moment(before),
    )


def needs_two_to_sign(home: NodeHome, store: NodeStore, agreement: Agreement) -> bool:
    """Whether two people have to sign a version: it says so, or what it follows here does."""
    before = latest_version(store, home.under(agreement.id).installed_agreement(), agreement.id)
    return needs_two(store, SIGNING, agreement, before)


def let_out(home: NodeHome, signing: Signing, leave: Callable[[], T], *, now: datetime) -> T:
    """Have a signature leave this node: it is on record before it does, as whatever leaves is.

    After a kill at any moment the same command ends it. What is on record stays, what was sent is
    sent again; and the first of two people's words is kept until the signature has left.

    Args:
        leave: Writes or sends it; what it raises is raised.
    """
    note_signature(home, signing, now)
    found = leave()
    _forget_word(home, signing.copy.agreement)
    return found


def note_signature(home: NodeHome, signing: Signing, now: datetime) -> None:
    """Remember that and when this node signed first, and who did."""
    with closing(home.store(home.keystore())) as store, store.transaction():
        store.note_signed(signing.copy.agreement.hash, now=stamp(now), by=signing.by)


def _forget_word(home: NodeHome, agreement: Agreement) -> None:
    with closing(home.store(home.keystore())) as store, store.transaction():
        Confirmations(store, home.people()).forget(SIGNING, agreement.hash.hex())


def forget_first(home: NodeHome, digits: str) -> bool:
    """Forget the first of two signatures that waits here: one person takes it back.

    Args:
        digits: The agreement's hash, or its first digits.

    Returns:
        Whether one waited.
    """
    with closing(home.store(home.keystore())) as store, store.transaction():
        return Confirmations(store, home.people()).forget_beginning(SIGNING, digits)


def taken(home: NodeHome, agreement: Agreement) -> list[str]:
    """That another agreement is in force where a signed one belongs; empty where none is."""
    there = home.under(agreement.id).installed_agreement()
    if there is None or there.id == agreement.id:
        return []
    return [
        f"agreement {there.id} is in force in its place, so this node does not take it up by "
        f"itself: give {agreement.id} a section in {home.config.file.name}, [agreements."
        f"{agreement.id}], to have both in force (docs/several-agreements.md); `agreement install` "
        f"replaces {there.id}"
    ]


def _check(home: NodeHome, signed: SignedAgreement, where: Path) -> None:
    agreement = signed.agreement
    missing_signatures(signed, where)  # nobody signs beside an invalid signature
    with naming(where):
        party = own_place(home.with_keys(signed), home.keystore().identity_public)
        if party.id != home.config.node.partner:
            raise AgreementError(
                f"the agreement calls this node {party.id!r}, "
                f"its configuration {home.config.node.partner!r}",
                code="E-AGR-PARTY",
                remedy=f'write partner = "{party.id}" in '
                f"{home.config.file.name}, or ask the operator for an agreement with your name",
            )
        check_named_keys(agreement, home.hand_overs.load())
        agreement.check_software(Software.installed(metadata.version, resources.files))
