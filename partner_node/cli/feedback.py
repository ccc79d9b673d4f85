"""What customers say of their segments: `feedback …`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from partner_node.cli.options import HERE, Directory
from partner_node.console import Format, FormatOption, output
from partner_node.home import NodeHome
from partner_node.local_counts import agreed_step, ranges_of
from protocol.clustering.segment_satisfaction import question_words

app = typer.Typer(
    help="What customers say; it stays here, opt-outs take effect, and scores leave as noised sums "
    "alone, where that is agreed.",
    no_args_is_help=True,
)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with customer_id, kind (preference, wrong-segment, complaint, opt-out or "
            "satisfaction), at, and score for satisfaction."
        ),
    ],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take in what customers said; whoever opts out is not counted from the next question on."""
    from partner_node.feedback import (  # Arrow takes long to import
        keep,
        not_in_data,
        read_feedback,
        segments_of,
    )
    from partner_node.rights.case import Desk

    now = datetime.now(UTC)
    home = NodeHome.load(directory)
    desk = Desk(home, now=now)
    terms = desk.agreement.plan.satisfaction
    feedback = read_feedback(file, now=now, terms=terms)
    opting_out = sorted({said.subject for said in feedback if said.kind == "opt-out"})
    subjects = {said.subject for said in feedback}
    gate = home.gate(desk.agreement, desk.party, desk.store)
    known = desk.newest_release()
    segments = segments_of(subjects, home.customers(desk.agreement, gate), known)
    strangers = not_in_data(opting_out, home.customers(desk.agreement, None))
    with desk.store.transaction():
        for subject in opting_out:
            desk.register.leave_out("opt-out", desk.pseudonyms.of(subject), subject, now)
        new = keep(
            feedback,
            segments,
            store=desk.store,
            pseudonyms=desk.pseudonyms,
            terms=terms,
            path=file,
        )
    taken_out = desk.take_out_of_files(set(opting_out))
    output.result(
        {
            "read": len(feedback),
            "new": new,
            "opted_out": len(opting_out),
            "opted_out_not_in_data": len(strangers),
            "taken_out_of": list(taken_out.listing),
            "files_gone": list(taken_out.gone),
        },
        f"{len(feedback):,} lines read, {new:,} of them new. {len(opting_out):,} customers opted "
        "out: they are not counted from the next question on.",
        f"{len(strangers):,} of those who opted out are not in the data now: compare their ids, "
        "letter by letter. Should they come into the data, they are not counted."
        if strangers
        else "",
        f"Taken out of: {', '.join(taken_out.listing)}." if taken_out.listing else "",
        f"Not where they were written any more, so look there yourself: "
        f"{', '.join(taken_out.gone)}."
        if taken_out.gone
        else "",
    )


@app.command("list")
def list_feedback(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """How many customers said what, in ranges, by the segment that they had then."""
    from partner_node.feedback import NO_SEGMENT, counted, mean_scores
    from partner_node.scores import SATISFACTION

    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    said = counted(store)
    agreement = home.signed_agreement().agreement
    step, terms = agreed_step(agreement), agreement.plan.satisfaction
    segments = sorted({s for counts in said.values() for s in counts})
    ranges = {
        kind: dict(zip(segments, ranges_of([counts[s] for s in segments], step=step), strict=True))
        for kind, counts in said.items()
    }
    # As of a count, nothing is told of few customers.
    means = {
        segment: mean
        for segment, mean in ({} if terms is None else mean_scores(store, terms)).items()
        if ranges[SATISFACTION][segment].least
    }
    kinds = [kind for kind in said if kind != SATISFACTION]
    table = Table("segment", *kinds, title="What customers said, by how many of them")
    scores = Table("segment", "answered", "mean score", title="How satisfied they said they are")
    for segment in segments:
        called = "none then" if segment == NO_SEGMENT else segment
        table.add_row(called, *(ranges[kind][segment].words for kind in kinds))
        mean = f"{means[segment]:.2f}" if segment in means else "–"
        scores.add_row(called, ranges[SATISFACTION][segment].words, mean)
    output.result(
        {
            "feedback": {
                kind: {segment: found.to_dict() for segment, found in by_segment.items()}
                for kind, by_segment in ranges.items()
            },
            "mean_scores": means,
        },
        table if segments else "No customer has said anything yet.",
        *([scores, f"Asked was {question_words(agreement)}."] if segments and terms else []),
    )
