"""A query's syntax tree by DuckDB's parser: nothing is bound, nothing is run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb


def syntax_tree(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """The tree of a query's statements; None when it is not a plain SELECT."""
    row = connection.execute("SELECT CAST(json_serialize_sql(?) AS VARCHAR)", [query]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    return None if tree.get("error") else tree["statements"]


def nodes_of(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a tree, or of a part of one."""
    pending = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
