"""What customers wish to last: being left out or erased, taking that back, and whose wish it is."""

from __future__ import annotations

from collections.abc import Collection, Set
from datetime import date
from typing import get_args

from partner_node.receipts.counted_sets import CountedSets
from partner_node.register.pseudonyms import Pseudonyms
from partner_node.register.requests import Request, Wish
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
            for pseudonyms in Pseudonyms.of_every(case.home.keys_folder, case.keystore):
                said_by = pseudonyms.of(case.subject)
                case.store.ask("DELETE FROM feedback WHERE pseudonym = ?", said_by)
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
    return Erased(
        left_out=leave_out(case, "erasure"),
        in_releases=case.remainders(),
        in_sets=CountedSets(case.store).any_kept,
    )


def take_back(case: Case, received: date | None) -> tuple[TakenBack, Receipt]:
    """Have the customer be counted again as far as its own wishes go, with the receipt.

    Requests for what is taken back that are open still are settled by it.

    Raises:
        RuleError: It has no wish on record, and no open request for one (E-NO-WISH).
    """
    wishes = case.register.wishes_of(case.subject)
    # Without a wish in effect, what is taken back are requests for one, whatever they ask for.
    asked = _open_requests(case, wishes or get_args(Wish), {case.subject}, received)
    if not asked:
        _need_wishes(case, case.subject)
    settles = tuple(request.number for request in asked)
    with case.store.transaction():
        case.register.take_back(case.subject)
        receipt = case.answered(
            "take-back",
            case.pseudonym,
            {"taken_back": wishes, "settles": list(settles)},
            received=received,
        )
        case.settle(asked, by=receipt)
    gate = case.home.gate(case.agreement, case.party, case.store)
    reason, _ = gate.explain(case.subject, case.now)
    still = None if reason is None else reason.words
    return TakenBack(wishes=wishes, settles=settles, still_kept_out_by=still), receipt


def correct(case: Case, mistyped: str, received: date | None) -> tuple[Corrected, Receipt]:
    """Have the wishes of an id that was mistyped be this customer's, with the receipt.

    Requests for them, of either id, that are open still are settled by it.

    This customer is left out first: killed in between, both are left out, and calling it again
    finishes what is left.

    Raises:
        RuleError: The other id has no wish on record (E-NO-WISH).
    """
    wishes = _need_wishes(case, mistyped)
    (*_, left_out) = [leave_out(case, wish) for wish in get_args(Wish) if wish in wishes]
    asked = _open_requests(case, wishes, {case.subject, mistyped}, received)
    done = Corrected(
        instead_of=case.pseudonyms.of(mistyped),
        wishes=wishes,
        settles=tuple(request.number for request in asked),
        left_out=left_out,
    )
    with case.store.transaction():
        case.register.take_back(mistyped)
        receipt = case.answered("correct", case.pseudonym, done.to_dict(), received=received)
        case.settle(asked, by=receipt)
    return done, receipt


def _open_requests(
    case: Case, wishes: Collection[Wish], subjects: Set[str], received: date | None
) -> list[Request]:
    """Open requests of some customers for wishes, made by the day `received` or today."""
    whose = {case.pseudonyms.of(subject) for subject in subjects}
    whose = whose.union(*map(case.register.pseudonyms_of, subjects))
    return case.register.open_for(wishes, whose, received or case.now.date())


def _need_wishes(case: Case, subject: str) -> dict[Wish, str]:
    """A customer's wishes; raises RuleError (E-NO-WISH) where none is on record."""
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
