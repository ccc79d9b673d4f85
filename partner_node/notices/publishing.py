"""Taking a notice as published: a rendered one by its mark, one that people wrote by their word."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from partner_node.notices import visible
from partner_node.notices.facts import EXACT, NoticeFacts, facts_to_tell
from partner_node.notices.published import Publication
from protocol.agreement.document import Agreement
from protocol.agreement.governance import BASIS_WORDS, VERSION
from protocol.agreement.parties import Party
from protocol.errors import RuleError, UsageError

_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_VERSION: Final = re.compile(VERSION)
#: What people confirm of a text of their own, each by its name.
CONFIRMED: Final = (
    "purpose", "basis", "features", "uses", "recipients", "retention", "contact", "totals",
    "rights",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A file that somebody publishes.

    Attributes:
        name: The file's, for messages.
        version: None for the one that it is marked with, or that the agreement names.
        language: None for the one that it is marked with.
    """

    name: str
    data: bytes
    url: str
    version: str | None = None
    language: str | None = None


def taken_rendered(
    offered: Offered, agreement: Agreement, party: Party, *, at: str, by: str
) -> Publication:
    """A notice that was rendered for the agreement, and whose words nobody changed since.

    Raises:
        UsageError: It has no mark, was changed, or is marked otherwise than is said
            (E-NOTICE-MARK).
        RuleError: It was rendered from other facts (E-NOTICE-OTHER), or the agreement lacks some
            (E-NOTICE-FACTS).
    """
    facts = facts_to_tell(agreement, party)
    marked = visible.marked_in(visible.seen_in(offered.data, name=offered.name))
    if marked is None:
        raise UsageError(
            f"{offered.name} has no mark of a rendered notice",
            code="E-NOTICE-MARK",
            remedy="publish what `fedseg-node notice render` wrote, its last line included; or a "
            "text of your own: --own-text",
        )
    mark, words = marked
    if not visible.is_whole(mark, words):
        raise UsageError(
            f"{offered.name} has other words than were rendered: {len(words)} before the mark, "
            f"{mark.count} were rendered",
            code="E-NOTICE-MARK",
            remedy="render it anew, with your words in a file (`fedseg-node notice words`); or "
            "publish it as a text of your own: --own-text",
        )
    for what, given, found in (
        ("version", offered.version, mark.version),
        ("language", offered.language, mark.language),
    ):
        if given not in (None, found):
            raise UsageError(
                f"{offered.name} is marked as {what} {found!r}, not {given!r}",
                code="E-NOTICE-MARK",
                remedy=f"leave --{what} out",
            )
    agreed = (agreement.id, agreement.purpose.notice_version)
    if (mark.agreement, mark.version) != agreed or not visible.says(mark, facts.hash):
        raise RuleError(
            f"{offered.name} is notice {mark.version} of agreement {mark.agreement}, version "
            f"{mark.number}; agreement {agreement.id}, version {agreement.version}, names notice "
            f"{agreement.purpose.notice_version}, and has other facts to tell",
            code="E-NOTICE-OTHER",
            remedy="render it anew; for an agreement that is not in force yet: --agreement FILE",
        )
    return _publication(
        offered, agreement, facts, mark.version, mark.language, words, own=False, at=at, by=by
    )


def taken_own(
    offered: Offered,
    agreement: Agreement,
    party: Party,
    confirmed: Collection[str],
    *,
    at: str,
    by: str,
) -> tuple[Publication, list[str]]:
    """A notice that people wrote, each of whose facts they confirm.

    Returns:
        It, and warnings of names and numbers that its text does not have.

    Raises:
        UsageError: A fact is not confirmed (E-NOTICE-CONFIRM), or no language is named.
        RuleError: The agreement lacks a fact (E-NOTICE-FACTS).
    """
    facts = facts_to_tell(agreement, party)
    asked = _asked(facts)
    missing = [name for name in CONFIRMED if name not in confirmed]
    if missing:
        told = "; ".join(f"{name}: {asked[name]}" for name in missing)
        raise UsageError(
            f"whether {offered.name} tells of these nobody confirmed: {told}",
            code="E-NOTICE-CONFIRM",
            remedy="read the notice, then add " + " ".join(f"--confirm {name}" for name in missing),
        )
    if offered.language is None or not _LANGUAGE.fullmatch(offered.language):
        raise UsageError(
            f"the language of a text of your own is {offered.language!r}",
            remedy="say it as in BCP 47, such as --language en",
        )
    version = agreement.purpose.notice_version if offered.version is None else offered.version
    if not _VERSION.fullmatch(version):
        raise UsageError(
            f"--version {version!r} is none that an agreement can name", remedy="such as 2 or 2.1"
        )
    words = visible.words_of(visible.seen_in(offered.data, name=offered.name))
    published = _publication(
        offered, agreement, facts, version, offered.language, words, own=True, at=at, by=by
    )
    return published, [f"{offered.name} nowhere has {what}" for what in _not_found(facts, words)]


def _asked(facts: NoticeFacts) -> dict[str, str]:
    """What each of `CONFIRMED` has to say."""
    days = f"{facts.assignments_days} days files of segments, {facts.records_days} days records"
    totals = "that totals leave exact, from which single values may follow"
    return {
        "purpose": facts.purpose_text,
        "basis": BASIS_WORDS[facts.basis],
        "features": ", ".join(facts.features),
        "uses": ", ".join(facts.uses),
        "recipients": ", ".join(facts.recipients),
        "retention": days,
        "contact": f"{facts.controller}, {facts.contact}, {facts.officer}",
        "totals": totals if facts.totals == EXACT else "that totals leave with noise, and what "
        "that does not promise",
        "rights": "each right and how it is used, and the authority for complaints",
    }  # fmt: skip


def _not_found(facts: NoticeFacts, words: Sequence[str]) -> list[str]:
    """Names and numbers that a text has to have literally, and does not."""
    text = f" {' '.join(words).casefold()} "

    def is_there(what: str) -> bool:
        return f" {' '.join(visible.words_of(what)).casefold()} " in text

    named = dict.fromkeys((facts.controller, facts.contact, facts.officer, *facts.recipients))
    days = (str(facts.assignments_days), str(facts.records_days))
    return [repr(one) for one in named if not is_there(one)] + [
        f"the number {one}" for one in days if not is_there(one)
    ]


def _publication(
    offered: Offered,
    agreement: Agreement,
    facts: NoticeFacts,
    version: str,
    language: str,
    words: list[str],
    *,
    own: bool,
    at: str,
    by: str,
) -> Publication:
    return Publication(
        at=at,
        agreement=agreement.id,
        agreement_hash=agreement.hash,
        version=version,
        language=language,
        url=offered.url,
        facts=facts,
        words_sha256=visible.words_hash(words),
        own_text=own,
        by=by,
        sha256=hashlib.sha256(offered.data).hexdigest(),
    )
