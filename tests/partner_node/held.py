"""A node with an answer that waits for a person, as tests of the queue have it.

Test files get the fixtures by importing them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from partner_node.egress.records import Manifests
from partner_node.egress.settings import EgressSection
from partner_node.home import NodeHome
from partner_node.store.times import stamp
from protocol.errors import RunFailedError
from tests.federations import small_federation
from tests.partner_node.nodes import OTHERS, installed, node, shell

__all__ = ["installed", "node", "shell", "waiting"]


@pytest.fixture
def waiting(installed: Path) -> Path:
    """A node's folder with the records of a run whose first answer waits for approval."""
    return with_held_answer(installed)


def with_held_answer(folder: Path) -> Path:
    """Put the records of such a run into a node's folder."""
    home = NodeHome.load(folder)
    keystore = home.keystore()
    federation = small_federation(1.0, 2.0, partner_keys=[keystore.identity, *OTHERS])
    federation.nodes[0]._egress = EgressSection(hold="answers")
    with pytest.raises(RunFailedError, match="E-EGRESS-HELD"):
        federation.run()
    simulated, now = federation.nodes[0].store, datetime.now(UTC)
    store, until = home.store(keystore), stamp(now + timedelta(hours=24))
    with store.transaction():
        for message in simulated.egress():
            store.save_egress(message)
        for (number,) in simulated.ask("SELECT number FROM manifests ORDER BY number"):
            written = Manifests(simulated).get(number)
            Manifests(store).add(
                written.manifest, bytes([number]) * 32, now=stamp(now),
                expires_at=until if written.expires_at else None, people=written.people,
            )  # fmt: skip
    store.close()
    return folder
