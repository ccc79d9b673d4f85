"""The machine is switched off at one of the steps of something that is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest


class SwitchedOffError(Exception):
    """The machine was switched off."""


@contextmanager
def switched_off_at(step: int, *steps: tuple[object, str]) -> Iterator[None]:
    """Have the call of number `step`, from 0, to any of some functions raise `SwitchedOffError`.

    Args:
        steps: Each function as the module or class that it is called from, and its name there.
    """
    calls = count()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: object, **named: object) -> object:
            if next(calls) == step:
                raise SwitchedOffError
            return real(*words, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for where, name in steps:
            patch.setattr(where, name, counted(getattr(where, name)))
        yield


def is_switched_off(action: Callable[[], object], step: int, *steps: tuple[object, str]) -> bool:
    """Whether something that is done has so many steps; it is switched off at that one."""
    try:
        with switched_off_at(step, *steps):
            action()
    except SwitchedOffError:
        return True
    return False
