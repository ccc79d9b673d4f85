"""Lines of ``[data]`` in the template of ``node.toml`` that several kinds of source share."""

# ruff: noqa: S608 - the SQL is an example for people
from __future__ import annotations

from typing import Final

from partner_node.config_section import toml_line, toml_text
from partner_node.sources.places import Said
from partner_node.sources.settings import DEFAULT_CHUNK_ROWS, DEFAULT_MEMORY

CHUNKS: Final = f"""\
# Invoice lines need no query: name their columns in [data.transactions], see docs/sources.md.
# Rows held at once.
# chunk_rows = {DEFAULT_CHUNK_ROWS}
"""
MEMORY: Final = f"""\
# Memory of the reader; what does not fit goes to a temporary folder (by default the system's).
# memory_limit = {toml_text(DEFAULT_MEMORY)}
# temp_folder = "temporary"
"""


def id_column(said: Said) -> str:
    """Lines for the column with the ids."""
    return f"# One row a customer, each id once.\nid_column = {toml_text(said['id_column'])}\n"


def table(said: Said) -> str:
    """Lines for a database's table, or for a query in its place."""
    name, query_file = said.get("table"), said.get("query_file")
    if name is None and query_file is None:
        name = "customers"
    table_line = toml_line("table", toml_text(name or "customers"), name)
    return f"""\
# A table or view with one row a customer, its schema before it where it has one: "sales.customers";
# or, instead, one SELECT over the database's tables that makes one row a customer.
{table_line}
{_query_file(said)}
# query = "SELECT customer_id, count(*) AS frequency FROM orders GROUP BY customer_id"
"""


def query(said: Said) -> str:
    """Lines for a query over files."""
    return f"""\
# One SELECT that turns the files, seen as the table "input", into one row a customer.
{_query_file(said)}
# query = "SELECT customer_id, count(*) AS frequency FROM input GROUP BY customer_id"
"""


def _query_file(said: Said) -> str:
    file = said.get("query_file")
    return toml_line("query_file", toml_text(file or "features.sql"), file)
