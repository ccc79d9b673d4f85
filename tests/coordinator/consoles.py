"""A coordinator as tests of its console see it: partners, agreements, runs and releases.

Test files get the fixtures by importing them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.cli import setup as operator_setup
from coordinator.config import CoordinatorConfig
from coordinator.console.site import coordinator_site
from coordinator.control.invitations import Invitations
from coordinator.control.inviting import invite
from coordinator.control.joined import joined_cards
from coordinator.control.nodes import EnrolledNodes
from coordinator.control.proposals import Proposals
from coordinator.control.readiness import ReadinessRecords, ReadinessRow
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from coordinator.store.settings import FILE
from coordinator.store.times import stamp
from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.site import Site
from protocol.agreement.diligence import DiligenceRecord
from protocol.agreement.document import Agreement, time_text
from protocol.agreement.software import Software
from protocol.control.enrolment import short_code
from protocol.control.invitation import SECRET_BYTES
from protocol.queries import customer_vectors
from protocol.signed_agreement import SignedAgreement
from protocol.signing import key_id, public_bytes
from simulations.agreement import changed
from simulations.federation import FeatureTerms, Federation, scale_of
from simulations.privacy import benchmark_terms
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values
from tests.control.lab import JoinedNode, new_node
from tests.machine.browsing import HOSTS, Person
from tests.machine.people import accounts_at, add
from tests.store_servers import KINDS, Server

#: As far as runs may begin by themselves: never while a test lasts.
MONTHLY = {
    "every": 1,
    "unit": "months",
    "first_day": "2020-01-01",
    "at": "00:00",
    "window_hours": 1,
}
MEMBERS = ("mid", "north", "south")
EACH = 300
#: What one partner alone has of it: nobody else may ever read these.
CANARY_SPENT = 913.75
CANARY_COUNT = 277


@dataclass
class World:
    """A coordinator's folder with all that a page can show."""

    config: CoordinatorConfig
    store: CoordinatorStore
    accounts: Accounts
    site: Site
    nodes: dict[str, JoinedNode]
    proposed: SignedAgreement
    finished: str = ""
    failed: str = ""
    running: str = ""

    @property
    def directory(self) -> Path:
        """The folder."""
        return self.config.directory

    @property
    def ours(self) -> Agreement:
        """The agreement in force under which runs may begin here."""
        return next(s.agreement for s in self.store.agreements() if s.agreement.id == "ours")

    def code(self, partner: str) -> str:
        """The short code of a partner's node."""
        card = self.nodes[partner].card
        return short_code(card.to_bytes(), public_bytes(self.config.signing_key()))

    def path(self, pattern: str) -> str:
        """A page's address with what there is in the place of its variable parts."""
        return (
            pattern.replace("/runs/{run}", f"/runs/{self.finished or '00' * 16}")
            .replace("/releases/{run}", f"/releases/{self.finished or '00' * 16}")
            .replace("{hash}", self.ours.hash.hex())
            .replace("{id}", "ours")
        )


def made(folder: Path, store: str = FILE, *, ran: bool) -> World:
    """Make a coordinator.

    Args:
        ran: Whether runs took place, under an agreement with noise.
    """
    operator_setup.init(
        legal_name="Segment Trust", contact="ops@trust.example", directory=folder, port=9_443,
        store=store,
    )  # fmt: skip
    config = CoordinatorConfig.load(folder)
    opened = config.open_store()
    nodes = {name: joined(config, opened, name) for name in (*MEMBERS, "west")}
    AdmittedNodes(opened).admit({name: nodes[name].card.node_key for name in MEMBERS})
    now = datetime.now(UTC)
    invite(
        config, opened, "east", name="127.0.0.1", secret=secrets.token_bytes(SECRET_BYTES),
        now=now, end=now + timedelta(days=1),
    )  # fmt: skip
    first = drafted(config, opened, nodes)
    envelope = first.envelope
    for name in MEMBERS:
        envelope = envelope.signed_by(nodes[name].keystore.identity)
    opened.add_agreement(SignedAgreement(agreement=first.agreement, envelope=envelope))
    proposed = propose(config, opened, nodes, first.agreement)
    tell(opened, nodes["north"], first.agreement)
    tell(opened, nodes["south"], first.agreement, "E-CONSENT-STALE")
    record(config, opened, nodes["north"], now)
    accounts = accounts_at(folder / "accounts.db")
    site = coordinator_site(config, opened, hosts=HOSTS, accounts=accounts)
    world = World(config, opened, accounts, site, nodes, proposed)
    if ran:
        run(world)
    return world


def joined(config: CoordinatorConfig, store: CoordinatorStore, partner: str) -> JoinedNode:
    """A node that joined by an invitation."""
    now = datetime.now(UTC)
    invite(
        config, store, partner, name="127.0.0.1", secret=secrets.token_bytes(SECRET_BYTES),
        now=now, end=now + timedelta(days=1),
    )  # fmt: skip
    row = next(one for one in Invitations(store).valid(now) if one.partner == partner)
    keystore, card = new_node(partner)
    EnrolledNodes(store).enrol(card, card.to_bytes(), invitation=row.id, now=now)
    EnrolledNodes(store).note_seen(row_key(store, partner), version="0.1.0", now=now)
    return JoinedNode(keystore=keystore, card=card, certificate=b"")


def row_key(store: CoordinatorStore, partner: str) -> str:
    """The node key of a partner that joined."""
    return next(row.node_key for row in EnrolledNodes(store).all() if row.partner == partner)


def drafted(
    config: CoordinatorConfig, store: CoordinatorStore, nodes: dict[str, JoinedNode], **terms: Any
) -> SignedAgreement:
    """An agreement of the members that is in force now, with a schedule, unsigned."""
    now = datetime.now(UTC)
    cards = [nodes[name].card for name in MEMBERS]
    values = {
        "id": "ours",
        "effective": (now - timedelta(days=2)).strftime("%Y-%m-%dT00:00:00Z"),
        "expires": (now + timedelta(days=200)).strftime("%Y-%m-%dT00:00:00Z"),
        "parties": [agreed_party(c.id, c.public_key, max_customers=10) for c in cards],
        "coordinator_key": public_bytes(config.signing_key()),
        "features": [agreed_feature("visits")],
        "consent": {"max_age_hours": 48},
        "schedule": MONTHLY,
        "software": Software.installed(metadata.version, resources.files).to_dict(),
    }
    return SignedAgreement.draft(Agreement.from_dict(agreed_values(**changed(values, terms))))


def propose(
    config: CoordinatorConfig,
    store: CoordinatorStore,
    nodes: dict[str, JoinedNode],
    before: Agreement,
) -> SignedAgreement:
    """Propose the next version, which one party signs and one declines."""
    assert {card.id for card in joined_cards(store)} == set(MEMBERS)
    draft = drafted(
        config, store, nodes, version=2, supersedes=before.hash.hex(), min_segment_size=60
    )
    now = datetime.now(UTC)
    Proposals(store).propose(draft, now=now)
    key = nodes["north"].keystore.identity
    signature = draft.envelope.signed_by(key).signatures[key_id(public_bytes(key))]
    found = Proposals(store).with_hash(draft.agreement.hash)
    assert found is not None
    Proposals(store).sign(found, "north", signature, now=now)
    Proposals(store).decline(found, "south", "not <b>so</b> small", now=now)
    return draft


def tell(store: CoordinatorStore, node: JoinedNode, agreement: Agreement, *codes: str) -> None:
    """A node says how ready it is."""
    at = stamp(datetime.now(UTC))
    ReadinessRecords(store).save(
        ReadinessRow(
            node_key=row_key(store, node.card.id), agreement_hash=agreement.hash, codes=codes,
            since=at, told_at=at, version="0.1.0",
        )
    )  # fmt: skip


def record(
    config: CoordinatorConfig, store: CoordinatorStore, node: JoinedNode, now: datetime
) -> None:
    """Due diligence on one partner."""
    values = {
        "partner": node.card.id, "public_key": node.card.public_key.hex(),
        "checked": "its register", "by": "Anna Berg", "documents": [], "at": time_text(now),
        "expires": time_text(now + timedelta(days=30)),
    }  # fmt: skip
    Diligence(store).add(DiligenceRecord.sign(values, config.signing_key()), now=now)


def customers() -> list[Any]:
    """Customers of three partners; those of the last are the canaries."""
    rng = np.random.default_rng(1)
    middles = np.array([[20.0, 50.0], [70.0, 600.0]])
    data = [
        middles[rng.integers(0, 2, EACH)] + rng.normal(0, [5.0, 20.0], (EACH, 2)) for _ in range(2)
    ]
    own = middles[rng.integers(0, 2, CANARY_COUNT)] + rng.normal(0, [5.0, 20.0], (CANARY_COUNT, 2))
    own[:, 1] = CANARY_SPENT
    return [*data, own]


def run(world: World) -> None:
    """A run that finished with a release, one that failed, and one that waits for a partner."""
    store = world.store
    features = [
        FeatureTerms(name="visits", min="0", max="100"),
        FeatureTerms(name="spent", min="0", max="1000", unit="EUR", transform="log1p"),
    ]
    scale = scale_of(features)
    federation = Federation(
        [np.zeros((EACH, 2))] * 3, features,  # as many as each says that it may count
        vectors=[customer_vectors(scale.to_grid(own)) for own in customers()],
        n_clusters=2, seed=1, plan="lloyd-dp", max_rounds=6,
        privacy=benchmark_terms(4.0, 1e-5, n_samples=3 * EACH, runs=4, spare_rounds=1),
    )  # fmt: skip
    federation.store = store
    store.add_agreement(federation.signed)
    federation.run()
    world.finished = store.runs()[0].run_id.hex()
    parties = [party.id for party in federation.agreement.parties]
    now = datetime.now(UTC)
    standing = {
        "phase": "answers", "doing": "adding masked answers", "round": 2, "max_rounds": 6,
        "participants": parties, "waiting_for": parties[2:], "left_out": [],
        "refusals": {}, "since": stamp(now - timedelta(seconds=12)),
        "heard": {parties[2]: stamp(now - timedelta(seconds=30))},
        "next": {
            "at": stamp(now + timedelta(seconds=48)), "goes_on": True, "without": parties[2:],
            "code": "", "reason": "",
        },
    }  # fmt: skip
    for name in ("failed", "running"):
        run_id = secrets.token_bytes(16)
        store.request_run(run_id, federation.agreement)
        store.begin_attempt(run_id)
        store.report_progress(run_id, standing)
        setattr(world, name, run_id.hex())
        if name == "failed":
            store.fail(run_id, "E-SET-QUORUM", "shop <i>2</i> did not answer", "bring it back")


def person(site: Site, role: Role, name: str = "") -> Person:
    """Somebody of a role, who is signed in."""
    found = Person(site)
    name = name or f"{role.value}-{secrets.token_hex(3)}"
    assert found.sign_in(add(site.accounts, name, role)).status_code == 303
    return found


@pytest.fixture(scope="module", params=KINDS)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A coordinator after runs, over a state of either kind; tests of a file share it."""
    store = FILE
    if request.param != FILE:
        server: Server = request.getfixturevalue("store_server")
        store = server.url(schema=server.schema())
    found = made(tmp_path_factory.mktemp("console") / "coordinator", store, ran=True)
    yield found
    found.store.close()
    found.accounts.close()


@pytest.fixture(scope="module")
def world_in_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """As `world`, for tests that do not care where the state is; they import it as `world`."""
    found = made(tmp_path_factory.mktemp("console") / "coordinator", ran=True)
    yield found
    found.store.close()
    found.accounts.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """A coordinator before its first run, for one test."""
    found = made(tmp_path / "coordinator", ran=False)
    yield found
    found.store.close()
    found.accounts.close()
