"""What tests of the control plane share: a server for the coordinator's state.

On the server `make test` runs what goes over every table; `make test-long` runs all.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.store_servers import store_server

__all__ = ["store_server"]

#: Modules whose tests go over every table of the control plane.
_ON_EITHER: Final = (
    "test_agreements",
    "test_announcements",
    "test_builds",
    "test_diligence",
    "test_enrolment",
    "test_readiness",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is left to a long run, before it is left out."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None or item.path.parent.name != "control":
            continue
        if callspec.params.get("lab") == "postgresql" and item.path.stem not in _ON_EITHER:
            item.add_marker(pytest.mark.long)
