"""What a feature query may be: one SELECT over the customers, with the same answer every time.

The query is parsed by DuckDB, whatever database it is for; its syntax tree is checked against
lists of what is allowed, before anything is opened. The type of a statement alone is no
protection: in DuckDB a SELECT may carry a common table expression that inserts or copies to a
file. What only SQLite or PostgreSQL understand is refused: it can be put into a view.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any, Final, Literal

import duckdb

from partner_node.sources.dialect import INPUT
from protocol.errors import SourceError

MAX_QUERY_CHARACTERS: Final = 100_000

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
_SYSTEM_SCHEMAS: Final = frozenset({"information_schema", "pg_catalog", "pg_toast", "temp"})
_SYSTEM_TABLES: Final = ("pg_", "sqlite_", "duckdb_", "pragma_")
_REMEDY: Final = "write one SELECT that reads the customers' data and gives one row a customer"
#: What names the moment or the caller in PostgreSQL without a bracket.
_SESSION_WORDS: Final = _CLOCK_WORDS | {"current_user", "session_user", "user"}
#: Functions of PostgreSQL that act, or whose value changes, by the beginning of their names. The
#: database says itself which others do (`postgresql_source`).
_POSTGRESQL_ACTS: Final = (
    "pg_", "lo_", "dblink", "txid_", "query_to_xml", "cursor_to_xml", "table_to_xml",
    "schema_to_xml", "database_to_xml", "inet_client_", "inet_server_", "uuid_generate_",
)  # fmt: skip
_POSTGRESQL_CHANGES: Final = frozenset(
    {
        "random", "random_normal", "setseed", "nextval", "setval", "currval", "lastval", "now",
        "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday",
        "gen_random_uuid", "uuidv4", "uuidv7", "set_config", "current_setting", "ts_rewrite",
        "ts_stat", "version", "current_database", "current_query", "current_schema",
    }
)  # fmt: skip
#: Functions of SQLite that act or whose value changes.
SQLITE_CHANGES: Final = frozenset(
    {
        "random", "randomblob", "changes", "total_changes", "last_insert_rowid", "load_extension",
        "readfile", "writefile", "edit", "fts3_tokenizer", "sqlite_log", "sqlite_version",
        "sqlite_source_id", "sqlite_compileoption_get", "sqlite_compileoption_used",
    }
)  # fmt: skip
#: SQLite's functions of time, with the position of the time; without one they read the clock.
_SQLITE_TIMES: Final = {
    "date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1,
}  # fmt: skip
_MOMENTS: Final = frozenset({"now", "today", "tomorrow", "yesterday", "subsec", "subsecond"})

#: What a query reads: the view `input` over files, or the tables of a database.
Reads = Literal["input", "DuckDB", "SQLite", "PostgreSQL"]


def check_feature_query(query: str, reads: Reads = INPUT) -> None:
    """Refuse anything but one repeatable SELECT over the customers.

    Args:
        query: SQL, in the dialect of the database that will run it.
        reads: What it reads.

    Raises:
        SourceError: E-SOURCE-SQL, naming what is not allowed.
    """
    nodes, unstable = _parse(query, reads)
    ctes = {
        str(entry.get("key")).casefold()
        for node in nodes
        for entry in node.get("cte_map", {}).get("map", ())
    }
    for node in nodes:
        _check_node(node, ctes, unstable, reads)
    if reads == "SQLite":
        for node in nodes:
            _check_sqlite_times(node)
    if reads in ("SQLite", "PostgreSQL"):
        for node in nodes:
            _check_moments(node)


def functions_of(query: str, reads: Reads) -> frozenset[tuple[str, str]]:
    """Schema (empty where none is named) and name, in lower case, of each function called."""
    nodes, _ = _parse(query, reads)
    return frozenset(
        (str(node.get("schema") or "").casefold(), str(node["function_name"]).casefold())
        for node in nodes
        if "function_name" in node
    )


def without_end(query: str) -> str:
    """A checked query without the semicolon at its end, so that it can stand in brackets."""
    words = [at for at, kind in duckdb.tokenize(query) if kind != duckdb.token_type.comment]
    while words and query[words[-1]] == ";":
        query = query[: words[-1]] + " " + query[words.pop() + 1 :]
    return query


def _parse(query: str, reads: Reads) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """The nodes of a query's syntax tree, and the functions whose value changes."""
    if len(query) > MAX_QUERY_CHARACTERS:
        raise _refusal(
            f"the feature query has {len(query)} characters, at most {MAX_QUERY_CHARACTERS} "
            "are allowed"
        )
    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as connection:
        _check_statement(connection, query, reads)
        tree = _syntax_tree(connection, query)
        unstable = _unstable_functions(connection)
    if reads == "SQLite":
        unstable = SQLITE_CHANGES
    elif reads == "PostgreSQL":
        unstable = _POSTGRESQL_CHANGES
    return list(_dicts(tree)), unstable


def _check_statement(connection: duckdb.DuckDBPyConnection, query: str, reads: Reads) -> None:
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        if reads in ("SQLite", "PostgreSQL"):
            raise _refusal(
                f"the feature query is not SQL that can be checked: {first_lines(error)}",
                remedy=f"write it in plain SQL, or put what only {reads} understands into a view "
                "there and name that as [data] table",
            ) from error
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


def _check_node(
    node: dict[str, Any], ctes: set[str], unstable: frozenset[str], reads: Reads
) -> None:
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
        if kind not in _TABLE_REFERENCES:
            raise _refusal(f"the feature query reads from a {kind}; {_may_read(reads)}")
        if kind == "BASE_TABLE":
            _check_table(node, ctes, reads)
        if kind == "TABLE_FUNCTION":
            _check_table_function(node, reads)
    if "function_name" in node:
        name = str(node["function_name"])
        _refuse_unstable(name, unstable)
        if reads == "PostgreSQL" and name.casefold().startswith(_POSTGRESQL_ACTS):
            raise _refusal(
                f"the feature query calls {name}, which may act or change from round to round"
            )
        if name.casefold() == "age" and len(node.get("arguments", ())) == 1:
            _refuse_unstable(name, frozenset({"age"}))  # age(t) counts from today
    names = node.get("column_names")
    if node.get("class") == "COLUMN_REF" and isinstance(names, list) and len(names) == 1:
        words = _SESSION_WORDS if reads == "PostgreSQL" else _CLOCK_WORDS
        _refuse_unstable(str(names[0]), words)


def _check_table(node: dict[str, Any], ctes: set[str], reads: Reads) -> None:
    name = str(node.get("table_name"))
    schema = str(node.get("schema_name") or "")
    if reads == INPUT:
        tables = {INPUT} | ctes
        if schema or node.get("catalog_name") or name.casefold() not in tables:
            close = difflib.get_close_matches(name.casefold(), sorted(tables), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise _refusal(f"the feature query reads {name!r}, there is only {INPUT}{hint}")
    elif (
        node.get("catalog_name")
        or schema.casefold() in _SYSTEM_SCHEMAS
        or (name.casefold().startswith(_SYSTEM_TABLES) and name.casefold() not in ctes)
    ):
        raise _refusal(
            "the feature query reads "
            + ".".join(filter(None, [node.get("catalog_name"), schema, name]))
            + f", which holds no customers; {_may_read(reads)}"
        )


def _check_table_function(node: dict[str, Any], reads: Reads) -> None:
    name = str(node.get("function", {}).get("function_name", "")).casefold()
    allowed = _TABLE_FUNCTIONS | ({"json_each", "json_tree"} if reads == "SQLite" else set())
    if name not in allowed:
        raise _refusal(
            f"the feature query reads from {name}(); {_may_read(reads)}, "
            f"{', '.join(sorted(allowed))}"
        )


def _may_read(reads: Reads) -> str:
    return "it may only read from " + (INPUT if reads == INPUT else "the database's own tables")


def _check_sqlite_times(node: dict[str, Any]) -> None:
    """Refuse a function of time that is not told the time."""
    name = str(node.get("function_name", "")).casefold()
    if name in _SQLITE_TIMES and len(node.get("arguments", ())) <= _SQLITE_TIMES[name]:
        _refuse_unstable(name, frozenset({name}))


def _check_moments(node: dict[str, Any]) -> None:
    """Refuse the word ``now`` and its like where a text becomes a time."""
    if "function_name" in node and not node.get("is_operator"):
        texts = [argument.get("expression") for argument in node.get("arguments", ())]
    elif node.get("class") == "CAST":
        texts = [node.get("child")]
    else:
        return
    for text in texts:
        moment = str(((text or {}).get("literal") or {}).get("text", "")).strip()
        _refuse_unstable(moment, _MOMENTS)


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
