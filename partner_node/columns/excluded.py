"""Columns that must not become features, judged by name and by the shape of their values."""

from __future__ import annotations

from collections.abc import Sequence

from partner_node.columns.special import Finding, of_name, of_values, words_of
from protocol.agreement.duties import Exclusions
from protocol.agreement.features import Feature
from protocol.errors import RuleError


def excluded_by_name(feature: Feature, column: str, excluded: Exclusions) -> RuleError | None:
    """The error for a column that must not even be read, judged by names; None when there is none.

    Names are the feature's, its column's and its levels'.
    """
    proxies = {words_of(name) for name in excluded.proxies}
    for name in dict.fromkeys((feature.name, column)):
        if words_of(name) in proxies:
            return RuleError(
                f"{_called(feature, column)} is excluded: the agreement names {name!r} as a column "
                "that stands for something excluded",
                code="E-SPECIAL",
                remedy="agree on features without it",
            )
        found = of_name(name)
        if found is not None and is_excluded(found, excluded, feature):
            return _error(feature, column, found, excluded)
    for level in feature.levels:
        found = of_name(level)
        # Levels are not columns: "phone" among them is a channel.
        if found is None or found.kind == "identifier":
            continue
        if is_excluded(found, excluded, feature):
            return RuleError(
                f"{_called(feature, column)} has a level {level!r}, which looks like "
                f"{found.words} ({found.kind}): {found.why}",
                code="E-CHILD" if found.kind == "child" else "E-SPECIAL",
                remedy="agree on levels without it",
            )
    return None


def excluded_by_values(
    feature: Feature, column: str, sample: Sequence[object], excluded: Exclusions
) -> RuleError | None:
    """The error for a column that must not be a feature, judged by its values; None without one."""
    found = of_values(sample)
    return None if found is None else _error(feature, column, found, excluded)


def is_excluded(found: Finding, excluded: Exclusions, feature: Feature | None = None) -> bool:
    """Whether the agreement excludes what was found; identifiers are always excluded.

    An age is allowed where its agreed bounds begin at the age from which customers are counted.
    """
    if found.kind == "special category":
        return found.what in excluded.special
    if found.kind == "child" and feature is not None:
        return feature.min < excluded.children_under
    return True


def _error(feature: Feature, column: str, found: Finding, excluded: Exclusions) -> RuleError:
    if found.kind == "child":
        return RuleError(
            f"{_called(feature, column)} looks like an {found.words}: {found.why}",
            code="E-CHILD",
            remedy=f'agree on features without it, or on min: "{excluded.children_under}" at least',
        )
    return RuleError(
        f"{_called(feature, column)} looks like {found.words} ({found.kind}): {found.why}",
        code="E-SPECIAL",
        remedy="agree on features without it; where the name misleads, name the column for what "
        "it holds, by AS in a feature query",
    )


def _called(feature: Feature, column: str) -> str:
    name = f"feature {feature.name!r}"
    return name if column == feature.name else f"{name} (column {column!r})"
