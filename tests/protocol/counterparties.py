"""Counterparties for protocol tests: agreements, honest runs in memory, a coordinator that lies.

Everything is deterministic, so that a failure repeats. Tests get this module as the fixture `lab`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from partner_node.customers.answers import answer
from protocol.agreement.document import Agreement
from protocol.agreement.software import Software
from protocol.agreement_rules import problems_of
from protocol.clustering.plan import plan_seed
from protocol.coordinator_round import CoordinatorRound
from protocol.coordinator_round import Phase as phases
from protocol.errors import FedsegError, RemoteProtocolError
from protocol.messages import (
    Ack,
    Announce,
    Masked,
    Open,
    Payload,
    Propose,
    Publish,
    Request,
    Roster,
    open_request,
    sign_request,
)
from protocol.participants import Chain, Link
from protocol.partner_round import ENTROPY_BYTES, PartnerRound
from protocol.partner_state import PartnerState
from protocol.queries import customer_vectors
from protocol.release.document import Release
from protocol.scaling import FeatureScale
from protocol.signing import public_bytes
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values


def key_of(name: str) -> Ed25519PrivateKey:
    """The same key for the same name."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def entropy_of(name: str) -> bytes:
    """The entropy of one HELLO, the same for the same name."""
    return hashlib.shake_256(name.encode()).digest(ENTROPY_BYTES)


SOFTWARE = Software(version="0.1.0", sha256=bytes(range(32)))


def agreement_values(
    n: int,
    *,
    features: int = 2,
    clusters: int = 3,
    rounds: int = 8,
    colluding: int = 1,
    changes: int = 4,
    cap: int = 10_000,
    identity: str = "test",
    min_segment_size: int = 1,
    privacy: dict[str, Any] | None = None,
    plan: str = "lloyd-exact",
    start: str = "",
) -> dict[str, Any]:
    """The JSON of an agreement among the partners p0 … p(n-1), keys by `key_of`."""
    return agreed_values(
        id=identity,
        effective="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
        parties=[
            agreed_party(
                f"p{i}",
                public_bytes(key_of(f"p{i}")),
                legal_name=f"Partner {i} Ltd",
                max_customers=cap,
            )
            for i in range(n)
        ],
        coordinator_key=public_bytes(key_of("coordinator")),
        features=[agreed_feature(f"f{i}") for i in range(features)],
        plan={"name": plan, "n_clusters": clusters, "max_rounds": rounds}
        | ({"n_clusters_min": clusters} if plan == "hybrid-dp" else {})
        | ({"start": start} if start else {}),
        privacy=privacy or "none",
        secure_sum={
            "min_partners": 3,
            "max_colluding": colluding,
            "min_atom": 1 if privacy else max(3, colluding + 2),
            "max_set_changes": changes,
        },
        min_segment_size=min_segment_size,
        software=SOFTWARE.to_dict(),
    )


class Federation:
    """Partners with customers, and the key of a coordinator who may lie."""

    def __init__(self, n: int = 3, *, seed: int = 1, rows: int = 30, **terms: Any) -> None:
        self.agreement = Agreement.from_dict(agreement_values(n, **terms))
        assert problems_of(self.agreement) == []
        self.n = n
        self.keys = [key_of(f"p{i}") for i in range(n)]
        self.coordinator_key = key_of("coordinator")
        self.empty_chain = Chain(agreement_hash=self.agreement.hash, n_partners=n)
        rng = np.random.default_rng(seed)
        scale = FeatureScale.of(self.agreement.coordinates)
        middles = rng.uniform(1, 9, (self.agreement.plan.n_clusters, self.agreement.n_coordinates))
        self.vectors = []
        for _ in range(n):
            near = middles[rng.integers(0, len(middles), rows)]
            self.vectors.append(
                customer_vectors(scale.to_grid(near + rng.normal(0, 0.4, near.shape)))
            )

    def link(self, run_hash: bytes, *members: int) -> Link:
        """A participant set of a run."""
        return Link(run_hash=run_hash, members=frozenset(members))

    def run(self, name: str = "run", **options: Any) -> Run:
        """A new run."""
        return Run(self, name, **options)


class Node:
    """What a node does with bytes: check the coordinator's signature, ask the state machine.

    It stores its state as JSON after every message, and goes on from what it stored.
    """

    def __init__(
        self,
        federation: Federation,
        number: int,
        name: str,
        chain: Chain,
        seed_of: Callable[[bytes], bytes] = plan_seed,
        last: Release | None = None,
    ) -> None:
        self.federation = federation
        self.number = number
        self.entropy = entropy_of(f"{name}/{number}")
        self.seed_of = seed_of
        self.state = PartnerRound(
            federation.agreement, federation.keys[number], chain, last=last, seed_of=seed_of
        )
        self.vectors = federation.vectors[number]
        self.sent: list[bytes] = []

    def handle(self, message: bytes) -> bytes:
        """The reply to a request; raises FedsegError."""
        request = open_request(
            message, coordinator_key=self.federation.agreement.coordinator.public_key
        )
        reply = self._reply(request)
        self.restart()
        self.sent.append(reply)
        return reply

    def restart(self) -> None:
        """Go on from what `to_dict` stored."""
        stored = json.loads(json.dumps(self.state.to_dict()))
        self.go_on_from(stored, self.state.chain)

    def go_on_from(self, stored: dict[str, Any], chain: Chain) -> None:
        """Be the node that had this in its store."""
        self.state = PartnerRound(
            self.federation.agreement,
            self.federation.keys[self.number],
            chain,
            state=PartnerState.from_dict(stored),
            seed_of=self.seed_of,
        )

    def _reply(self, request: Request) -> bytes:
        if isinstance(request, Open):
            if self.state.phase:
                return self.state.reopen(request)
            return self.state.open(request, entropy=self.entropy)
        if isinstance(request, Roster):
            return self.state.roster(request)
        if isinstance(request, Propose):
            return self.state.propose(request)
        if isinstance(request, Announce):
            ask = self.state.announce(request)
            if isinstance(ask, bytes):
                return ask
            if ask.query is None:
                return self.state.approve(ask)
            return self.state.masked(ask, answer(ask.query, [self.vectors])[0])
        if isinstance(request, Publish):
            self.state.publish(request)
        else:
            self.state.abort(request.reason)
        return Ack(partner=self.number).to_bytes()


class Run:
    """One run: an honest coordinator that a test may overrule at any moment."""

    def __init__(
        self,
        federation: Federation,
        name: str = "run",
        *,
        chain: Chain | None = None,
        chains: dict[int, Chain] | None = None,
        absent: frozenset[int] = frozenset(),
        seed_of: Callable[[bytes], bytes] = plan_seed,
        last: bytes = b"",
        held: dict[int, Release] | None = None,
    ) -> None:
        self.federation = federation
        chain = chain or federation.empty_chain
        self.run_id = hashlib.sha256(name.encode()).digest()[:16]
        self.nodes = [
            Node(federation, i, name, (chains or {}).get(i, chain), seed_of, (held or {}).get(i))
            for i in range(federation.n)
        ]
        self.coordinator = CoordinatorRound(
            federation.agreement,
            federation.coordinator_key,
            run_id=self.run_id,
            chain=chain,
            last=last,
            seed_of=seed_of,
        )
        self.absent = absent

    # --- the honest run ---

    def step(self) -> None:
        """Deliver the open request to everyone who has not answered it, and the replies."""
        coordinator = self.coordinator
        open_now = (coordinator.phase, coordinator.round, coordinator.chain.head)
        for i in sorted(coordinator.waiting_for - self.absent):
            if (coordinator.phase, coordinator.round, coordinator.chain.head) != open_now:
                return
            coordinator.receive(self.nodes[i].handle(coordinator.request(i)))
        if coordinator.phase == phases.HELLOS and self.absent:
            coordinator.close_roster()

    def until(self, phase: str, *, number: int = 0) -> Run:
        """Go on until the request of `phase` (and round) is open."""
        for _ in range(3_000):
            if self.coordinator.phase == phase and self.coordinator.round >= number:
                return self
            self.step()
        raise AssertionError(f"the run never came to {phase} {number}")

    def finish(self) -> Run:
        """Go on to the end."""
        return self.until(phases.ENDED)

    # --- lies ---

    def open_request_for(self, partner: int) -> Any:
        """The honest request that is open for a partner, as a message to be changed."""
        return open_request(
            self.coordinator.request(partner),
            coordinator_key=self.federation.agreement.coordinator.public_key,
        )

    def send(self, partner: int, request: Request) -> bytes:
        """What a node replies to anything that the coordinator signs."""
        return self.nodes[partner].handle(sign_request(request, self.federation.coordinator_key))

    def lie(self, partner: int, **changes: Any) -> bytes:
        """The reply to the open request with some fields changed."""
        return self.send(partner, dataclasses.replace(self.open_request_for(partner), **changes))

    def chain_with(self, *links: Link) -> bytes:
        """The run's chain with more links, as bytes."""
        chain = self.coordinator.chain
        for link in links:
            chain = chain.extended(link)
        return chain.to_bytes()

    @contextmanager
    def refused(self, partner: int, code: str) -> Iterator[None]:
        """Expect a refusal with `code` that ends the run at this partner for good."""
        node = self.nodes[partner]
        sent = len(node.sent)
        with pytest.raises(RemoteProtocolError) as caught:
            yield
        assert caught.value.code == code, caught.value
        assert len(node.sent) == sent
        assert node.state.to_dict()["aborted_with"] == code
        node.restart()
        with pytest.raises(FedsegError, match="E-RUN-ABORTED"):
            node.handle(self.coordinator.request(partner))


def payload_of(request: Announce) -> Payload:
    """The payload in an announcement."""
    return Payload.from_bytes(request.payload)


def masked_of(message: bytes, *, length: int) -> Masked:
    """A masked message, unchecked."""
    return Masked.parse(message, length=length)[0]


def words_of(message: bytes, *, length: int) -> npt.NDArray[np.uint64]:
    """The vector of a masked message."""
    return np.frombuffer(masked_of(message, length=length).vector, dtype="<u8")


def total_of(messages: list[bytes], *, length: int) -> npt.NDArray[np.int64]:
    """What the vectors of masked messages add up to."""
    total = np.zeros(length, dtype=np.uint64)
    for message in messages:
        total = total + words_of(message, length=length)
    return total.view(np.int64)
