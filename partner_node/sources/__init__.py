"""Where customers come from: files behind one `Source`."""

from partner_node.sources.duckdb_source import DuckDBSource
from partner_node.sources.source import Chunk, Description, Source

__all__ = ["Chunk", "Description", "DuckDBSource", "Source"]
