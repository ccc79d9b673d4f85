"""What each page of a node's console shows: the values and words that commands print.

No page reads customers when it is opened; the checks do, when somebody asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from machine.accounts.accounts import Accounts
from machine.accounts.commands import acts_table
from machine.accounts.roles import Permission, may
from machine.duties.shown import duties_shown
from machine.shown import Shown
from machine.web.parts import html_parts
from machine.web.site import Asked, Waits
from partner_node.budget import budget_values
from partner_node.console.exporting import ExportPages
from partner_node.console.proposals import ProposalPages
from partner_node.duties.all import duties_of
from partner_node.egress.deciding import decide
from partner_node.egress.records import WAITING, Manifests
from partner_node.egress.words import manifest_words
from partner_node.home import NodeHome
from partner_node.segments.known_releases import KnownRelease, known_releases
from partner_node.shown.agreement import agreement_shown
from partner_node.shown.budget import budget_shown, spending_shown
from partner_node.shown.egress import egress_shown, held_shown, message_shown
from partner_node.shown.files import files_shown
from partner_node.shown.requests import requests_shown
from partner_node.shown.segments import cards_shown, own_reach, segments_shown
from partner_node.shown.status import status_shown
from partner_node.store.ledger import Ledger
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.errors import RuleError, UsageError

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
#: Tables of pages fold in the browser.
_ONE_TABLE: Final = 100_000


class Pages:
    """The pages of one node's folder.

    Args:
        home: Its agreements are read anew for each page, its configuration is not.
    """

    def __init__(self, home: NodeHome, accounts: Accounts) -> None:
        self._home = home
        self._accounts = accounts
        self._store = home.store(home.keystore())
        self.proposals = ProposalPages(home, self._store)
        self.exports = ExportPages(home, self._store, self._newest)

    def health(self, asked: Asked) -> Shown:
        """As `status`."""
        return status_shown(self._home, self._store, asked.now)

    def duties(self, asked: Asked) -> Shown:
        """As `compliance status`."""
        return duties_shown(duties_of(self._home, self._store, asked.now))

    def may_check(self, asked: Asked) -> Mapping[str, Any]:
        """Whether the page has the button for the checks."""
        return {"may_check": may(asked.account.role, Permission.RUN_CHECKS)}

    def check(self, asked: Asked) -> Shown:
        """As `check`: reads customers."""
        from partner_node.preflight import preflight  # DuckDB takes long to import
        from partner_node.shown.checks import checks_shown

        return checks_shown(preflight(self._home.directory, now=asked.now))

    def approvals(self, asked: Asked) -> Shown:
        """The messages that were held for approval."""
        return held_shown(self._store, asked.now)

    def waiting(self, asked: Asked) -> Mapping[str, Any]:
        """Each message that waits, in plain words, and whether this person may decide."""
        at = stamp(asked.now)
        return {
            "may_decide": may(asked.account.role, Permission.DECIDE_EGRESS),
            "waiting": [
                (written.number, html_parts(manifest_words(written, at)[:1]))
                for written in Manifests(self._store).held()
                if written.state(at) == WAITING
            ],
        }

    def deciding(self, word: str) -> Callable[[Asked], str | Waits]:
        """What approves or refuses a message, as `egress approve` and `egress refuse`."""

        def act(asked: Asked) -> str | Waits:
            text = asked.form.get("number", "")
            if not _NUMBER.fullmatch(text):
                raise UsageError(
                    "the form names no message", code="E-FORM", remedy="open the page again"
                )
            who, people = asked.account.name, self._home.people()
            written = decide(self._store, int(text), word, now=asked.now, by=who, people=people)
            path = f"/egress/{int(text)}"
            return Waits(shows=path) if written.first_by else path

        return act

    def egress(self, asked: Asked) -> Shown:
        """As `egress list`."""
        return egress_shown(self._store, asked.now)

    def messages(self, _: Asked) -> Mapping[str, Any]:
        """The numbers of messages with a manifest, newest first."""
        found = {record.manifest for record in self._store.egress()} - {None}
        return {"numbers": sorted((n for n in found if n is not None), reverse=True)}

    def message(self, asked: Asked) -> Shown:
        """As `egress show`."""
        return message_shown(self._store, int(asked.path["number"]), asked.now)

    def agreements(self, _: Asked) -> Shown:
        """The agreements in force here."""
        found = self._in_force()
        return Shown(
            values={"agreements": [one.named() for one in found]},
            parts=[] if found else ["No agreement is in force here."],
        )

    def agreement_ids(self, _: Asked) -> Mapping[str, Any]:
        """The agreements in force, to lead to each."""
        return {"agreements": self._in_force()}

    def agreement(self, asked: Asked) -> Shown:
        """As `agreement show` of one in force."""
        home = self._home.chosen(asked.path["id"])
        path = home.config.node.agreement
        return agreement_shown(
            home.signed_agreement(), path, (home, self._store), asked.now, ask=False
        )

    def spending(self, _: Asked) -> Shown:
        """As `budget cap`."""
        return spending_shown(self._store)

    def gauges(self, _: Asked) -> Mapping[str, Any]:
        """What is spent of the budget of each agreement with noise."""
        ledger = Ledger(self._store)
        return {
            "gauges": [
                budget_values(one, ledger.charges(one.id), {})
                for one in self._in_force()
                if one.privacy is not None
            ]
        }

    def budget(self, asked: Asked) -> Shown:
        """As `budget show`."""
        home = self._home.chosen(asked.path["id"])
        return budget_shown(home.signed_agreement().agreement, self._store)

    def count_consent(self, asked: Asked) -> Shown:
        """As `consent status`: reads tables of consents, and customers."""
        from partner_node.shown.consent import consent_shown  # DuckDB takes long to import

        return consent_shown(self._home.chosen(asked.form.get("id", "")), asked.now)

    def requests(self, asked: Asked) -> Shown:
        """As `rights list`."""
        return requests_shown(self._store, asked.now.date())

    def files(self, _: Asked) -> Shown:
        """As `retention list`."""
        return files_shown(self._store)

    def segments(self, _: Asked) -> Shown:
        """As `segments list`, of the newest release of each agreement in force."""
        shown = [segments_shown(one, width=_ONE_TABLE) for one in self._newest().values()]
        return Shown(
            values={"releases": [one.values for one in shown]},
            parts=[part for one in shown for part in one.parts]
            or ["This node has received no release yet."],
        )

    def reachable(self, asked: Asked) -> Mapping[str, Any]:
        """The agreements with segments, for whoever may count own customers in them."""
        if not may(asked.account.role, Permission.COUNT_REACH):
            return {"reachable": []}
        newest = self._newest()
        return {"reachable": [name for name, one in newest.items() if one.release.segments]}

    def reach(self, asked: Asked) -> Shown:
        """As `segments show`, of the newest release under an agreement: reads customers."""
        home = self._home.chosen(asked.form.get("id", ""))
        known = known_releases(home)[0]
        known.need_segments()
        return cards_shown(known, own_reach(home, known, asked.now))

    def _newest(self) -> dict[str, KnownRelease]:
        """The newest release of each agreement in force, by the agreement's id."""
        found = {}
        for home in self._home.in_force():
            try:
                found[home.signed_agreement().agreement.id] = known_releases(home)[0]
            except RuleError as error:
                if error.code != "E-NO-RELEASE":
                    raise
        return found

    def log(self, _: Asked) -> Shown:
        """As `user log`."""
        acts = self._accounts.acts.all()
        return Shown(values={"acts": [act.to_dict() for act in acts]}, parts=[acts_table(acts)])

    def _in_force(self) -> list[Agreement]:
        return self._home.agreements_in_force()
