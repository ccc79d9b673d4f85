"""Commands about customers' feedback on their segments: `feedback …`."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.tables import folding_table
from partner_node.cli.noting import noting
from partner_node.cli.options import HERE, Directory, Under
from partner_node.home import NodeHome
from partner_node.segments.count_ranges import agreed_step, ranges_of
from partner_node.store.times import stamp
from protocol.errors import FedsegError
from protocol.privacy.words import counted
from protocol.release.satisfaction import question_of, question_words

if TYPE_CHECKING:
    from partner_node.rights.desk import Desk

app = typer.Typer(
    help="What customers say; it stays here, opt-outs take effect, and scores leave as noised sums "
    "alone, where that is agreed.",
    no_args_is_help=True,
)


@app.command("import")
@noting("feedback import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with customer_id, kind (preference, wrong-segment, complaint, opt-out or "
            "satisfaction), at, and score for satisfaction."
        ),
    ],
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take in what customers said; whoever opts out is not counted from the next question on."""
    from partner_node.rights.desk import Desk
    from partner_node.segments.feedback import NO_SEGMENT, Keeper, not_in_data, segments_of
    from partner_node.segments.feedback_file import read_feedback

    now = datetime.now(UTC)
    home = NodeHome.load(directory).chosen(under)
    desk = Desk(home, now=now)
    terms = desk.agreement.plan.satisfaction
    said = read_feedback(file, now=now, terms=terms)
    opt_outs = sorted((one for one in said if one.kind == "opt-out"), key=lambda one: one.at)
    given_up = desk.register.given_up()
    opted_out = [
        one for one in opt_outs if stamp(one.at) > given_up.get(desk.pseudonyms.of(one.subject), "")
    ]
    opting_out = {one.subject for one in opted_out}
    left_out = desk.register.left_out()
    days = desk.agreement.retention.records_days
    recent = [one for one in said if one.at >= now - timedelta(days=days)]
    kept = [one for one in recent if one.subject not in left_out]
    keeper = Keeper(desk.agreement.id, terms, store=desk.store, pseudonyms=desk.said_by)
    keeper.check(kept, file)
    gate = home.gate(desk.agreement, desk.party, desk.store)
    subjects = {one.subject for one in kept}
    known = desk.newest_release()
    # Nobody is counted here: a customer who is there twice keeps nobody else's wish from effect.
    customers = home.customers(desk.agreement, None, unique=False)
    segments = segments_of(subjects, customers, known, gate=gate, now=now)
    strangers = not_in_data({*subjects, *opting_out}, customers)
    twice = sum(segment == NO_SEGMENT for segment in segments.values())
    first_said = {one.subject: one.at.date() for one in reversed(opted_out)}
    with desk.store.transaction():
        for subject, day in first_said.items():
            pseudonym = desk.pseudonyms.of(subject)
            if "opt-out" not in desk.register.wishes(pseudonym):
                desk.register.leave_out("opt-out", pseudonym, subject, now)
                desk.register.receive("object", pseudonym, day, now=now)
    new = keeper.keep(kept, segments)
    taken_out = desk.take_out_of_files(set(first_said))
    answered = desk.answer_opt_outs(first_said, in_data=first_said.keys() - strangers)
    output.result(
        {
            "read": len(said),
            "new": new,
            "too_old": len(said) - len(recent),
            "of_customers_left_out": len(recent) - len(kept),
            "customers_not_in_data": len(strangers),
            "customers_in_data_twice": twice,
            "opted_out": len(opting_out),
            "taken_back_since": len(opt_outs) - len(opted_out),
            "taken_out_of": list(taken_out.listing),
            "files_gone": list(taken_out.gone),
            "files_changed": list(taken_out.changed),
            "requests": answered,
        },
        f"Read: {counted(len(said), 'line')}. New: {new:,}.",
        f"Opted out: {counted(len(opting_out), 'customer')}, not counted from the next question on."
        if opting_out
        else "",
        f"In the register of requests, answered: {counted(len(answered), 'opt-out')}."
        if answered
        else "",
        "Without effect, as they were taken back or corrected since: "
        f"{counted(len(opt_outs) - len(opted_out), 'opt-out')}."
        if len(opted_out) < len(opt_outs)
        else "",
        f"Not kept: {counted(len(said) - len(recent), 'line')} from more than "
        f"{counted(days, 'day')} ago, as long as the agreement lets records be kept."
        if len(recent) < len(said)
        else "",
        f"Not kept: {counted(len(recent) - len(kept), 'line')} of customers who objected, opted "
        "out or were erased before."
        if len(kept) < len(recent)
        else "",
        f"Not in the data now: {counted(len(strangers), 'customer')}. Ids are compared letter by "
        "letter. What they said is counted, and who of them opted out is left out, should they "
        "come into the data."
        if strangers
        else "",
        f"In the data more than once: {counted(twice, 'customer')}. What they said is kept without "
        "a segment, and this node answers no question before each of them is there once."
        if twice
        else "",
        *taken_out.words_once_taken_out,
    )


@app.command("list")
def list_feedback(
    under: Under = None, directory: Directory = HERE, format: Format = FormatOption
) -> None:
    """How many customers said what, in ranges, by the segment that they had then."""
    from partner_node.register.scores import SATISFACTION, question_id
    from partner_node.rights.desk import Desk
    from partner_node.segments.feedback import NO_SEGMENT, said_by_segment, scored
    from partner_node.segments.told_ranges import Told, ToldRanges

    now = datetime.now(UTC)
    desk = Desk(NodeHome.load(directory).chosen(under), now=now)
    store, agreement = desk.store, desk.agreement
    warnings = _place_early(desk)
    step, terms = agreed_step(agreement), agreement.plan.satisfaction
    taken_in_under = [agreement.id] if desk.home.section else [agreement.id, ""]
    said = said_by_segment(store, taken_in_under)
    scores = {} if terms is None else scored(store, agreement.id, terms, step=step)
    counts = {**said, SATISFACTION: Counter({s: one.answered for s, one in scores.items()})}
    segments = sorted({s for found in counts.values() for s in found})
    told: dict[str, dict[str, Told]] = {}
    with store.transaction():
        for kind, found in counts.items():
            key = (
                kind if kind != SATISFACTION or terms is None else question_id(agreement.id, terms)
            )
            remembered = ToldRanges(store, agreement.id, key)
            ranges = ranges_of([found[s] for s in segments], step=step)
            told[kind] = {
                s: remembered.tell(s, one, now) for s, one in zip(segments, ranges, strict=True)
            }
    # Like a count, a mean over few customers is not shown, nor one from before.
    means = {
        s: scores[s].mean
        for s, one in told[SATISFACTION].items()
        if one.on is None and one.range.least
    }
    table = folding_table("segment", *said, title="What customers said, by how many of them")
    answers = folding_table(
        "segment", "answered", "mean score", title="How satisfied they said they are"
    )
    for segment in segments:
        called = "no segment" if segment == NO_SEGMENT else segment
        table.add_row(called, *(told[kind][segment].words for kind in said))
        answered = told[SATISFACTION][segment]
        mean = f"{means[segment]:g}" if segment in means else "–"
        answers.add_row(called, answered.words, mean)
    output.warn(warnings)
    output.result(
        {
            "feedback": {
                kind: {segment: one.to_dict() for segment, one in by_segment.items()}
                for kind, by_segment in told.items()
            },
            "mean_scores": means,
            "warnings": warnings,
            "satisfaction_question": question_of(agreement),
        },
        table if segments else "No customer has said anything yet.",
        *([answers, f"Asked was {question_words(agreement)}."] if segments and terms else []),
    )


def _place_early(desk: Desk) -> list[str]:
    """Place what was said before the first release; returns warnings where it cannot be."""
    from partner_node.segments.feedback import place_early_answers

    first = desk.first_release()
    if first is None:
        return []
    gate = desk.home.gate(desk.agreement, desk.party, desk.store)
    customers = desk.home.customers(first.agreement, None, unique=False)
    try:
        place_early_answers(desk.store, desk.said_by, customers, first, gate=gate, now=desk.now)
    except FedsegError as error:
        return [f"what was said before the first release has no segment yet: {error.message}"]
    return []
