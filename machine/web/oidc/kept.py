"""Something of the provider's, asked for again when it is old, and not often while it fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from machine.web.oidc.fetching import BusyError
from protocol.errors import FedsegError

T = TypeVar("T")
#: Nothing is asked for again sooner: what failed fails at once until then.
AGAIN: Final = timedelta(seconds=10)


class Kept(Generic[T]):
    """One answer of the provider. No thread waits for another's request."""

    def __init__(self) -> None:
        self._found: tuple[datetime, T] | None = None
        self._failed: tuple[datetime, FedsegError] | None = None

    def get(self, now: datetime, good_for: timedelta, fetch: Callable[[], T]) -> T:
        """The answer, at most so old.

        Args:
            fetch: Asks for it; raises FedsegError, which is raised again without asking for
                `AGAIN`.
        """
        found, failed = self._found, self._failed
        if found is not None and abs(now - found[0]) < good_for:
            return found[1]
        if failed is not None and abs(now - failed[0]) < AGAIN:
            raise _as(failed[1])
        try:
            fetched = fetch()
        except BusyError:
            raise  # this console's own doing
        except FedsegError as error:
            self._failed = (now, error)
            raise
        self._found, self._failed = (now, fetched), None
        return fetched


def _as(error: FedsegError) -> FedsegError:
    """An error that says the same."""
    return type(error)(error.message, code=error.code, remedy=error.remedy)
