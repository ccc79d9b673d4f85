"""The fixture `lab`: counterparties that are honest or lie (`counterparties.py`)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from partner_node.customers import answers

# How fast this machine is today says nothing about the code.
settings.register_profile("fedseg", deadline=None)
settings.load_profile("fedseg")


def load(name: str) -> ModuleType:
    """A module of this folder by its file, whatever else is importable as `tests`."""
    known = f"fedseg_tests_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, Path(__file__).with_name(f"{name}.py"))
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    """Agreements, nodes and runs in memory, and a coordinator that lies."""
    return load("counterparties")


class InThisThread:
    """Stands for a pool of threads: starting threads for ten rows takes most of a test's time."""

    map = staticmethod(map)

    def __init__(self, max_workers: int) -> None:
        self.max_workers = max_workers

    def __enter__(self) -> InThisThread:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True, scope="module")
def answers_in_this_thread() -> Iterator[None]:
    """Answers are computed without threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "ThreadPoolExecutor", InThisThread)
        yield
