"""Where a source is, and how people name that place: in ``node.toml`` and to ``init``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from partner_node.config_section import ConfigSection

#: What options of ``init`` and arguments of the template say, by name; None where nothing is said.
Said = Mapping[str, Any]


class Place(Protocol):
    """A place as its kind of source reads it; two that are equal are the same place."""

    @property
    def name(self) -> str:
        """The place in messages."""
        ...


P = TypeVar("P", bound=Place)


class PlaceReader(Protocol[P]):
    """How people name one sort of place.

    Attributes:
        keys: Keys of ``[data]`` and ``[[consent.sources]]`` that name it.
        options: Options of ``init`` that name it, as in `Said`.
    """

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def options(self) -> tuple[str, ...]: ...

    def read(self, section: ConfigSection) -> P:
        """The place that a section names; raises ConfigError."""
        ...

    def checked(self, said: Said, kind: str) -> dict[str, Any]:
        """What `template` is told, out of the options of ``init``.

        Raises:
            UsageError: An option is missing or wrong.
        """
        ...

    def template(self, said: Said) -> str:
        """Its lines in the template of ``[data]``, with examples for what is not said."""
        ...

    def missing(self, place: P) -> list[str]:
        """What is named and not there yet, as warnings of ``init``."""
        ...
