"""A PostgreSQL server for the tests that need one, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.partner_node.postgresql_server import Database, running_server


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The server; each test makes schemas of its own in it."""
    with running_server(tmp_path_factory.mktemp("postgresql")) as database:
        yield database
