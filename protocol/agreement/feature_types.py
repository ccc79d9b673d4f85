"""The types of features: what an agreement says of each, and how its values become coordinates.

Whoever adds a type adds a line to `TYPES`; CONTRIBUTING.md says what else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The two levels of a feature that is true or false.
NO: Final = "no"
YES: Final = "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureType:
    """One type of features.

    Attributes:
        words: What a value is, for people; empty for numbers, whose transform says it.
        fields: Fields of the agreement that features of this type have, beside those of all.
        may: Those of them that may be left out.
        levels: The levels of every feature of this type; empty where there are none, or where the
            agreement names them (`fields` has ``levels``).
        between: What stands between two levels where all are told.
        each_level: Whether every level is a coordinate, 1 for who has it and 0 for others. Of
            other types with levels the place of a level is the coordinate.
        truth: Whether values are read by the words for yes and no, whatever a table calls them;
            the coordinate is then 1 for yes.
        written: What stands beside its name where people are told how to write one; empty where
            it needs nothing more.
    """

    words: str = ""
    fields: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    between: str = ", "
    each_level: bool = False
    truth: bool = False
    written: str = ""

    @property
    def is_number(self) -> bool:
        """Whether values are numbers between agreed bounds."""
        return "min" in self.fields

    @property
    def has_transform(self) -> bool:
        """Whether the agreement says how values are transformed."""
        return "transform" in self.fields

    @property
    def names_levels(self) -> bool:
        """Whether the agreement names the levels."""
        return "levels" in self.fields


TYPES: Final = {
    "numeric": FeatureType(
        fields=("min", "max", "transform"),
        written="with bounds in the feature's unit, beyond which values are clipped at the node",
    ),
    "boolean": FeatureType(words="yes or no", levels=(NO, YES), truth=True),
    "ordinal": FeatureType(
        words="steps",
        fields=("levels",),
        between=" < ",
        written="with levels: [bronze, silver, gold], the lowest first",
    ),
    "categorical": FeatureType(
        words="one of them",
        fields=("levels", "other"),
        may=("other",),
        each_level=True,
        written="with levels: [web, shop] in any order, and other: shop if values that are no "
        "level count as that one",
    ),
}
