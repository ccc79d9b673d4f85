"""Where customers come from: files behind one `Source`."""

from partner_node.config import DataSection, LimitsSection
from partner_node.sources.duckdb_source import DuckDBSource
from partner_node.sources.source import Chunk, Description, Source

__all__ = ["Chunk", "Description", "DuckDBSource", "Source", "open_source"]


def open_source(data: DataSection, limits: LimitsSection) -> Source:
    """The source that a node's configuration names; no file is opened yet.

    Raises:
        SourceError: E-SOURCE-SQL, the feature query is not one repeatable SELECT.
    """
    return DuckDBSource(
        kind=data.kind,
        path=data.path,
        id_column=data.id_column,
        query=data.query,
        delimiter=data.delimiter,
        memory_bytes=data.memory_bytes,
        threads=limits.threads,
        temp_folder=data.temp_folder,
        temp_bytes=limits.temp_bytes,
    )
