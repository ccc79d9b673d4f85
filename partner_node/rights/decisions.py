"""What a partner puts on record of a request: values that it corrected, a refusal, a later day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from partner_node.register.requests import MOST_EXTENDED, Kind, due_date
from partner_node.rights.case import Case
from partner_node.rights.receipt import Receipt
from protocol.errors import RuleError, UsageError


def rectify(case: Case, features: Sequence[str], received: date | None) -> Receipt:
    """Put on record that values were corrected in the partner's own data; the receipt.

    Raises:
        UsageError: One is no agreed feature.
    """
    agreements = case.home.agreements_in_force()
    known = list(dict.fromkeys(feature.name for one in agreements for feature in one.features))
    for name in features:
        if name not in known:
            raise UsageError(
                f"{name!r} is no agreed feature", remedy=f"they are {', '.join(known)}"
            )
    effects = {"rectified": sorted(set(features)), "in_data": case.in_data()}
    return case.close_request("rectify", effects, received=received)


def refuse(case: Case, kind: Kind, reason: str, received: date | None) -> Receipt:
    """Refuse a request, and say where the customer may complain (GDPR 12(4))."""
    authority = case.home.config.rights.authority
    effects = {
        "refused": reason,
        "may_complain_to": authority or "a supervisory authority",
        "may_go_to_court": True,
    }
    with case.store.transaction():
        return case.answered(
            kind, case.pseudonym, effects, received=received, outcome=f"refused, {reason}"
        )


def extend(case: Case, kind: Kind, reason: str, *, months: int) -> Receipt:
    """Put the answer to the oldest open request of a kind off (GDPR 12(3)).

    Raises:
        RuleError: There is none, it was extended before, or its first month is over
            (E-EXTENSION).
    """
    request = case.register.open_request(kind, case.pseudonym)
    if request is None:
        problem = f"the customer has no open request of kind {kind!r}"
    elif request.extended_on is not None:
        problem = f"request {request.number} was extended on {request.extended_on} already"
    elif request.is_overdue(case.now.date()):
        problem = f"request {request.number} was due by {request.due}"
    else:
        due = due_date(request.received, months=1 + months)
        extended = replace(request, due=due)
        effects = {"extended": reason, "until": due.isoformat()}
        receipt = case.receipt(extended, effects, f"extended, {reason}")
        with case.store.transaction():
            case.register.extend(request.number, due, receipt.to_dict(), case.now)
        return receipt
    raise RuleError(
        problem,
        code="E-EXTENSION",
        remedy="a request may be extended once, within a month of its receipt, by "
        f"{MOST_EXTENDED} months at most; `fedseg-node rights list` shows all",
    )
