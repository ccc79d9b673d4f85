"""A coordinator's control port in this process, and nodes that join it.

Test files get the fixtures by importing them. One port serves a whole file: what it has on record
is told apart by partners' names.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.cli import setup as operator_setup
from coordinator.config import CoordinatorConfig
from coordinator.control.inviting import ADDRESS_FILE, invite
from coordinator.control.port import ControlPort
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.settings import FILE
from machine.certificates import openssh_key, private_pem
from machine.files import write_file
from partner_node.control.channel import Channel, Identity
from partner_node.control.joining import Greeting, enrol, greet
from partner_node.keystore import STATE_KEY_BYTES, Keystore
from protocol.agreement.document import Agreement
from protocol.agreement.partner_card import PartnerCard
from protocol.agreement.software import Software
from protocol.control.invitation import SECRET_BYTES, Invitation
from protocol.signed_agreement import SignedAgreement
from protocol.signing import key_id, public_bytes
from simulations.agreement import changed
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values
from tests.end_to_end.transport_support import free_port
from tests.store_servers import KINDS, Server

#: The port for runs, which nobody opens here.
RUNS_PORT = free_port()
#: How often a stream says that nothing happened.
NOTHING_EVERY_S = 0.3


@dataclass
class Lab:
    """A serving control port."""

    config: CoordinatorConfig
    port: ControlPort
    store: CoordinatorStore
    roots: bytes = field(repr=False)

    def invite(
        self,
        partner: str,
        *,
        now: datetime | None = None,
        lasts: timedelta = timedelta(days=1),
    ) -> Invitation:
        """Invite a partner."""
        now = now or datetime.now(UTC)
        return invite(
            self.config,
            self.store,
            partner,
            name="127.0.0.1",
            secret=secrets.token_bytes(SECRET_BYTES),
            now=now,
            end=now + lasts,
        ).invitation

    def admit(self, node: JoinedNode) -> None:
        """Let a node through, as the operator does."""
        AdmittedNodes(self.store).admit({node.card.id: node.card.node_key}, replace=True)

    def channel(self, identity: Identity) -> Channel:
        """A connection to the port."""
        return Channel(self.port.address, roots=self.roots, identity=identity, retries=False)

    def join(self, partner: str) -> JoinedNode:
        """A node that joined by an invitation of its own."""
        invitation = self.invite(partner)
        greeting = greeted(invitation)
        keystore, card = new_node(partner)
        certificate = enrolled(invitation, greeting, keystore, card)
        return JoinedNode(keystore=keystore, card=card, certificate=certificate)


@dataclass
class JoinedNode:
    """A node's keys, card and certificate."""

    keystore: Keystore
    card: PartnerCard
    certificate: bytes

    @property
    def identity(self) -> Identity:
        """With what it shows who it is."""
        return Identity(key=private_pem(self.keystore.node_key), certificate=self.certificate)


def new_node(partner: str) -> tuple[Keystore, PartnerCard]:
    """Keys that lie in no file, and their card."""
    keystore = Keystore(
        identity=Ed25519PrivateKey.generate(),
        node_key=ec.generate_private_key(ec.SECP384R1()),
        state_key=bytes(STATE_KEY_BYTES),
    )
    card = PartnerCard(
        id=partner,
        legal_name=f"Shop {partner}",
        contact=f"office@{partner}.example",
        dpo=f"dpo@{partner}.example",
        jurisdictions=("DE",),
        public_key=keystore.identity_public,
        node_key=openssh_key(keystore.node_key.public_key()),
        max_customers=100,
    )
    return keystore, card


def greeted(invitation: Invitation) -> Greeting:
    """What the coordinator says to an invitation."""
    return greet(invitation, now=datetime.now(UTC), retries=False)


def enrolled(
    invitation: Invitation, greeting: Greeting, keystore: Keystore, card: PartnerCard
) -> bytes:
    """The certificate that a node gets."""
    return enrol(
        invitation, greeting, keystore, card.to_bytes(), now=datetime.now(UTC), retries=False
    )


@contextmanager
def serving(directory: Path, *, store: str = FILE) -> Iterator[Lab]:
    """Make a coordinator and serve its control port on loopback; streams are seldom silent.

    Args:
        store: Where its state is, as `init` has it.
    """
    folder = directory / "coordinator"
    operator_setup.init(
        legal_name="Segment Trust",
        contact="ops@trust.example",
        directory=folder,
        port=0,
        store=store,
    )
    config = CoordinatorConfig.load(folder)
    assert config.control is not None
    port = ControlPort(config=config, public_port=RUNS_PORT, nothing_every_s=NOTHING_EVERY_S)
    port.start()
    write_file(folder / ADDRESS_FILE, port.address + "\n")
    try:
        with closing(config.open_store()) as store:
            yield Lab(config, port, store, roots=config.control.authority.read_bytes())
    finally:
        port.stop()


@pytest.fixture(scope="module", params=KINDS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A serving control port, over a state of either kind."""
    store = FILE
    if request.param != FILE:
        server: Server = request.getfixturevalue("store_server")
        store = server.url(schema=server.schema())
    with serving(tmp_path_factory.mktemp("control"), store=store) as found:
        yield found


def drafted(lab: Lab, cards: Sequence[PartnerCard], **terms: Any) -> SignedAgreement:
    """An agreement of partners with the lab's coordinator, without signatures."""
    now = datetime.now(UTC)
    values = {
        "id": "ours",
        "effective": (now - timedelta(days=2)).strftime("%Y-%m-%dT00:00:00Z"),
        "expires": (now + timedelta(days=2)).strftime("%Y-%m-%dT00:00:00Z"),
        "parties": [agreed_party(c.id, c.public_key, max_customers=10) for c in cards],
        "coordinator_key": public_bytes(lab.config.signing_key()),
        "features": [agreed_feature("visits")],
        "consent": {"max_age_hours": 48},
        "software": Software.installed(metadata.version, resources.files).to_dict(),
    }
    return SignedAgreement.draft(Agreement.from_dict(agreed_values(**changed(values, terms))))


def signature(node: JoinedNode, draft: SignedAgreement) -> bytes:
    """A node's signature over an agreement."""
    key = node.keystore.identity
    return draft.envelope.signed_by(key).signatures[key_id(public_bytes(key))]


def no_run(message: bytes) -> tuple[bytes | None, str]:
    """Stands for a node's answers to requests of runs, where no run ends."""
    raise AssertionError(message)
