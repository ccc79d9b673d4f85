"""Rules for feature queries that MySQL or MariaDB runs.

A query is checked with DuckDB's parser and run by another, so both must read the same tokens: what
is a comment, a text or a name to one of them, and code to the other, is refused. Functions without
side effects are listed here; the server is asked about any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import duckdb

from partner_node.sources.feature_query import (
    CLOCK_WORDS,
    SYSTEM_SCHEMAS,
    QueryRules,
    functions_in,
    names_within,
    parsed,
)
from protocol.errors import SourceError

#: Schemas of the server's own.
SERVER_SCHEMAS: Final = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
MYSQL_QUERIES: Final = QueryRules(
    name="MySQL",
    changes=frozenset(
        {
            "benchmark", "connection_id", "curdate", "current_role", "curtime", "database",
            "found_rows", "get_lock", "is_free_lock", "is_used_lock", "last_insert_id", "lastval",
            "load_file", "nextval", "now", "rand", "random_bytes", "release_all_locks",
            "release_lock", "row_count", "schema", "session_user", "setval", "sleep", "sysdate",
            "system_user", "user", "utc_date", "utc_time", "utc_timestamp", "uuid", "uuid_short",
            "version",
        }
    ),
    words=CLOCK_WORDS
    | {"current_role", "current_user", "session_user", "utc_date", "utc_time", "utc_timestamp"},
    times={"unix_timestamp": 0},
    table_functions=frozenset(),
    hidden_schemas=SYSTEM_SCHEMAS | SERVER_SCHEMAS,
)  # fmt: skip

#: Aggregates; all of them are aggregates of DuckDB too, so that `own_rows` sees them.
AGGREGATES: Final = frozenset(
    {
        "any_value", "avg", "count", "count_star", "group_concat", "max", "min", "stddev",
        "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp", "variance",
    }
)  # fmt: skip
#: Functions without side effects, by DuckDB's names; to its parser intervals are functions.
COMPUTING: Final = AGGREGATES | frozenset(
    {
        "abs", "acos", "adddate", "addtime", "ascii", "asin", "atan", "atan2", "bin", "bit_length",
        "ceil", "ceiling", "char", "char_length", "character_length", "coalesce", "concat",
        "concat_ws", "conv", "convert", "cos", "cot", "crc32", "date", "date_add", "date_format",
        "date_part", "date_sub", "datediff", "day", "dayname", "dayofmonth", "dayofweek",
        "dayofyear", "degrees", "elt", "exp", "field", "find_in_set", "floor", "format",
        "from_days", "from_unixtime", "greatest", "hex", "hour", "if", "ifnull", "instr", "isnull",
        "json_contains", "json_extract", "json_length", "json_unquote", "json_value", "last_day",
        "lcase", "least", "left", "length", "ln", "locate", "log", "log10", "log2", "lower",
        "lpad", "ltrim", "makedate", "maketime", "md5", "microsecond", "mid", "minute", "mod",
        "month", "monthname", "nullif", "octet_length", "ord", "period_add", "period_diff", "pi",
        "position", "pow", "power", "quarter", "radians", "regexp_instr", "regexp_like",
        "regexp_replace", "regexp_substr", "repeat", "replace", "reverse", "right", "round",
        "rpad", "rtrim", "second", "sec_to_time", "sha1", "sha2", "sign", "sin", "soundex",
        "space", "sqrt", "str_to_date", "strcmp", "subdate", "substr", "substring",
        "substring_index", "subtime", "tan", "time_format", "time_to_sec", "timediff",
        "timestampadd", "timestampdiff", "to_days", "to_seconds", "trim", "trunc", "truncate",
        "ucase", "unhex", "unix_timestamp", "upper", "week", "weekday", "weekofyear", "year",
        "yearweek",
        # windows
        "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value",
        "ntile", "percent_rank", "rank", "row_number",
        # intervals
        "to_centuries", "to_decades", "to_hours", "to_microseconds", "to_milliseconds",
        "to_minutes", "to_months", "to_quarters", "to_weeks", "to_years",
    }
)  # fmt: skip

_WORD: Final = r"[^\W\d]\w*"
_QUOTED: Final = r"""'(?:[^'\x00]|'')*'|"(?:[^"\x00]|"")+"|`(?:[^`\x00]|``)+`"""
_NUMBER: Final = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
#: Tokens that are the same to both parsers.
_PLAIN: Final = re.compile(
    rf"(?P<blank>[ \t\r\n]+)|(?P<quoted>{_QUOTED})|(?P<word>{_WORD})|(?P<number>{_NUMBER})"
    r"|(?P<sign><=|>=|<>|!=|\|\||[-+*/%=<>().,;])"
)
_SET_APART: Final = ("quoted", "word", "number")
#: Pairs of signs to one parser that are a comment or one operator to the other.
_RUNS_TOGETHER: Final = frozenset({"--", "->", "/*", "*/", "**", "%%", "<=>", "=>", "==", "//"})


def plain_query(query: str) -> str:
    """The query without its comments, which are commands to MySQL when they begin with ``/*!``.

    Raises:
        SourceError: E-SOURCE-SQL, something is left that the two parsers may read differently.
    """
    text = _without_comments(query)
    at, before, before_sign = 0, "", ""
    while at < len(text):
        found = _PLAIN.match(text, at)
        kind = found.lastgroup if found else None
        if found is None or kind is None:
            raise _unclear(repr(text[at]))
        word = found.group()
        if kind in _SET_APART and before in _SET_APART:
            raise _unclear("a word, a number or a text that no blank sets apart")
        if kind == "sign":
            if before == "sign" and before_sign + word in _RUNS_TOGETHER:
                raise _unclear(before_sign + word)
            before_sign = word
        at, before = found.end(), kind
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Tables and functions named in a query, each with its schema, empty where none is given.

    Attributes:
        tables: Tables that it reads.
        functions: Functions, in lower case, that the server must be asked about.
    """

    tables: frozenset[tuple[str, str]]
    functions: frozenset[tuple[str, str]] = frozenset()


def named_in(query: str) -> Named:
    """The names in a checked query."""
    nodes = parsed(query, MYSQL_QUERIES)
    within = names_within(nodes)
    return Named(
        tables=frozenset(
            (str(node.get("schema_name") or ""), str(node["table_name"]))
            for node in nodes
            if node.get("type") == "BASE_TABLE"
            and (node.get("schema_name") or str(node["table_name"]).casefold() not in within)
        ),
        functions=frozenset(
            (schema, name)
            for schema, name in functions_in(nodes)
            if (schema or name not in COMPUTING) and any(map(str.isalpha, name))
        ),
    )


def _without_comments(query: str) -> str:
    data = query.encode("utf-8")
    words = duckdb.tokenize(query)  # positions count bytes
    ends = [at for at, _ in words[1:]] + [len(data)]
    for (at, kind), end in zip(words, ends, strict=True):
        if kind == duckdb.token_type.comment:
            data = data[:at] + b" " * (end - at) + data[end:]
    return data.decode("utf-8")


def _unclear(what: str) -> SourceError:
    return SourceError(
        f"the feature query holds {what}, which may mean something else to MySQL than to the check",
        code="E-SOURCE-SQL",
        remedy="write it in plain SQL, or put what only MySQL understands into a view there and "
        "name that as [data] table",
    )
