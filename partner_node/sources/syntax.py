"""A query's syntax tree by DuckDB's parser: nothing is bound, nothing is run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import duckdb


def parser() -> duckdb.DuckDBPyConnection:
    """A connection without data, files or extensions, to be closed; parsing needs no more.

    Its database is made once in a process: that takes longer than most queries do.
    """
    return _database(os.getpid()).cursor()


@cache
def _database(process: int) -> duckdb.DuckDBPyConnection:
    """That of a process; one that was forked has threads and locks of its own."""
    return duckdb.connect(
        ":memory:",
        config={"enable_external_access": "false", "lock_configuration": "true", "threads": "1"},
    )


@cache
def functions_where(condition: str) -> frozenset[str]:
    """Names in small letters of DuckDB's functions that meet a condition on `duckdb_functions`."""
    with parser() as connection:
        rows = connection.execute(
            f"SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE {condition}"  # noqa: S608
        ).fetchall()
    return frozenset(str(name) for (name,) in rows)


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
