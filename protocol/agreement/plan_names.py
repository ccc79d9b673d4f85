"""The plans by the names that an agreement has for them, and their usual rounds.

It imports nothing that takes long, so that options and help texts of commands can name plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: The plan for exact totals, the one that chooses among numbers of clusters, and the other one.
EXACT_PLAN: Final = "lloyd-exact"
CHOOSING_PLAN: Final = "hybrid-dp"
LLOYD_DP: Final = "lloyd-dp"
#: The most questions of a run where nobody says, the last ones included: in a new agreement and in
#: simulations.
USUAL_ROUNDS: Final[Mapping[str, int]] = {EXACT_PLAN: 50, CHOOSING_PLAN: 12, LLOYD_DP: 6}
#: All plans.
PLAN_NAMES: Final = tuple(USUAL_ROUNDS)
#: The plans with noise; the first is the one to take where nobody says.
NOISED_PLAN_NAMES: Final = tuple(name for name in PLAN_NAMES if name != EXACT_PLAN)
