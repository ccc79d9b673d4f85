"""How many callers a public port takes, and for how long it takes one that it does not know."""

from __future__ import annotations

import contextlib
import logging
import resource
from dataclasses import dataclass
from typing import Final

logger = logging.getLogger(__name__)

#: File descriptors reserved for the rest of the process.
_OTHER_DESCRIPTORS: Final = 128
#: Public ports of one process, each of which may have the same part of its files.
_PORTS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLimits:
    """Limits of one public port.

    A stranger is a connection that has not shown yet whose it is, from the moment that it is
    accepted. Members of one company may all come from one address, so those that have are not
    counted by address, but by who they are.

    Attributes:
        connections: Connections at once, of everybody; fewer if the process may not open that many
            files.
        strangers_per_address: Strangers from one address (IPv6: one /64).
        per_member: Connections of one member.
        stranger_s: How long a connection may be a stranger's: TLS and the head of a first call.
    """

    connections: int = 256
    strangers_per_address: int = 64
    per_member: int = 8
    stranger_s: float = 10.0


def connections_possible(wanted: int, *, files_each: int) -> int:
    """Number of connections up to `wanted` that this process can hold at each public port.

    Raises the soft limit of open files as far as needed and as the hard one allows.

    Args:
        files_each: File descriptors of one connection.
    """
    each = _PORTS * files_each
    needed = each * wanted + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
        if soft < needed:
            fewer = max(1, (soft - _OTHER_DESCRIPTORS) // each)
            logger.warning(
                "only %s connections at once: the limit of open files is %s", fewer, soft
            )
            return fewer
    return wanted
