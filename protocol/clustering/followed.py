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
        centre_sigmas: The same for each coordinate of a centre, in grid units.
        mean, sigma, radius: How far its customers lay from the nearest centre, as in `Distance`;
            0 for exact totals, where nobody asked.
        uncounted: The most customers that are in no size, since their clusters were withheld.
    """

    release: bytes
    centres: IntMatrix
    sizes: IntVector
    sigmas: IntVector
    centre_sigmas: IntVector
    mean: int = 0
    sigma: int = 0
    radius: int = 0
    uncounted: int = 0


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
