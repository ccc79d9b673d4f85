"""The view of a verified release in the features' units, from which every output is made.

The JSON of both programs, their tables, the cards and the HTML report are made of it. Its JSON form
is specified in docs/release.schema.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.agreement.document import Agreement
from protocol.clustering.result import DISTANCE, SCORES, SIZES
from protocol.release.document import (
    NOISE_WORDS,
    Release,
    Withheld,
    centre_intervals,
    mean_distance,
    release_centres,
    typical_ranges,
)
from protocol.release.lineage import Gone, Step
from protocol.release.names import deviations, standing
from protocol.release.personas import release_calls
from protocol.release.satisfaction import (
    question_of,
    question_words,
    satisfaction_values,
    satisfaction_words,
)
from protocol.release.shares import Margined
from protocol.release.silhouettes import Silhouettes
from protocol.scaling import FeatureScale

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView:
    """One feature of a segment, in the feature's unit.

    Attributes:
        feature: Its name in the agreement.
        centre: The segment's mean.
        low, high: The mean's 95 % interval under the noise; `centre` without noise.
        typical: Range in which most of its customers lie; None where it is not known.
        overall: The mean of all released segments.
        deviation: Offset of `centre` from `overall`, as a part of half the agreed range.
    """

    feature: str
    unit: str
    centre: float
    low: float
    high: float
    typical: Span | None
    overall: float
    deviation: float

    @property
    def standing(self) -> str:
        """The deviation in words."""
        return standing(self.deviation)

    def to_dict(self) -> dict[str, Any]:
        """The feature as JSON values."""
        return {
            "feature": self.feature,
            "unit": self.unit,
            "centre": self.centre,
            "low": self.low,
            "high": self.high,
            "typical": None if self.typical is None else list(self.typical),
            "overall": self.overall,
            "deviation": self.deviation,
            "standing": self.standing,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """One released segment.

    Attributes:
        id: The id that it keeps from release to release.
        number: Its number among the clusters of its run.
        named_by: The features that gave the name.
        status: What it is compared with the release before; `since` in words.
        split_from: Id of the segment that it was split from; empty for others.
        absorbed: Ids of segments that were merged into it.
        size, size_margin: Customers of all partners, and half the 95 % interval under the noise.
        satisfaction: Scores of those who answered, as JSON values; None when too few did.
        satisfaction_words: The same for people; empty when nobody was asked.
        features: In the agreement's order.
    """

    id: str
    number: int
    name: str
    named_by: tuple[str, ...]
    suggested_use: str
    status: str
    since: str
    split_from: str
    absorbed: tuple[str, ...]
    size: int
    size_margin: int
    size_words: str
    satisfaction: dict[str, Any] | None
    satisfaction_words: str
    features: tuple[FeatureView, ...]

    def to_dict(self) -> dict[str, Any]:
        """The segment as JSON values."""
        return {
            "id": self.id,
            "number": self.number,
            "name": self.name,
            "named_by": list(self.named_by),
            "suggested_use": self.suggested_use,
            "status": self.status,
            "split_from": self.split_from or None,
            "absorbed": list(self.absorbed),
            "size": self.size,
            "size_margin": self.size_margin,
            "satisfaction": self.satisfaction,
            "features": [feature.to_dict() for feature in self.features],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseView:
    """A release with the ids, names and units that are shown to people.

    Attributes:
        release: As it was signed and verified.
        agreement: The version that it was made under.
        segments: In the release's order.
        gone: Segments that the release before had and this one has not, with their fate.
        ranges_told: Whether customers' typical ranges were asked for.
    """

    release: Release
    agreement: Agreement
    segments: tuple[SegmentView, ...]
    gone: tuple[Gone, ...]
    ranges_told: bool

    @property
    def ids(self) -> tuple[str, ...]:
        """The segments' ids."""
        return tuple(segment.id for segment in self.segments)

    @property
    def sizes(self) -> list[Margined]:
        """Customers of each segment, with the noise's margin, in the release's order."""
        return [(segment.size, segment.size_margin) for segment in self.segments]

    @property
    def absent(self) -> tuple[str, ...]:
        """Partners whose customers the release does not count."""
        parties = self.agreement.parties
        return tuple(p.id for p in parties if p.id not in self.release.counted)

    @property
    def question(self) -> str:
        """The question about satisfaction that customers were asked; empty when none."""
        return question_words(self.agreement)

    @property
    def choice(self) -> str:
        """Why there are this many segments, in words; empty where the number was agreed."""
        choice = self.release.choice
        if choice is None:
            return ""
        told = not isinstance(choice, Silhouettes) and choice.told
        return choice.words + (self._counted_then if told else "")

    @property
    def _counted_then(self) -> str:
        """That what was just said is of more partners than sign, as a further sentence."""
        left = [one.id for one in self.release.left]
        if not left:
            return ""
        return (
            f" Customers of {_listed(left)} were counted for that before {_it(left)} dropped out."
        )

    @property
    def left_words(self) -> str:
        """In what customers of partners are that dropped out at the end; empty where in nothing."""
        sentences = []
        for after in (SIZES, DISTANCE, SCORES):
            left = [one.id for one in self.release.left if one.after == after]
            if not left:
                continue
            stated = ["sizes"]
            stated += ["typical ranges"] if self.ranges_told else []
            stated += ["inertia"] if self.release.distance and after != SIZES else []
            stated += ["satisfaction"] if after == SCORES else []
            without = ", satisfaction does not" if self.question and after != SCORES else ""
            sentences.append(
                f"Dropped out at the end: {_listed(left)}, without whose signature this is "
                f"released; {_listed(stated)} count {_its(left)} customers{without}."
            )
        return " ".join(sentences)

    @property
    def asked_again_words(self) -> str:
        """That a question may have been asked again, for people; empty where none was."""
        times = 0 if self.release.privacy is None else self.release.privacy.asked_again
        if not times:
            return ""
        if times == 1:
            return (
                "Asked again: partners dropped out once in this run, so a question may have been "
                "asked twice; the epsilon that is stated counts it twice."
            )
        return (
            f"Asked again: partners dropped out {times} times in this run, so as many questions "
            "may have been asked again; the epsilon that is stated counts them again."
        )

    @property
    def distance(self) -> dict[str, Any] | None:
        """How far customers lie from their segment's centre, as JSON values; None where unknown."""
        found = mean_distance(self.release)
        if found is None:
            return None
        return {"mean_squared": found[0], "margin": found[1], "words": self.distance_words}

    @property
    def distance_words(self) -> str:
        """How far customers lie from their segment's centre, for people; empty where unknown."""
        found, privacy = mean_distance(self.release), self.release.privacy
        if found is None:
            left = any(one.after == SIZES for one in self.release.left)
            if privacy is None or not left or not self.release.segments:
                return ""
            return (
                "Inertia is not stated: a partner dropped out between the questions for sizes and "
                "for distances, so no mean over the same customers is known. The next run starts "
                "anew."
            )
        return (
            f"Inertia: customers lie {found[0]:.4f} ± {found[1]:.4f} from the nearest segment's "
            "centre (mean squared distance in the scaled cube). It is lower with more segments, so "
            "it compares releases with as many segments alone."
        )

    @property
    def start(self) -> dict[str, Any] | None:
        """The release that the run started from, as JSON values; None when it started anew."""
        start = self.release.start
        if start is None:
            return None
        return {
            "release": start.release.hex(),
            "changed": start.changed,
            "words": self.start_words,
        }

    @property
    def start_words(self) -> str:
        """The release that the run started from, for people; empty when it started anew."""
        start = self.release.start
        if start is None:
            return ""
        began = f"This run started from release {start.release.hex()[:16]}"
        if start.changed:
            return (
                f"{began}. The customers counted now differ from those of then, beyond the noise: "
                "there may be groups that no segment stands for, and the next run starts anew."
                f"{self._counted_then}"
            )
        return (
            f"{began}: where customers did not change, segments keep their places. Their number "
            "was not chosen anew."
        )

    def named(self) -> dict[str, Any]:
        """The release's identity, participants and protection, as JSON values."""
        release = self.release
        return {
            "agreement": self.agreement.id,
            "agreement_version": self.agreement.version,
            "agreement_hash": release.agreement_hash.hex(),
            "run_hash": release.run_hash.hex(),
            "release": release.hash.hex(),
            "participants": list(release.participants),
            "absent": list(self.absent),
            "left": [left.to_dict() for left in self.release.left],
            "privacy": release.privacy_words,
        }

    def to_dict(self) -> dict[str, Any]:
        """The release as JSON values (docs/release.schema.json)."""
        release = self.release
        return {
            **self.named(),
            "plan": release.plan,
            "rounds": release.rounds,
            "converged": release.converged,
            "privacy_terms": self._privacy_terms(),
            "segments": [segment.to_dict() for segment in self.segments],
            "gone": [
                {"id": gone.id, "status": gone.status, "into": gone.into or None}
                for gone in self.gone
            ],
            "satisfaction_question": question_of(self.agreement),
            "withheld": _left_out(release.withheld),
            "merged": _left_out(release.merged),
            "choice": None
            if release.choice is None
            else release.choice.to_dict() | {"words": self.choice},
            "distance": self.distance,
            "start": self.start,
        }

    def _privacy_terms(self) -> dict[str, Any] | None:
        privacy = self.release.privacy
        if privacy is None:
            return None
        return {
            "epsilon": privacy.epsilon,
            "delta": float(privacy.delta),
            "rho": float(privacy.rho),
            "unit": privacy.unit,
            "noise": NOISE_WORDS,
            "asked_again": privacy.asked_again,
        }


def release_view(release: Release, agreement: Agreement, step: Step) -> ReleaseView:
    """Make the view of a release.

    Args:
        release: A release that was verified.
        agreement: The version that it was made under.
        step: The ids of its segments (`protocol.release.lineage`).
    """
    return ReleaseView(
        release=release,
        agreement=agreement,
        segments=_segments(release, agreement, step),
        gone=step.gone,
        ranges_told=typical_ranges(release, agreement) is not None,
    )


def _segments(release: Release, agreement: Agreement, step: Step) -> tuple[SegmentView, ...]:
    if not release.segments:
        return ()
    centres = release_centres(release, agreement)
    low, high = centre_intervals(release, agreement)
    ranges = typical_ranges(release, agreement)
    overall = _overall(release, agreement)
    apart = deviations(agreement, release)
    found = []
    for row, (segment, living, called) in enumerate(
        zip(release.segments, step.living, release_calls(agreement, release), strict=True)
    ):
        features = tuple(
            FeatureView(
                feature=feature.name,
                unit=feature.unit,
                centre=float(centres[row, column]),
                low=float(low[row, column]),
                high=float(high[row, column]),
                typical=None if ranges is None else ranges[row][column],
                overall=overall[column],
                deviation=float(apart[row, column]) / float(feature.weight),
            )
            for column, feature in enumerate(agreement.coordinates)
        )
        found.append(
            SegmentView(
                id=living.id,
                number=segment.segment,
                name=called.name,
                named_by=tuple(agreement.coordinates[column].name for column in called.named_by),
                suggested_use=called.use,
                status=living.status,
                since=living.words,
                split_from=living.parent,
                absorbed=tuple(living.absorbed),
                size=segment.size,
                size_margin=segment.size_margin,
                size_words=segment.size_words,
                satisfaction=satisfaction_values(segment.satisfaction, agreement),
                satisfaction_words=satisfaction_words(segment.satisfaction, agreement),
                features=features,
            )
        )
    return tuple(found)


def _overall(release: Release, agreement: Agreement) -> Sequence[float]:
    """The mean of the released segments on the agreed scale, in the features' units."""
    centres = release.centres.astype(np.float64)
    offset = deviations(agreement, release)[0] * float(1 << release.fraction_bits)
    mean = np.rint(centres[0] - offset).astype(np.int64)
    found: list[float] = FeatureScale.of(agreement.coordinates).from_grid(mean[None, :])[0].tolist()
    return found


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> _listed(["a"]), _listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "they"


def _its(names: Sequence[str]) -> str:
    return "its" if len(names) == 1 else "their"


def _left_out(found: Withheld | None) -> dict[str, Any] | None:
    """Clusters that are not segments of their own, with the reason; None when there are none."""
    return None if found is None else found.to_dict()
