"""What the coordinator's codes mean at a node: it says a code alone, the words are ours."""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import FedsegError, RuleError, TransportError

_CODE: Final = re.compile(r"E-[A-Z][A-Z-]{0,40}")
#: Words and way out by code.
_MEANINGS: Final = {
    "E-CALLER": (
        "the coordinator does not let this node do that",
        "ask the operator whether it is admitted: fedseg-coordinator partner list",
    ),
    "E-INVITATION-USED": (
        "another node joined with this invitation, or it was withdrawn",
        "tell the operator, who can remove that node and invite this one anew",
    ),
    "E-CARD": (
        "the card is not of the partner or the node that was invited",
        "make the node with `fedseg-node join` and this invitation, in a folder of its own",
    ),
    "E-ADMITTED": (
        "this node's key joined for another partner already",
        "make a node of its own for each partner",
    ),
    "E-MALFORMED": (
        "the coordinator cannot read what this node sent",
        "ask the operator which version the coordinator has",
    ),
    "E-SIGNATURE": (
        "the coordinator finds that the key of this partner did not sign that",
        "this folder's keys are not those of its card: put both back from one backup",
    ),
    "E-PROPOSAL": (
        "the operator proposes no such agreement to this partner any more",
        "see `fedseg-node agreement proposals`",
    ),
    "E-DILIGENCE": (
        "the agreement demands due diligence on every party, and a record is missing or over",
        "see `fedseg-node agreement show`; the operator adds it (partner diligence add), then "
        "sign again",
    ),
    "E-KEY-FORK": (
        "the coordinator has another hand-over from a key of this partner",
        'whoever made it has that key: stop the agreements that name it, then docs/keys.md, "A '
        'lost or stolen key"; who has two copies of this node goes on with one of them',
    ),
    "E-KEY-STRANGER": (
        "the coordinator knows nothing that names the key that this node handed over",
        "where this node joined after it rotated there is nothing to do: the coordinator has its "
        "new key. Else the operator takes this partner's hand-overs in their order, "
        "fedseg-coordinator key accept",
    ),
    "E-KEY-PARTY": (
        "the coordinator knows that key as somebody else's",
        "the name in node.toml has to be that of the invitation: ask the operator, partner list",
    ),
    "E-KEY-REUSED": (
        "the coordinator knows the new key of that hand-over already",
        "where this node joined with that key there is nothing to do; else hand it over to one "
        "that is new: fedseg-node key rotate",
    ),
    "E-KEY-NUMBER": (
        "the coordinator lacks a hand-over before that one, or has another",
        "the operator takes this partner's hand-overs in their order: fedseg-coordinator key "
        "accept",
    ),
    "E-HAND-OVER-SIGNATURE": (
        "the coordinator finds that the old or the new key did not sign that hand-over",
        "put this node's state back from a backup: its file of hand-overs is damaged",
    ),
    "E-AGR-SIGNED": (
        "this partner has signed that agreement",
        "a signed agreement is ended by `fedseg-node agreement stop`",
    ),
}


def refusal(name: str, told: str, *, fallback: str) -> FedsegError:
    """The error that a code from the coordinator stands for.

    Args:
        name: The call.
        told: What it said; a code, or anything else if it is no coordinator of ours.
        fallback: gRPC's own status, for messages.
    """
    if not _CODE.fullmatch(told):
        return TransportError(
            f"{name}: the other side answers {fallback}",
            code="E-CONTROL-REPLY",
            remedy="check the address; ask the operator which version the coordinator has",
        )
    if told not in _MEANINGS:
        return RuleError(
            f"the coordinator refuses {name}",
            code=told,
            remedy="ask the operator, whose log says more",
        )
    words, remedy = _MEANINGS[told]
    return RuleError(words, code=told, remedy=remedy)
