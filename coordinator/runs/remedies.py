"""Why a run goes on without partners or ends, in words, and the way out.

The one table of causes: what a refusal means, and one sentence that says what to do about it. A
failure's way out is that of the causes found; a code that has none of them has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from protocol.agreement.stop import WITHDRAWN


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a partner is missing.

    Attributes:
        words: What its code means, behind "refused with CODE"; empty where that says enough.
        way_out: What to do; ``{who}`` stands for the partners.
        for_good: Whether another run under this agreement would meet it again.
    """

    words: str
    way_out: str
    for_good: bool = False


#: The carrier's word for a node that is away; nobody refused anything.
NO_ANSWER: Final = "E-TRANSPORT"
#: What is kept of a partner whose messages cannot be taken.
NOT_TAKEN: Final = "E-MALFORMED"

_UPDATE: Final = Cause(
    "another version of fedseg is installed there",
    "have {who} install the version that the agreement names, or have that build signed where the "
    "agreement lets builds be added",
)
#: {who} is not named: every node that was there refuses, and none can mend it.
_PUT_BACK: Final = Cause(
    "this coordinator lacks what was signed there in an earlier run",
    "restore the coordinator's folder from its newest backup, which has to have the last run; or "
    "have every party sign a new version",
)

CAUSES: Final[Mapping[str, Cause]] = {
    NO_ANSWER: Cause("", "bring {who} back (fedseg-node status, check)"),
    NOT_TAKEN: Cause(
        "what came is no message that can be taken",
        "find out what answers in place of {who}: its messages are not those of its node",
    ),
    "E-TRAINING": Cause(
        "nobody there has the training that the agreement demands",
        "have {who} put it on record (fedseg-node staff train)",
    ),
    "E-AGR-OTHER": Cause(
        "another agreement is installed there",
        "have {who} install the published agreement (fedseg-node agreement install)",
    ),
    "E-AGR-EXPIRED": Cause(
        "the agreement is not valid now by that machine's clock",
        "set the clock of {who}, or sign a new version where the agreement's time is over",
    ),
    "E-AGR-REVIEW": Cause(
        "the agreement's day of review is over",
        "review the agreement and have every party sign a new version",
        for_good=True,
    ),
    "E-RUN-START": _PUT_BACK,
    "E-CHAIN-FORK": _PUT_BACK,
    "E-CODE": _UPDATE,
    "E-BUNDLE": _UPDATE,
    WITHDRAWN: Cause(
        "the agreement was stopped there",
        "ask {who} for the signed stop and take it: fedseg-coordinator agreement stop FILE, which "
        "ends every run; to go on, have the parties that stay sign a new version",
        for_good=True,
    ),
    "E-ROW-CAP": Cause(
        "more customers than agreed",
        "have every party sign a new version with a higher max_customers of {who}",
        for_good=True,
    ),
    "E-SOURCE": Cause(
        "its customers' data cannot be read",
        "have {who} put right what its fedseg-node check says of its data",
    ),
    "E-EGRESS-HELD": Cause(
        "nobody there has approved its answer yet: a higher grace_s leaves more time",
        "have {who} approve in time (fedseg-node egress approve), or raise grace_s",
    ),
    "E-EGRESS-REFUSED": Cause(
        "somebody there refused to let its answer out",
        "ask {who} why its answer may not leave",
    ),
    "E-EGRESS-EXPIRED": Cause(
        "nobody there approved its answer in time",
        "have {who} approve within its hold_hours (fedseg-node egress approve)",
    ),
    "E-BUDGET-SPENT": Cause(
        "its privacy budget holds no further run: agree on a version with more runs",
        "have every party sign a version with more runs (fedseg-node budget forecast at {who})",
        for_good=True,
    ),
    "E-BUDGET-CAP": Cause(
        "its own cap over all its agreements holds no further run",
        "ask {who} whether its cap is to be raised (fedseg-node budget cap there)",
        for_good=True,
    ),
    "E-BUDGET-RUN": Cause(
        "this run has asked again more often than spare_rounds allow",
        "see that all nodes stay connected for a whole run",
    ),
}

_BRING_BACK: Final = (
    "bring the missing partners back (fedseg-node status, check), then start a new run"
)
#: The way out of a failure that no missing partner caused.
REMEDIES: Final[Mapping[str, str]] = {
    "E-NO-PARTNERS": _BRING_BACK,
    "E-SET-QUORUM": _BRING_BACK,
    "E-SET-ISOLATES": _BRING_BACK,
    "E-SET-CHANGES": "sign a new agreement: this one allows no more set changes",
    "E-CHAIN-FULL": "sign a new agreement: this one's chain of participant sets is full",
    "E-TOTAL-RANGE": "some node's answer was wrong, and nobody can see whose (docs/adr/0022): have "
    "partners compare their logs and fedseg-node egress show, then start a new run; one --without "
    "a group of at least min_atom narrows it down",
}
#: Failures that partners who come back do not mend.
OF_ITSELF: Final = frozenset({"E-SET-CHANGES", "E-CHAIN-FULL", "E-TOTAL-RANGE"})

_DEFAULT: Final = "read server_app.log in the coordinator's folder, then start a new run"


def remedy_for(code: str) -> str:
    """The way out of a failure with `code`."""
    return REMEDIES.get(code, _DEFAULT)


def explained(code: str) -> str:
    """A refusal's code, with what it means where that is known."""
    words = CAUSES[code].words if code in CAUSES else ""
    return f"{code} ({words})" if words else code


def ways_out(who_by_code: Mapping[str, Iterable[str]]) -> str:
    """What to do about partners that are missing: a sentence for each cause.

    Args:
        who_by_code: Names of those that refused with each code; `NO_ANSWER` of those that are away.
    """
    said = []
    for code, who in sorted(who_by_code.items()):
        names = ", ".join(who)
        way_out = (
            CAUSES[code].way_out.format(who=names)
            if code in CAUSES
            else f"look up {code} in docs/errors.md and have {names} put that right (its node's "
            "log and fedseg-node check say more)"
        )
        if way_out not in said:  # two codes may have one cause
            said.append(way_out)
    for_good = any(code in CAUSES and CAUSES[code].for_good for code in who_by_code)
    return "; ".join(said) + ("" if for_good else "; then start a new run")
