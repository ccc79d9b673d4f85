"""What a run knows of the release that it starts from. SPEC.md, 10.6."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.canonical import frame, u32
from protocol.queries import IntMatrix
from protocol.ring import IntVector


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The last release, for a plan that starts from it.

    Attributes:
        release: Its hash, 32 bytes.
        centres: Its segments' centres on the grid, shape ``(n_segments, n_features)``, int64.
        sizes: Their sizes, shape ``(n_segments,)``, int64.
        sigmas: Standard deviation of the noise in each size; 0 for exact totals.
    """

    release: bytes
    centres: IntMatrix
    sizes: IntVector
    sigmas: IntVector


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a result says of the release that its run started from.

    Attributes:
        release: That release's hash, 32 bytes.
        changed: Whether customers changed since, beyond the noise: the next run starts anew.
    """

    release: bytes
    changed: bool = False

    def to_bytes(self) -> bytes:
        """The beginning as bytes that are hashed."""
        return frame(self.release, u32(int(self.changed)))
