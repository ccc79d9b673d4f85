"""Pages of proposed agreements: read, signed, declined.

The coordinator is asked whenever one is opened: what is proposed may have changed since.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from machine.accounts.roles import Permission, may
from machine.shown import Shown
from machine.text import minute, shown
from machine.web.site import Asked, Waits
from partner_node.agreement_files import read_agreement
from partner_node.four_eyes import Confirmations, First
from partner_node.home import NodeHome
from partner_node.shown.agreement import agreement_shown
from partner_node.shown.four_eyes import waits_shown
from partner_node.signing import let_out, needs_two_to_sign, sign_agreement, taken
from partner_node.store.node_store import NodeStore
from protocol.agreement.governance import SIGNING
from protocol.errors import ConfigError, UsageError

_HASH: Final = re.compile(r"[0-9a-f]{64}")

# Whatever reaches the coordinator imports gRPC, and is imported where it is used.


class ProposalPages:
    """The pages of one node's folder."""

    def __init__(self, home: NodeHome, store: NodeStore) -> None:
        self._home = home
        self._store = store

    def proposals(self, _: Asked) -> Shown:
        """As `agreement proposals`; that there are none online, where the node did not join."""
        from partner_node.shown.proposals import proposals_shown

        try:
            return proposals_shown(self._home)
        except ConfigError as error:
            if error.code != "E-NO-CONTROL":
                raise
            return Shown(
                values={"proposals": []},
                parts=[f"{error.message}: agreements come as files, and are signed by commands."],
            )

    def proposal(self, asked: Asked) -> Shown:
        """As `agreement show --proposed`."""
        from partner_node.control.proposals import fetched

        signed, path = fetched(self._home, _hash_in(asked.path))
        return agreement_shown(signed, path, (self._home, self._store), asked.now)

    def answering(self, asked: Asked) -> Mapping[str, Any]:
        """What the page of one needs for its forms: the hash, and who signed first, if two must."""
        from partner_node.control.proposals import file_of

        full = _hash_in(asked.path)
        signed = read_agreement(file_of(self._home, bytes.fromhex(full)))  # as it was just fetched
        said = Confirmations(self._store, self._home.people()).said(SIGNING, asked.now)
        return {
            "hash": full,
            "may_sign": may(asked.account.role, Permission.SIGN_AGREEMENTS),
            "two": needs_two_to_sign(self._home, self._store, signed.agreement),
            "first": next((_first_words(one) for one in said if one.about == full), ""),
        }

    def sign(self, asked: Asked) -> Shown | Waits:
        """As `agreement sign --proposed`, without the checks that read customers."""
        from partner_node.control.proposals import fetched, send_signature

        signed, where = fetched(self._home, _hash_in(asked.form))
        agreement = signed.agreement
        called = f"agreement {agreement.id}, version {agreement.version}"
        signing = sign_agreement(self._home, signed, where, by=asked.account.name, now=asked.now)
        if isinstance(signing, First):
            return Waits(shows=waits_shown(signing, f"Nothing is signed yet of {called}"))
        send = partial(send_signature, self._home, signing.copy)
        complete = let_out(self._home, signing, send, now=asked.now)
        warnings = taken(self._home, agreement)
        return Shown(
            values={
                **agreement.named(),
                "signed_by": signing.by,
                "complete": complete,
                "warnings": warnings,
            },
            parts=[
                f"Signed {called}, by {shown(signing.by)}; the operator has the signature.",
                "Every party has signed: a serving node takes it up by itself." if complete else "",
                "Health has a button for the checks, which say whether this node is ready for it.",
            ],
            warnings=warnings,
        )

    def decline(self, asked: Asked) -> str:
        """As `agreement decline`; a first signature that waits for a second person is forgotten."""
        from partner_node.control.proposals import decline

        digits = _hash_in(asked.form)
        comment = asked.form.get("comment", "").replace("\r\n", "\n").strip()
        if not comment:
            raise UsageError(
                "no comment says why", code="E-FORM", remedy="write why, for the other parties"
            )
        decline(self._home, digits, comment)
        return "/proposals"


def _hash_in(fields: Mapping[str, str]) -> str:
    text = fields.get("hash", "")
    if not _HASH.fullmatch(text):
        raise UsageError(
            "that is no hash of an agreement",
            code="E-FORM",
            remedy="begin at the page of proposals",
        )
    return text


def _first_words(first: First) -> str:
    return f"{shown(first.who)} signs it if a second person does before {minute(first.until)}."
