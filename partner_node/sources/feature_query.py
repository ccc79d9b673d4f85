"""Rules for feature queries: one SELECT over the customers, with the same answer every time.

The query is parsed by DuckDB, whatever database it is for; its syntax tree is checked against
lists of what is allowed, before anything is opened. Each kind of database has its rules in
``queries`` of its folder. The type of a statement alone is no protection: in DuckDB a
SELECT may carry a common table expression that inserts or copies to a file. What only
the other database understands is refused: it can be put into a view there.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb

from partner_node.sources.dialect import INPUT
from partner_node.sources.syntax import functions_where, nodes_of, parser, syntax_tree
from protocol.errors import SourceError

MAX_QUERY_CHARACTERS: Final = 100_000

_QUERY_NODES: Final = frozenset(
    {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
)
_TABLE_REFERENCES: Final = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION", "PIVOT"}
)
TABLE_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series"})
#: Words that read the clock without the form of a function.
CLOCK_WORDS: Final = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
SYSTEM_SCHEMAS: Final = frozenset({"information_schema", "pg_catalog", "pg_toast", "temp"})
_SYSTEM_TABLES: Final = ("pg_", "sqlite_", "duckdb_", "pragma_")
_REMEDY: Final = "write one SELECT that reads the customers' data and gives one row a customer"
_MOMENTS: Final = frozenset({"now", "today", "tomorrow", "yesterday", "subsec", "subsecond"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRules:
    """Rules for queries that one kind of database runs.

    Attributes:
        name: The database's name for people.
        input_alone: Whether it reads the view `INPUT` over files; else a database's own tables.
        own_words: Whether the database understands phrases that DuckDB's parser does not, which
            then belong into a view.
        changes: Functions with side effects or whose value changes; None for those that DuckDB
            lists.
        acts: Prefixes of further such functions.
        words: Words without brackets that return the time or the caller.
        times: Functions of time, with the position of the time; without one they read the clock.
        moments: Whether a text such as ``now`` may become a time.
        table_functions: Functions that may stand for a table.
        hidden_schemas: Schemas without customers.
    """

    name: str
    input_alone: bool = False
    own_words: bool = True
    changes: frozenset[str] | None = None
    acts: tuple[str, ...] = ()
    words: frozenset[str] = CLOCK_WORDS
    times: Mapping[str, int] = field(default_factory=dict)
    moments: bool = False
    table_functions: frozenset[str] = TABLE_FUNCTIONS
    hidden_schemas: frozenset[str] = SYSTEM_SCHEMAS


#: Rules for a query over files.
OVER_FILES: Final = QueryRules(name="DuckDB", input_alone=True, own_words=False)


def check_feature_query(query: str, rules: QueryRules = OVER_FILES) -> None:
    """Refuse anything but one repeatable SELECT over the customers.

    Args:
        query: SQL, in the dialect of the database that will run it.
        rules: The rules of that database.

    Raises:
        SourceError: E-SOURCE-SQL, naming what is not allowed.
    """
    nodes, unstable = _parse(query, rules)
    ctes = names_within(nodes)
    for node in nodes:
        _check_node(node, ctes, unstable, rules)
    for node in nodes:
        _check_time(node, rules)
    if rules.moments:
        for node in nodes:
            _check_moments(node)


def parsed(query: str, rules: QueryRules) -> list[dict[str, Any]]:
    """The nodes of a query's syntax tree; raises SourceError."""
    return _parse(query, rules)[0]


def functions_of(query: str, rules: QueryRules) -> frozenset[tuple[str, str]]:
    """Schema (empty where none is named) and name, in lower case, of each function called."""
    return functions_in(parsed(query, rules))


def functions_in(nodes: Sequence[dict[str, Any]]) -> frozenset[tuple[str, str]]:
    """The same for the nodes of a syntax tree."""
    return frozenset(
        (str(node.get("schema") or "").casefold(), str(node["function_name"]).casefold())
        for node in nodes
        if "function_name" in node
    )


def names_within(nodes: Sequence[dict[str, Any]]) -> set[str]:
    """Names, in lower case, of a query's common table expressions (WITH)."""
    return {
        str(entry.get("key")).casefold()
        for node in nodes
        for entry in node.get("cte_map", {}).get("map", ())
    }


def without_end(query: str) -> str:
    """A checked query without its final semicolon, so that it can be put into brackets."""
    words = [at for at, kind in duckdb.tokenize(query) if kind != duckdb.token_type.comment]
    text = query.encode("utf-8")  # positions count bytes
    while words and text[words[-1] :].startswith(b";"):
        text = text[: words[-1]] + b" " + text[words.pop() + 1 :]
    return text.decode("utf-8")


def _parse(query: str, rules: QueryRules) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """The nodes of a query's syntax tree, and the functions whose value changes."""
    if len(query) > MAX_QUERY_CHARACTERS:
        raise _refusal(
            f"the feature query has {len(query)} characters, at most {MAX_QUERY_CHARACTERS} "
            "are allowed"
        )
    with parser() as connection:
        _check_statement(connection, query, rules)
        tree = syntax_tree(connection, query)
    unstable = _unstable_functions() if rules.changes is None else rules.changes
    if tree is None:
        raise _refusal("the feature query is not a plain SELECT")
    return list(nodes_of(tree)), unstable


def _check_statement(connection: duckdb.DuckDBPyConnection, query: str, rules: QueryRules) -> None:
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        if rules.own_words:
            raise _refusal(
                f"the feature query is not SQL that can be checked: {first_lines(error)}",
                remedy=f"write it in plain SQL, or put what only {rules.name} understands into a "
                "view there and name that as [data] table",
            ) from error
        raise _refusal(f"the feature query is not SQL: {first_lines(error)}") from error
    if len(statements) != 1:
        raise _refusal(f"the feature query has {len(statements)} statements, 1 is needed")
    (statement,) = statements
    if statement.type != duckdb.StatementType.SELECT:
        raise _refusal(f"the feature query is a {statement.type.name} statement, not a SELECT")
    if statement.named_parameters:
        raise _refusal("the feature query has a parameter; write the value itself")


def _check_node(
    node: dict[str, Any], ctes: set[str], unstable: frozenset[str], rules: QueryRules
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
            raise _refusal(f"the feature query reads from a {kind}; {_may_read(rules)}")
        if kind == "BASE_TABLE":
            _check_table(node, ctes, rules)
        if kind == "TABLE_FUNCTION":
            _check_table_function(node, rules)
    if "function_name" in node:
        name = str(node["function_name"])
        _refuse_unstable(name, unstable)
        if name.casefold().startswith(rules.acts):
            raise _refusal(
                f"the feature query calls {name}, which may act or change from round to round"
            )
        if name.casefold() == "age" and len(node.get("arguments", ())) == 1:
            _refuse_unstable(name, frozenset({"age"}))  # age(t) counts from today
    names = node.get("column_names")
    if node.get("class") == "COLUMN_REF" and isinstance(names, list) and len(names) == 1:
        _refuse_unstable(str(names[0]), rules.words)


def _check_table(node: dict[str, Any], ctes: set[str], rules: QueryRules) -> None:
    name = str(node.get("table_name"))
    schema = str(node.get("schema_name") or "")
    if rules.input_alone:
        tables = {INPUT} | ctes
        if schema or node.get("catalog_name") or name.casefold() not in tables:
            close = difflib.get_close_matches(name.casefold(), sorted(tables), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise _refusal(f"the feature query reads {name!r}, there is only {INPUT}{hint}")
    elif (
        node.get("catalog_name")
        or schema.casefold() in rules.hidden_schemas
        or (name.casefold().startswith(_SYSTEM_TABLES) and name.casefold() not in ctes)
    ):
        raise _refusal(
            "the feature query reads "
            + ".".join(filter(None, [node.get("catalog_name"), schema, name]))
            + f", which holds no customers; {_may_read(rules)}"
        )


def _check_table_function(node: dict[str, Any], rules: QueryRules) -> None:
    name = str(node.get("function", {}).get("function_name", "")).casefold()
    if name not in rules.table_functions:
        raise _refusal(
            f"the feature query reads from {name}(); "
            + ", ".join([_may_read(rules), *sorted(rules.table_functions)])
        )


def _may_read(rules: QueryRules) -> str:
    return "it may only read from " + (INPUT if rules.input_alone else "the database's own tables")


def _check_time(node: dict[str, Any], rules: QueryRules) -> None:
    """Refuse a function of time that is called without a time."""
    name = str(node.get("function_name", "")).casefold()
    if name in rules.times and len(node.get("arguments", ())) <= rules.times[name]:
        _refuse_unstable(name, frozenset({name}))


def _check_moments(node: dict[str, Any]) -> None:
    """Refuse ``now`` and similar words where a text becomes a time."""
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


def _unstable_functions() -> frozenset[str]:
    """Names of functions whose result does not depend on their arguments alone."""
    names = functions_where(
        "stability <> 'CONSISTENT' OR (function_type = 'macro' AND "
        "regexp_matches(lower(macro_definition), 'current_|now\\(|random|today|version|uuid'))"
    )
    return (names | {"current_localtime", "current_localtimestamp"}) - {"error"}


def first_lines(error: duckdb.Error) -> str:
    """DuckDB's message up to the first blank line, on one line; for errors about SQL text only."""
    return " ".join(str(error).split("\n\n", 1)[0].split())


def _refusal(message: str, *, remedy: str = _REMEDY) -> SourceError:
    return SourceError(message, code="E-SOURCE-SQL", remedy=remedy)
