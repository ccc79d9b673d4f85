"""Rules for feature queries that PostgreSQL runs.

Functions with side effects, or whose value changes, are listed here, before anybody connects; the
database itself is asked about others (`source`).
"""

from __future__ import annotations

from typing import Final

from partner_node.sources.feature_query import CLOCK_WORDS, QueryRules

POSTGRESQL_QUERIES: Final = QueryRules(
    name="PostgreSQL",
    changes=frozenset(
        {
            "random", "random_normal", "setseed", "nextval", "setval", "currval", "lastval", "now",
            "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday",
            "gen_random_uuid", "uuidv4", "uuidv7", "set_config", "current_setting", "ts_rewrite",
            "ts_stat", "version", "current_database", "current_query", "current_schema",
        }
    ),
    acts=(
        "pg_", "lo_", "dblink", "txid_", "query_to_xml", "cursor_to_xml", "table_to_xml",
        "schema_to_xml", "database_to_xml", "inet_client_", "inet_server_", "uuid_generate_",
    ),
    words=CLOCK_WORDS | {"current_user", "session_user", "user"},
    moments=True,
)  # fmt: skip
