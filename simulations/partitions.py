"""Splitting the rows of one data set among simulated partners."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from protocol.errors import UsageError

RowNumbers = npt.NDArray[np.int64]

#: Spread of the log of uneven sizes: the largest of ten partners has about 30 times the smallest.
_UNEVEN_SPREAD: Final = 1.1


def split(
    n_rows: int, partners: int, seed: int, sizes: Literal["equal", "uneven"] = "equal"
) -> list[RowNumbers]:
    """Deal rows to partners at random, every row to exactly one.

    Args:
        n_rows: How many rows there are.
        partners: How many partners share them.
        seed: Same seed, same split.
        sizes: ``equal``: sizes differ by one row at most. ``uneven``: sizes are log-normal, as
            between businesses; with enough rows everybody gets at least one.

    Returns:
        One array of row numbers a partner, in increasing order. With fewer rows than partners
        some arrays are empty.

    Raises:
        UsageError: A number is out of range, or `sizes` is unknown.

    >>> [part.size for part in split(7, 3, seed=1)]
    [3, 2, 2]
    """
    if n_rows < 0 or partners < 1 or seed < 0:
        raise UsageError(
            f"{n_rows} rows, {partners} partners, seed {seed}: rows and seed must not be negative, "
            "and there must be at least one partner",
            remedy="give at least one partner and no negative number",
        )
    if sizes not in ("equal", "uneven"):
        raise UsageError(f"sizes {sizes!r} are not known", remedy="choose equal or uneven")
    rng = np.random.Generator(np.random.PCG64(seed))
    order = rng.permutation(n_rows)
    if sizes == "equal":
        return [np.sort(part) for part in np.array_split(order, partners)]
    shares = np.exp(rng.normal(0.0, _UNEVEN_SPREAD, size=partners))
    assured = 1 if n_rows >= partners else 0
    spare = n_rows - assured * partners
    edges = np.floor(np.cumsum(shares) / shares.sum() * spare + 0.5).astype(np.int64)
    edges[-1] = spare
    edges += assured * np.arange(1, partners + 1)
    return [np.sort(part) for part in np.split(order, edges[:-1])]
