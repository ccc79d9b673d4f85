"""State that any earlier version left is read by this one, whole: every schema of both sides."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coordinator.store import schema as coordinator_schema
from coordinator.store.coordinator_store import CoordinatorStore
from machine.database import Database
from partner_node.store import schema as node_schema
from tests.coordinator.test_runs import Lab

Rows = dict[str, list[tuple[Any, ...]]]
SIDES = {
    "node": node_schema.MIGRATIONS,
    "coordinator": coordinator_schema.MIGRATIONS,
}
#: Columns of tables that a migration fills anew, so that they need not be what was copied.
MADE_ANEW = {"number"}


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both sides' state after a run with a release, as files of SQLite."""
    lab = Lab(tmp_path_factory.mktemp("run"))
    lab.drive()
    folder = tmp_path_factory.mktemp("states")
    with closing(CoordinatorStore.in_file(lab.path)) as store:
        (folder / "coordinator").write_bytes(store.snapshot())
    (folder / "node").write_bytes(next(iter(lab.federation.nodes.values())).store.snapshot())
    return {side: folder / side for side in SIDES}


def tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Columns by table."""
    names = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    return {
        name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names
    }


def rows(connection: sqlite3.Connection, columns: dict[str, list[str]]) -> Rows:
    return {
        table: sorted(
            connection.execute(f"SELECT {', '.join(named)} FROM {table}").fetchall(), key=repr
        )
        for table, named in columns.items()
    }


def earlier(
    path: Path, migrations: Sequence[str], state: Path
) -> tuple[dict[str, list[str]], Rows]:
    """A file of an earlier schema with what it can hold of a state; that, by table."""
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(state)) as new:
        for migration in migrations:
            old.executescript(migration)
        now = tables(new)
        columns = {
            table: [name for name in named if name in now.get(table, ()) and name not in MADE_ANEW]
            for table, named in tables(old).items()
        }
        columns = {table: named for table, named in columns.items() if named}
        for table, named in columns.items():
            marks = ", ".join("?" * len(named))
            for row in rows(new, {table: named})[table]:
                old.execute(f"INSERT INTO {table} ({', '.join(named)}) VALUES ({marks})", row)
        old.commit()
        return columns, rows(old, columns)


@pytest.mark.parametrize(
    ("side", "version"),
    [(side, version) for side, all_of in SIDES.items() for version in range(1, len(all_of))],
)
def test_a_state_of_every_earlier_schema_is_opened_with_everything_in_it(
    side: str, version: int, states: dict[str, Path], tmp_path: Path
) -> None:
    path, migrations = tmp_path / "state.db", SIDES[side]
    columns, before = earlier(path, migrations[:version], states[side])
    assert sum(map(len, before.values())) >= 3, "a run, its release and its agreement's chain"
    Database(path, name="state", migrations=migrations, remedy="", made_before=True).close()
    with closing(sqlite3.connect(path)) as opened, closing(sqlite3.connect(states[side])) as new:
        assert opened.execute("PRAGMA user_version").fetchone() == (len(migrations),)
        assert tables(opened) == tables(new)
        assert rows(opened, columns) == before
