"""Watching a run while the database is away."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.cli import progress
from protocol.errors import StoreError


class Away:
    """A store that is away for a while, then says where a run stands."""

    def __init__(self, times: int, code: str) -> None:
        self.times, self.code = times, code

    def run(self, run_id: bytes) -> str:
        self.times -= 1
        if self.times >= 0:
            raise StoreError("the database is away", code=self.code)
        return f"run {run_id.hex()}"


def test_who_watches_a_run_is_told_once_that_the_database_is_away_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    said: list[str] = []
    monkeypatch.setattr(progress.time, "sleep", pauses.append)
    monkeypatch.setattr(progress.diagnostics, "print", said.append)
    store: Any = Away(3, "E-STORE-CONNECT")
    assert progress._row_of(store, b"\1") == "run 01"
    assert (len(pauses), said) == (3, ["waiting: the database is away"])


def test_another_error_of_the_database_ends_the_watch() -> None:
    store: Any = Away(1, "E-STATE-LOST")
    with pytest.raises(StoreError):
        progress._row_of(store, b"\1")
