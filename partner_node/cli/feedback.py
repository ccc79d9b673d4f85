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

app = typer.Typer(
    help="What customers say of their segments; it stays here, and opt-outs take effect.",
    no_args_is_help=True,
)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with customer_id, kind (preference, wrong-segment, complaint or opt-out) "
            "and at."
        ),
    ],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take in what customers said; whoever opts out is not counted from the next question on."""
    from partner_node.feedback import keep, read_feedback, segments_of  # Arrow takes long to import
    from partner_node.rights.case import Desk

    now = datetime.now(UTC)
    home = NodeHome.load(directory)
    feedback = read_feedback(file, now=now)
    opting_out = sorted({said.subject for said in feedback if said.kind == "opt-out"})
    desk = Desk(home, now=now)
    subjects = {said.subject for said in feedback}
    gate = home.gate(desk.agreement, desk.party, desk.store)
    known = desk.newest_release()
    segments = segments_of(subjects, home.customers(desk.agreement, gate), known)
    with desk.store.transaction():
        for subject in opting_out:
            desk.register.leave_out("opt-out", desk.pseudonyms.of(subject), subject, now)
        new = keep(feedback, segments, store=desk.store, pseudonyms=desk.pseudonyms)
    taken_out = desk.take_out_of_files(set(opting_out))
    output.result(
        {
            "read": len(feedback),
            "new": new,
            "opted_out": len(opting_out),
            "taken_out_of": list(taken_out.listing),
            "files_gone": list(taken_out.gone),
        },
        f"{len(feedback):,} lines read, {new:,} of them new. {len(opting_out):,} customers opted "
        "out: they are not counted from the next question on.",
        f"Taken out of: {', '.join(taken_out.listing)}." if taken_out.listing else "",
        f"Not where they were written any more, so look there yourself: "
        f"{', '.join(taken_out.gone)}."
        if taken_out.gone
        else "",
    )


@app.command("list")
def list_feedback(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """How many customers said what, in ranges, by the segment that they had then."""
    from partner_node.feedback import NO_SEGMENT, counted

    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    said = counted(store)
    step = agreed_step(home.signed_agreement().agreement)
    segments = sorted({s for counts in said.values() for s in counts})
    table = Table("segment", *said, title="What customers said, by how many of them")
    ranges = {
        kind: dict(zip(segments, ranges_of([counts[s] for s in segments], step=step), strict=True))
        for kind, counts in said.items()
    }
    for segment in segments:
        called = "none then" if segment == NO_SEGMENT else segment
        table.add_row(called, *(ranges[kind][segment].words for kind in said))
    output.result(
        {
            "feedback": {
                kind: {segment: found.to_dict() for segment, found in by_segment.items()}
                for kind, by_segment in ranges.items()
            }
        },
        table if segments else "No customer has said anything yet.",
    )
