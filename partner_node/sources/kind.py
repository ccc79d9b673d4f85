"""What a node knows of one kind of source. `kinds` is the table of all of them."""

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
    from partner_node.sources.source import Source
    from partner_node.sources.text_table import TextSource

    class OwnSource(Source, TextSource, Protocol):
        """Where a partner's customers come from; read as numbers, or as the text that it holds."""


#: The keys of ``[data]`` that DuckDB's means of reading have.
DUCKDB_MEANS: Final = ("memory_limit", "temp_folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What is read at a place: a table, or what a query makes.

    Attributes:
        id_column: The column with customers' ids.
        table: A database's table, its schema first where it has one; None with a query, and where
            the place itself is one table.
        query: The feature query; or None.
    """

    id_column: str
    table: tuple[str, ...] | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What reading may take of this machine.

    Attributes:
        memory_bytes: Limit of DuckDB's memory.
        threads: Threads of DuckDB.
        temp_folder: Where it may put what does not fit into memory; None for the system's.
        temp_bytes: The most it may put there.
    """

    memory_bytes: int
    threads: int
    temp_folder: Path | None
    temp_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnTypes:
    """Which types the columns of a table of consents may have, by a database's names for them.

    Attributes:
        ids: Of ids; empty where each value has a type of its own.
        times: Of points in time, which are texts or have a zone; empty likewise.
        nested: Of what is no single value, which no column may have.
    """

    ids: frozenset[str]
    times: frozenset[str]
    nested: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """How DuckDB reads a table of consents in files.

    Attributes:
        scan: SQL of the relation, by the files' paths, the columns that are wanted as text, and
            the delimiter.
        header: Whether the files' first lines name the columns.
        sparse: Whether a row may leave columns out, so that what is wanted is named.
        suffixes: How names of such files end; ``.gz`` may follow.
        hint: What is said beside its name in the template of ``node.toml``.
    """

    scan: Callable[[tuple[str, ...], tuple[str, ...], str], str]
    suffixes: tuple[str, ...]
    header: bool = False
    sparse: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind(Generic[P]):
    """One kind of source.

    Attributes:
        name: Its name in ``node.toml`` and to ``init``.
        place: How people name where it is.
        open: Opens it; imports its driver only then, and reads nothing yet. Raises SourceError:
            the feature query is not one repeatable SELECT.
        dialect: How it writes the rules for customers.
        lines: How it writes what is asked of invoice lines.
        has_tables: Whether it is a database, in which `table` names one of several.
        means: Keys of ``[data]`` for what it may take of this machine.
        instead: What to do in place of a key of ``[data]``, or an option of ``init``, that it does
            not take, where there is more to say than whose it is.
        consents: How tables of consents, objections and births in it are read; None where they
            cannot be in it.
        hint: What is said beside its name in the template of ``node.toml``.
        own_lines: Lines of the template for keys that it alone takes.
        query_note: A line of the template on what its queries are to heed.
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
        """Its keys of ``[data]`` beside those of every kind."""
        return (*self.place.keys, *(("table",) if self.has_tables else ()), *self.means)

    def template(self, said: Said) -> str:
        """Its part of ``[data]`` in the template of ``node.toml``, from what is said."""
        return (
            self.place.template(said)
            + template.id_column(said)
            + self.own_lines
            + (template.table(said) if self.has_tables else template.query(said))
            + self.query_note
            + template.CHUNKS
            + (template.MEMORY if self.means else "")
        )
