"""The table of all kinds of source, and functions that open one.

Nothing else in a node depends on a kind's name: what differs is in its `SourceKind`.
CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from partner_node.sources.duckdb.kind import CSV, DUCKDB, PARQUET
from partner_node.sources.kind import Means, Rows, SourceKind
from partner_node.sources.mysql.kind import MYSQL
from partner_node.sources.places import Place
from partner_node.sources.postgresql.kind import POSTGRESQL
from partner_node.sources.sqlite.kind import SQLITE

if TYPE_CHECKING:
    from partner_node.sources.kind import OwnSource
    from partner_node.sources.settings import DataSection, LimitsSection
    from partner_node.sources.text_table import TextSource

KINDS: Final[Mapping[str, SourceKind[Any]]] = MappingProxyType(
    {kind.name: kind for kind in (CSV, PARQUET, DUCKDB, SQLITE, POSTGRESQL, MYSQL)}
)


def open_source(data: DataSection, limits: LimitsSection, *, unique: bool = True) -> OwnSource:
    """Make the source that a node's configuration names; connects to nothing yet.

    Raises:
        SourceError: E-SOURCE-SQL, the feature query is not one repeatable SELECT.
    """
    rows = Rows(
        id_column=data.id_column,
        table=data.table,
        query=data.query,
        lines=data.lines,
        unique=unique,
    )
    means = Means(
        memory_bytes=data.memory_bytes,
        threads=limits.threads,
        temp_folder=data.temp_folder,
        temp_bytes=limits.temp_bytes,
    )
    return KINDS[data.kind].open(data.place, rows, means)


def open_table(kind: str, place: Place, rows: Rows, means: Means) -> TextSource:
    """Make a source for reading a database's table as text; connects to nothing yet.

    Args:
        kind: The kind of database, by its name in the table of kinds.
    """
    return KINDS[kind].open(place, rows, means)
