"""The sandbox that DuckDB reads in: the named files and one temporary folder, nothing else.

DuckDB runs in memory and loads no extension. The sandbox is closed before a feature query is
parsed: no other file, no network, and no setting that could reopen it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from partner_node.sources.dialect import literal
from partner_node.sources.duckdb.temporary_folders import temporary_folder
from protocol.errors import SourceError

DEFAULT_MEMORY_BYTES: Final = 512 << 20
DEFAULT_THREADS: Final = 2
DEFAULT_TEMP_BYTES: Final = 20 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Resources of this machine that DuckDB may use.

    Attributes:
        memory_bytes: Its memory limit.
        threads: Number of threads.
        temp_folder: Folder for data that do not fit into memory; None for the system's.
        temp_bytes: Largest size of its data there.
    """

    memory_bytes: int = DEFAULT_MEMORY_BYTES
    threads: int = DEFAULT_THREADS
    temp_folder: Path | None = None
    temp_bytes: int = DEFAULT_TEMP_BYTES

    @contextmanager
    def closed_in(self, files: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection confined to the named files, with locked settings.

        Raises:
            SourceError: The temporary folder cannot be created (E-SOURCE-FILE).
            duckdb.Error: DuckDB fails.
        """
        with self.temporary() as temporary, self.connect(temporary) as connection:
            close_sandbox(connection, files)
            lock_settings(connection)
            yield connection

    @contextmanager
    def temporary(self) -> Iterator[str]:
        """Yield a temporary folder for one pass, removed at its end; raises SourceError."""
        with temporary_folder(self._make_temp_folder()) as folder:
            yield folder

    def connect(self, temporary: str) -> duckdb.DuckDBPyConnection:
        """A connection before the sandbox is closed; raises duckdb.Error."""
        return duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{self.memory_bytes}B",
                "threads": str(self.threads),
                "temp_directory": temporary,
                "max_temp_directory_size": f"{self.temp_bytes}B",
                "preserve_insertion_order": "true",
                "enable_external_file_cache": "false",
                "python_enable_replacements": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "allow_persistent_secrets": "false",
            },
        )

    def _make_temp_folder(self) -> Path | None:
        if self.temp_folder is not None:
            try:
                self.temp_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise SourceError(
                    f"{self.temp_folder}: the temporary folder cannot be made: {error.strerror}",
                    code="E-SOURCE-FILE",
                    remedy="correct [data] temp_folder, or its owner",
                ) from error
        return self.temp_folder


def close_sandbox(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> None:
    """Confine a connection to the named files; other settings can still be changed.

    Raises:
        duckdb.Error: DuckDB fails.
    """
    paths = ", ".join(literal(path) for path in files)
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    for scope in ("GLOBAL", "SESSION"):  # for later sessions, and for this one
        connection.execute(f"SET {scope} TimeZone = 'UTC'")


def lock_settings(connection: duckdb.DuckDBPyConnection) -> None:
    """Lock all settings."""
    connection.execute("SET lock_configuration = true")
