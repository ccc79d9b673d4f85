"""PostgreSQL as a kind of source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from partner_node.sources.kind import ColumnTypes, Means, Rows, SourceKind
from partner_node.sources.postgresql.dialect import LINES
from partner_node.sources.postgresql.dialect import POSTGRESQL as DIALECT
from partner_node.sources.servers import INSTEAD, Server, ServerPlaces

if TYPE_CHECKING:
    from partner_node.sources.kind import OwnSource


def _open(place: Server, rows: Rows, means: Means) -> OwnSource:
    from partner_node.sources.postgresql.source import PostgreSQLSource  # imports its driver

    return PostgreSQLSource(
        server=place,
        id_column=rows.id_column,
        table=rows.table,
        query=rows.query,
        lines=rows.lines,
        unique=rows.unique,
    )


POSTGRESQL: Final = SourceKind(
    name="postgresql",
    place=ServerPlaces(port=5432, socket="/run/postgresql", socket_words="its socket's folder"),
    open=_open,
    dialect=DIALECT,
    lines=LINES,
    has_tables=True,
    instead=INSTEAD,
    consents=ColumnTypes(
        ids=DIALECT.id_types,
        times=frozenset({"text", "varchar", "bpchar", "timestamptz"}),
        nested=re.compile(r"_.*|jsonb?|bytea|xml|hstore|record"),
    ),
)
