"""The report of a run: one self-contained HTML file for everybody.

It loads nothing and has no script; charts are inline SVG whose text keeps its size
on a phone. Its writer fills `ReportData`, which is independent of the rest of fedseg: the
coordinator from its store, a simulation from its measurements. Every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np

from coordinator.report import charts
from coordinator.report.data import ReportCoordinator, ReportData, ReportRound, ReportSegment
from coordinator.report.plots import DISTANCE, inertia_of, seconds_of, strips_of
from coordinator.report.style import STYLE
from coordinator.report.view import ReportView, size_text
from machine.drawing.colours import segment_colour
from machine.drawing.numbers import (
    bytes_text,
    count_text,
    number_text,
    range_text,
    with_unit,
)
from machine.drawing.widest_pair import map_of
from protocol.percents import percent_words
from protocol.release.names import standing
from protocol.release.shares import size_words

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
#: With more rounds than this their table is collapsed.
_ROUNDS_SHOWN: Final = 12
#: Number of features on a card, where no more gave the segment its name.
_ON_A_CARD: Final = 3


def render_report(data: ReportData) -> str:
    """The report as one HTML page.

    Raises:
        ValueError: A segment's centre does not have one value per feature.

    Time: linear in segments x features and in rounds.
    """
    for segment in data.segments:
        if len(segment.centre) != len(data.features):
            raise ValueError(
                f"segment {segment.number} has {len(segment.centre)} values, "
                f"there are {len(data.features)} features"
            )
    view = ReportView(data)
    body = "\n".join(
        (
            _header(view),
            '<main id="content">',
            _sizes(view),
            _map(view),
            _cards(view),
            _profile(view),
            _centres(view),
            _parties(data),
            _rounds(data),
            _verify(data),
            "</main>",
            f"<footer><p>{escape(data.software)} · "
            f"<time>{data.created:%Y-%m-%d %H:%M %Z}</time> · "
            f"{escape(data.privacy)}</p></footer>",
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(data.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the segments</a>\n'
        f"{body}\n</body>\n</html>\n"
    )


# --- sections ------------------------------------------------------------------------------


def _header(view: ReportView) -> str:
    data = view.data
    note = f"<p>{escape(data.privacy_note)}</p>" if data.privacy_note else ""
    released = count_text(len(data.segments))
    hidden = f" ({count_text(data.withheld_clusters)} withheld)" if data.withheld_clusters else ""
    facts = [
        ("Segments released" if view.partial else "Segments", released + hidden),
        ("Customers in them" if view.partial else "Customers counted", size_words(view.total)),
        ("Partners counted", _partners_text(data)),
        ("Rounds", count_text(len(data.rounds))),
    ]
    tiles = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts)
    return (
        f'<header><p class="eyebrow">{escape(data.agreement)}</p>'
        f"<h1>{escape(data.title)}</h1>"
        f'<p class="purpose"><span>Purpose agreed</span> {escape(data.purpose)}</p>'
        f'<dl class="facts">{tiles}</dl>'
        f'<aside class="privacy" aria-label="Privacy"><strong>{escape(data.privacy)}</strong>'
        f"{note}</aside></header>"
    )


def _partners_text(data: ReportData) -> str:
    counted = sum(partner.counted for partner in data.partners)
    of_all = f" of {count_text(len(data.partners))}" if counted < len(data.partners) else ""
    return count_text(counted) + of_all


def _whose(data: ReportData) -> str:
    """The partners whose customers the release counts, in words."""
    missing = [partner.name for partner in data.partners if not partner.counted]
    if not missing:
        return "all partners together"
    return f"the partners that took part, without {', '.join(missing)}"


def _section(identifier: str, heading: str, intro: str, content: str) -> str:
    lead = f'<p class="lead">{escape(intro)}</p>' if intro else ""
    return (
        f'<section aria-labelledby="{identifier}"><h2 id="{identifier}">{escape(heading)}</h2>'
        f"{lead}{content}</section>"
    )


def _badge(segment: ReportSegment) -> str:
    return (
        f'<span class="badge" style="background:{segment_colour(segment.colour)}">'
        f"{escape(segment.label)}</span>"
    )


def _named(segment: ReportSegment) -> str:
    """Badge and name, side by side."""
    name = f'<span class="name">{escape(segment.name)}</span>'
    return f'<span class="named">{_badge(segment)}{name}</span>'


def _sizes(view: ReportView) -> str:
    if not view.data.segments:
        return _section(
            "sizes", "No segment is released", "", f"<p>{escape(view.data.withheld)}.</p>"
        )
    largest = max(max(segment.size for segment in view.data.segments), 1)
    rows = "".join(
        f"<li>{_badge(s)}<span class='name'>{escape(s.name)}</span>"
        f"{charts.bar(s.size / largest, segment_colour(s.colour))}"
        f"<span class='figure'>{size_text(s)} <small>{view.share_text(s)}</small></span></li>"
        for s in view.data.segments
    )
    only = _only_the_released(view)
    withheld = (
        f'<p class="note"><strong>Withheld.</strong> {escape(view.data.withheld)}.</p>'
        if view.data.withheld
        else ""
    )
    said = view.data
    for words in (said.choice, said.distance, said.start, said.left, said.asked_again):
        withheld += f'<p class="note">{escape(words)}</p>' if words else ""
    if view.data.merged:
        withheld += f'<p class="note"><strong>Merged.</strong> {escape(view.data.merged)}.</p>'
    if view.data.gone:
        ended = "; ".join(view.data.gone)
        withheld += f'<p class="note"><strong>Since the last release.</strong> {escape(ended)}.</p>'
    return _section(
        "sizes",
        "What was released",
        f"The segments, with the customers of {_whose(view.data)}. {_ids_words(view.data)} "
        f"{only}".strip(),
        f"<ol class='sizes{' partial' if view.partial else ''}'>{rows}</ol>{withheld}",
    )


def _ids_words(data: ReportData) -> str:
    """A sentence on the ids or numbers in badges."""
    if any(segment.id for segment in data.segments):
        return "Their ids last: the same segment in another release has the same id and colour."
    return "Their numbers belong to this release: another run may form and number them otherwise."


def _only_the_released(view: ReportView) -> str:
    """A sentence on the customers missing from totals and means; empty when none are."""
    if not view.partial:
        return ""
    count = view.data.withheld_clusters
    clusters = f"{count_text(count)} cluster{'' if count == 1 else 's'}" if count else "Clusters"
    are = "is" if count == 1 else "are"
    return (
        f"{clusters} {are} withheld: totals, shares, averages and names are of the released "
        "segments only, not of all customers."
    )


def _cards(view: ReportView) -> str:
    if len(view.data.segments) < 2:  # nothing to compare with
        return ""
    cards = []
    for index, segment in enumerate(view.data.segments):
        deviation = view.deviation[index]
        # What gave the name is on the card, whatever else is farther from the average.
        order = sorted(
            range(len(deviation)),
            key=lambda f: (f not in segment.named_by, -abs(deviation[f]), f),
        )[: max(_ON_A_CARD, len(segment.named_by))]
        lines = "".join(_card_line(view, index, feature) for feature in order)
        cards.append(
            f'<article class="card" style="border-top-color:{segment_colour(segment.colour)}">'
            f"<h3>{_named(segment)}</h3>"
            f"<p class='reach'>{escape(view.told_text(segment))}</p><ul>{lines}</ul>"
            f"{_use(view.data, segment)}</article>"
        )
    return _section(
        "cards",
        "What sets each segment apart",
        "Typical customer of the segment beside the typical customer of "
        + ("the released segments only." if view.partial else f"{_whose(view.data)}.")
        + (f" Customers were asked {view.data.question}." if view.data.question else ""),
        f'<div class="cards">{"".join(cards)}</div>',
    )


def _use(data: ReportData, segment: ReportSegment) -> str:
    """A segment's satisfaction, suggested use, and what the agreement forbids."""
    lines = [("Satisfaction", f"{segment.satisfaction}.")] if segment.satisfaction else []
    lines += [("Suggested use", segment.use)] if segment.use else []
    if data.allowed:
        lines.append(("Allowed", f"{', '.join(data.allowed)}."))
    if data.forbidden:
        lines.append(("Do not use for", f"{', '.join(data.forbidden)}."))
    return "".join(
        f"<p class='use'><strong>{what}.</strong> {escape(words)}</p>" for what, words in lines
    )


def _map(view: ReportView) -> str:
    """The map: segments along two features."""
    drawn = map_of(view.points, view.directions)
    if not drawn:
        return ""
    return _section(
        "map",
        "The segments at a glance",
        f"Each circle is a segment, at its typical customer: the larger, the more customers. "
        f"The two features are those that keep segments farthest apart; dashed lines are the "
        f"average of {view.whom}. Axes show where segments lie, not the whole agreed range.",
        f'<figure class="map">{drawn}</figure>',
    )


def _card_line(view: ReportView, index: int, feature: int) -> str:
    about = view.data.features[feature]
    value = view.data.segments[index].centre[feature]
    mark, _ = _direction(view.deviation[index, feature])
    others = "released" if view.partial else "all"
    return (
        f'<li><span class="mark" aria-hidden="true">{mark}</span>'
        f"<span class='label'>{escape(about.label)}</span> "
        f"<b>{escape(with_unit(value, about.unit))}</b> "
        f"<small>{_interval(view.data.segments[index], feature)}"
        f"{others}: {escape(number_text(view.mean[feature]))}</small></li>"
    )


def _interval(segment: ReportSegment, feature: int) -> str:
    """The centre's 95 % interval under the noise; empty for exact totals."""
    if not segment.intervals:
        return ""
    return f"95 %: {escape(range_text(*segment.intervals[feature]))} · "


_MARKS: Final = {
    "far above average": "▲▲",
    "above average": "▲",
    "about average": "●",
    "below average": "▼",
    "far below average": "▼▼",
}


def _direction(deviation: float) -> tuple[str, str]:
    """A symbol and words for a value's offset from the mean."""
    words = standing(deviation)
    return _MARKS[words], words


def _profile(view: ReportView) -> str:
    if not view.data.segments or not view.data.features:
        return ""
    strongest = max(0.2, float(np.abs(view.deviation).max()))
    heads = "".join(
        f'<th scope="col">{escape(f.label)}<small>{escape(f.unit)}</small></th>'
        for f in view.data.features
    )
    rows = []
    for index, segment in enumerate(view.data.segments):
        cells = []
        for feature, value in enumerate(segment.centre):
            deviation = float(view.deviation[index, feature])
            mark, words = _direction(deviation)
            cells.append(
                f'<td style="background:{charts.diverging(deviation / strongest)}">'
                f'<b>{escape(number_text(value))}</b> <span aria-hidden="true">{mark}</span>'
                f'<span class="hidden">{words}</span>{_typical(segment, feature)}</td>'
            )
        rows.append(f'<tr><th scope="row">{_named(segment)}</th>{"".join(cells)}</tr>')
    means = "".join(f"<td><b>{escape(number_text(value))}</b></td>" for value in view.mean)
    everybody = "Released segments only" if view.partial else "All customers"
    content = (
        '<div class="scroll" role="region" aria-label="Profile table" tabindex="0">'
        '<table class="heat"><caption>Centre of every segment in real units</caption>'
        f'<thead><tr><th scope="col">Segment</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody>"
        f'<tfoot><tr><th scope="row">{everybody}</th>{means}</tr></tfoot></table></div>'
        '<p class="legend"><span class="swatch below"></span> below the average of '
        f"{view.whom} "
        '<span class="swatch above"></span> above it · ▲ ▼ above or below, '
        "▲▲ ▼▼ far above or below, ● about average"
        + (
            " · below each centre: one standard deviation to either side, where most of the "
            "segment's customers lie; – where noise hides it"
            if any(segment.typical for segment in view.data.segments)
            else ""
        )
        + "</p>"
    )
    return _section(
        "profile",
        "Profile",
        f"Colour and marks say how far a segment lies from the average of {view.whom}. Averages "
        "are taken on the agreed scale, so a few very large values do not dominate them.",
        content,
    )


def _typical(segment: ReportSegment, feature: int) -> str:
    """The typical range of the segment's customers; empty when not asked."""
    if not segment.typical:
        return ""
    found = segment.typical[feature]
    text = range_text(*found) if found else "–"
    return f'<br><small class="range">{escape(text)}</small>'


def _centres(view: ReportView) -> str:
    if not view.data.segments or not view.data.features:
        return ""
    strips = []
    for about, drawn in zip(view.data.features, strips_of(view), strict=True):
        words = f"<p>{escape(about.words)}</p>" if about.words else ""
        logarithmic = " · logarithmic scale" if about.logarithmic else ""
        strips.append(
            f'<figure class="strip"><figcaption><h3>{escape(about.label)} '
            f"<small>{escape(about.unit)}{logarithmic}</small></h3>{words}</figcaption>"
            f"{drawn}</figure>"
        )
    return _section(
        "centres",
        "Centres on the agreed scales",
        f"Each numbered dot is a segment; the dashed line is the average of {view.whom}. "
        "An axis runs from the lower to the upper agreed bound.",
        "".join(strips),
    )


def _cell(label: str, content: str, *, number: bool = False) -> str:
    kind = ' class="number"' if number else ""
    return f'<td data-label="{escape(label)}"{kind}>{content}</td>'


def _parties(data: ReportData) -> str:
    heads = ("Own customers counted", "Messages down", "Bytes up", "Bytes down", "What it saw")
    rows = []
    for partner in data.partners:
        known = partner.customers is not None
        own = count_text(partner.customers or 0) if known else "known to the partner only"
        cells = (
            _cell(heads[0], escape(own), number=known),
            _cell(heads[1], count_text(partner.messages_down), number=True),
            _cell(heads[2], escape(bytes_text(partner.bytes_up)), number=True),
            _cell(heads[3], escape(bytes_text(partner.bytes_down)), number=True),
            _cell(
                heads[4],
                "its own customers; the centroids and the totals of every round"
                if partner.counted
                else "its own customers, who are not counted; what it was asked before it dropped "
                "out",
            ),
        )
        rows.append(f'<tr><th scope="row">{escape(partner.name)}</th>{"".join(cells)}</tr>')
    seen = data.coordinator
    if seen is not None:
        saw = (
            f"{count_text(seen.masked_vectors)} masked vectors of up to "
            f"{count_text(seen.vector_length)} numbers, each uniformly random to look at; "
            f"{count_text(seen.totals)} totals"
        )
        cells = (
            _cell(heads[0], "none", number=True),
            _cell(heads[1], count_text(sum(p.messages_down for p in data.partners)), number=True),
            _cell(heads[2], bytes_text(sum(p.bytes_up for p in data.partners)), number=True),
            _cell(heads[3], bytes_text(sum(p.bytes_down for p in data.partners)), number=True),
            _cell(heads[4], escape(saw)),
        )
        rows.append(
            f'<tr class="coordinator"><th scope="row">Coordinator</th>{"".join(cells)}</tr>'
        )
    head = "".join(
        f'<th scope="col"{" class=number" if h in heads[:4] else ""}>{escape(h)}</th>'
        for h in heads
    )
    table = (
        '<table class="parties"><caption class="hidden">What each party saw in this run</caption>'
        f'<thead><tr><th scope="col">Party</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table>"
    )
    counts = (
        " Own customers are counted here because this is a demo, which plays every partner: the "
        "report of a deployed coordinator never has a partner's count."
        if any(partner.customers is not None for partner in data.partners)
        else ""
    )
    return _section(
        "parties",
        "What each party saw",
        "No customer's row left a partner. A partner sends sums over its own customers, masked so "
        "that only the total over all partners can be opened. Up is towards the coordinator. "
        "Messages down are its requests, each answered by one message up; the greeting before the "
        "first is not counted." + counts,
        table
        + (f'<p class="note">{escape(data.row_caps)}</p>' if data.row_caps else "")
        + (_masked(seen) if seen is not None else ""),
    )


def _masked(seen: ReportCoordinator) -> str:
    if not seen.masked_example:
        return ""
    bits = (
        f" Over all masked vectors {percent_words(seen.one_bits, digits=2)} of the bits are ones."
        if seen.one_bits is not None
        else ""
    )
    masked = "".join(f"<li><code>{escape(word)}</code></li>" for word in seen.masked_example)
    total = "".join(f"<li><code>{value:,}</code></li>" for value in seen.total_example)
    return (
        '<div class="masked"><div><h3>What came from one partner</h3>'
        f'<ul class="words">{masked}<li>…</li></ul></div>'
        "<div><h3>The total it belongs to</h3>"
        f'<ul class="words">{total}<li>…</li></ul></div>'
        f'<p class="note">The first numbers of one message and of its total.{bits}</p></div>'
    )


def _rounds(data: ReportData) -> str:
    if not data.rounds:
        return ""
    figures = []
    if inertia := inertia_of(data):
        figures.append(
            f"<figure><figcaption><h3>{DISTANCE}</h3><p>Mean over every customer of "
            f"the totals, in scaled units.{_why_it_may_rise(data)}</p></figcaption>"
            f"{inertia}</figure>"
        )
    figures.append(
        "<figure><figcaption><h3>Time per round</h3><p>Seconds from the query to the opened total"
        f"</p></figcaption>{seconds_of(data)}</figure>"
    )
    table = _rounds_table(data.rounds)
    if len(data.rounds) > _ROUNDS_SHOWN:
        table = f"<details><summary>The numbers of every round</summary>{table}</details>"
    seconds_in_all = sum(r.seconds for r in data.rounds)
    time = (
        f"in {number_text(seconds_in_all)} s"
        if data.took_s is None
        else f"{number_text(data.took_s)} s from the run's request to its release"
    )
    restarts = (
        f"The run was driven by {count_text(data.drivers)} processes, one after the other: a "
        "round that a restart interrupted counts from the restart."
        if data.drivers > 1
        else ""
    )
    end = {
        True: "It ended because the centroids stopped moving.",
        False: "It ended at the agreed number of rounds, with the centroids still moving.",
        None: "",
    }[data.converged]
    return _section(
        "rounds",
        "Rounds",
        " ".join(
            f"Plan {data.plan}: {count_text(len(data.rounds))} rounds"
            f"{'' if data.took_s is None else ','} {time}. {end} {restarts}".split()
        ),
        f'<div class="pair">{"".join(figures)}</div>{table}',
    )


def _why_it_may_rise(data: ReportData) -> str:
    words = ""
    if data.plan == "lloyd-exact":
        words = (
            " In the first half of the agreed rounds exact Lloyd tries other places for centroids, "
            "so the curve may go up; what is not better is taken back."
        )
    if len({r.partners for r in data.rounds}) > 1:
        words += (
            " A partner dropped out: from one number of partners to the next the mean is over "
            "other customers and may go either way."
        )
    return words


def _rounds_table(rounds: Sequence[ReportRound]) -> str:
    distances = any(r.inertia is not None for r in rounds)
    heading = "Mean squared distance" if distances else "Asked"
    lines = "".join(
        f'<tr><th scope="row">{r.number}</th><td class="number">{r.partners}</td>'
        f'<td class="number">{r.seconds:.3f}</td>'
        + (
            f'<td class="number">{"–" if r.inertia is None else f"{r.inertia:.5f}"}</td></tr>'
            if distances
            else f"<td>{escape(r.asked)}</td></tr>"
        )
        for r in rounds
    )
    last = '<th scope="col" class="number">' if distances else '<th scope="col">'
    return (
        '<div class="scroll" role="region" aria-label="Rounds table" tabindex="0">'
        '<table class="plain"><caption>Every round</caption><thead><tr><th scope="col">Round</th>'
        '<th scope="col" class="number">Partners</th><th scope="col" class="number">Seconds</th>'
        f"{last}{heading}</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
    )


def _verify(data: ReportData) -> str:
    if not data.hashes and not data.checks:
        return ""
    hashes = "".join(
        f"<div><dt>{escape(h.what)}</dt><dd><code>{escape(h.value)}</code>"
        + (f"<small>shown by <code>{escape(h.command)}</code></small>" if h.command else "")
        + "</dd></div>"
        for h in data.hashes
    )
    checks = "".join(
        f"<li>{escape(check.words)}"
        + (f"<pre><code>{escape(check.command)}</code></pre>" if check.command else "")
        + "</li>"
        for check in data.checks
    )
    kind = "ol" if len(data.checks) > 1 else "ul"
    return _section(
        "verify",
        "How to verify",
        "Compare these hashes with what your own node shows; nobody has to trust this page.",
        f'<dl class="hashes">{hashes}</dl>'
        + (f"<{kind} class='checks'>{checks}</{kind}>" if checks else ""),
    )
