"""What differs between two versions of an agreement, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.agreement.document import Agreement

#: Said elsewhere, and different in any two versions.
_BESIDE: Final = ("schema", "version", "supersedes")
#: What tells the entries of a list apart, in the order in which it is looked for.
_NAMES: Final = ("id", "name", "title")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field that differs.

    Attributes:
        place: Where it stands, such as ``parties.north.max_customers``.
        before, after: Its text in each version; None where it does not stand there.
    """

    place: str
    before: str | None
    after: str | None

    def to_dict(self) -> dict[str, str | None]:
        """The change as JSON values."""
        return {"field": self.place, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """In what a version differs from one before.

    Attributes:
        before: The version before.
        fields: Every field that differs; none where nothing but the number does.
    """

    before: Agreement
    fields: tuple[Change, ...]

    @staticmethod
    def between(before: Agreement, after: Agreement) -> Differences:
        """In what `after` differs from `before`."""
        return Differences(before=before, fields=tuple(changes(before, after)))

    def to_dict(self) -> dict[str, Any]:
        """The differences as JSON values."""
        return {
            "since_version": self.before.version,
            "since_hash": self.before.hash.hex(),
            "fields": [change.to_dict() for change in self.fields],
        }

    @property
    def title(self) -> str:
        """What is shown below, for people; that there is nothing to show where that is so."""
        since = f"version {self.before.version} (hash {self.before.hash.hex()[:16]}…)"
        if self.fields:
            return f"What changed since {since}"
        return f"Nothing but its number changed since {since}."

    @property
    def rows(self) -> list[tuple[str, str | None, str | None]]:
        """Each field with what stood there and what stands there now."""
        return [(change.place, change.before, change.after) for change in self.fields]


def changes(before: Agreement, after: Agreement) -> list[Change]:
    """Every field in which two agreements differ, in the order in which the later one has them."""
    old, new = dict(_flat(before.to_dict(), "")), dict(_flat(after.to_dict(), ""))
    places = dict.fromkeys([*new, *old])
    return [
        Change(place=place, before=old.get(place), after=new.get(place))
        for place in places
        if old.get(place) != new.get(place)
    ]


def _flat(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if place or name not in _BESIDE:
                yield from _flat(part, f"{place}.{name}" if place else name)
    elif _is_listing(value):
        for entry in value:
            yield from _flat(entry, f"{place}.{_name(entry)}")
    elif isinstance(value, list):
        yield place, ", ".join(map(str, value))
    else:
        yield place, str(value)


def _is_listing(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and any(isinstance(entry, Mapping) for entry in value)
    )


def _name(entry: Mapping[str, Any]) -> str:
    return next(str(entry[key]) for key in _NAMES if key in entry)
