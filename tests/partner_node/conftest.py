"""What tests of a node share: servers of PostgreSQL and MySQL, finished nodes, derived keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial

import pytest

from partner_node import keystore
from partner_node.keystore import MIN_LOG2_N, Keystore
from tests.partner_node import mysql_server
from tests.partner_node.finished import Finished
from tests.partner_node.postgresql_server import Database, running_server

#: Fixtures that start a server, or may.
SERVERS = {"postgresql", "mysql", "servers"}
#: What scrypt gave in this process: a node's key store is opened by every command of a test.
DERIVED = lru_cache(maxsize=None)(keystore._derive)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a server is no quick test."""
    for item in items:
        if isinstance(item, pytest.Function) and SERVERS & {*item.fixturenames}:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The server; each test makes schemas of its own in it."""
    with running_server(tmp_path_factory.mktemp("postgresql")) as database:
        yield database


@pytest.fixture(scope="session")
def mysql() -> Iterator[mysql_server.Database]:
    """The server; each test makes databases of its own in it."""
    with mysql_server.running_server() as database:
        yield database


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Nodes that are made once and copied for each test."""
    return Finished(tmp_path_factory)


@pytest.fixture(autouse=True, scope="module")
def cheap_keys(request: pytest.FixtureRequest) -> Iterator[None]:
    """New key stores are as cheap as is allowed, and no key is derived twice in a process.

    What scrypt costs and refuses is tested with the key store, which gets the real one.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name != "test_keystore.py":
            create = staticmethod(partial(Keystore.create, log2_n=MIN_LOG2_N))
            patch.setattr(Keystore, "create", create)
            patch.setattr(keystore, "_derive", DERIVED)
        yield
