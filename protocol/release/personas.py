"""Marketing names for segments of buyers, with suggested uses: a table of rules.

Where partners agreed on recency and on frequency or spend, a segment is called as in retail:
"Loyal big spenders", "Lapsed one-time buyers". The first rule of `PERSONAS` that fits decides. It
depends on the released centres alone, so it reveals nothing that the release does not. Other
segments keep the plain words of `segment_names`. docs/segments.md has the table for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from protocol.agreement.document import Agreement
from protocol.release.document import Release, release_centres
from protocol.release.names import (
    SegmentName,
    deviations,
    feature_words,
    told_apart,
    words_of_release,
)

RECENCY: Final = "absence"
FREQUENCY: Final = "frequency"
SPEND: Final = "spend"
TENURE: Final = "tenure"
BASKET: Final = "basket size"

#: Words in the name of a feature that counts orders, and the most orders of who bought once.
_COUNTS_ORDERS: Final = frozenset({"orders", "purchases", "invoices"})
ONCE: Final = 1.5

NO_USE: Final = "None suggested: decide by what sets it apart, and try it on a few customers first."


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A rule with the name and the use of the segments that it fits.

    Attributes:
        least, most: Least and largest offset of the centre from the mean of the released
            segments, by kind of feature; 1 is half of the feature's agreed range.
        once: Whether customers bought once, or hardly more.
        use: What a marketer may try.
    """

    name: str
    use: str
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    once: bool = False

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of features that it asks for."""
        return frozenset({*self.least, *self.most, *([FREQUENCY] if self.once else [])})

    def fits(self, apart: Mapping[str, float], orders: float | None) -> bool:
        """Whether the rule fits a segment; it does not if it needs a kind that was not agreed.

        Args:
            apart: Offset of the centre from the mean, by kind of feature.
            orders: Orders of the segment's typical customer; None where they are not counted.
        """
        return (
            (not self.once or (orders is not None and orders < ONCE))
            and all(kind in apart and apart[kind] >= v for kind, v in self.least.items())
            and all(kind in apart and apart[kind] <= v for kind, v in self.most.items())
        )


_WELCOME: Final = "Welcome: show the range, ask what they like, make the second month easy."
_SECOND: Final = "Second purchase: a reason to come back soon, near to what they bought."

#: The first that fits decides.
PERSONAS: Final = (
    Persona(
        name="Lapsed one-time buyers",
        once=True,
        least={RECENCY: 0.4},
        use="Win back at low cost: one reminder or voucher, then leave them in peace.",
    ),
    Persona(name="New one-time buyers", once=True, most={TENURE: -0.4, RECENCY: 0.15}, use=_SECOND),
    Persona(name="One-time buyers", once=True, use=_SECOND),
    Persona(
        name="Lapsed big spenders",
        least={RECENCY: 0.4, SPEND: 0.15},
        use="Win back in person: ask what went wrong, offer something worth their while.",
    ),
    Persona(
        name="Lapsed customers",
        least={RECENCY: 0.4},
        use="Win back: news since they left, an offer with an end date.",
    ),
    Persona(
        name="Valuable customers slipping away",
        least={RECENCY: 0.15, SPEND: 0.08},
        use="Keep: reach out before they lapse, by a person where that pays.",
    ),
    Persona(
        name="Customers slipping away",
        least={RECENCY: 0.15},
        use="Keep: a reminder of what they bought, before they lapse.",
    ),
    Persona(name="Active new customers", most={TENURE: -0.4, RECENCY: -0.3}, use=_WELCOME),
    Persona(name="New customers", most={TENURE: -0.4}, use=_WELCOME),
    Persona(
        name="Loyal big spenders",
        least={FREQUENCY: 0.4, SPEND: 0.25},
        use="Reward: early access, thanks, a say in the range; no discounts they do not need.",
    ),
    Persona(
        name="Loyal customers",
        least={FREQUENCY: 0.4},
        use="Reward: a loyalty programme, and ask them to recommend you.",
    ),
    Persona(
        name="Big spenders",
        least={SPEND: 0.4},
        use="Care: service first, and a reason to come more often.",
    ),
    Persona(
        name="Bulk buyers",
        least={BASKET: 0.3},
        use="Volume: larger packs, quantity prices, stock in time.",
    ),
    Persona(
        name="Valuable regulars",
        least={FREQUENCY: 0.1, SPEND: 0.08},
        use="Grow: show them what customers like them also buy.",
    ),
    Persona(
        name="Thrifty regulars",
        least={FREQUENCY: 0.1},
        most={SPEND: -0.08},
        use="Grow: bundles and better offers at a small step up in price.",
    ),
    Persona(
        name="Regulars",
        least={FREQUENCY: 0.1},
        use="Grow: show them what customers like them also buy.",
    ),
    Persona(
        name="Occasional buyers",
        most={FREQUENCY: -0.1},
        use="More often: reminders at the times when they buy.",
    ),
    Persona(
        name="Active customers",
        most={RECENCY: -0.15},
        use="Grow: ask what else they would buy here.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """The name of a segment, and the use that it suggests.

    Attributes:
        named_by: The columns of the features that gave the name, in the agreement's order.
    """

    name: str
    use: str
    named_by: tuple[int, ...] = ()


def release_calls(agreement: Agreement, release: Release) -> list[Called]:
    """Names and suggested uses of the release's segments, in its order; the same everywhere."""
    plain = words_of_release(agreement, release)
    if len(release.segments) < 2:
        return [Called(name=name.text, use=NO_USE) for name in plain]
    kinds = _kinds(agreement)
    apart = deviations(agreement, release)
    centres = release_centres(release, agreement)
    found: list[Persona | None] = []
    for row, centre in zip(apart, centres, strict=True):
        told = {
            kind: float(row[column]) / float(agreement.coordinates[column].weight)
            for kind, column in kinds.items()
        }
        column = kinds.get(FREQUENCY)
        counted = column is not None and _counts_orders(agreement.coordinates[column].name)
        orders = float(centre[column]) if column is not None and counted else None
        fits = RECENCY in kinds and (FREQUENCY in kinds or SPEND in kinds)
        found.append(next((p for p in PERSONAS if fits and p.fits(told, orders)), None))
    names = told_apart(
        [name if persona is None else SegmentName(
            text=persona.name, features=frozenset(kinds[kind] for kind in persona.kinds))
         for name, persona in zip(plain, found, strict=True)],
        apart, [coordinate.name for coordinate in agreement.coordinates],
    )  # fmt: skip
    return [
        Called(
            name=name.text,
            use=NO_USE if persona is None else persona.use,
            named_by=tuple(sorted(name.features)),
        )
        for name, persona in zip(names, found, strict=True)
    ]


def release_names(agreement: Agreement, release: Release) -> list[str]:
    """Names of the release's segments, in its order; the same everywhere."""
    return [called.name for called in release_calls(agreement, release)]


def _kinds(agreement: Agreement) -> dict[str, int]:
    """The index of the feature of each kind; a kind that two features have is left out."""
    nouns = [feature_words(coordinate.name).noun for coordinate in agreement.coordinates]
    count = Counter(nouns)
    known = (RECENCY, FREQUENCY, SPEND, TENURE, BASKET)
    return {noun: i for i, noun in enumerate(nouns) if noun in known and count[noun] == 1}


def _counts_orders(name: str) -> bool:
    parts = set(name.lower().split("_"))
    return bool(parts & _COUNTS_ORDERS) and "per" not in parts
