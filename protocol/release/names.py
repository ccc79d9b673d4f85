"""Plain names for segments, from how each differs from the mean of the released segments.

A name such as "Recent, frequent, high spend" is derived from the released centres alone, so it
reveals nothing that the release does not; where clusters are withheld it compares the released
ones only.
The same centres, sizes and feature names give the same names.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.agreement.document import Agreement
from protocol.agreement.feature_types import YES
from protocol.agreement.features import LEVEL_MARK
from protocol.release.document import Release

FloatMatrix = npt.NDArray[np.float64]

#: Below this distance from the mean, in the scaled cube [-1, 1], a feature is not named.
_APART: Final = 0.08
#: From this distance on it is called far from the mean.
_FAR: Final = 0.35
#: A feature is named when it is at least this part of the segment's strongest one.
_OF_STRONGEST: Final = 0.35
_MOST_WORDS: Final = 3
#: Words for segments that would share a name otherwise.
_MOST_WORDS_ALIKE: Final = 5
#: Below this range segments count as equal in a feature.
_SAME: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentName:
    """A segment's name, and what made it.

    Attributes:
        features: The columns of the features that gave it, in any order; none of "Average".
    """

    text: str
    features: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureWords:
    """Words for a low and a high value of a feature.

    Attributes:
        noun: Name in rankings, as in "spend rank 2 of 3".
        low, high: Description of a customer with a low or a high value.
        less, more: Description of one of two segments; by default "lower spend", "higher spend".
    """

    noun: str
    low: str
    high: str
    less: str = ""
    more: str = ""

    def comparison(self, *, more: bool) -> str:
        """Words that distinguish the segment with more (or less) of two from the other."""
        return (self.more or f"higher {self.noun}") if more else (self.less or f"lower {self.noun}")


# The first entry applies that has one of its words in the feature's name.
_VOCABULARY: Final = (
    (
        {"recency", "absence", "inactive"},
        FeatureWords(
            noun="absence", low="recent", high="lapsed", less="more recent", more="less recent"
        ),
    ),
    (
        {"items", "basket", "lines"},
        FeatureWords(
            noun="basket size",
            low="small baskets",
            high="large baskets",
            less="smaller baskets",
            more="larger baskets",
        ),
    ),
    (
        {"cancelled", "cancellations", "returns", "returned"},
        FeatureWords(
            noun="returns",
            low="few returns",
            high="many returns",
            less="fewer returns",
            more="more returns",
        ),
    ),
    (
        {"discount", "discounts", "coupons"},
        FeatureWords(
            noun="discounts",
            low="few discounts",
            high="many discounts",
            less="fewer discounts",
            more="more discounts",
        ),
    ),
    (
        {"orders", "frequency", "visits", "purchases", "invoices"},
        FeatureWords(
            noun="frequency",
            low="infrequent",
            high="frequent",
            less="less frequent",
            more="more frequent",
        ),
    ),
    (
        {"spend", "spending", "monetary", "revenue", "turnover", "amount", "sales"},
        FeatureWords(noun="spend", low="low spend", high="high spend"),
    ),
    (
        {"tenure", "membership"},
        FeatureWords(
            noun="tenure", low="new", high="long-standing", less="newer", more="longer-standing"
        ),
    ),
)


def feature_words(name: str) -> FeatureWords:
    """The words for a feature, by the words in its name.

    >>> feature_words("net_spend").high
    'high spend'
    >>> feature_words("shoe_size").low
    'low shoe size'
    >>> feature_words("main_channel: web").high
    'often main channel web'
    """
    if LEVEL_MARK in name:
        return _level_words(name)
    parts = [part for part in name.replace("-", "_").replace(" ", "_").split("_") if part]
    lowered = {part.lower() for part in parts}
    for keys, words in _VOCABULARY:
        if keys & lowered:
            return words
    noun = " ".join(parts) or "value"
    return FeatureWords(noun=noun, low=f"low {noun}", high=f"high {noun}")


def _level_words(name: str) -> FeatureWords:
    """The words for a coordinate that is the share of customers at one level."""
    feature, _, level = name.partition(LEVEL_MARK)
    noun = " ".join(feature.split("_")).strip()
    if level != YES:
        noun += f" {level}"
    return FeatureWords(
        noun=noun,
        low=f"rarely {noun}",
        high=f"often {noun}",
        less=f"less often {noun}",
        more=f"more often {noun}",
    )


def words_of_release(agreement: Agreement, release: Release) -> list[SegmentName]:
    """Plain names of the release's segments, in its order; the same everywhere."""
    return named_segments(
        _scaled(agreement, release),
        [segment.size for segment in release.segments],
        [coordinate.name for coordinate in agreement.coordinates],
        complete=release.withheld is None,
    )


def deviations(agreement: Agreement, release: Release) -> FloatMatrix:
    """Offset of each centre from the mean of the released segments, in the scaled cube.

    Returns:
        Shape ``(n_segments, n_features)``.
    """
    return _from_mean(_scaled(agreement, release), [s.size for s in release.segments])


def _scaled(agreement: Agreement, release: Release) -> FloatMatrix:
    scaled = release.centres.reshape(len(release.segments), agreement.n_coordinates)
    return scaled / float(1 << release.fraction_bits)


def _from_mean(centres: FloatMatrix, sizes: Sequence[int] | npt.NDArray[np.int64]) -> FloatMatrix:
    weights = np.asarray(sizes, dtype=np.float64)
    if weights.sum() <= 0:
        weights = np.ones_like(weights)
    deviation: FloatMatrix = centres - weights @ centres / weights.sum()
    return deviation


def standing(deviation: float) -> str:
    """Distance of a value from the mean, in words.

    Args:
        deviation: As a part of half of the feature's agreed range.

    >>> standing(0.05), standing(-0.1), standing(0.4)
    ('about average', 'below average', 'far above average')
    """
    if abs(deviation) < _APART:
        return "about average"
    side = "above average" if deviation > 0 else "below average"
    return f"far {side}" if abs(deviation) >= _FAR else side


def told_apart(
    names: Sequence[SegmentName], deviation: FloatMatrix, features: Sequence[str]
) -> list[SegmentName]:
    """Make names distinct: equal ones get a comparison where they differ, else a number.

    Args:
        deviation: Offset of each centre from the mean, shape ``(n_names, n_features)``.
    """
    return _numbered(_compared(names, deviation, _distinct_words(features)))


def segment_names(
    centres: FloatMatrix,
    sizes: Sequence[int] | npt.NDArray[np.int64],
    features: Sequence[str],
    *,
    complete: bool = True,
) -> list[str]:
    """The texts of `named_segments`.

    >>> import numpy as np
    >>> centres = np.array([[-0.6, 0.5], [0.4, -0.5], [0.0, -0.02]])
    >>> segment_names(centres, [100, 100, 100], ["recency_days", "net_spend"])
    ['Recent, high spend', 'Lapsed, low spend', 'Average']
    """
    return [name.text for name in named_segments(centres, sizes, features, complete=complete)]


def named_segments(
    centres: FloatMatrix,
    sizes: Sequence[int] | npt.NDArray[np.int64],
    features: Sequence[str],
    *,
    complete: bool = True,
) -> list[SegmentName]:
    """Distinct plain names for the segments of a release.

    Args:
        centres: Shape ``(n_segments, n_features)``, in the scaled cube [-1, 1].
        sizes: Customers of each segment, shape ``(n_segments,)``; they weigh the mean.
        features: Names of the features, shape ``(n_features,)``.
        complete: Whether these are all segments. When some are withheld, the mean is that of the
            released ones only, and no name speaks of all customers.

    Returns:
        One name a segment, in the order of `centres`, no two alike.

    Raises:
        ValueError: The shapes do not fit.
    """
    weights = np.asarray(sizes, dtype=np.float64)
    if centres.ndim != 2 or weights.shape != centres.shape[:1] or len(features) != centres.shape[1]:
        raise ValueError(
            f"centres {centres.shape}, {weights.size} sizes and {len(features)} features do not fit"
        )
    if len(centres) == 0:
        return []
    if len(centres) == 1:
        return [SegmentName(text="All customers" if complete else "The released segment")]
    deviation = _from_mean(centres, sizes)
    words = _distinct_words(features)
    average = "average" if complete else "average of the released"
    names = [_describe(row, words, average, most=_MOST_WORDS) for row in deviation]
    longer = [_describe(row, words, average, most=_MOST_WORDS_ALIKE) for row in deviation]
    names = _where_it_tells_apart(names, longer)
    names = _compared(names, deviation, words)
    return _numbered([replace(n, text=n.text[:1].upper() + n.text[1:]) for n in names])


def _distinct_words(features: Sequence[str]) -> list[FeatureWords]:
    """Words for every feature; two features of one kind are called by their own names."""
    words = [feature_words(name) for name in features]
    count = Counter(word.noun for word in words)
    own = [name.replace("_", " ").strip() or "value" for name in features]
    return [
        word
        if count[word.noun] == 1
        else FeatureWords(noun=name, low=f"low {name}", high=f"high {name}")
        for word, name in zip(words, own, strict=True)
    ]


def _describe(
    deviation: FloatMatrix, words: Sequence[FeatureWords], average: str, *, most: int
) -> SegmentName:
    strength = np.abs(deviation)
    # With all features allowed, weaker ones are named too: they distinguish similar segments.
    share = _OF_STRONGEST if most <= _MOST_WORDS else 0.0
    apart = np.flatnonzero(strength >= max(_APART, share * float(strength.max(initial=0.0))))
    strongest = sorted(apart.tolist(), key=lambda f: (-strength[f], f))[:most]
    chosen = [words[f].high if deviation[f] > 0 else words[f].low for f in sorted(strongest)]
    return SegmentName(text=", ".join(chosen) or average, features=frozenset(strongest))


def _where_it_tells_apart(
    names: Sequence[SegmentName], longer: Sequence[SegmentName]
) -> list[SegmentName]:
    """Replace shared names by their longer ones where these are unique.

    Otherwise the short name is better, as a comparison is added to it later.
    """
    count, longer_count = _counted(names), _counted(longer)
    return [
        long if count[name.text] > 1 and longer_count[long.text] == 1 else name
        for name, long in zip(names, longer, strict=True)
    ]


def _compared(
    names: Sequence[SegmentName], deviation: FloatMatrix, words: Sequence[FeatureWords]
) -> list[SegmentName]:
    """Add a comparison to equal names, in the feature that differs most between them."""
    result = list(names)
    for name, count in _counted(names).items():
        group = [index for index, other in enumerate(names) if other.text == name]
        if count < 2 or not words:
            continue
        spread = np.ptp(deviation[group], axis=0)
        feature = int(np.argmax(spread))
        if spread[feature] <= _SAME:
            continue
        values = deviation[group, feature]
        for index in group:
            rank = 1 + int((values > deviation[index, feature] + _SAME).sum())
            if count == 2:
                comparison = words[feature].comparison(more=rank == 1)
            else:
                comparison = f"{words[feature].noun} rank {rank} of {count}"
            result[index] = SegmentName(
                text=f"{name} ({comparison})", features=names[index].features | {feature}
            )
    return result


def _counted(names: Sequence[SegmentName]) -> Counter[str]:
    return Counter(name.text for name in names)


def _numbered(names: Sequence[SegmentName]) -> list[SegmentName]:
    """Add numbers to names that are still equal."""
    count = _counted(names)
    taken = set(count)
    result = []
    for name in names:
        unique = name
        if count[name.text] > 1:
            numbered = (f"{name.text} · {number}" for number in itertools.count(1))
            unique = replace(name, text=next(one for one in numbered if one not in taken))
            taken.add(unique.text)
        result.append(unique)
    return result
