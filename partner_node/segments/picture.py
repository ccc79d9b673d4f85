"""A picture of a release's segments: one HTML file that loads nothing and has no script.

It has what is shared alone, and no number of own customers.
"""

from __future__ import annotations

from html import escape
from typing import Final

from machine.drawing.colours import segment_colour
from machine.drawing.numbers import Scale
from machine.drawing.widest_pair import Direction, Point, map_of
from machine.text import feature_label, how_many
from protocol.errors import UsageError
from protocol.release.shares import share_words, shares_of
from protocol.release.view import ReleaseView

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = """
body{max-width:66rem;margin:2rem auto;padding:0 1rem;color:#1c2733;
 font:16px/1.5 system-ui,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
svg{display:block;overflow:visible;print-color-adjust:exact;-webkit-print-color-adjust:exact}
svg text{font-size:12px;fill:#4a5560;font-family:inherit}
svg text.on{fill:#fff;font-weight:600;font-size:11px}
svg text.name{font-size:13px;font-weight:600;fill:#1c2733;paint-order:stroke;stroke:#fff;
 stroke-width:3px;stroke-linejoin:round}
@media (max-width:40rem){svg text.name{display:none}}
"""


def picture(view: ReleaseView) -> str:
    """The segments as circles along the two features that keep them farthest apart.

    Raises:
        UsageError: There are fewer than two segments or two features.
    """
    coordinates = view.agreement.coordinates
    directions = [
        Direction(
            label=feature_label(feature.name, feature.unit),
            unit=feature.unit,
            scale=Scale(
                lower=float(feature.min),
                upper=float(feature.max),
                logarithmic=feature.transform == "log1p",
            ),
        )
        for feature in coordinates
    ]
    points = [
        Point(
            values=tuple(feature.centre for feature in segment.features),
            size=segment.size,
            label=segment.id,
            name=segment.name,
            colour=segment_colour(int(segment.id.removeprefix("S"))),
            words=f"{segment.size_words} customers",
        )
        for segment in view.segments
    ]
    drawn = map_of(points, directions)
    if not drawn:
        raise UsageError(
            f"release {view.release.hash.hex()[:16]} has {how_many(len(points), 'segment')} of "
            f"{how_many(len(directions), 'feature')}, which make no map",
            remedy="`fedseg-node segments show` describes them in words",
        )
    whom = "the released segments" if view.release.withheld else "all customers"
    rows = "".join(
        f"<li>{escape(segment.id)} {escape(segment.name)}: {escape(segment.size_words)} customers "
        f"of all partners, {escape(share_words(share))}</li>"
        for segment, share in zip(view.segments, shares_of(view.sizes), strict=True)
    )
    agreement = f"{view.agreement.id}, version {view.agreement.version}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>Segments of {escape(view.agreement.id)}</title>\n<style>{_STYLE}</style>\n"
        f"</head>\n<body>\n<h1>Segments of {escape(agreement)}</h1>\n"
        f"<p>Each circle is a segment, at its typical customer: the larger, the more customers. "
        "The two features are those that keep segments farthest apart; dashed lines are the "
        f"average of {whom}. Axes show where segments lie, not the whole agreed range.</p>\n"
        f"<figure>{drawn}</figure>\n<ul>{rows}</ul>\n"
        f"<p>Release {view.release.hash.hex()}. Privacy: {escape(view.release.privacy_words)}.</p>"
        "\n</body>\n</html>\n"
    )
