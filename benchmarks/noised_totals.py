"""Totals as a federation's partners make them: exact sums, and the shares of noise of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from partner_node.customers.answers import answer
from protocol.masking import Stream
from protocol.privacy.mechanisms import discrete_gaussian, share_variance
from protocol.ring import IntVector
from protocol.scaling import FloatMatrix
from protocol.sum_query import SumQuery

#: Partners that add noise, and of them those that may collude.
PARTNERS: Final = 5
COLLUDING: Final = 1


def noised_total(
    query: SumQuery, vectors: Sequence[FloatMatrix], noise: Stream
) -> tuple[IntVector, int]:
    """A query's total with all partners' noise, and the variance of that noise."""
    total, _ = answer(query, vectors, threads=1)
    share = share_variance(query.variance, partners=PARTNERS, colluding=COLLUDING)
    variance = share * PARTNERS
    return total + discrete_gaussian(noise, variance=variance, count=query.length), variance
