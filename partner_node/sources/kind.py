"""Description of one kind of source. `kinds` is the table of all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Protocol

from partner_node.sources import template
from partner_node.sources.dialect import Dialect
from partner_node.sources.line_phrases import LinePhrases
from partner_node.sources.places import P, PlaceReader, Said

if TYPE_CHECKING:  # what a command needs that reads no customers imports no driver
    from duckdb import DuckDBPyConnection

    from partner_node.sources.line_rules import LineRules
    from partner_node.sources.source import Source
    from partner_node.sources.text_table import TextSource

    class OwnSource(Source, TextSource, Protocol):
        """A source of customers that can be read as numbers or as text."""


#: The keys of ``[data]`` for `Means` that only DuckDB has.
DUCKDB_MEANS: Final = ("memory_limit", "temp_folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that are read at a place: those of a table or of a query.

    Attributes:
        id_column: The column with customers' ids.
        table: A database's table, its schema first where it has one; None with a query, and where
            the place itself is one table.
        query: The feature query; or None.
        lines: The rules for the invoice lines of which the query makes customers; None when the
            query is somebody's own.
        unique: Whether ids that occur twice are refused. A sum is formed of such a source alone;
            one customer may be looked up where others are there twice.
    """

    id_column: str
    table: tuple[str, ...] | None = None
    query: str | None = None
    lines: LineRules | None = None
    unique: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Resources of this machine that reading may use.

    Attributes:
        memory_bytes: Limit of DuckDB's memory.
        threads: Threads of DuckDB.
        temp_folder: Folder for data that do not fit into memory; None for the system's.
        temp_bytes: Largest size of the data there.
    """

    memory_bytes: int
    threads: int
    temp_folder: Path | None
    temp_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnTypes:
    """Types that the columns of a table of consents may have, by the database's names.

    Attributes:
        ids: Types of ids; empty where each value has its own type.
        times: Types of points in time: text, or with a zone; empty likewise.
        nested: Types of nested values, which are never allowed.
    """

    ids: frozenset[str]
    times: frozenset[str]
    nested: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A format in which DuckDB reads a table of consents from files.

    Attributes:
        scan: SQL of the relation, by the connection that may read them, the files' paths, the
            columns that are wanted as text, and the delimiter; raises SourceError where the files
            do not go together.
        header: Whether the files' first lines name the columns.
        sparse: Whether rows may leave columns out, so that columns to read must be named.
        suffixes: Suffixes of such files; ``.gz`` may follow.
        hint: Comment beside its name in the template of ``node.toml``.
    """

    scan: Callable[[DuckDBPyConnection, tuple[str, ...], tuple[str, ...], str], str]
    suffixes: tuple[str, ...]
    header: bool = False
    sparse: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind(Generic[P]):
    """One kind of source.

    Attributes:
        name: Its name in ``node.toml`` and to ``init``.
        place: Reads where it is from the configuration or options.
        open: Opens it; imports its driver only then, and reads nothing yet. Raises SourceError:
            the feature query is not one repeatable SELECT.
        dialect: Its SQL for the rules for customers.
        lines: Its SQL for invoice lines.
        has_tables: Whether it is a database, in which `table` names one of several.
        means: Keys of ``[data]`` for the resources that it may use.
        instead: The way out for a key of ``[data]``, or an option of ``init``, that it does not
            accept, where naming the kinds that do is not enough.
        consents: How tables of consents, objections and births in it are read; None where it
            cannot have them.
        hint: Comment beside its name in the template of ``node.toml``.
        own_lines: Lines of the template for keys that it alone accepts.
        query_note: A line of the template with a hint for its queries.
    """

    name: str
    place: PlaceReader[P]
    open: Callable[[P, Rows, Means], OwnSource]
    dialect: Dialect
    lines: LinePhrases
    has_tables: bool = False
    means: tuple[str, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    consents: ColumnTypes | FileFormat | None = None
    hint: str = ""
    own_lines: str = ""
    query_note: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys of ``[data]`` besides those of every kind."""
        return (*self.place.keys, *(("table",) if self.has_tables else ()), *self.means)

    def template(self, said: Said) -> str:
        """Its part of ``[data]`` in the template of ``node.toml``, with the values in `said`."""
        return (
            self.place.template(said)
            + template.id_column(said)
            + self.own_lines
            + (template.table(said) if self.has_tables else template.query(said))
            + self.query_note
            + template.CHUNKS
            + (template.MEMORY if self.means else "")
        )
