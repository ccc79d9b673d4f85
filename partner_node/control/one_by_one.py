"""Things that are done each by itself: one that is refused keeps none of the others from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from protocol.errors import RuleError


def one_by_one(steps: Iterable[Callable[[], object]]) -> None:
    """Do every step.

    Raises:
        RuleError: The first that was raised, after the last step.
        FedsegError: Any other, at once: the other side is away, or a file is damaged.
    """
    failure: RuleError | None = None
    for step in steps:
        try:
            step()
        except RuleError as error:
            failure = failure or error
    if failure is not None:
        raise failure
