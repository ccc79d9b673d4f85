"""A report's features and segments, from a verified release and its agreement."""

from __future__ import annotations

from coordinator.report_data import ReportFeature, ReportSegment
from protocol.agreement import Agreement
from protocol.clustering.personas import release_names
from protocol.clustering.release import Release, release_centres, typical_ranges


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
        for feature in agreement.features
    )


def report_segments(agreement: Agreement, release: Release) -> tuple[ReportSegment, ...]:
    """The released segments with names and with centres in the features' units."""
    names = release_names(agreement, release)
    centres = release_centres(release, agreement)
    ranges = typical_ranges(release, agreement) or [[] for _ in release.segments]
    return tuple(
        ReportSegment(
            number=segment.segment,
            name=name,
            size=segment.size,
            margin=segment.size_margin,
            centre=tuple(float(value) for value in centre),
            typical=tuple(typical),
        )
        for segment, name, centre, typical in zip(
            release.segments, names, centres, ranges, strict=True
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
