"""Rules for feature queries that SQLite runs."""

from __future__ import annotations

from typing import Final

from partner_node.sources.feature_query import TABLE_FUNCTIONS, QueryRules

#: Functions of SQLite with side effects or whose value changes.
SQLITE_CHANGES: Final = frozenset(
    {
        "random", "randomblob", "changes", "total_changes", "last_insert_rowid", "load_extension",
        "readfile", "writefile", "edit", "fts3_tokenizer", "sqlite_log", "sqlite_version",
        "sqlite_source_id", "sqlite_compileoption_get", "sqlite_compileoption_used",
    }
)  # fmt: skip
SQLITE_QUERIES: Final = QueryRules(
    name="SQLite",
    changes=SQLITE_CHANGES,
    times={"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1},
    moments=True,
    table_functions=TABLE_FUNCTIONS | {"json_each", "json_tree"},
)
