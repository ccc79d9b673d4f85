"""MySQL and MariaDB as a kind of source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from partner_node.sources.kind import ColumnTypes, Means, Rows, SourceKind
from partner_node.sources.mysql.dialect import LINES, TEXTS
from partner_node.sources.mysql.dialect import MYSQL as DIALECT
from partner_node.sources.servers import INSTEAD, Server, ServerPlaces

if TYPE_CHECKING:
    from partner_node.sources.kind import OwnSource


def _open(place: Server, rows: Rows, means: Means) -> OwnSource:
    from partner_node.sources.mysql.source import MySQLSource  # imports its driver

    return MySQLSource(
        server=place,
        id_column=rows.id_column,
        table=rows.table,
        query=rows.query,
        lines=rows.lines,
        unique=rows.unique,
    )


MYSQL: Final = SourceKind(
    name="mysql",
    place=ServerPlaces(port=3306, socket="/run/mysqld/mysqld.sock", socket_words="its socket"),
    open=_open,
    dialect=DIALECT,
    lines=LINES,
    has_tables=True,
    instead=INSTEAD,
    consents=ColumnTypes(
        ids=DIALECT.id_types,
        times=TEXTS | {"timestamp"},
        nested=re.compile(r"json|blob|(var)?binary|bit|geometry|set|type \d+"),
    ),
    hint="also MariaDB",
)
