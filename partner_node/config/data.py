"""``[data]`` of ``node.toml``, read and checked by the keys that a kind of source accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from partner_node.config.transactions import TRANSACTION_KEYS, read_transactions
from partner_node.config_section import ConfigSection
from partner_node.sources.dialect import INPUT, table_relation
from partner_node.sources.kinds import KINDS
from partner_node.sources.line_rules import LineRules
from partner_node.sources.settings import DEFAULT_CHUNK_ROWS, DEFAULT_MEMORY, DataSection
from partner_node.sources.transactions import ID_COLUMN, LineSQL, transactions_query

_EVERY_KIND: Final = (
    "kind", "id_column", "query", "query_file", "chunk_rows", "columns", "units", "transactions",
)  # fmt: skip
#: The keys that each kind accepts besides those of every kind.
KEYS_OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    name: kind.keys for name, kind in KINDS.items()
}
DATA_KEYS: Final = tuple(
    dict.fromkeys([*_EVERY_KIND, *(key for keys in KEYS_OF_KIND.values() for key in keys)])
)

_PART: Final = r'(?:"(?:[^"]|"")+"|[^".]+)'
_TABLE: Final = re.compile(rf"{_PART}(?:\.{_PART})?")
_TABLE_PART: Final = re.compile(_PART)


def read_data(data: ConfigSection) -> DataSection:
    """Read and check the section.

    Raises:
        ConfigError: E-CONFIG, naming the key, its value and the way out.
    """
    kind = KINDS[data.one_of("kind", tuple(KINDS))]
    refuse_misplaced(data, kind.name, _EVERY_KIND, KEYS_OF_KIND, instead=kind.instead)
    data.at_most_one_of("query", "query_file")
    table = read_table(data) if kind.has_tables else None
    query = data.optional("query")
    if query is None and data.sets("query_file"):
        query = data.text_of_file("query_file")
    observed = None
    lines = None
    if data.sets("transactions"):
        for key in ("query", "query_file", "id_column"):
            if data.sets(key):
                raise data.problem(
                    key,
                    "is set beside [data.transactions], which makes the query and its id",
                    f"keep either {key} or [data.transactions], where customer names the id",
                )
        relation = table_relation(table) if table else INPUT
        transactions = read_transactions(data.section("transactions", TRANSACTION_KEYS))
        observed = transactions.observed
        line = LineSQL(transactions, kind.lines)
        query = transactions_query(line, relation)
        lines = LineRules(line=line, relation=relation, id_types=kind.dialect.id_types)
        table = None
    return DataSection(
        kind=kind.name,
        place=kind.place.read(data),
        table=table,
        id_column=ID_COLUMN if data.sets("transactions") else data.text("id_column"),
        query=query,
        chunk_rows=data.integer(
            "chunk_rows", lowest=1, highest=10_000_000, default=DEFAULT_CHUNK_ROWS
        ),
        memory_bytes=data.size("memory_limit", default=DEFAULT_MEMORY),
        temp_folder=data.path("temp_folder") if data.optional("temp_folder") else None,
        columns=data.mapping("columns"),
        units=data.mapping("units"),
        observed=observed,
        lines=lines,
    )


def refuse_misplaced(
    section: ConfigSection,
    kind: str,
    every_kind: Sequence[str],
    of_kind: Mapping[str, Sequence[str]],
    *,
    instead: Mapping[str, str] | None = None,
) -> None:
    """Refuse a key that only other kinds of source accept.

    Args:
        every_kind: The keys that all kinds accept.
        of_kind: The keys that each kind accepts besides them.
        instead: The way out for a key; else the kinds that accept it are named.

    Raises:
        ConfigError: E-CONFIG.
    """
    for key in dict.fromkeys(key for keys in of_kind.values() for key in keys):
        if section.sets(key) and key not in (*every_kind, *of_kind[kind]):
            takers = ", ".join(f'"{k}"' for k, keys in of_kind.items() if key in keys)
            way = (instead or {}).get(key, f"it belongs to kind = {takers}")
            raise section.problem(key, f"is not for kind = {kind!r}", f"remove it; {way}")


def read_table(data: ConfigSection) -> tuple[str, ...] | None:
    """The name of a database's table, split into schema and name; None with a query.

    Raises:
        ConfigError: E-CONFIG, it is no table's name; or neither table nor query is set, or both.
    """
    queries = [key for key in ("query", "query_file") if data.sets(key)]
    if not data.sets("table"):
        if queries:
            return None
        raise data.problem(
            "table", "is missing", "name a table of the database, or write a query over its tables"
        )
    if queries:
        data.at_most_one_of("table", queries[0])
    text = data.text(
        "table", pattern=_TABLE, form='customers, or sales.customers, or "a.b"."c d" in quotes'
    )
    return tuple(
        part[1:-1].replace('""', '"') if part.startswith('"') else part
        for part in _TABLE_PART.findall(text)
    )
