"""Files of own customers' segments: `segments assign|export|exports`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.tables import Table
from machine.text import minute
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory, EscapeOption, Under
from partner_node.cli.segments import ReleaseOption, app, release_of
from partner_node.four_eyes import First
from partner_node.home import NodeHome
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.wishes import refuse_file, waiting_files
from partner_node.shown.four_eyes import waiting_files_shown, waits_shown


@app.command("assign")
def assign(
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write, .csv or .parquet; when left out, one in the node's output folder. "
            "A file that is there is replaced."
        ),
    ] = None,
    escape: EscapeOption = False,
    release: ReleaseOption = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write each own customer's segment for the usual agreed use; the file stays here."""
    home, known = release_of(directory, under, release)
    path = out or home.config.node.output / f"assignments-{known.short}.parquet"
    use = known.agreement.results_use.allowed[0]
    _write(home, known, path, use=use, overwrite=True, escape=escape)


@app.command("export")
def export(
    use: Annotated[str, typer.Option("--for", help="The agreed use that the file is for.")],
    out: Annotated[Path, typer.Option(help="File to write, .csv or .parquet.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    segment: Annotated[
        str | None,
        typer.Option(help="Only the customers of one segment, by its id, number or name."),
    ] = None,
    escape: EscapeOption = False,
    release: ReleaseOption = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write own customers with their segments for an agreed use, and put it on record."""
    home, known = release_of(directory, under, release)
    only = None if segment is None else known.place_of(segment)
    _write(home, known, out, use=use, overwrite=overwrite, only=only, escape=escape)


@app.command("exports")
def list_exports(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Every file of customers' segments that was written here or waits for a second person."""
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    records = ExportRecords(store).all()
    table = Table(title="Files of own customers' segments, newest first")
    table.add_column("no.", justify="right", no_wrap=True)
    table.add_column("written", no_wrap=True)
    table.add_column("for", overflow="fold")
    table.add_column("customers", justify="right", no_wrap=True)
    table.add_column("delete by", no_wrap=True)
    values = []
    for number, record in enumerate(records, start=1):
        until = record.delete_by[:10]
        table.add_row(str(number), minute(record.at), record.use, record.rows_words, until)
        values.append(
            {
                "at": record.at,
                "release": record.release.hex(),
                "use": record.use,
                "file": record.path,
                **record.rows_told,
                "sha256": record.sha256,
                "delete_by": until,
                "written_by": record.written_by or None,
            }
        )
    waits = waiting_files_shown(waiting_files(store, home.people(), datetime.now(UTC)))
    paths = "\n".join(f"{number}: {r.path}" for number, r in enumerate(records, start=1))
    output.result(
        {"exports": values, **waits.values},
        *([table, paths] if records else ["No file of customers' segments has been written here."]),
        *(waits.parts if waits.values["waiting"] else []),
    )


@app.command("refuse")
def refuse(
    file: Annotated[
        str, typer.Argument(help="The file that waits: its digits, as `segments exports` has them.")
    ],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Refuse a file that waits for a second person; one person is enough, also whoever asked."""
    home, now = NodeHome.load(directory), datetime.now(UTC)
    with (
        noted(home, "export refuse", file[:20], now),
        closing(home.store(home.keystore())) as store,
    ):
        refused = refuse_file(store, home.people(), file, now)
    output.result(
        {"refused": refused.digits, "file": refused.words},
        f"Refused: {refused.words}. Both people have to ask for it anew.",
    )


def _write(
    home: NodeHome,
    known: KnownRelease,
    path: Path,
    *,
    use: str,
    overwrite: bool,
    only: int | None = None,
    escape: bool = False,
) -> None:
    from partner_node.segments.exports import export_segments  # Arrow takes long to import
    from partner_node.shown.exports import written_shown

    now = datetime.now(UTC)
    with noted(home, "export segments", f"{known.short} for {use}", now) as noting:
        done = export_segments(
            home, known, path, use=use, overwrite=overwrite, only=only, escape=escape,
            by=noting.who, now=now,
        )  # fmt: skip
        if isinstance(done, First):
            noting.waits()
    if isinstance(done, First):
        output.show(waits_shown(done, f"No file is written for {use} yet"))
        raise typer.Exit(3)
    output.show(written_shown(known, path, *done, use=use, only=only))
