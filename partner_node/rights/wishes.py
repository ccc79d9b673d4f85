"""What customers wish to last: being left out or erased, taking that back, and whose wish it is."""

from __future__ import annotations

from datetime import date
from typing import get_args

from partner_node.register.requests import Wish
from partner_node.rights.case import Case
from partner_node.rights.left_out import Corrected, Erased, LeftOut, TakenBack
from partner_node.rights.receipt import Receipt
from partner_node.store.times import stamp
from protocol.errors import RuleError


def leave_out(case: Case, wish: Wish) -> LeftOut:
    """Have the customer not be counted from the next question on, and out of files.

    The wish is stored first, so that a node that is killed in between counts nobody who
    objected; calling it again finishes what is left.
    """
    before = case.register.wishes(case.pseudonym)
    with case.store.transaction():
        case.register.leave_out(wish, case.pseudonym, case.subject, case.now)
        if wish == "erasure":
            case.store.ask("DELETE FROM feedback WHERE pseudonym = ?", case.pseudonym)
    files = case.take_out_of_files({case.subject})
    running = [run.run_id.hex() for run in case.store.runs() if run.phase == "running"]
    in_data = case.in_data()
    alike = () if in_data is not False else case.customers_alike()
    return LeftOut(
        in_data=in_data,
        alike=alike,
        not_counted_from=before.get(wish, stamp(case.now)),
        runs_under_way=tuple(running),
        files=files,
    )


def erase(case: Case) -> Erased:
    """Have the customer not be counted any more, and say what stays of it."""
    return Erased(left_out=leave_out(case, "erasure"), in_releases=case.remainders())


def take_back(case: Case, received: date | None) -> tuple[TakenBack, Receipt]:
    """Have the customer be counted again as far as its own wishes go, with the receipt.

    Raises:
        RuleError: It has no wish on record (E-NO-WISH).
    """
    wishes = _wishes_of(case, case.subject)
    with case.store.transaction():
        case.register.take_back(case.subject)
        receipt = case.answered(
            "take-back", case.pseudonym, {"taken_back": wishes}, received=received
        )
    gate = case.home.gate(case.agreement, case.party, case.store)
    reason, _ = gate.explain(case.subject, case.now)
    still = None if reason is None else reason.words
    return TakenBack(wishes=wishes, still_kept_out_by=still), receipt


def correct(case: Case, mistyped: str, received: date | None) -> tuple[Corrected, Receipt]:
    """Have the wishes of an id that was mistyped be this customer's, with the receipt.

    This customer is left out first: killed in between, both are left out, and calling it again
    finishes what is left.

    Raises:
        RuleError: The other id has no wish on record (E-NO-WISH).
    """
    wishes = _wishes_of(case, mistyped)
    (*_, left_out) = [leave_out(case, wish) for wish in get_args(Wish) if wish in wishes]
    done = Corrected(instead_of=case.pseudonyms.of(mistyped), wishes=wishes, left_out=left_out)
    with case.store.transaction():
        case.register.take_back(mistyped)
        receipt = case.answered("correct", case.pseudonym, done.to_dict(), received=received)
    return done, receipt


def _wishes_of(case: Case, subject: str) -> dict[str, str]:
    wishes = case.register.wishes_of(subject)
    if not wishes:
        raise RuleError(
            f"customer {subject!r} has no objection, opt-out, restriction or erasure on record "
            "here",
            code="E-NO-WISH",
            remedy="ids are compared letter by letter; `fedseg-node consent explain` shows "
            "what each table holds, and an objection in a table of your own is taken back "
            "there",
        )
    return wishes
