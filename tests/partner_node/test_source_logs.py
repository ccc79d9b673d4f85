"""Another program may merge a database's log, and take it away, at any moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from partner_node.sources import files as module
from partner_node.sources.data_file import DataFile
from partner_node.sources.duckdb.source import DuckDBSource
from partner_node.sources.sqlite.source import SQLiteSource
from protocol.errors import SourceError


def opened(path: Path, suffix: str) -> SQLiteSource | DuckDBSource:
    given: dict[str, Any] = {"path": path, "id_column": "id", "table": ("customers",)}
    return SQLiteSource(**given) if suffix == "-wal" else DuckDBSource(kind="duckdb", **given)


def files(path: Path, suffix: str) -> list[str]:
    return [Path(file.path).name for file in opened(path, suffix).files()]


@pytest.mark.parametrize("suffix", ["-wal", ".wal"])
@pytest.mark.parametrize("emptied", [False, True])
def test_a_log_that_goes_while_it_is_looked_at_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, emptied: bool
) -> None:
    path, log = tmp_path / "crm.db", tmp_path / f"crm.db{suffix}"
    path.write_bytes(b"rows")
    log.write_bytes(b"more")
    assert files(path, suffix) == ["crm.db", log.name]
    find_files = module.find_files

    def gone_and_found(pattern: str) -> tuple[DataFile, ...]:
        log.write_bytes(b"") if emptied else log.unlink()
        return find_files(pattern)

    monkeypatch.setattr(module, "find_files", gone_and_found)
    assert files(path, suffix) == files(path, suffix) == ["crm.db"]
    assert log.exists() is emptied


@pytest.mark.parametrize("suffix", ["-wal", ".wal"])
def test_a_log_that_is_no_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "crm.db"
    path.write_bytes(b"rows")
    (tmp_path / f"crm.db{suffix}").mkdir()
    with pytest.raises(SourceError, match="is a folder"):
        files(path, suffix)
