"""What an agreement says of a customer's features: bounds, scale, and why each is needed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from protocol.strict import Fields

FEATURE_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,59}"
#: A key of the fideslang taxonomy of data categories, such as ``user.behavior.purchase_history``.
CATEGORY: Final = r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One agreed feature of a customer.

    Attributes:
        min, max: Agreed bounds in `unit`; the node clips values beyond before anything else.
        transform: ``none`` or ``log1p``, applied after clipping; ``log1p`` needs ``min >= 0``.
        weight: Half the width of the feature's interval in the scaled cube, above 0, at most 1.
        necessity: Why the purpose needs it, in words.
        category: Key of the data's category; empty when none is stated.
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

    @staticmethod
    def read(fields: Fields) -> Feature:
        """Read the feature at `fields`."""
        feature = Feature(
            name=fields.text("name", max_length=60, pattern=FEATURE_NAME),
            type=fields.one_of("type", ("numeric",)),
            unit=fields.text("unit", max_length=40),
            min=fields.decimal("min"),
            max=fields.decimal("max"),
            transform=fields.one_of("transform", ("none", "log1p")),
            weight=fields.decimal("weight"),
            necessity=fields.text("necessity", max_length=400),
            category=fields.text("category", max_length=100, pattern=CATEGORY)
            if fields.has("category")
            else "",
        )
        fields.finish()
        return feature

    def to_dict(self) -> dict[str, Any]:
        """The feature as it stands in the signed JSON."""
        values = {
            "name": self.name,
            "type": self.type,
            "unit": self.unit,
            "min": format(self.min, "f"),
            "max": format(self.max, "f"),
            "transform": self.transform,
            "weight": format(self.weight, "f"),
            "necessity": self.necessity,
        }
        if self.category:
            values["category"] = self.category
        return values
