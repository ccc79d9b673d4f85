"""What partners of a run refused, and how that is told to whoever reads why it failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from coordinator.runs.links import Links
from coordinator.runs.remedies import NO_ANSWER, NOT_TAKEN, OF_ITSELF, explained, ways_out
from protocol.agreement.document import Agreement
from protocol.agreement.stop import WITHDRAWN
from protocol.errors import RunFailedError
from protocol.participants import Members
from protocol.privacy.words import counted

#: Codes that may go away by themselves, the carrier's own among them; the node is asked again.
PASSING: Final = ("E-SOURCE", "E-STORE", "E-INTERNAL", "E-TRANSPORT", "E-EGRESS-HELD")

#: Refusals for lack of budget, which only people change, so that waiting helps nobody.
_SPENT: Final = ("E-BUDGET-SPENT", "E-BUDGET-CAP")
#: The failure of a run in which nobody takes part.
_NOBODY: Final = "E-NO-PARTNERS"


class Refusals:
    """With which code each partner last refused, until it answers.

    Args:
        grace_s: Seconds that missing partners are waited for.

    Attributes:
        by_partner: The codes.
        unnamed: Those of nodes that have not said yet whose they are, by node.
        not_taken: Why what a partner sent was not taken.
    """

    def __init__(self, agreement: Agreement, links: Links, *, grace_s: float) -> None:
        self._parties = agreement.parties
        self._links = links
        self._grace_s = grace_s
        self.by_partner: dict[int, str] = {}
        self.unnamed: dict[int, str] = {}
        self.not_taken: dict[int, str] = {}

    def note_not_taken(self, node: int, code: str) -> None:
        """Keep that what `node` sent was no message that could be taken."""
        partner = self._links.partner(node)
        if partner is not None:
            self.not_taken[partner] = code

    def note(self, node: int, code: str) -> None:
        """Keep that `node` refused.

        That a partner stopped the agreement is its own refusal like any other: what ends the runs
        of all is the stop that it signed, wherever that comes from.
        """
        partner = self._links.partner(node)
        if partner is None:
            self.unnamed[node] = code
            return
        self.by_partner[partner] = code

    def forget_code(self, node: int) -> None:
        """`node` is away: what it refused last is not why it is missing now."""
        self.unnamed.pop(node, None)
        partner = self._links.partner(node)
        if partner is not None:
            self.by_partner.pop(partner, None)

    def forget(self, node: int, partner: int) -> None:
        """`node` has answered for `partner`."""
        self.by_partner.pop(partner, None)
        self.not_taken.pop(partner, None)
        self.unnamed.pop(node, None)

    def for_good(self, partner: int) -> bool:
        """Whether `partner` refused, and would again."""
        code = self.by_partner.get(partner)
        return code is not None and not code.startswith(PASSING)

    def all_spent(self, nodes: Collection[int]) -> bool:
        """Whether every node in reach has refused to begin for lack of budget."""
        found = [self._code_of(node) for node in nodes]
        return bool(found) and all(code in _SPENT for code in found)

    def _code_of(self, node: int) -> str | None:
        partner = self._links.partner(node)
        return self.unnamed.get(node) if partner is None else self.by_partner.get(partner)

    def why(self, missing: Members) -> str:
        """Why partners are missing after the grace time."""
        said = []
        for partner in sorted(missing):
            name, code = self._parties[partner].id, self._cause(partner)
            if partner in self.not_taken and code == NOT_TAKEN:
                said.append(f"{name} sent what cannot be taken ({self.not_taken[partner]})")
            elif code == NO_ANSWER:
                said.append(f"{name} did not answer")
            else:
                said.append(f"{name} refused with {explained(code)}")
        unnamed = Counter(self.unnamed.values())
        for code, count in sorted(unnamed.items()):
            said.append(f"{counted(count, 'node')} refused to join with {explained(code)}")
        return f"within {self._grace_s:g} s " + ", ".join(said)

    def way_out(self, missing: Members) -> str:
        """What to do about partners that are missing."""
        who: dict[str, list[str]] = {}
        away = []
        for partner in sorted(missing):
            code, name = self._cause(partner), self._parties[partner].id
            if code == NO_ANSWER:
                away.append(name)
            else:
                who.setdefault(code, []).append(name)
        for code, count in sorted(Counter(self.unnamed.values()).items()):
            who.setdefault(code, []).append(f"the partner of {counted(count, 'node')}")
        # A node that was never admitted may speak for any partner that has no node.
        if len(away) > len(self.unnamed):
            who[NO_ANSWER] = away
        return ways_out(who)

    def _cause(self, partner: int) -> str:
        """The code of why a partner is missing."""
        code = self.by_partner.get(partner, NO_ANSWER)
        return NOT_TAKEN if code == NO_ANSWER and partner in self.not_taken else code

    def behind(self, failure: RunFailedError, missing: Members) -> RunFailedError:
        """The failure of a run that cannot go on without `missing`, with why they are missing."""
        codes = self._codes(missing)
        message, remedy = failure.message, failure.remedy
        failed = failure.code
        if codes == [WITHDRAWN] and failed == _NOBODY:
            failed, message = WITHDRAWN, "no partner takes part: the agreement was stopped"
        elif codes and failed == _NOBODY:
            message = f"no partner takes part: all refused, with {', '.join(codes)}"
        if not remedy and failure.code not in OF_ITSELF:
            remedy = self.way_out(missing)
        return RunFailedError(f"{self.why(missing)}; {message}", code=failed, remedy=remedy)

    def _codes(self, missing: Members) -> list[str]:
        """With which codes all that are missing refused; empty when some did not answer.

        A node that was never admitted may speak for any partner that has no node.
        """
        given = (self._cause(partner) for partner in missing)
        found = [code for code in (*given, *self.unnamed.values()) if code != NO_ANSWER]
        return sorted({*found}) if len(found) >= len(missing) else []
