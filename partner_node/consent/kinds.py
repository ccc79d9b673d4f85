"""Kinds of tables of consents, objections and births: kinds of source that allow it, JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from partner_node.sources.duckdb.scans import json_scan, texts
from partner_node.sources.file_places import FilePlaces
from partner_node.sources.kind import ColumnTypes, FileFormat
from partner_node.sources.kinds import KINDS as SOURCES
from partner_node.sources.places import PlaceReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentKind:
    """A kind of file or database in which such a table may lie.

    Attributes:
        name: Its name in ``node.toml``.
        place: Reads where it is from the configuration.
        read_as: The format of files, or the types that a database's columns may have.
    """

    name: str
    place: PlaceReader[Any]
    read_as: FileFormat | ColumnTypes

    @property
    def is_database(self) -> bool:
        """Whether it is a database with named tables, and not files that form one table."""
        return isinstance(self.read_as, ColumnTypes)

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys besides those of every kind."""
        return (*self.place.keys, "table") if self.is_database else self.place.keys


_JSONL: Final = ConsentKind(
    name="jsonl",
    place=FilePlaces(comment="A file or a glob."),
    read_as=FileFormat(
        scan=lambda _, paths, columns, *__: json_scan(paths, texts(columns)),
        sparse=True,
        suffixes=(".jsonl", ".ndjson"),
        hint="one JSON object a line",
    ),
)
_OF_SOURCES: Final = tuple(
    ConsentKind(name=kind.name, place=kind.place, read_as=kind.consents)
    for kind in SOURCES.values()
    if kind.consents is not None
)
KINDS: Final[Mapping[str, ConsentKind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            *(kind for kind in _OF_SOURCES if not kind.is_database),
            _JSONL,
            *(kind for kind in _OF_SOURCES if kind.is_database),
        )
    }
)
