"""Which fields a signed object has: those of its dataclass, said once."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_args, get_type_hints

from protocol.errors import MalformedError
from protocol.strict import Fields, near


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Which fields an object has.

    Attributes:
        needs: Those that must be there.
        may: Those that may be left out.
    """

    needs: frozenset[str]
    may: frozenset[str] = frozenset()

    def optional(self, *names: str) -> Names:
        """The same, but some may be left out."""
        return Names(needs=self.needs - {*names}, may=self.may | {*names})

    def without(self, *names: str) -> Names:
        """The same without some."""
        return Names(needs=self.needs - {*names}, may=self.may - {*names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """An object that has not the fields that it should have.

    Attributes:
        where: Its place in the document.
        missing: Fields that it lacks, sorted.
        unknown: Fields that it should not have, each with the nearest known one.
    """

    where: str
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def words(self) -> str:
        """All that is wrong.

        >>> Misfit(where="it", missing=("b", "c"), unknown=("'bb'; did you mean 'b'?",)).words
        "it: unknown field 'bb'; did you mean 'b'? fields 'b', 'c' are missing"
        """
        said = [f"unknown field {name}" for name in self.unknown]
        if self.missing:
            names = ", ".join(map(repr, self.missing))
            many = len(self.missing) > 1
            said.append(f"fields {names} are missing" if many else f"field {names} is missing")
        return f"{self.where}: " + ", ".join(said).replace("?, ", "? ")


def names_of(part: type[Part]) -> Names:
    """Which fields a part has, as far as that depends on no value."""
    fields = dataclasses.fields(part)  # type: ignore[arg-type]  # every part is a dataclass
    may = frozenset(f.name for f in fields if f.default is not dataclasses.MISSING)
    return Names(needs=frozenset({*part.BESIDE, *(f.name for f in fields)}) - may, may=may)


class Part(ABC):
    """A part of a signed object: a frozen dataclass that says what fields the part has.

    A field with a default may be left out, every other one must be there. `names` says otherwise
    where that depends on the values.

    Attributes:
        BESIDE: Fields that must be there and that the dataclass does not have.
    """

    __slots__ = ()
    BESIDE: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def names(cls, values: Mapping[str, Any]) -> Names:
        """Which fields the part has when it holds these values, which nobody has checked."""
        return names_of(cls)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Read the part at `fields`.

        Raises:
            MalformedError: Fields are missing or unknown, all of which are named, or one holds
                what it must not.
        """
        misfit = cls._misfit(fields.values, fields.where)
        if misfit is not None:
            raise MalformedError(misfit.words)
        part = cls._read(fields)
        fields.finish()
        return part

    @classmethod
    @abstractmethod
    def _read(cls, fields: Fields) -> Self:
        """Read every field that is there; none is missing or unknown."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The part as it stands in the signed JSON."""

    @classmethod
    def misfits(cls, values: object, where: str) -> Iterator[Misfit]:
        """The part, and those within it, where their fields are not those that they should be.

        Values that are no objects are left to `read`.
        """
        if not isinstance(values, Mapping):
            return
        misfit = cls._misfit(values, where)
        if misfit is not None:
            yield misfit
        for name, part in cls._parts().items():
            value = values.get(name)
            if isinstance(value, list):
                for i, entry in enumerate(value):
                    yield from part.misfits(entry, f"{where}.{name}[{i}]")
            else:
                yield from part.misfits(value, f"{where}.{name}")

    @classmethod
    def _misfit(cls, values: Mapping[str, Any], where: str) -> Misfit | None:
        names = cls.names(values)
        known = sorted(names.needs | names.may)
        missing = tuple(sorted(names.needs - values.keys()))
        unknown = tuple(f"{name!r}{near(name, known)}" for name in values if name not in known)
        return Misfit(where=where, missing=missing, unknown=unknown) if missing or unknown else None

    @classmethod
    def _parts(cls) -> dict[str, type[Part]]:
        """Fields that hold a part, a list of parts, or none, by what the dataclass says."""
        hints = get_type_hints(cls).items()
        return {
            name: part
            for name, hint in hints
            for part in (hint, *get_args(hint))
            if isinstance(part, type) and issubclass(part, Part)
        }
