"""In which order deployments are tested when two workers share the files out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

#: Longest first, so that no worker begins with it when the other has nothing left to do. A worker
#: that has two tests left is given the next file.
ORDER: Final = (
    "test_consortium.py",
    "test_crashes.py",
    "test_following_runs.py",
    "test_deployment.py",
    "test_deployment_with_noise.py",
    "test_canaries.py",
    "test_three_partners.py",
    "test_online_retail.py",
    "test_several_agreements.py",
    "test_faults.py",
    "test_transport.py",
    "test_flower_simulation.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put this folder's files into `ORDER`, after everything else."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        if item.path.parent != here:
            return -1
        return ORDER.index(item.path.name) if item.path.name in ORDER else len(ORDER)

    items.sort(key=place)
