"""What a node tells and asks of every agreement in force, at coordinators of several versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.errors import RuleError, TransportError

#: The agreement came as a file, and the coordinator has not published it; its version has no such
#: call.
_NOT_THERE: Final = ("E-PROPOSAL", "E-CONTROL-REPLY")


def in_force(home: NodeHome) -> Sequence[Agreement]:
    """The agreements in force at this node."""
    return home.agreements_in_force()


@contextmanager
def where_known() -> Iterator[None]:
    """End the block in silence where the coordinator knows no such agreement, or no such call."""
    try:
        yield
    except (RuleError, TransportError) as error:
        if error.code not in _NOT_THERE:
            raise
