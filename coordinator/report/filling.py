"""Contents of a report from a verified release and its agreement: features and segments."""

from __future__ import annotations

from coordinator.report.data import ReportFeature, ReportSegment
from machine.text import feature_label
from protocol.agreement.document import Agreement
from protocol.release.view import ReleaseView


def report_features(agreement: Agreement) -> tuple[ReportFeature, ...]:
    """The agreed features as a report shows them."""
    return tuple(
        ReportFeature(
            label=feature_label(feature.name, feature.unit),
            unit=feature.unit,
            minimum=float(feature.min),
            maximum=float(feature.max),
            logarithmic=feature.transform == "log1p",
        )
        for feature in agreement.coordinates
    )


def report_segments(view: ReleaseView) -> tuple[ReportSegment, ...]:
    """The released segments as a report shows them."""
    noised = view.release.privacy is not None
    return tuple(
        ReportSegment(
            number=segment.number,
            name=segment.name,
            size=segment.size,
            margin=segment.size_margin,
            centre=tuple(f.centre for f in segment.features),
            typical=tuple(f.typical for f in segment.features) if view.ranges_told else (),
            id=segment.id,
            since=segment.since,
            use=segment.suggested_use,
            named_by=tuple(
                column
                for column, feature in enumerate(segment.features)
                if feature.feature in segment.named_by
            ),
            satisfaction=segment.satisfaction_words,
            intervals=tuple((f.low, f.high) for f in segment.features) if noised else (),
        )
        for segment in view.segments
    )
