"""Locations of sources, and how they are named in ``node.toml`` and to ``init``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from partner_node.config_section import ConfigSection

#: Options of ``init``, or arguments of the template, by name; None where not given.
Said = Mapping[str, Any]


class Place(Protocol):
    """A place as its kind of source reads it; two that are equal are the same place."""

    @property
    def name(self) -> str:
        """The place in messages."""
        ...


P = TypeVar("P", bound=Place)


class PlaceReader(Protocol[P]):
    """Reader and writer of one form of location.

    Attributes:
        keys: Keys of ``[data]`` and ``[[consent.sources]]`` that name it.
        options: Options of ``init`` that name it, as in `Said`.
    """

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def options(self) -> tuple[str, ...]: ...

    def read(self, section: ConfigSection) -> P:
        """Read the place from a section; raises ConfigError."""
        ...

    def checked(self, said: Said, kind: str) -> dict[str, Any]:
        """Check the options of ``init``; returns the arguments of `template`.

        Raises:
            UsageError: An option is missing or wrong.
        """
        ...

    def template(self, said: Said) -> str:
        """Lines of the template of ``[data]``, with examples for what is not given."""
        ...

    def missing(self, place: P) -> list[str]:
        """Warnings of ``init`` about files that are named and missing."""
        ...
