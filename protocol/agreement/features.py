"""What an agreement says of a customer's features: kind, bounds, scale, and why each is needed.

A feature of numbers, of levels in order, or of yes and no is one coordinate of a customer. One
with levels in no order has a coordinate for each, of which a customer's own is high and all others
are low. SPEC.md, 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any, Final, Self

from protocol import limits
from protocol.agreement.feature_types import TYPES, YES, FeatureType
from protocol.errors import MalformedError
from protocol.schema import Names, Part, names_of
from protocol.strict import Fields, parse_decimal

FEATURE_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,59}"
#: A key of the fideslang taxonomy of data categories, such as ``user.behavior.purchase_history``.
CATEGORY: Final = r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*"

#: The unit of a coordinate that is 1 for some customers and 0 for all others: a mean is a share.
SHARE: Final = "share of customers"
#: Stands between a feature's name, which has none, and the level of one of its coordinates.
LEVEL_MARK: Final = ": "

LEAVE_OUT: Final = "leave-out"
REPLACE: Final = "replace"

#: Enough digits for the root of a weight; it is cut to those that a signed decimal has.
_DIGITS: Final = Context(prec=28)
_DECIMAL_STEP: Final = Decimal("1e-9")


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingRule(Part):
    """What is done when a customer has no value.

    Attributes:
        value: Taken in its place, a number or a level; None when the customer is left out.
    """

    BESIDE = ("rule",)

    value: str | None

    @classmethod
    def names(cls, values: Mapping[str, Any]) -> Names:
        """The rule's fields: a value where it counts in place of the missing one."""
        names, rule = names_of(cls), values.get("rule")
        if rule == REPLACE:
            return names
        return names.without("value") if rule == LEAVE_OUT else names.optional("value")

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        rule = fields.one_of("rule", (LEAVE_OUT, REPLACE))
        return cls(value=fields.text("value", max_length=60) if rule == REPLACE else None)

    def to_dict(self) -> dict[str, Any]:
        if self.value is None:
            return {"rule": LEAVE_OUT}
        return {"rule": REPLACE, "value": self.value}

    @property
    def words(self) -> str:
        """The rule in words."""
        return "the customer is left out" if self.value is None else f"counts as {self.value}"

    @property
    def each_words(self) -> str:
        """The rule for several customers, in words."""
        return "they are left out" if self.value is None else f"each counts as {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinate:
    """One number of a customer, as it is scaled and added up.

    Attributes:
        name: The feature's, with the level after `LEVEL_MARK` where it stands for one.
        unit: Of `min`, `max` and of a mean.
        min, max: Bounds in `unit`; values beyond are clipped before anything else.
        transform: ``none`` or ``log1p``, applied after clipping.
        weight: Half the width of the coordinate's interval in the scaled cube.
    """

    name: str
    unit: str
    min: Decimal
    max: Decimal
    transform: str
    weight: Decimal

    @property
    def is_share(self) -> bool:
        """Whether a mean of it is the share of customers at one level."""
        return LEVEL_MARK in self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature(Part):
    """One agreed feature of a customer.

    Attributes:
        type: One of `TYPES`.
        min, max: Agreed bounds in `unit`; the node clips values beyond before anything else.
            Levels are counted from 0.
        transform: ``none`` or ``log1p``, applied after clipping; ``log1p`` needs ``min >= 0``.
        weight: How far a customer can be from the middle in this feature, in the scaled cube,
            above 0, at most 1: what it adds to a customer's influence, whatever its type.
        necessity: Why the purpose needs it, in words.
        category: Key of the data's category; empty when none is stated.
        levels: The values there are; where they are steps the lowest first; empty for numbers.
        other: The level that values count as that are none; None when they are refused.
        missing: What is done about a missing value; None when it is refused.
    """

    name: str
    type: str
    unit: str
    min: Decimal
    max: Decimal
    transform: str
    weight: Decimal
    necessity: str
    category: str = ""
    levels: tuple[str, ...] = ()
    other: str | None = None
    missing: MissingRule | None = None

    @classmethod
    def names(cls, values: Mapping[str, Any]) -> Names:
        """The feature's fields: those of all features, and those of its type."""
        of_types = {name for kind in TYPES.values() for name in kind.fields}
        names = names_of(cls).without(*of_types)
        kind = TYPES.get(str(values.get("type")))
        own, may = (of_types, of_types) if kind is None else ({*kind.fields}, {*kind.may})
        return Names(needs=names.needs | (own - may), may=names.may | may)

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        name = fields.text("name", max_length=60, pattern=FEATURE_NAME)
        type_name = fields.one_of("type", tuple(TYPES))
        kind = TYPES[type_name]
        levels = _read_levels(fields) if kind.names_levels else kind.levels
        feature = cls(
            name=name,
            type=type_name,
            unit=fields.text("unit", max_length=40),
            min=fields.decimal("min") if kind.is_number else Decimal(0),
            max=fields.decimal("max") if kind.is_number else Decimal(len(levels) - 1),
            transform=fields.one_of("transform", ("none", "log1p"))
            if kind.has_transform
            else "none",
            weight=fields.decimal("weight"),
            necessity=fields.text("necessity", max_length=400),
            category=fields.text("category", max_length=100, pattern=CATEGORY)
            if fields.has("category")
            else "",
            levels=levels,
            other=fields.one_of("other", levels) if fields.has("other") else None,
            missing=MissingRule.read(fields.object("missing")) if fields.has("missing") else None,
        )
        _check_replacement(feature, fields)
        return feature

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = {"name": self.name, "type": self.type, "unit": self.unit}
        if self.kind.is_number:
            values["min"] = format(self.min, "f")
            values["max"] = format(self.max, "f")
        if self.kind.has_transform:
            values["transform"] = self.transform
        if self.kind.names_levels:
            values["levels"] = list(self.levels)
        values["weight"] = format(self.weight, "f")
        values["necessity"] = self.necessity
        if self.category:
            values["category"] = self.category
        if self.other is not None:
            values["other"] = self.other
        if self.missing is not None:
            values["missing"] = self.missing.to_dict()
        return values

    @property
    def kind(self) -> FeatureType:
        """The feature's type."""
        return TYPES[self.type]

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """The numbers of a customer that stand for the feature."""
        if not self.kind.each_level:
            return (self._only(),)
        root = _DIGITS.sqrt(Decimal(len(self.levels)))
        weight = _DIGITS.divide(self.weight, root).quantize(_DECIMAL_STEP, rounding=ROUND_DOWN)
        return tuple(self._at(level, weight) for level in self.levels)

    @property
    def replacement(self) -> float | None:
        """What counts in place of a missing value; None when nothing does.

        A number in `unit`, or a level's place in `levels`.
        """
        if self.missing is None or self.missing.value is None:
            return None
        if self.levels:
            return float(self.levels.index(self.missing.value))
        return float(Decimal(self.missing.value))

    @property
    def range_words(self) -> str:
        """What values there are, in words."""
        if self.kind.is_number:
            return f"{self.min} to {self.max}"
        words = self.kind.between.join(self.levels)
        return words if self.other is None else f"{words} (all others: {self.other})"

    def _only(self) -> Coordinate:
        if self.kind.truth:
            return self._at(YES, self.weight)
        unit = self.unit
        if self.levels:
            unit += f", 0 = {self.levels[0]}, {len(self.levels) - 1} = {self.levels[-1]}"
        return Coordinate(
            name=self.name,
            unit=unit,
            min=self.min,
            max=self.max,
            transform=self.transform,
            weight=self.weight,
        )

    def _at(self, level: str, weight: Decimal) -> Coordinate:
        return Coordinate(
            name=f"{self.name}{LEVEL_MARK}{level}",
            unit=SHARE,
            min=Decimal(0),
            max=Decimal(1),
            transform="none",
            weight=weight,
        )


def coordinates_of(features: Sequence[Feature]) -> tuple[Coordinate, ...]:
    """A customer's coordinates under an agreement's features, in their order."""
    return tuple(coordinate for feature in features for coordinate in feature.coordinates)


def _read_levels(fields: Fields) -> tuple[str, ...]:
    levels = fields.texts("levels", at_least=2, at_most=limits.MAX_LEVELS, max_length=60)
    for level in levels:
        if level != level.strip() or "\n" in level:
            raise MalformedError(
                f"{fields.path('levels')} has {level!r}, with space around it or a line's end in it"
            )
    return levels


def _check_replacement(feature: Feature, fields: Fields) -> None:
    """Refuse a value for missing ones that is none of the feature's."""
    value = None if feature.missing is None else feature.missing.value
    if value is None:
        return
    where = f"{fields.path('missing')}.value"
    if feature.levels:
        if value not in feature.levels:
            raise MalformedError(f"{where} is {value!r}, allowed: {', '.join(feature.levels)}")
    elif not feature.min <= parse_decimal(value, where) <= feature.max:
        raise MalformedError(
            f"{where} is {value}, beyond the bounds {feature.min} to {feature.max}"
        )
