"""What a feature query may be: one SELECT over `input`, with the same answer every time.

The query is parsed by DuckDB itself; its syntax tree is checked against lists of what is allowed.
The type of a statement alone is no protection: in DuckDB a SELECT may carry a common table
expression that inserts or copies to a file.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from protocol.errors import SourceError

MAX_QUERY_CHARACTERS: Final = 100_000
#: The name under which a feature query sees the files.
INPUT: Final = "input"

_QUERY_NODES: Final = frozenset(
    {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
)
_TABLE_REFERENCES: Final = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION", "PIVOT"}
)
_TABLE_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series"})
#: Words that read the clock without looking like a function.
_CLOCK_WORDS: Final = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
_REMEDY: Final = "write one SELECT that reads from input and gives one row a customer"


def check_feature_query(query: str) -> None:
    """Refuse anything but one repeatable SELECT that reads `input` alone.

    Args:
        query: SQL in DuckDB's dialect.

    Raises:
        SourceError: E-SOURCE-SQL, naming what is not allowed.
    """
    if len(query) > MAX_QUERY_CHARACTERS:
        raise _refusal(
            f"the feature query has {len(query)} characters, at most {MAX_QUERY_CHARACTERS} "
            "are allowed"
        )
    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as connection:
        _check_statement(connection, query)
        tree = _syntax_tree(connection, query)
        nodes = list(_dicts(tree))
        unstable = _unstable_functions(connection)
    tables = {INPUT} | {
        str(entry.get("key")).casefold()
        for node in nodes
        for entry in node.get("cte_map", {}).get("map", ())
    }
    for node in nodes:
        _check_node(node, tables, unstable)


def _check_statement(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise _refusal(f"the feature query is not SQL: {first_lines(error)}") from error
    if len(statements) != 1:
        raise _refusal(f"the feature query has {len(statements)} statements, 1 is needed")
    (statement,) = statements
    if statement.type != duckdb.StatementType.SELECT:
        raise _refusal(f"the feature query is a {statement.type.name} statement, not a SELECT")
    if statement.named_parameters:
        raise _refusal("the feature query has a parameter; write the value itself")


def _syntax_tree(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute("SELECT CAST(json_serialize_sql(?) AS VARCHAR)", [query]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree.get("error"):
        raise _refusal("the feature query is not a plain SELECT")
    return tree["statements"]


def _check_node(node: dict[str, Any], tables: set[str], unstable: frozenset[str]) -> None:
    kind = node.get("type")
    if "cte_map" in node and kind not in _QUERY_NODES:
        what = str(kind).removesuffix("_QUERY_NODE").removesuffix("_NODE")
        raise _refusal(f"the feature query contains a {what} statement; it may only read")
    if node.get("sample") is not None:
        raise _refusal(
            "the feature query takes a sample, which differs from round to round",
            remedy="read all rows",
        )
    if "sample" in node and "cte_map" not in node:
        _check_table_reference(node, tables)
    if "function_name" in node:
        name = str(node["function_name"])
        _refuse_unstable(name, unstable)
        if name.casefold() == "age" and len(node.get("arguments", ())) == 1:
            _refuse_unstable(name, frozenset({"age"}))  # age(t) counts from today
    names = node.get("column_names")
    if node.get("class") == "COLUMN_REF" and isinstance(names, list) and len(names) == 1:
        _refuse_unstable(str(names[0]), _CLOCK_WORDS)


def _check_table_reference(node: dict[str, Any], tables: set[str]) -> None:
    kind = node.get("type")
    if kind not in _TABLE_REFERENCES:
        raise _refusal(f"the feature query reads from a {kind}; it may only read from {INPUT}")
    if kind == "BASE_TABLE":
        name = str(node.get("table_name"))
        if node.get("schema_name") or node.get("catalog_name") or name.casefold() not in tables:
            close = difflib.get_close_matches(name.casefold(), sorted(tables), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise _refusal(f"the feature query reads {name!r}, there is only {INPUT}{hint}")
    if kind == "TABLE_FUNCTION":
        name = str(node.get("function", {}).get("function_name", "")).casefold()
        if name not in _TABLE_FUNCTIONS:
            raise _refusal(
                f"the feature query reads from {name}(); it may only read from {INPUT}, "
                f"{', '.join(sorted(_TABLE_FUNCTIONS))}"
            )


def _refuse_unstable(name: str, unstable: frozenset[str]) -> None:
    if name.casefold() in unstable:
        raise _refusal(
            f"the feature query uses {name}, whose value changes from round to round",
            remedy="write a fixed value, for instance DATE '2024-12-31' as the observation date",
        )


def _unstable_functions(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Names of functions whose result does not follow from their arguments."""
    rows = connection.execute(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
        "WHERE stability <> 'CONSISTENT' OR (function_type = 'macro' AND "
        "regexp_matches(lower(macro_definition), 'current_|now\\(|random|today|version|uuid'))"
    ).fetchall()
    names = {str(name) for (name,) in rows} | {"current_localtime", "current_localtimestamp"}
    return frozenset(names - {"error"})


def _dicts(tree: Any) -> Iterator[dict[str, Any]]:
    pending = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def first_lines(error: duckdb.Error) -> str:
    """DuckDB's message up to the first blank line, on one line; for errors about SQL text only."""
    return " ".join(str(error).split("\n\n", 1)[0].split())


def _refusal(message: str, *, remedy: str = _REMEDY) -> SourceError:
    return SourceError(message, code="E-SOURCE-SQL", remedy=remedy)
