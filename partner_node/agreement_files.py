"""Reading of agreement files at a node; every error names the file and the way out."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from machine.files import open_regular
from protocol import limits
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.errors import AgreementError, SignatureError, naming_file
from protocol.signed_agreement import SignedAgreement
from protocol.signing import key_id


def read_agreement(
    path: Path,
    *,
    remedy: str = "correct the path, or ask the operator for the file",
    kept: bool = False,
) -> SignedAgreement:
    """Read an agreement's envelope.

    Args:
        remedy: The way out when there is no such file.
        kept: It is the installed one; as for `problems_of`.

    Raises:
        AgreementError: The file is missing (E-AGR-MISSING) or invalid; the message names it.
    """
    data = read_start(path, 2 * limits.MAX_AGREEMENT_BYTES + 1, remedy=remedy)
    with naming(path):
        return SignedAgreement.from_bytes(data, kept=kept)


def read_start(
    path: Path, size: int, *, remedy: str = "correct the path, or ask for the file again"
) -> bytes:
    """The first `size` bytes of a signed file; raises AgreementError (E-AGR-MISSING)."""
    try:
        with open_regular(path) as file:
            return file.read(size)
    except OSError as error:
        raise AgreementError(
            f"{path} cannot be read: {error.strerror}", code="E-AGR-MISSING", remedy=remedy
        ) from error


def naming(path: Path) -> AbstractContextManager[None]:
    """Add the file's name and a way out to every AgreementError raised in the block."""
    return naming_file(
        path,
        remedy="ask the operator for the file again: fedseg-coordinator agreement draft makes it "
        "for signing, agreement publish for installing",
    )


def missing_signatures(signed: SignedAgreement, path: Path) -> tuple[Party, ...]:
    """The parties that have not signed.

    Args:
        path: The file, for messages.

    Raises:
        AgreementError: A signature is wrong or by no party (E-AGR-SIGNATURE); the message names the
            signer.
    """
    try:
        return signed.missing()
    except AgreementError as error:
        wrong = _wrongly_signed(signed)
        names = ", ".join(f"{p.id} (key {key_id(p.public_key)[:16]}…)" for p in wrong)
        raise AgreementError(
            f"{path}: the signature of {names} is not over the text in this file: the text or the "
            "signature was changed"
            if wrong
            else f"{path}: {error.message}",
            code=error.code,
            remedy="do not use this file; ask the operator for it again, and compare the hash that "
            "`fedseg-node agreement show` prints with "
            + (", ".join(p.id for p in wrong) or "the other partners"),
        ) from error


def own_place(signed: SignedAgreement, own_key: bytes) -> Party:
    """This node in an agreement that is to be signed with its key; raises AgreementError.

    Args:
        signed: Under the keys in force.
        own_key: This node's public signing key, 32 bytes.

    Raises:
        AgreementError: It is no party of it (E-AGR-PARTY); or the agreement names a key that this
            node handed over since, or its key was handed over itself (E-KEY-ROTATED).
    """
    agreement = signed.agreement
    party = agreement.parties[agreement.index_of_key(own_key)]
    if party.public_key != own_key:
        raise AgreementError(
            f"the agreement names key {key_id(party.public_key)[:16]}… of {party.id}, which was "
            f"handed over to {key_id(own_key)[:16]}…: the old one signs nothing any more, and the "
            "new one nothing that names the old one",
            code="E-KEY-ROTATED",
            remedy="ask the operator to draft it again (fedseg-coordinator agreement draft), which "
            "names the new key, once the coordinator has the hand-over",
        )
    return party


def verified(signed: SignedAgreement, path: Path) -> Agreement:
    """Return the agreement if every party signed it; else AgreementError, naming the file."""
    missing_signatures(signed, path)
    with naming(path):
        return signed.verify()


def _wrongly_signed(signed: SignedAgreement) -> list[Party]:
    found = []
    for party in signed.agreement.parties:
        try:
            signed.envelope.signers([party.public_key])
        except SignatureError:
            found.append(party)
    return found
