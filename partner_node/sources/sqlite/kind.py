"""SQLite as a kind of source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from partner_node.sources.file_places import DATABASE_FILE, File, FilePlaces
from partner_node.sources.kind import ColumnTypes, Means, Rows, SourceKind
from partner_node.sources.sqlite.dialect import LINES
from partner_node.sources.sqlite.dialect import SQLITE as DIALECT

if TYPE_CHECKING:
    from partner_node.sources.kind import OwnSource


def _open(place: File, rows: Rows, means: Means) -> OwnSource:
    from partner_node.sources.sqlite.source import SQLiteSource  # imports its driver

    return SQLiteSource(
        path=place.path,
        id_column=rows.id_column,
        table=rows.table,
        query=rows.query,
        lines=rows.lines,
        unique=rows.unique,
    )


SQLITE: Final = SourceKind(
    name="sqlite",
    place=FilePlaces(comment=DATABASE_FILE),
    open=_open,
    dialect=DIALECT,
    lines=LINES,
    has_tables=True,
    instead={
        "memory_limit": "SQLite takes little memory by itself",
        "temp_folder": "set the variable SQLITE_TMPDIR for the service instead",
    },
    # Columns have no type; reading itself refuses values that are neither text nor number.
    consents=ColumnTypes(ids=frozenset(), times=frozenset(), nested=re.compile(r"(?!)")),
)
