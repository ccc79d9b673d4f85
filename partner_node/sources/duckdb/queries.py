"""Rules for feature queries that DuckDB runs on a database file of its own."""

from __future__ import annotations

from typing import Final

from partner_node.sources.feature_query import QueryRules

DUCKDB_QUERIES: Final = QueryRules(name="DuckDB", own_words=False)
