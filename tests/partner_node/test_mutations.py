"""A test that stays green when its guard is removed is no test.

Every guard is removed once in ``make test-long``, a tenth of them in ``make test``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import guards

FOLDER = "partner_node"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def removal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[guards.Removal]:
    with guards.removal(FOLDER, tmp_path_factory) as server:
        yield server


@pytest.mark.parametrize("guard", guards.tried(FOLDER))
def test_a_removed_guard_is_noticed(guard: guards.Guard, removal: guards.Removal) -> None:
    assert removal.unnoticed(guard) == ""
