"""The shared segments: `segments list|releases|show|compare|trend|picture`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from machine.console import Format, FormatOption, output, people
from machine.files import write_file
from machine.tables import Table
from machine.text import minute
from partner_node.cli.options import HERE, Directory, Under
from partner_node.home import NodeHome
from partner_node.segments.known_releases import (
    KnownRelease,
    all_releases,
    chosen,
    known_releases,
    place_of_release,
)
from partner_node.segments.own_shares import OwnReach
from partner_node.segments.tables import segment_tables
from partner_node.segments.trend import Stage, Trend, trends
from partner_node.shown.segments import cards_shown, own_reach, segments_shown
from protocol.errors import UsageError
from protocol.percents import whole_percent_words
from protocol.release.lineage import KEPT, MERGED, SPLIT
from protocol.release.shares import share_words, size_words

app = typer.Typer(help="Shared segments and own assignments.", no_args_is_help=True)

ReleaseOption = Annotated[
    str | None,
    typer.Option("--release", help="How the hash of a release begins; the newest when left out."),
]
NoCustomers = Annotated[
    bool, typer.Option("--no-customers", help="Do not read own customers: what is shared alone.")
]


@app.command("list")
def list_segments(
    release: ReleaseOption = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """A release's segments: every signature checked again, centres in the features' units."""
    _, known = release_of(directory, under, release)
    output.show(segments_shown(known, width=people.width))


@app.command("releases")
def list_releases(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Every release that this node holds, newest first, with its segments' ids."""
    known = all_releases(NodeHome.load(directory))
    table = Table(title="Releases, newest first")
    table.add_column("release", no_wrap=True)
    table.add_column("received", no_wrap=True)
    table.add_column("agreement, version", overflow="fold")
    table.add_column("segments", overflow="fold")
    for one in known:
        table.add_row(
            one.short,
            minute(one.received_at),
            f"{one.agreement.id}, {one.agreement.version}",
            " ".join(one.ids) or "none",
        )
    output.result(
        {
            "releases": [
                {
                    **one.view.named(),
                    "received_at": one.received_at,
                    "segments": list(one.ids),
                }
                for one in known
            ]
        },
        table,
        "Ids follow from the releases under one agreement, in this order: partners who hold the "
        "same ones see the same ids.",
        *dict.fromkeys(f"Privacy: {one.release.privacy_words}." for one in known),
    )


@app.command("show")
def show(
    segment: Annotated[
        str | None,
        typer.Argument(help="A segment's id or name, such as S1 or 1; all when left out."),
    ] = None,
    release: ReleaseOption = None,
    no_customers: NoCustomers = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Cards: what sets each segment apart, its size, own customers now, uses allowed and not."""
    home, known = release_of(directory, under, release)
    known.need_segments()
    wanted = None if segment is None else known.ids[known.place_of(segment)]
    reach = None if no_customers else own_reach(home, known, datetime.now(UTC))
    output.show(cards_shown(known, reach, wanted=wanted))


@app.command("compare")
def compare(
    old: Annotated[
        str | None,
        typer.Argument(help="How the older release's hash begins; the one before NEW if left out."),
    ] = None,
    new: Annotated[
        str | None, typer.Argument(help="How the newer one's begins; the newest if left out.")
    ] = None,
    no_customers: NoCustomers = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """What became of each segment from one release to the next, and where own customers went."""
    from partner_node.segments.exports import own_customers  # Arrow takes long to import
    from partner_node.segments.moves import (
        WITHIN_NOISE,
        check_comparable,
        check_same_features,
        fates,
        migration,
        partners_words,
    )

    home = place_of_release(NodeHome.load(directory), under, new or old)
    known = known_releases(home)
    before, after = _two(known, old, new)
    if before is None:
        output.result(
            {
                **after.agreement.named(),
                "old": None,
                "new": after.release.hash.hex(),
                "segments": [],
                "privacy": after.release.privacy_words,
                "own_customers": None,
            },
            f"Release {after.short}, of {after.received_at[:10]}, is the first with segments under "
            f"agreement {after.agreement.id}: there is nothing to compare it with before the next "
            "run has finished. `fedseg-node segments show` describes its segments.",
        )
        return
    check_comparable(before, after)
    became = fates(before, after)
    table = Table(title=f"From {before.short} to {after.short}")
    table.add_column("id", no_wrap=True)
    table.add_column("name")
    table.add_column("became")
    table.add_column("customers of all partners before", justify="right")
    table.add_column("now", justify="right", no_wrap=True)
    table.add_column("difference", justify="right")
    for fate in became:
        table.add_row(
            fate.id, fate.name, _fate_words(fate.status, fate.other),
            "" if fate.before is None else fate.before.size_words,
            "" if fate.after is None else fate.after.size_words,
            fate.difference_words,
        )  # fmt: skip
    moved = None
    if not no_customers:
        check_same_features(before, after)
        moved = migration(own_customers(home, after, datetime.now(UTC)), before, after)
    output.result(
        {
            **after.agreement.named(),
            "old": before.release.hash.hex(),
            "new": after.release.hash.hex(),
            "privacy": after.release.privacy_words,
            "segments": [
                {
                    "id": fate.id,
                    "name": fate.name,
                    "status": fate.status,
                    "into": fate.other if fate.status == MERGED else None,
                    "split_from": fate.other if fate.status == SPLIT else None,
                    "size_before": None if fate.before is None else fate.before.size,
                    "size_after": None if fate.after is None else fate.after.size,
                    "within_noise": fate.within_noise,
                }
                for fate in became
            ],
            "own_customers": None
            if moved is None
            else {
                was: {now: cell.to_dict() for now, cell in zip(after.ids, row, strict=True)}
                for was, row in zip(before.ids, moved, strict=True)
            },
        },
        table,
        WITHIN_NOISE if any(fate.within_noise for fate in became) else "",
        partners_words([before, after]),
        *_moved_parts(before, after, moved),
        f"Privacy of what is shared: {after.release.privacy_words}.",
    )


@app.command("trend")
def trend(
    no_customers: NoCustomers = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Size and share of each segment over all releases, and own customers as they are now."""
    home = NodeHome.load(directory).chosen(under)
    known = known_releases(home)
    agreement = known[0].agreement.id
    releases = [one for one in reversed(known) if one.agreement.id == agreement]
    reached: list[OwnReach | None] = [None] * len(releases)
    if not no_customers:
        reached = [own_reach(home, one, datetime.now(UTC)) for one in releases]
    from partner_node.segments.moves import partners_words  # Arrow takes long to import

    found = trends(releases, reached)
    output.result(
        {
            **known[0].agreement.named(),
            "releases": [{**one.view.named(), "received_at": one.received_at} for one in releases],
            "segments": [one.to_dict() for one in found],
        },
        *_trend_parts("Customers of all partners", releases, found, lambda s: size_words(s.size)),
        *_trend_parts("Their share", releases, found, lambda s: share_words(s.share)),
        *(
            []
            if no_customers
            else [
                *_trend_parts("Own customers", releases, found, _own_words),
                "Own customers are those who may be counted now, by the values that they have "
                "now, in ranges; a share lies between the two that are named.",
            ]
        ),
        *(f"{one.id}: {one.name}" for one in found),
        partners_words(releases),
        "± is what the noise may have moved a number by, 95 % of the time: two numbers that differ "
        "by less may be of unchanged customers."
        if any(one.release.privacy for one in releases)
        else "",
        *dict.fromkeys(f"Privacy: {one.release.privacy_words}." for one in releases),
    )


@app.command("picture")
def picture(
    out: Annotated[Path, typer.Option(help="File to write, .html.")],
    release: ReleaseOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """A map of a release's segments as one HTML file, of what is shared alone."""
    from partner_node.segments.picture import picture as drawn
    from partner_node.segments.private_files import refuse_existing

    if out.suffix != ".html":
        raise UsageError(f"{out} does not end in .html", remedy="name it like segments.html")
    refuse_existing(out, overwrite=overwrite)
    _, known = release_of(directory, under, release)
    known.need_segments()
    write_file(out, drawn(known.view))
    output.result(
        {"file": str(out), "release": known.release.hash.hex()},
        f"Wrote {out}. It has no number of own customers.",
        f"Privacy: {known.release.privacy_words}.",
    )


def release_of(
    directory: Path, under: str | None, release: str | None
) -> tuple[NodeHome, KnownRelease]:
    """The place of an agreement, and the release under it that a command is about."""
    home = place_of_release(NodeHome.load(directory), under, release)
    return home, chosen(known_releases(home), release)


def _own_words(stage: Stage) -> str:
    own = "–" if stage.own is None else stage.own.words
    if stage.own_share is None:
        return own
    least, most = stage.own_share
    return f"{own} ({whole_percent_words(least)} – {whole_percent_words(most)})"


def _trend_parts(
    title: str,
    releases: Sequence[KnownRelease],
    found: Sequence[Trend],
    cell: Callable[[Stage], str],
) -> list[Table]:
    """A row a release, oldest first, and a column a segment."""
    labels = [f"{one.received_at[:10]} {one.short[:8]}" for one in releases]
    cells = [
        ["–" if stage is None else cell(stage) for stage in stages]
        for stages in zip(*(one.stages for one in found), strict=True)
    ] or [[] for _ in labels]
    ids = [one.id for one in found]
    return segment_tables(title, ids, labels, cells, label="release", width=people.width)


def _two(
    known: Sequence[KnownRelease], old: str | None, new: str | None
) -> tuple[KnownRelease | None, KnownRelease]:
    """The two releases to compare, by default the newest and the one before it, if there is one."""
    after = chosen(known, new)
    if old is not None:
        return chosen(known, old), after
    same = [one for one in known if one.agreement.id == after.agreement.id]
    earlier = same[same.index(after) + 1 :]
    return next((one for one in earlier if one.release.segments), None), after


def _moved_parts(before: KnownRelease, after: KnownRelease, moved: Any) -> list[object]:
    if moved is None:
        return []
    names = [
        f"{identity} {called.name}"
        for identity, called in zip(before.ids, before.calls, strict=True)
    ]
    tables = segment_tables(
        "Own customers, from the older segments (rows) to the newer (columns)",
        after.ids,
        names,
        [[cell.words for cell in row] for row in moved],
        label="was in",
        width=people.width,
    )
    return [
        *tables,
        "Customers who may be counted now, by the values that they have now. Ranges and what is "
        "hidden keep few customers from being picked out.",
    ]


def _fate_words(status: str, other: str) -> str:
    return {KEPT: status, MERGED: f"merged into {other}", SPLIT: f"split from {other}"}.get(
        status, status
    )
