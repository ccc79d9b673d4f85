"""The seam between a run and whatever carries its messages.

`coordinator.runs.life` drives a run over any `Exchange`: Flower's Grid when deployed
(`coordinator.server_app`), an in-memory one in simulations (`simulations.federation`).
Messages are opaque bytes; what they mean is the protocol's business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one node answered to one message.

    Attributes:
        node: The carrier's id of the node.
        message: The protocol message, or None when the node refused.
        error: The node's error code (``E-…``), or None when it answered.
        beside: What came beside the message, of logs and cosignatures; empty where nothing did.
    """

    node: int
    message: bytes | None
    error: str | None
    beside: bytes = b""


class Exchange(Protocol):
    """Carries messages to nodes and their answers back."""

    def nodes(self) -> Collection[int]:
        """Ids of the nodes that are connected now."""
        ...

    def push(self, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        """Send `message` to `node`; returns a handle for `pull`.

        The message is dropped when it could not be delivered within `ttl_s` seconds.

        Args:
            beside: What goes with it, of logs and cosignatures; only to a node that sent such.
        """
        ...

    def flush(self) -> None:
        """Hand over at once what was pushed; else it may leave with the next `pull`."""
        ...

    def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
        """The answers that have come in for `handles`; each is returned once."""
        ...
