"""What an agreement that nobody has yet may name: no party's key that was handed over.

Its signatures count by the keys that it names (SPEC.md, 6). Whoever stole a key that was handed
over since could sign with it a version that its owner never saw.
"""

from __future__ import annotations

from protocol.agreement.document import Agreement
from protocol.agreement.hand_overs import HandOvers
from protocol.errors import AgreementError


def outdated_parties(agreement: Agreement, known: HandOvers) -> tuple[str, ...]:
    """The ids of parties whose named key was handed over, in the agreement's order.

    The coordinator's key signs no agreement: one that names it is as good after a hand-over.
    """
    handed_over = {one.old_key for one in known}
    return tuple(party.id for party in agreement.parties if party.public_key in handed_over)


def check_named_keys(agreement: Agreement, known: HandOvers) -> None:
    """Refuse to sign, propose or publish an agreement that names a key that was handed over.

    One that was published before stays valid, and is not asked here.

    Raises:
        AgreementError: A party handed over the key that it names (E-KEY-ROTATED); or as
            `Agreement.with_hand_overs`.
    """
    agreement.with_hand_overs(known)
    outdated = outdated_parties(agreement, known)
    if outdated:
        raise AgreementError(
            f"agreement {agreement.id!r}, version {agreement.version}, names a key that was handed "
            f"over: that of {', '.join(outdated)}",
            code="E-KEY-ROTATED",
            remedy="have it drafted again with the new key, and sign that: "
            "`fedseg-coordinator agreement draft`",
        )
