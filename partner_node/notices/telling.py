"""Whether the published notices tell customers of what an agreement has a node do (E-NOTICE)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from partner_node.notices.facts import NoticeFacts
from partner_node.notices.published import Publication, newest
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.errors import RuleError


def refuse_untold(
    agreement: Agreement,
    party: Party,
    published: Iterable[Publication],
    counted: Sequence[str],
) -> None:
    """Refuse to answer under an agreement of which the published notices do not tell.

    Where nothing was published for the agreement nothing is refused here: the versions of the
    configuration hold then, on trust.

    Args:
        published: Every notice published for the agreement, of whatever version.
        counted: The versions under which consents count, as the configuration lists them.

    Raises:
        RuleError: The agreed version was not published, or it or another one under which consents
            count does not tell of the agreement (E-NOTICE).
    """
    current = newest(published)
    if not current:
        return
    agreed = agreement.purpose.notice_version
    if not any(one.version == agreed for one in current):
        there = ", ".join(one.name for one in current)
        raise RuleError(
            f"the agreed notice has version {agreed!r}, which was not published here for agreement "
            f"{agreement.id}; published: {there}",
            code="E-NOTICE",
            remedy="render it, put it on your site, then publish it: `fedseg-node notice render`, "
            "`fedseg-node notice publish`",
        )
    facts = NoticeFacts.of(agreement, party)
    for one in current:
        untold = facts.untold_by(one.facts) if one.version in (agreed, *counted) else []
        if not untold:
            continue
        if one.version == agreed:
            remedy = (
                "have the next version of the agreement name a new notice_version, and publish a "
                "notice that tells of all this under it: `fedseg-node notice render`"
            )
        else:
            remedy = (
                f"take {one.version!r} out of [consent] notices: consents under a notice that did "
                "not tell of all this do not count"
            )
        raise RuleError(
            f"the published {one.name} does not tell of all that agreement {agreement.id}, version "
            f"{agreement.version}, has this node do; it lacks {'; '.join(untold)}",
            code="E-NOTICE",
            remedy=remedy,
        )


def standing_words(agreement: Agreement, published: Iterable[Publication]) -> str:
    """How the agreed notice stands, for people."""
    agreed = agreement.purpose.notice_version
    told = [one for one in newest(published) if one.version == agreed]
    if not told:
        return (
            f"notice {agreed} is taken on trust, as [consent] notices lists it: none was published "
            "here (fedseg-node notice publish)"
        )
    each = "; ".join(
        f"{one.language}, {'own text' if one.own_text else 'rendered'}, SHA-256 {one.sha256[:16]}"
        for one in told
    )
    return f"notice {agreed} is the one published here ({each})"
