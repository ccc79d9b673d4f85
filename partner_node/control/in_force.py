"""What a node tells and asks of every agreement in force, at coordinators of several versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from partner_node.control.one_by_one import one_by_one
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.errors import RuleError, TransportError

#: The agreement came as a file, and the coordinator has not published it; its version has no such
#: call.
_NOT_THERE: Final = ("E-PROPOSAL", "E-CONTROL-REPLY")


def for_each_in_force(home: NodeHome, action: Callable[[Agreement], object]) -> None:
    """Do something under every agreement in force; one that is in a bad way keeps none from it.

    Raises:
        RuleError: The first that was raised, also by what is wrong at a place (E-AGR-TWICE, or a
            hand-over that does not go with the agreement); after the last.
        FedsegError: As `one_by_one`.
    """

    def at(place: NodeHome) -> None:
        agreement = place.agreement_here()
        if agreement is not None:
            action(agreement)

    one_by_one(partial(at, place) for place in home.places())


def sound_in_force(home: NodeHome) -> list[Agreement]:
    """The agreements in force at this node, without those that are in a bad way."""
    found: list[Agreement] = []
    with suppress(RuleError):
        for_each_in_force(home, found.append)
    return found


@contextmanager
def where_known() -> Iterator[None]:
    """End the block in silence where the coordinator knows no such agreement, or no such call."""
    try:
        yield
    except (RuleError, TransportError) as error:
        if error.code not in _NOT_THERE:
            raise
