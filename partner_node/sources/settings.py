"""Settings of ``[data]`` and ``[limits]`` in ``node.toml``: the source of customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from partner_node.sources.line_rules import LineRules
from partner_node.sources.places import Place

DEFAULT_CHUNK_ROWS: Final = 65_536
DEFAULT_MEMORY: Final = "512MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """``[data]``: the source of customers.

    Attributes:
        kind: Kind of source, by its name in the table of kinds.
        place: Where it is, in the form that its kind reads.
        table: A database's table, its schema first where it has one; or None.
        id_column: Column with the customers' ids.
        query: Text of the feature query, also when it came from ``query_file``; or None.
        lines: The rules for the invoice lines of which the query makes customers; or None.
        chunk_rows: Rows held at once.
        memory_bytes: Limit of DuckDB's memory.
        temp_folder: Folder for data that do not fit into memory; None for the system's.
        columns: Column of each feature whose column has another name.
        units: Unit in which the data have each feature.
        observed: The reference day of features from transactions; None when none is named.
    """

    kind: str
    place: Place
    table: tuple[str, ...] | None
    id_column: str
    query: str | None
    chunk_rows: int
    memory_bytes: int
    temp_folder: Path | None
    columns: Mapping[str, str]
    units: Mapping[str, str]
    observed: date | None = None
    lines: LineRules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """``[limits]``: resources of this machine that reading the data may use.

    Attributes:
        threads: Threads of DuckDB.
        temp_bytes: Most temporary space on disk.
    """

    threads: int
    temp_bytes: int
