"""A report's features and segments, from a verified release and its agreement."""

from __future__ import annotations

from coordinator.report.data import ReportFeature, ReportSegment
from protocol.agreement.document import Agreement
from protocol.release.document import Release, centre_intervals, release_centres, typical_ranges
from protocol.release.lineage import Step
from protocol.release.personas import release_calls
from protocol.release.satisfaction import satisfaction_words


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


def report_segments(
    agreement: Agreement, release: Release, step: Step
) -> tuple[ReportSegment, ...]:
    """The released segments with ids and names, and with centres in the features' units."""
    centres = release_centres(release, agreement)
    low, high = centre_intervals(release, agreement)
    ranges = typical_ranges(release, agreement) or [[] for _ in release.segments]
    return tuple(
        ReportSegment(
            number=segment.segment,
            name=called.name,
            size=segment.size,
            margin=segment.size_margin,
            centre=tuple(float(value) for value in centres[row]),
            typical=tuple(ranges[row]),
            id=living.id,
            since=living.words,
            use=called.use,
            satisfaction=satisfaction_words(segment.satisfaction, agreement),
            intervals=()
            if release.privacy is None
            else tuple(zip(low[row].tolist(), high[row].tolist(), strict=True)),
        )
        for row, (segment, living, called) in enumerate(
            zip(release.segments, step.living, release_calls(agreement, release), strict=True)
        )
    )


def feature_label(name: str, unit: str) -> str:
    """A feature's name for people, without a unit that is said beside it anyway.

    >>> feature_label("recency_days", "days"), feature_label("net_spend", "EUR")
    ('Recency', 'Net spend')
    >>> feature_label("days", "days")
    'Days'
    """
    plain = name.replace("_", " ").strip()
    shorter = plain.removesuffix(unit).strip() if unit else plain
    label = shorter or plain or name
    return label[:1].upper() + label[1:]
