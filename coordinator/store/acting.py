"""Who acts now, as the log of people names them; the audit log has it with what they do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_BY: Final[ContextVar[str]] = ContextVar("by", default="")


@contextmanager
def acting(who: str) -> Iterator[None]:
    """What is stored within the block is of this person."""
    before = _BY.set(who)
    try:
        yield
    finally:
        _BY.reset(before)


def acts_now() -> str:
    """Who acts; empty where the coordinator itself does."""
    return _BY.get()
