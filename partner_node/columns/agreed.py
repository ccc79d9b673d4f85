"""Checks of this partner's column names and units against the agreement; reads no row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from partner_node.columns.excluded import excluded_by_name
from protocol.agreement.document import Agreement
from protocol.agreement.features import Feature
from protocol.errors import RuleError


def check_features(
    agreement: Agreement, *, columns: Mapping[str, str], units: Mapping[str, str]
) -> None:
    """Refuse data that are described differently than agreed, or as something that is excluded.

    Args:
        columns: Column of each feature whose column has another name.
        units: Unit in which the data have each feature.

    Raises:
        RuleError: The name of a feature or its column indicates an identifier, a special category
            or a proxy (E-SPECIAL), or an age at which somebody is a child (E-CHILD); a unit is for
            something that is not a feature (E-FEATURE-UNLISTED); a feature has no unit, or another
            one than agreed (E-FEATURE-UNIT).
    """
    for feature in agreement.features:
        column = columns.get(feature.name, feature.name)
        problem = excluded_by_name(feature, column, agreement.excluded)
        if problem is not None:
            raise problem
    _check_units(agreement.features, units)


def check_listed(features: Sequence[Feature], names: Iterable[str], *, where: str) -> None:
    """Refuse names in the section `where` that are not agreed features (E-FEATURE-UNLISTED)."""
    agreed = [feature.name for feature in features]
    others = [repr(name) for name in names if name not in agreed]
    if others:
        what = "which is no feature" if len(others) == 1 else "which are no features"
        raise RuleError(
            f"{where} names {', '.join(others)}, {what} of the agreement",
            code="E-FEATURE-UNLISTED",
            remedy=f"leave {'it' if len(others) == 1 else 'them'} out of {where} in node.toml, or "
            f"name agreed features: {', '.join(agreed)}",
        )


def _check_units(features: Sequence[Feature], units: Mapping[str, str]) -> None:
    check_listed(features, units, where="[data.units]")
    missing = [feature for feature in features if feature.name not in units]
    if missing:
        lines = "; ".join(f"{f.name} = {json.dumps(f.unit, ensure_ascii=False)}" for f in missing)
        raise RuleError(
            "node.toml does not say in which unit the data have "
            + ", ".join(f.name for f in missing),
            code="E-FEATURE-UNIT",
            remedy=f"look at the data, and write under [data.units], if that is so: {lines}",
        )
    for feature in features:
        if units[feature.name] != feature.unit:
            raise RuleError(
                f"the data have {feature.name} in {units[feature.name]}, agreed is {feature.unit}",
                code="E-FEATURE-UNIT",
                remedy="have the feature query convert it, then correct [data.units]",
            )
