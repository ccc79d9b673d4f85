"""Which partners' nodes the coordinator admits, and the carrier's ids of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp_now
from protocol.errors import UsageError
from protocol.log import entries as kinds


class AdmittedNodes:
    """The admitted nodes in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def admit(self, nodes: Mapping[str, str], *, replace: bool = False) -> dict[str, str]:
        """Admit partners' nodes, all or none.

        Args:
            nodes: Public node keys (OpenSSH text) by partner.
            replace: Whether a partner's key may take the place of another one.

        Returns:
            The keys that were replaced, by partner.

        Raises:
            UsageError: A key is another partner's, or the partner has another key (E-ADMITTED).
        """
        replaced: dict[str, str] = {}
        with self._store.transaction():
            for partner, node_key in nodes.items():
                known = self.key_of_partner()
                earlier = known.get(partner, node_key)
                if earlier != node_key:
                    replaced[partner] = earlier
                _check_admission(partner, node_key, known, replace=replace)
                self._store.ask(
                    "INSERT INTO admitted VALUES (?, ?, ?)"
                    " ON CONFLICT (partner) DO UPDATE SET node_key = excluded.node_key,"
                    " admitted_at = excluded.admitted_at",
                    partner,
                    node_key,
                    now := stamp_now(),
                )
                self._store.log.append(
                    kinds.ADMITTED,
                    at=now,
                    partner=partner,
                    key=hashlib.sha256(node_key.encode("utf-8")).hexdigest(),
                )
        return replaced

    def remove(self, partner: str) -> None:
        """Admit a partner's node no longer; raises UsageError when it was not admitted."""
        with self._store.transaction():
            if partner not in self.key_of_partner():
                raise UsageError(
                    f"no node is admitted for {partner!r}",
                    remedy="see `fedseg-coordinator partner list`",
                )
            self._store.ask("DELETE FROM admitted WHERE partner = ?", partner)
            self._store.log.append(kinds.PARTNER_REMOVED, at=stamp_now(), partner=partner)

    def key_of_partner(self) -> dict[str, str]:
        """Public node keys by partner."""
        rows = self._store.ask("SELECT partner, node_key FROM admitted ORDER BY partner")
        return dict(rows)

    def save_nodes(self, node_of_key: Mapping[str, int]) -> None:
        """Remember the carrier's ids of admitted nodes, by public key (OpenSSH text)."""
        with self._store.transaction():
            self._store.ask("DELETE FROM carrier_nodes")
            for key, node in node_of_key.items():
                self._store.ask("INSERT INTO carrier_nodes VALUES (?, ?)", key, str(node))

    def node_of_partner(self) -> dict[str, int]:
        """The carrier's id of each admitted partner's node, where it is known."""
        rows = self._store.ask(
            "SELECT partner, node FROM admitted JOIN carrier_nodes USING (node_key)"
        )
        return {partner: int(node) for partner, node in rows}


def _check_admission(
    partner: str, node_key: str, known: Mapping[str, str], *, replace: bool
) -> None:
    for other, key in known.items():
        if key == node_key and other != partner:
            raise UsageError(
                f"the node key of {partner!r} is admitted for {other!r} already",
                code="E-ADMITTED",
                remedy="every partner makes a node of its own: fedseg-node init",
            )
    if not replace and known.get(partner, node_key) != node_key:
        raise UsageError(
            f"{partner!r} is admitted with another node key, ending in {key_end(known[partner])}",
            code="E-ADMITTED",
            remedy="ask the partner whether it made its node anew; if so, admit it with --replace",
        )


def key_end(node_key: str) -> str:
    """The last characters of a public node key, to tell keys apart."""
    return node_key.split()[1][-24:] if " " in node_key else node_key[-24:]
