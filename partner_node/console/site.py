"""The console of a node: which pages there are, who may see them, and what people do there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Permission
from machine.web.site import Act, Asked, Page, Site
from partner_node.console.pages import Pages
from partner_node.egress.deciding import DECISIONS
from partner_node.home import NodeHome

if TYPE_CHECKING:
    from machine.web.oidc.sign_in import SignInByProvider

_TEMPLATES: Final = Path(__file__).parent / "templates"
_RENEWED_S: Final = 10


def node_site(
    home: NodeHome,
    *,
    hosts: frozenset[str],
    accounts: Accounts | None = None,
    oidc: SignInByProvider | None = None,
) -> Site:
    """The console of one node's folder; keys and state are opened once.

    Args:
        oidc: Signing in by an identity provider; None where there is none.

    Raises:
        FedsegError: Keys, state or accounts cannot be opened.
    """
    accounts = home.accounts() if accounts is None else accounts
    pages = Pages(home, accounts)
    return Site(
        name=f"Node {home.config.node.partner}",
        short="node",
        first="fedseg-node user add NAME --role ROLE",
        accounts=accounts,
        pages=_pages(pages),
        acts=_acts(pages),
        hosts=hosts,
        secure=home.config.console.secure,
        clock=lambda: datetime.now(UTC),
        templates=_TEMPLATES,
        oidc=oidc,
    )


def _pages(pages: Pages) -> tuple[Page, ...]:
    return (
        Page(
            path="/health", title="Health", permission=Permission.READ_HEALTH, show=pages.health,
            template="health.html", extra=pages.may_check, renewed_s=_RENEWED_S,
        ),
        Page(
            path="/approvals", title="Approvals", permission=Permission.READ_EGRESS,
            show=pages.approvals, template="approvals.html", extra=pages.waiting,
            renewed_s=_RENEWED_S,
        ),
        Page(
            path="/egress", title="What left", permission=Permission.READ_EGRESS,
            show=pages.egress, template="egress.html", extra=pages.messages,
        ),
        Page(
            path="/egress/{number:int}", title="One message", permission=Permission.READ_EGRESS,
            show=pages.message, in_menu=False,
        ),
        Page(
            path="/agreements", title="Agreements", permission=Permission.READ_AGREEMENTS,
            show=pages.agreements, template="agreements.html", extra=pages.agreement_ids,
        ),
        Page(
            path="/agreements/{id}", title="One agreement", permission=Permission.READ_AGREEMENTS,
            show=pages.agreement, in_menu=False,
        ),
        Page(
            path="/proposals", title="Proposals", permission=Permission.READ_AGREEMENTS,
            show=pages.proposals.proposals, template="proposals.html",
        ),
        Page(
            path="/proposals/{hash}", title="A proposed agreement",
            permission=Permission.READ_AGREEMENTS, show=pages.proposals.proposal,
            template="proposal.html", extra=pages.proposals.answering, in_menu=False,
        ),
        Page(
            path="/budget", title="Budget", permission=Permission.READ_BUDGET, show=pages.spending,
            template="budget.html", extra=pages.gauges,
        ),
        Page(
            path="/budget/{id}", title="Budget of one agreement",
            permission=Permission.READ_BUDGET, show=pages.budget, in_menu=False,
        ),
        Page(
            path="/consent", title="Consent", permission=Permission.COUNT_CONSENT,
            show=pages.agreements, template="consent.html", extra=pages.agreement_ids,
        ),
        Page(
            path="/requests", title="Requests", permission=Permission.READ_REQUESTS,
            show=pages.requests,
        ),
        Page(
            path="/segments", title="Segments", permission=Permission.READ_SEGMENTS,
            show=pages.segments, template="segments.html", extra=pages.reachable,
        ),
        Page(
            path="/exports", title="Exports", permission=Permission.CONFIRM_EXPORTS,
            show=pages.exports.waiting, template="exports.html", extra=pages.exports.forms,
        ),
        Page(
            path="/files", title="Files of segments", permission=Permission.READ_FILES,
            show=pages.files,
        ),
        Page(
            path="/duties", title="Duties", permission=Permission.READ_LOG, show=pages.duties,
            renewed_s=_RENEWED_S,
        ),
        Page(path="/log", title="Log", permission=Permission.READ_LOG, show=pages.log),
    )  # fmt: skip


def _acts(pages: Pages) -> tuple[Act, ...]:
    return (
        Act(
            path="/checks", title="Checks", name="check", permission=Permission.RUN_CHECKS,
            about=lambda _: "", do=pages.check,
        ),
        Act(
            path="/consent/count", title="Who may be counted", name="count consent",
            permission=Permission.COUNT_CONSENT, about=_agreement, do=pages.count_consent,
        ),
        Act(
            path="/segments/reach", title="Cards with own customers", name="count reach",
            permission=Permission.COUNT_REACH, about=_agreement, do=pages.reach,
        ),
        Act(
            path="/proposals/sign", title="Sign", name="agreement sign",
            permission=Permission.SIGN_AGREEMENTS, about=_hash, do=pages.proposals.sign,
        ),
        Act(
            path="/proposals/decline", title="Decline", name="agreement decline",
            permission=Permission.SIGN_AGREEMENTS, about=_hash, do=pages.proposals.decline,
        ),
        Act(
            path="/exports/write", title="Exports", name="export segments",
            permission=Permission.EXPORT_SEGMENTS, about=_wished, do=pages.exports.write,
        ),
        Act(
            path="/exports/agree", title="Exports", name="export segments",
            permission=Permission.CONFIRM_EXPORTS, about=_wished, do=pages.exports.agree,
        ),
        Act(
            path="/exports/refuse", title="Exports", name="export refuse",
            permission=Permission.CONFIRM_EXPORTS,
            about=lambda asked: asked.form.get("file", "")[:20], do=pages.exports.refuse,
        ),
        *(
            Act(
                path=f"/approvals/{word}", title="Approvals", name=f"egress {word}",
                permission=Permission.DECIDE_EGRESS, about=_number, do=pages.deciding(word),
            )
            for word in DECISIONS
        ),
    )  # fmt: skip


def _number(asked: Asked) -> str:
    return asked.form.get("number", "")[:20]


def _hash(asked: Asked) -> str:
    return asked.form.get("hash", "")[:16]


def _wished(asked: Asked) -> str:
    if "wish" in asked.form:
        return asked.form["wish"][:200]
    return " ".join(asked.form.get(name, "")[:100] for name in ("id", "use", "segment")).strip()


def _agreement(asked: Asked) -> str:
    return asked.form.get("id", "")[:100]
