"""The secure sum's steps, without a network: set-up, mask, check, at a partner and at the centre.

The state machines of a partner and of the coordinator are driven as deployed, for vectors of 1,000
entries. Vectors of 100,000 entries of many partners exceed what one announcement may carry, so
there the functions are measured that those state machines call.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from benchmarks.measure import Cell, Spread, Table, interleaved, ratios, seconds_of
from partner_node.customers.answers import answer
from protocol import masking, ring
from protocol.agreement.document import Agreement
from protocol.coordinator_round import CoordinatorRound, Phase
from protocol.messages import Announce, Masked, Open, Request, Roster, open_request
from protocol.participants import Chain
from protocol.partner_round import ENTROPY_BYTES, Ask, PartnerRound
from protocol.queries import customer_vectors
from protocol.ring import WORD_BYTES, IntVector, RingVector
from protocol.scaling import FeatureScale, FloatMatrix
from simulations.federation import FeatureTerms, Federation

_N_FEATURES = 6
_MS = 1_000.0


def run(*, quick: bool) -> list[Table]:
    """Set-up, whole rounds, and single steps."""
    partners = (3, 5) if quick else (3, 10, 50)
    lengths = (100, 1_000) if quick else (1_000, 100_000)
    turns = 2 if quick else 5
    machines = [
        measure_round(n, n_clusters=10 if quick else 125, turns=1 if quick else 3) for n in partners
    ]
    return [
        _setup_table(machines),
        _round_table(machines),
        _steps_table(partners, lengths, turns=turns),
    ]


# --- the state machines ------------------------------------------------------------------------


@dataclass(slots=True)
class Clockwork:
    """Seconds measured, by name."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        yield
        self.taken.setdefault(name, []).append(time.perf_counter() - start)

    def spread(self, name: str) -> Spread:
        """Median and range of all takes under a name."""
        return Spread.of(self.taken[name])


@dataclass(slots=True)
class SecureSum:
    """A run's state machines in this process; every message passes as bytes."""

    agreement: Agreement
    coordinator: CoordinatorRound
    coordinator_key: bytes
    partners: list[PartnerRound]
    vectors: list[FloatMatrix]
    clock: Clockwork = field(default_factory=Clockwork)
    bytes_up: dict[str, int] = field(default_factory=dict)
    bytes_down: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def make(n_partners: int, *, n_clusters: int, rows: int = 200) -> SecureSum:
        """Fresh machines for random customers without groups."""
        rng = np.random.default_rng(n_partners)
        data = [rng.uniform(-1.0, 1.0, (rows, _N_FEATURES)) for _ in range(n_partners)]
        features = [
            FeatureTerms(name=f"feature_{i}", min="-1", max="1") for i in range(_N_FEATURES)
        ]
        federation = Federation(data, features, n_clusters=n_clusters)
        agreement = federation.agreement
        chain = Chain.from_bytes(b"", agreement)
        scale = FeatureScale.of(agreement.coordinates)
        return SecureSum(
            agreement=agreement,
            coordinator=CoordinatorRound(
                agreement, federation.coordinator_key, run_id=os.urandom(16), chain=chain
            ),
            coordinator_key=agreement.coordinator.public_key,
            partners=[PartnerRound(agreement, k, chain) for k in federation.partner_keys],
            vectors=[customer_vectors(scale.to_grid(values)) for values in data],
        )

    def set_up(self) -> None:
        """HELLO, ROSTER and READY."""
        for phase in (Phase.HELLOS, Phase.READYS):
            self._exchange(phase)

    def round(self) -> None:
        """One round: announcement, masked answers, total."""
        self._exchange(Phase.ANSWERS)

    def _exchange(self, phase: str) -> None:
        if self.coordinator.phase != phase:
            raise ValueError(f"the run is in phase {self.coordinator.phase}, not {phase}")
        name = "round 0" if phase == Phase.ANSWERS and self.coordinator.round == 0 else phase
        replies = []
        central = 0.0
        for index in range(len(self.partners)):
            start = time.perf_counter()
            request = self.coordinator.request(index)
            central += time.perf_counter() - start
            reply = self._reply(index, request, name)
            self.bytes_down[name] = max(self.bytes_down.get(name, 0), len(request))
            self.bytes_up[name] = max(self.bytes_up.get(name, 0), len(reply))
            replies.append(reply)
        start = time.perf_counter()
        for reply in replies:
            self.coordinator.receive(reply)
        central += time.perf_counter() - start
        self.clock.taken.setdefault(f"coordinator {name}", []).append(central)

    def _reply(self, index: int, data: bytes, name: str) -> bytes:
        partner = self.partners[index]
        with self.clock.on(f"partner {name}"):
            request: Request = open_request(data, coordinator_key=self.coordinator_key)
            match request:
                case Open():
                    return partner.open(request, entropy=os.urandom(ENTROPY_BYTES))
                case Roster():
                    return partner.roster(request)
                case Announce():
                    asked = partner.announce(request)
                case _:
                    raise ValueError("not a request of these phases")
        if not isinstance(asked, Ask) or asked.query is None:
            raise ValueError("no query was asked")
        sums, _ = answer(asked.query, [self.vectors[index]])
        with self.clock.on(f"partner mask {name}"):
            return partner.masked(asked, sums)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Times of the state machines of some partners."""

    n_partners: int
    length: int
    clock: Clockwork
    bytes_up: dict[str, int]
    bytes_down: dict[str, int]
    plain_sum: Spread
    verification: Spread


def measure_round(n_partners: int, *, n_clusters: int, turns: int) -> Measured:
    """Set up a run and go through some rounds, `turns` times."""
    clock = Clockwork()
    plain, verified = [], []
    verify = verification()
    for turn in range(turns + 1):  # the first one warms up
        secure_sum = SecureSum.make(n_partners, n_clusters=n_clusters)
        secure_sum.clock = clock if turn else Clockwork()
        length = n_clusters * (_N_FEATURES + 2)
        vectors = random_vectors(n_partners, length)
        secure_sum.set_up()
        for _ in range(4):
            secure_sum.round()
            plain.append(seconds_of(partial(plain_sum, vectors)))
            verified.append(seconds_of(verify))
    return Measured(
        n_partners=n_partners,
        length=length,
        clock=clock,
        bytes_up=secure_sum.bytes_up,
        bytes_down=secure_sum.bytes_down,
        plain_sum=Spread.of(plain),
        verification=Spread.of(verified),
    )


def _setup_table(machines: list[Measured]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for m in machines:
        hello, ready = m.clock.spread("partner hellos"), m.clock.spread("partner readys")
        # The first announcement brings the certificate: signatures and pair keys are made then.
        certify = m.clock.spread("partner round 0")
        partner = hello.median + ready.median + certify.median
        central = sum(
            m.clock.spread(f"coordinator {p}").median for p in (Phase.HELLOS, Phase.READYS)
        )
        rows.append(
            (
                m.n_partners,
                hello.scaled(_MS),
                ready.scaled(_MS),
                certify.scaled(_MS),
                partner / m.verification.median,
                central * _MS,
                central / m.verification.median,
                m.bytes_up[Phase.HELLOS] + m.bytes_up[Phase.READYS],
            )
        )
    return Table(
        name="secure_sum",
        title="Set-up of a run, once: X25519 and ML-KEM-768 with every other partner, signatures",
        baseline="one Ed25519 verification",
        columns=(
            "partners",
            "HELLO, ms",
            "READY, ms",
            "certificate and pair keys, ms",
            "a partner / baseline",
            "coordinator, ms",
            "coordinator / baseline",
            "bytes up, at most",
        ),
        rows=tuple(rows),
    )


def _round_table(machines: list[Measured]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for m in machines:
        check = m.clock.spread(f"partner {Phase.ANSWERS}")
        mask = m.clock.spread(f"partner mask {Phase.ANSWERS}")
        central = m.clock.spread(f"coordinator {Phase.ANSWERS}")
        plain = m.plain_sum.median
        rows.append(
            (
                f"{m.n_partners}, {m.length:,}",
                check.scaled(_MS),
                mask.scaled(_MS),
                (check.median + mask.median) / plain,
                central.scaled(_MS),
                central.median / plain,
                m.bytes_up[Phase.ANSWERS],
                m.bytes_down[Phase.ANSWERS],
            )
        )
    return Table(
        name="secure_sum",
        title="A round through both state machines, without the local answer",
        baseline="plain sum of the same vectors (np.add)",
        columns=(
            "partners, length",
            "check, ms",
            "mask, ms",
            "a partner / baseline",
            "coordinator, ms",
            "coordinator / baseline",
            "bytes up, a partner",
            "bytes down",
        ),
        rows=tuple(rows),
        notes=(
            "check: verify and add all messages of the round before, derive the next query and "
            "compare it with what is asked; mask: all pairs' keystreams, commitment, signature",
            "coordinator: sign the announcement, verify all answers, form the total, next query",
        ),
    )


# --- single steps ------------------------------------------------------------------------------


def _steps_table(partners: tuple[int, ...], lengths: tuple[int, ...], *, turns: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for length in lengths:
        for n in partners:
            vectors = random_vectors(n, length)
            taken = interleaved(
                {
                    "plain": partial(repeated, partial(plain_sum, vectors)),
                    "mask": masker(n, length),
                    "check": checker(n, length),
                    "aes": keystream(n, length),
                    "verify": partial(repeated, verification(times=n)),
                },
                turns=turns,
            )
            rows.append(
                (
                    f"{n}, {length:,}",
                    Spread.of(taken["mask"]).scaled(_MS),
                    ratios(taken["mask"], taken["plain"]).median,
                    ratios(taken["mask"], taken["aes"]).median,
                    Spread.of(taken["check"]).scaled(_MS),
                    ratios(taken["check"], taken["plain"]).median,
                    ratios(taken["check"], taken["verify"]).median,
                )
            )
    return Table(
        name="secure_sum",
        title="Mask one vector for all pairs (with signature); check and add all messages",
        baseline="plain sum of the same vectors (np.add)",
        columns=(
            "partners, length",
            "mask, ms",
            "mask / baseline",
            "mask / AES-CTR alone",
            "check, ms",
            "check / baseline",
            "check / Ed25519 alone",
        ),
        rows=tuple(rows),
        notes=(
            "AES-CTR alone: n−1 keystreams of the same length, nothing added; Ed25519 alone: n "
            "verifications of a short message",
            "with 10 or 50 partners, 100,000 entries are beyond the 8 MiB that an announcement "
            "carries: an agreement for them is refused, the figures are of the functions alone",
        ),
    )


def random_vectors(n: int, length: int) -> list[RingVector]:
    """Random ring elements, one vector a partner."""
    rng = np.random.default_rng(length + n)
    return [rng.integers(0, 1 << 64, length, dtype=np.uint64) for _ in range(n)]


def plain_sum(vectors: list[RingVector]) -> RingVector:
    """The baseline: the sum without any protocol."""
    total = np.zeros_like(vectors[0])
    for vector in vectors:
        np.add(total, vector, out=total)
    return total


def masker(n: int, length: int) -> Callable[[], float]:
    """Measures what `PartnerRound.masked` does to one answer."""
    key = Ed25519PrivateKey.generate()
    pair_keys = [os.urandom(32) for _ in range(n - 1)]
    values: IntVector = np.zeros(length, dtype=np.int64)
    bounds: IntVector = np.ones(length, dtype=np.int64)

    def mask() -> bytes:
        context = os.urandom(32)
        vector = ring.to_ring(values, low=-bounds, high=bounds)
        for pair_key in pair_keys:
            masking.apply_mask(vector, masking.expand(pair_key, "mask", context), subtract=False)
        return Masked(
            context=context, partner=0, commitment=bytes(32), vector=ring.to_bytes(vector)
        ).signed(key)

    return lambda: repeated(mask)


def checker(n: int, length: int) -> Callable[[], float]:
    """Measures verifying and adding the messages of `n` partners."""
    keys = [Ed25519PrivateKey.generate() for _ in range(n)]
    public = [key.public_key().public_bytes_raw() for key in keys]
    messages = [
        Masked(
            context=bytes(32), partner=i, commitment=bytes(32), vector=ring.to_bytes(vector)
        ).signed(key)
        for i, (key, vector) in enumerate(zip(keys, random_vectors(n, length), strict=True))
    ]

    def check() -> RingVector:
        total = np.zeros(length, dtype=np.uint64)
        for message, key in zip(messages, public, strict=True):
            masked = Masked.verified(message, length=length, public_key=key, who="a partner")
            ring.add(total, ring.from_bytes(masked.vector, length=length))
        return total

    return lambda: repeated(check)


def keystream(n: int, length: int) -> Callable[[], float]:
    """Measures n−1 AES-256-CTR keystreams, block by block as masks are made."""
    size = 1 << 18
    zeros, buffer = bytes(size), bytearray(size)

    def encrypt() -> None:
        for _ in range(n - 1):
            encryptor = Cipher(algorithms.AES(bytes(32)), modes.CTR(bytes(16))).encryptor()
            for start in range(0, WORD_BYTES * length, size):
                part = min(size, WORD_BYTES * length - start)
                encryptor.update_into(memoryview(zeros)[:part], memoryview(buffer)[:part])

    return lambda: repeated(encrypt)


def verification(times: int = 1) -> Callable[[], None]:
    """Verifies a signature on a short message."""
    key = Ed25519PrivateKey.generate()
    signature, public = key.sign(bytes(64)), key.public_key()

    def verify() -> None:
        for _ in range(times):
            public.verify(signature, bytes(64))

    return verify


def repeated(action: Callable[[], object], *, at_least_s: float = 0.005) -> float:
    """Seconds of one call, from as many calls as fill a measurable time."""
    first = seconds_of(action)
    count = max(1, min(100, round(at_least_s / max(first, 1e-7))))
    return seconds_of(lambda: [action() for _ in range(count)]) / count
