"""A whole federation in one process: the deployed protocol code over an in-memory link.

Nodes are `partner_node.node.Node`, the run is driven by `coordinator.runs.life`; only the carrier,
the clock and the place of the customers differ from a deployment. Drop-outs and lies can be
injected.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from coordinator.patience import Patience
from coordinator.runs.exchange import Reply
from coordinator.runs.life import execute
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import Traffic
from partner_node.consent.local_rules import NoRules
from partner_node.node import Node
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement, PlanTerms
from protocol.agreement.features import Feature, coordinates_of
from protocol.agreement.plan_names import EXACT_PLAN
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.canonical import tagged_hash
from protocol.clustering.plan import plan_seed, restore_plan
from protocol.clustering.portable import FloatVector
from protocol.clustering.result import Clustering
from protocol.errors import FedsegError, KeystoreError, LocalProtocolError
from protocol.privacy.terms import PrivacyTerms
from protocol.queries import customer_vectors, with_scores
from protocol.release.document import SignedRelease
from protocol.scaling import FeatureScale, FloatMatrix
from protocol.strict import Fields
from simulations.agreement import (
    SOFTWARE,
    feature_values,
    numbered_agreement,
    signed_with,
    with_keys,
)

#: Simulated runs all take place at the same moment, so that a seed always gives the same run.
_NOW = datetime(2026, 1, 15, tzinfo=UTC)
#: A partner with so few customers answers in the caller's thread: starting others takes longer.
_FEW_CUSTOMERS = 8_192
Tamper = Callable[[int, bytes], bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCustomers:
    """Customers of a simulated partner, held in memory.

    Attributes:
        values: Feature values in their units, shape ``(n_samples, n_features)``.
    """

    values: FloatMatrix
    scale: FeatureScale
    chunk_rows: int = 262_144

    def vectors(self) -> Iterator[FloatMatrix]:
        """Customers' vectors, chunk by chunk."""
        for start in range(0, self.values.shape[0], self.chunk_rows):
            yield customer_vectors(self.scale.to_grid(self.values[start : start + self.chunk_rows]))


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCustomers:
    """Customers whose vectors are prepared once: for benchmarks that repeat runs.

    Attributes:
        scores: What each of them answered to the question about satisfaction, NaN for who gave
            no answer, shape ``(n_samples,)``; None when nobody did.
    """

    prepared: FloatMatrix
    scores: FloatVector | None = None

    def vectors(self) -> Iterator[FloatMatrix]:
        """All customers' vectors at once."""
        yield self.prepared

    def scored(self, terms: SatisfactionTerms) -> Iterator[FloatMatrix]:
        """All customers' vectors with their scores."""
        n_samples = self.prepared.shape[0]
        scores = np.full(n_samples, np.nan) if self.scores is None else self.scores
        yield with_scores(self.prepared, terms.in_units(scores))


class SimulatedClock:
    """Time that passes only when somebody sleeps; waiting costs nothing."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def clock(self) -> float:
        """Seconds since the start."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


@dataclass(slots=True)
class MemoryExchange:
    """Carries messages between the driver and nodes in this process.

    Attributes:
        nodes_by_id: The nodes, by the number that the carrier knows them by.
        down: Numbers of nodes that are out of reach now.
        tamper_request, tamper_reply: Called with node number and message; may change it, or
            return None to lose it.
        cosigned: Whether nodes cosign each other's logs.
    """

    nodes_by_id: Mapping[int, Node]
    down: set[int] = field(default_factory=set)
    tamper_request: Tamper | None = None
    tamper_reply: Tamper | None = None
    cosigned: bool = False
    waiting: dict[str, Reply] = field(default_factory=dict)
    count: int = 0

    def nodes(self) -> Collection[int]:
        """Numbers of the nodes in reach."""
        return [n for n in self.nodes_by_id if n not in self.down]

    def push(self, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        """Have the node answer at once and keep its reply for `pull`."""
        self.count += 1
        handle = str(self.count)
        request = self.tamper_request(node, message) if self.tamper_request else message
        if node not in self.down and request is not None:
            reply = self._ask(node, request, beside)
            if reply is not None:
                self.waiting[handle] = reply
        return handle

    def flush(self) -> None:
        """Nothing waits here: a node is asked when a message is pushed."""

    def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
        """Replies that are there, each once."""
        return {h: self.waiting.pop(h) for h in handles if h in self.waiting}

    def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
        said = b""
        try:
            if self.cosigned:
                message, said = self.nodes_by_id[node].answer(request, beside)
            else:
                message = self.nodes_by_id[node].handle(request)
        except FedsegError as error:
            return Reply(node=node, message=None, error=error.code)
        if self.tamper_reply is not None:
            changed = self.tamper_reply(node, message)
            if changed is None:
                return None
            message = changed
        return Reply(node=node, message=message, error=None, beside=said)


class EphemeralSealer:
    """Seals with a key that lives as long as the process."""

    def __init__(self) -> None:
        self._cipher = AESGCM(AESGCM.generate_key(256))

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate `data`, bound to `context`."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, data, context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """The data that `seal` encrypted for the same context; raises KeystoreError."""
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], context)
        except InvalidTag as error:
            raise KeystoreError("sealed by another process", code="E-KEY-SEAL") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTerms:
    """What a simulated agreement says of one feature; bounds in input units."""

    name: str
    min: str
    max: str
    unit: str = "units"
    transform: str = "none"
    weight: str = "1"

    def to_dict(self) -> dict[str, Any]:
        """The feature as an agreement has it."""
        return feature_values(**asdict(self))


def scale_of(features: Sequence[FeatureTerms]) -> FeatureScale:
    """The scaling that an agreement with these features would fix."""
    return FeatureScale.of(
        coordinates_of([Feature.read(Fields(f.to_dict(), f.name)) for f in features])
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedRun:
    """A finished run and what it took.

    Attributes:
        release: What the partners signed: clusters with customers, by falling size.
        clustering: What the plan ended in, as a partner derived it: every cluster in the plan's
            order, also those without customers.
        traffic: What each partner exchanged, in the agreement's order of partners.
    """

    release: SignedRelease
    clustering: Clustering
    rounds: int
    traffic: tuple[Traffic, ...]


class AgreedFederation:
    """Partners and coordinator in one process, under an agreement.

    Args:
        agreement: What holds, but for keys and software, which are simulated.
        vectors: Each partner's customers as vectors (`protocol.queries.customer_vectors`).
        seed: When given, the plan's start depends on it alone, and keys and noise follow from it
            too: the same data give the same release.
        scores: What each partner's customers answered to the question about satisfaction, NaN for
            who gave no answer, each of shape ``(n_samples_i,)``; nobody did when left out.
        partner_keys: The partners' keys; made when left out.
        now: When the runs take place; the agreement must hold then.
    """

    def __init__(
        self,
        agreement: Agreement,
        vectors: Sequence[FloatMatrix],
        *,
        seed: int | None = None,
        patience: Patience | None = None,
        scores: Sequence[FloatVector] | None = None,
        partner_keys: Sequence[Ed25519PrivateKey] | None = None,
        now: datetime = _NOW,
    ) -> None:
        self._randomness = _Randomness(seed)
        self.coordinator_key = self._randomness.key("coordinator")
        self.partner_keys = list(
            partner_keys or (self._randomness.key(f"partner {i}") for i in range(len(vectors)))
        )
        self.signed = signed_with(
            with_keys(agreement, self.partner_keys, self.coordinator_key), self.partner_keys
        )
        self.agreement = self.signed.agreement
        self.scale = FeatureScale.of(self.agreement.coordinates)
        self.clock = SimulatedClock()
        self._now = now
        self._run_ids = self._randomness.source("run")
        self.patience = patience or Patience()
        self.seed_of = plan_seed if seed is None else lambda _: simulation_seed(seed)
        self._scores = scores
        self.nodes = {i: self.node(i, own) for i, own in enumerate(vectors)}
        self.exchange = MemoryExchange(nodes_by_id=self.nodes)
        self.store = CoordinatorStore.in_file(":memory:")
        self.store.add_agreement(self.signed)

    def node(self, index: int, vectors: FloatMatrix) -> Node:
        """A fresh node of partner `index` with these customers' vectors and an empty state."""
        return Node(
            self.signed,
            self.partner_keys[index],
            NodeStore(":memory:", EphemeralSealer()),
            GridCustomers(
                prepared=vectors, scores=None if self._scores is None else self._scores[index]
            ),
            NoRules(),
            software=SOFTWARE,
            clock=lambda: self._now,
            entropy=self._randomness.source(f"entropy {index}"),
            seed_of=self.seed_of,
            threads=1 if vectors.shape[0] <= _FEW_CUSTOMERS else None,
        )

    def run(
        self, *, on_progress: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> FederatedRun:
        """One run; raises RunFailedError when it ends without a release."""
        run_id = self._run_ids(16)
        self.store.request_run(run_id, self.agreement)
        release = self.drive(run_id, on_progress=on_progress)
        return FederatedRun(
            release=release,
            clustering=self._clustering(run_id, release),
            rounds=release.release.rounds,
            traffic=self._traffic(run_id),
        )

    def drive(
        self, run_id: bytes, *, on_progress: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> SignedRelease:
        """Drive a requested run to its end, from wherever it stands."""
        return execute(
            run_id,
            store=self.store,
            key=self.coordinator_key,
            exchange=self.exchange,
            patience=self.patience,
            on_progress=on_progress,
            seed_of=self.seed_of,
            clock=self.clock.clock,
            sleep=self.clock.sleep,
        )

    def _clustering(self, run_id: bytes, signed: SignedRelease) -> Clustering:
        """The plan's result, from the state of a partner that signed the release."""
        signer = signed.release.participants[0]
        number = next(i for i, p in enumerate(self.agreement.parties) if p.id == signer)
        record = self.nodes[number].store.run_by_id(run_id)
        if record is None or record.state["plan"] is None:
            raise LocalProtocolError(f"{signer} signed a release that it does not know")
        result = restore_plan(record.state["plan"]).result
        if result is None:
            raise LocalProtocolError(f"{signer} signed a release before the plan had ended")
        return result

    def _traffic(self, run_id: bytes) -> tuple[Traffic, ...]:
        by_name = {traffic.partner: traffic for traffic in self.store.traffic(run_id)}
        return tuple(by_name[p.id] for p in self.agreement.parties if p.id in by_name)


class Federation(AgreedFederation):
    """Partners and coordinator in one process, under an agreement of the terms that are given.

    Args:
        data: Each partner's customers, shape ``(n_samples_i, n_features)``, input units.
        seed, patience, scores, partner_keys: As for `AgreedFederation`.
        min_segment_size: Smallest released segment; 1 releases every cluster with customers.
        vectors: Each partner's customers as vectors, when they are at hand already; made from
            `data` otherwise.
        n_clusters_min: The fewest clusters when the plan chooses; `n_clusters` when left out.
        plan, privacy, profile, satisfaction: What the agreement says; exact totals when left out.
        start: What the agreement says of it: ``anew``, or nothing, and a run starts from the last
            release.
        min_customers: With fewer who may be counted a partner answers nothing.
    """

    def __init__(
        self,
        data: Sequence[FloatMatrix],
        features: Sequence[FeatureTerms],
        *,
        n_clusters: int,
        max_rounds: int = 100,
        seed: int | None = None,
        min_segment_size: int = 1,
        max_set_changes: int = 8,
        patience: Patience | None = None,
        vectors: Sequence[FloatMatrix] | None = None,
        n_clusters_min: int | None = None,
        plan: str = EXACT_PLAN,
        privacy: PrivacyTerms | None = None,
        profile: bool = False,
        satisfaction: SatisfactionTerms | None = None,
        start: str = "",
        scores: Sequence[FloatVector] | None = None,
        partner_keys: Sequence[Ed25519PrivateKey] | None = None,
        min_customers: int = 0,
    ) -> None:
        agreement = numbered_agreement(
            [values.shape[0] for values in data],
            [feature.to_dict() for feature in features],
            plan=PlanTerms(
                name=plan,
                n_clusters=n_clusters,
                n_clusters_min=n_clusters if n_clusters_min is None else n_clusters_min,
                max_rounds=max_rounds,
                profile=profile,
                satisfaction=satisfaction,
                start=start,
            ).to_dict(),
            privacy="none" if privacy is None else privacy.to_dict(),
            secure_sum={"max_set_changes": max_set_changes},
            min_customers_per_partner=min_customers,
            min_segment_size=min_segment_size,
        )
        if vectors is None:
            scale = FeatureScale.of(agreement.coordinates)
            vectors = [customer_vectors(scale.to_grid(values)) for values in data]
        super().__init__(
            agreement,
            vectors,
            seed=seed,
            patience=patience,
            scores=scores,
            partner_keys=partner_keys,
        )


class _Randomness:
    """Keys and random bytes for each purpose, from a seed; from the system without one."""

    def __init__(self, seed: int | None) -> None:
        self._seed = os.urandom(32) if seed is None else simulation_seed(seed)

    def source(self, purpose: str) -> Callable[[int], bytes]:
        """Gives other bytes at every call."""
        calls = itertools.count()

        def give(size: int) -> bytes:
            name = f"{purpose}/{next(calls)}".encode("ascii")
            return hashlib.shake_256(tagged_hash("simulation", self._seed, name)).digest(size)

        return give

    def key(self, purpose: str) -> Ed25519PrivateKey:
        """A key of one party."""
        return Ed25519PrivateKey.from_private_bytes(self.source("key " + purpose)(32))


def simulation_seed(seed: int) -> bytes:
    """The plan's seed for a simulation's number; 32 bytes."""
    return tagged_hash("simulation-seed", str(seed).encode("ascii"))


def pooled(federation: Federation, data: Sequence[FloatMatrix]) -> np.ndarray[Any, Any]:
    """All customers' vectors together, as one trusted party would hold them."""
    return customer_vectors(federation.scale.to_grid(np.vstack(list(data))))
