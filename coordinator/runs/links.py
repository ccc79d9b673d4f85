"""Which node speaks for which partner of a run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class Links:
    """Which node speaks for which partner: by its admitted key, else learned from HELLOs.

    Attributes:
        admitted: Partners by the node that was admitted for them.
    """

    node_of: dict[int, int] = field(default_factory=dict)
    partner_of: dict[int, int] = field(default_factory=dict)
    admitted: dict[int, int] = field(default_factory=dict)

    def join(self, node: int, partner: int, connected: Collection[int]) -> bool:
        """Let `node` speak for `partner`, unless that is another node's place.

        HELLOs are known to every partner by the roster; with another's, a node could take over
        its place and refuse in its name. So a partner with an admitted node is spoken for by that
        node alone; without one, by the first that came, until it is gone.
        """
        own = self.admitted.get(node)
        if own != partner and (own is not None or partner in self.admitted.values()):
            return False
        before = self.node_of.get(partner)
        if before is not None and before != node:
            if own is None and before in connected:
                return False
            self.partner_of.pop(before, None)
        after = self.partner_of.get(node)
        if after is not None and after != partner:
            return False
        self.node_of[partner] = node
        self.partner_of[node] = partner
        return True

    def partner(self, node: int) -> int | None:
        """For whom `node` speaks, or would."""
        return self.partner_of.get(node, self.admitted.get(node))
