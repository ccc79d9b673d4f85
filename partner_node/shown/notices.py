"""Published notices for people."""

from __future__ import annotations

from machine.shown import Shown
from machine.tables import filled_table
from machine.text import minute, shown
from partner_node.notices.published import Publication, Publications
from partner_node.notices.verifying import Comparison
from partner_node.store.node_store import NodeStore


def notices_shown(store: NodeStore) -> Shown:
    """All of them, oldest first."""
    found = Publications(store).all()
    rows = [
        (
            str(one.number),
            minute(one.at),
            one.agreement,
            f"{one.version} ({one.language})",
            "own" if one.own_text else "rendered",
            shown(one.url) or "–",
        )
        for one in found
    ]
    headers = ("no.", "time", "agreement", "notice", "text", "where")
    table = filled_table("Published notices", headers, rows, whole=headers[:-1])
    return Shown(
        values={"notices": [one.to_dict() for one in found]},
        parts=[table if found else "No notice was published here: fedseg-node notice publish."],
    )


def notice_words(found: Publication) -> list[str]:
    """One of them, in sentences."""
    facts = found.facts
    how = "Written by people, who confirmed what it tells" if found.own_text else "Rendered"
    return [
        f"Notice {found.version} ({found.language}) for agreement {found.agreement}, published "
        f"{minute(found.at)} by {shown(found.by)}"
        + (f", at {shown(found.url)}." if found.url else "."),
        f"{how}; SHA-256 {found.sha256}.",
        f"Purpose: {facts.purpose}. {shown(facts.purpose_text)}",
        f"Features: {', '.join(facts.features)}. Uses: {', '.join(facts.uses)}.",
        f"Recipients: {', '.join(map(shown, facts.recipients))}.",
        f"Kept: files of segments {facts.assignments_days} days, records {facts.records_days} "
        f"days. Totals: {facts.totals}.",
        f"Contact: {shown(facts.contact)}; {shown(facts.officer)}.",
    ]


def comparison_shown(found: Comparison) -> Shown:
    """Whether a page shows what was published."""
    one = found.published
    words = (
        f"The page shows {one.name} as published on {minute(one.at)}"
        + (", byte by byte." if found.same_bytes else ", word by word.")
        if found.same_words
        else f"The page does not show {one.name} as published on {minute(one.at)}:"
    )
    return Shown(
        values={
            "notice": one.to_dict(),
            "same_bytes": found.same_bytes,
            "same_words": found.same_words,
            "differences": [each.to_dict() for each in found.differences],
        },
        parts=[words, *(shown(each.words) for each in found.differences)],
        refused=not found.same_words,
    )
