"""What partners of a run refused, and how that is told to whoever reads why it failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from coordinator.runs.links import Links
from coordinator.runs.remedies import remedy_for_refusals
from protocol.agreement.document import Agreement
from protocol.agreement.stop import WITHDRAWN
from protocol.errors import RunFailedError
from protocol.participants import Members
from protocol.privacy.words import counted

#: Codes of a node that may go away by themselves; the node is asked again.
PASSING: Final = ("E-SOURCE", "E-STORE", "E-INTERNAL", "E-TRANSPORT", "E-EGRESS-HELD")

#: What a refusal means to whoever reads why a run failed.
_WORDS: Final = {
    "E-AGR-OTHER": "another agreement is installed there",
    "E-AGR-EXPIRED": "the agreement is not valid now by that machine's clock",
    "E-CODE": "another version of fedseg is installed there",
    "E-BUNDLE": "another version of fedseg is installed there",
    "E-ROW-CAP": "more customers than agreed",
    "E-SOURCE": "its customers' data cannot be read",
    "E-EGRESS-HELD": "nobody there has approved its answer yet: a higher grace_s leaves more time",
    "E-EGRESS-REFUSED": "somebody there refused to let its answer out",
    "E-EGRESS-EXPIRED": "nobody there approved its answer in time",
    "E-BUDGET-SPENT": "its privacy budget holds no further run: agree on a version with more runs",
}
#: The refusal that nothing but another agreement changes, so that waiting helps nobody.
_SPENT: Final = "E-BUDGET-SPENT"
#: The failure of a run in which nobody takes part.
_NOBODY: Final = "E-NO-PARTNERS"
#: The carrier's word for a node that is away; nobody refused anything.
_NO_ANSWER: Final = "E-TRANSPORT"


class Refusals:
    """With which code each partner last refused, until it answers.

    Args:
        grace_s: Seconds that missing partners are waited for.

    Attributes:
        by_partner: The codes.
        unnamed: Those of nodes that have not said yet whose they are, by node.
    """

    def __init__(self, agreement: Agreement, links: Links, *, grace_s: float) -> None:
        self._parties = agreement.parties
        self._links = links
        self._grace_s = grace_s
        self.by_partner: dict[int, str] = {}
        self.unnamed: dict[int, str] = {}

    def note(self, node: int, code: str) -> None:
        """Keep that `node` refused.

        Raises:
            RunFailedError: For good, and for everybody: the agreement was stopped (E-WITHDRAWN).
        """
        partner = self._links.partner(node)
        if partner is None:
            self.unnamed[node] = code
            return
        if code == WITHDRAWN:
            raise RunFailedError(
                f"{self._parties[partner].id} answers nothing more: the agreement was stopped",
                code=WITHDRAWN,
                remedy="ask for the signed stop and take it: fedseg-coordinator agreement stop "
                "FILE; to go on, have the parties that stay sign a new version",
            )
        self.by_partner[partner] = code

    def forget(self, node: int, partner: int) -> None:
        """`node` has answered for `partner`."""
        self.by_partner.pop(partner, None)
        self.unnamed.pop(node, None)

    def for_good(self, partner: int) -> bool:
        """Whether `partner` refused, and would again."""
        code = self.by_partner.get(partner)
        return code is not None and not code.startswith(PASSING)

    def all_spent(self, nodes: Collection[int]) -> bool:
        """Whether every node in reach has refused to begin for lack of budget."""
        found = [self._code_of(node) for node in nodes]
        return bool(found) and all(code == _SPENT for code in found)

    def _code_of(self, node: int) -> str | None:
        partner = self._links.partner(node)
        return self.unnamed.get(node) if partner is None else self.by_partner.get(partner)

    def why(self, missing: Members) -> str:
        """Why partners are missing after the grace time."""
        said = []
        for partner in sorted(missing):
            name = self._parties[partner].id
            code = self.by_partner.get(partner, _NO_ANSWER)
            if code == _NO_ANSWER:
                said.append(f"{name} did not answer")
            else:
                said.append(f"{name} refused with {_explained(code)}")
        unnamed = Counter(self.unnamed.values())
        for code, count in sorted(unnamed.items()):
            said.append(f"{counted(count, 'node')} refused to join with {_explained(code)}")
        return f"within {self._grace_s:g} s " + ", ".join(said)

    def behind(self, failure: RunFailedError, missing: Members) -> RunFailedError:
        """The failure of a run that cannot go on without `missing`, with why they are missing."""
        codes = self._codes(missing)
        message, remedy = failure.message, failure.remedy
        if codes and failure.code == _NOBODY:
            message = f"no partner takes part: all refused, with {', '.join(codes)}"
        if codes and not remedy:
            remedy = remedy_for_refusals(codes)
        return RunFailedError(f"{self.why(missing)}; {message}", code=failure.code, remedy=remedy)

    def _codes(self, missing: Members) -> list[str]:
        """With which codes all that are missing refused; empty when some did not answer.

        A node that was never admitted may speak for any partner that has no node.
        """
        given = (self.by_partner.get(partner, _NO_ANSWER) for partner in missing)
        found = [code for code in (*given, *self.unnamed.values()) if code != _NO_ANSWER]
        return sorted({*found}) if len(found) >= len(missing) else []


def _explained(code: str) -> str:
    """A refusal's code, with what it means where that is known."""
    words = _WORDS.get(code, "")
    return f"{code} ({words})" if words else code
