"""A receipt in words that the customer may read, and how each answer of it is told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from machine.text import how_many, shown
from partner_node.rights import letter_form
from partner_node.rights.case import Case
from partner_node.rights.counted import Given, RunTold
from partner_node.rights.letter_form import Section
from protocol.messages import round_number
from protocol.receipts.document import COUNTED, NOT_COUNTED, NOT_RECORDED, Told

#: Of each state: how it is told of some rounds.
STATES: Final = {
    COUNTED: "counted",
    NOT_COUNTED: "not counted",
    NOT_RECORDED: "not recorded",
}


def as_text(case: Case, given: Given) -> str:
    """The letter as plain text."""
    return letter_form.as_text(_title(case), _sections(case, given))


def as_html(case: Case, given: Given) -> str:
    """The letter as one page that loads nothing and has no script."""
    return letter_form.as_html(_title(case), _sections(case, given))


def rounds_words(told: tuple[Told, ...]) -> list[str]:
    """What is told of a run's answers, rounds of one state together.

    >>> rounds_words(())
    []
    """
    return [
        f"{_rounds([one.round for one in some])}: {STATES[state]}, by what was written down "
        f"{_when(some)}" + ("" if left else ", in an answer that was held and never left")
        for (state, left), some in _alike(told)
    ]


def seen_words(given: Given) -> list[str]:
    """Who else saw what a receipt shows, and what is too new for that; nothing for nobody."""
    if not given.cosigned:
        return []
    later = how_many(given.later, "answer")
    return [
        f"{' and '.join(given.cosigned)} cosigned a seal of the log in which all of this is.",
        *([f"{later} written down since then: not in it."] if given.later else []),
    ]


def _alike(told: tuple[Told, ...]) -> Iterator[tuple[tuple[str, bool], list[Told]]]:
    for of, some in groupby(told, key=lambda one: (one.state, one.left)):
        yield of, list(some)


def _rounds(indexes: list[int]) -> str:
    first, last = round_number(indexes[0]), round_number(indexes[-1])
    return f"round {first}" if first == last else f"rounds {first} to {last}"


def _when(some: list[Told]) -> str:
    first, last = (one.at[:16].replace("T", " ") for one in (some[0], some[-1]))
    return f"at {first} UTC" if first == last else f"from {first} to {last} UTC"


def _title(case: Case) -> str:
    return f"In which questions {case.party.legal_name} counted customer {shown(case.subject)}"


def _sections(case: Case, given: Given) -> Iterator[Section]:
    agreement, party = case.agreement, case.party
    yield Section(
        title="What was asked",
        paragraphs=(
            f"{agreement.purpose.text} For this, questions are asked of {party.legal_name} in "
            "runs of several rounds. Each answer is a sum over all customers who may be counted "
            "at that moment; no row about a single customer leaves the machine that made this "
            "letter.",
        ),
    )
    for one in given.runs:
        yield _run(one)
    yield Section(
        title="What it means",
        paragraphs=(
            "Counted: when the answer was made, your data were read for it as those of a customer "
            "who may be counted. Not counted: they were not, because you objected or withdrew your "
            "consent, or had not given it, or for another reason that keeps customers out.",
        ),
    )
    yield Section(
        title="How it is proved",
        paragraphs=(
            "When an answer was made, and before it left, this machine wrote a short mark of the "
            "whole set of customers into a log that cannot be changed unnoticed. The receipt, a "
            "file in JSON that belongs to this letter, shows your place in each set, and nothing "
            "about anybody else. Whoever helps you checks it without asking us: fedseg-node rights "
            "check-receipt FILE --key KEY. The key of the log is",
            str(given.key),
            "Its last part is the public key of the agreement between the partners; take it from "
            "one of the others, or from the authority, if you do not trust us.",
            *seen_words(given),
        ),
    )
    yield Section(
        title="What it does not prove",
        paragraphs=("The receipt shows what this machine wrote down at the time.",),
        items=(
            "It could have written down another set than it counted. An auditor, or the authority, "
            "can compare the sets with this machine's other records.",
            "It could show you the place of somebody else. Ask twice: two receipts that do not go "
            "together show that, and so does the key that an auditor may be shown.",
        ),
    )
    yield Section(
        title="Whom to ask",
        paragraphs=(f"{party.legal_name}, {party.contact}; its data protection officer: "
                    f"{party.dpo}.",),
    )  # fmt: skip


def _run(one: RunTold) -> Section:
    lost = (
        "What the sets of this run are made of is not kept any more, so nothing is proved of it.",
    )
    return Section(
        title=f"Run {one.run.hex()[:8]}, begun on {one.started_at[:10]}",
        paragraphs=lost if one.lost else (),
        items=tuple(f"In {words}." for words in rounds_words(one.told)),
    )
