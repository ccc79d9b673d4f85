"""A test that stays green when its guard is removed is no test.

Every guard is removed once in ``make test-long``, a tenth of them in ``make test``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import guards
from tests.store_servers import shared_server

FOLDER = "coordinator"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def removal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[guards.Removal]:
    with (
        shared_server(tmp_path_factory.mktemp("store-server")),
        guards.removal(FOLDER, tmp_path_factory) as server,
    ):
        yield server


@pytest.mark.parametrize("guard", guards.tried(FOLDER))
def test_a_removed_guard_is_noticed(guard: guards.Guard, removal: guards.Removal) -> None:
    assert removal.unnoticed(guard) == ""
