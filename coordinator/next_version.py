"""The next version of an agreement: everything of the one before but what has to differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from coordinator.agreement_file import template_of
from coordinator.draft_comments import with_comments
from protocol.agreement.document import Agreement, time_text
from protocol.agreement.governance import CONSENT
from protocol.agreement.partner_card import PartnerCard
from protocol.agreement.software import PROTOCOL, Software
from protocol.errors import UsageError

#: What a card says anew of a party; its row cap is the one that the partner proposes now.
_OF_THE_CARD: Final = (
    "legal_name", "contact", "dpo", "public_key", "jurisdictions", "max_customers",
)  # fmt: skip
_NEW_PARTY: Final = {
    "role": "joint-controller",
    "legal_basis": {"basis": CONSENT, "reference": "the partner's notice"},
}

_HEAD: Final = """\
# Version {version} of agreement {id}, to be read and signed by every partner. All is as in version
# {before}, which it supersedes, but the days, the software, and whatever you change here. Decimals
# are written in quotes. `fedseg-coordinator agreement lint FILE --dir FOLDER` checks it and, with
# the coordinator's folder, shows what differs; then propose it online, `agreement propose`, or
# make the file to sign, `agreement draft`.
"""


def next_version(
    before: Agreement,
    *,
    cards: Sequence[PartnerCard],
    without: Collection[str],
    software: Software,
    now: datetime,
) -> Agreement:
    """The version that follows `before`, for whoever drafts it to change.

    Args:
        before: The version that it supersedes; keys that were handed over since are named anew.
        cards: Of partners that join, or whose facts changed.
        without: Parties that leave, by id.
        software: What every node will have to run.
        now: From when it is in force; it is reviewed and ends after as long a time as `before`.

    Raises:
        UsageError: One who leaves is no party, or has a card among `cards`.
        AgreementError: Nobody is left, or there are more than an agreement may have.
    """
    values = before.to_dict()
    values["coordinator"]["public_key"] = before.keys.coordinator.hex()
    for party, had in zip(values["parties"], before.keys.of_parties, strict=True):
        party["public_key"] = had[-1].hex()
    known = {party["id"] for party in values["parties"]}
    for id in without:
        if id not in known:
            raise UsageError(
                f"{id} is no party of version {before.version}",
                remedy=f"its parties are {', '.join(sorted(known))}",
            )
    values |= {
        "version": before.version + 1,
        "supersedes": before.hash.hex(),
        "effective": time_text(now),
        "review_by": time_text(now + (before.review_by - before.effective)),
        "expires": time_text(now + (before.expires - before.effective)),
        "parties": [party for party in values["parties"] if party["id"] not in without],
        "software": replace(
            before.software,
            **_build(software),
            protocol=None if before.software.protocol is None else PROTOCOL,
            builds=(),
        ).to_dict(),
    }
    parties: dict[str, dict[str, Any]] = {party["id"]: party for party in values["parties"]}
    for card in cards:
        if card.id in without:
            raise UsageError(f"{card.id} has a card and leaves", remedy="leave one of the two out")
        stated = card.to_dict()
        party = parties.get(card.id, {"id": card.id} | _NEW_PARTY)
        parties[card.id] = party | {name: stated[name] for name in _OF_THE_CARD}
    return Agreement.from_dict(values | {"parties": list(parties.values())})


def _build(software: Software) -> dict[str, Any]:
    return {"version": software.version, "sha256": software.sha256}


def as_yaml(agreement: Agreement) -> str:
    """A next version as the file that people edit."""
    yaml = YAML(pure=True)  # which keeps the order
    yaml.width = 96
    sections = {}
    for key, value in agreement.to_dict().items():
        text = StringIO()
        yaml.dump({key: value}, text)
        sections[key] = text.getvalue()
    head = _HEAD.format(id=agreement.id, version=agreement.version, before=agreement.version - 1)
    return head + with_comments(template_of(agreement), sections)
