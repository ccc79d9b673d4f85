"""The release: the shared segments, signed by every partner that formed them. SPEC.md, section 11.

The signed document holds grid integers, which every partner derives bit for bit; values in the
features' units are computed when it is shown (`release_centres`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isqrt
from typing import Any, Final

import numpy as np

from protocol import limits
from protocol.agreement.document import Agreement
from protocol.canonical import canonical_json, parse_canonical_json, tagged_hash
from protocol.clustering.choice import Choice
from protocol.clustering.followed import Beginning
from protocol.clustering.result import (
    SIZES,
    STATED,
    Clustering,
    Distance,
    NoiseReport,
    least_size,
)
from protocol.errors import LocalProtocolError, RuleError, SignatureError
from protocol.participants import Members
from protocol.privacy.accounting import RHO_DECIMALS, RHO_ONE, cost_of_rho, epsilon_of
from protocol.privacy.terms import PrivacyTerms
from protocol.privacy.words import statement
from protocol.queries import IntMatrix
from protocol.release.satisfaction import INTERVAL_PERCENT, SegmentSatisfaction
from protocol.release.silhouettes import Silhouettes
from protocol.ring import IntVector
from protocol.scaling import FeatureScale, FloatMatrix
from protocol.signing import Envelope, verify_document
from protocol.strict import Fields

SCHEMA: Final = "fedseg/release/v1"
PAYLOAD_TYPE: Final = "application/vnd.fedseg.release.v1+json"
#: Statement of protection in a release on exact totals, and what every output says of them.
EXACT_STATEMENT: Final = "exact totals: not anonymous"
EXACT_WORDS: Final = (
    f"{EXACT_STATEMENT}; the coordinator and every partner can compute single customers' values"
)
#: The same in every output with noise, followed by epsilon and delta.
NOISED_STATEMENT: Final = "differentially private aggregate"
NOISE_WORDS: Final = "discrete Gaussian shares of all participants"

_GRID: Final = 1 << 40
_COUNT: Final = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One released segment.

    Attributes:
        segment: Its number in the release, from 1, by falling size.
        size: Customers of all participants together.
        centre: Grid coordinates, one a feature.
        spread: Mean squared distance of its customers to the centre, in units of 2^-fraction_bits;
            0 when it was not asked for.
        size_sigma: Standard deviation of the noise in the size; 0 for exact totals.
        centre_sigma: The same for each coordinate of the centre, in units of 2^-fraction_bits.
        spreads: Mean squared distance of its customers to the centre along each feature, in units
            of 2^-fraction_bits; None without a profile.
        spread_sigma: Standard deviation of the noise in each of `spreads`, same units.
        satisfaction: How satisfied its customers said they are; None when that was not asked, or
            too few of them answered.
    """

    segment: int
    size: int
    centre: tuple[int, ...]
    spread: int
    size_sigma: int = 0
    centre_sigma: int = 0
    spreads: tuple[int, ...] | None = None
    spread_sigma: int = 0
    satisfaction: SegmentSatisfaction | None = None

    @property
    def size_margin(self) -> int:
        """Half the size's 95 % interval under the noise; 0 for exact totals."""
        return -(-self.size_sigma * INTERVAL_PERCENT // 100)

    @property
    def size_words(self) -> str:
        """The size with its margin, for people."""
        return f"{self.size:,}" + (f" ± {self.size_margin:,}" if self.size_margin else "")

    @property
    def centre_margin(self) -> int:
        """The same for each coordinate of the centre, in units of 2^-fraction_bits."""
        return -(-self.centre_sigma * INTERVAL_PERCENT // 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePrivacy:
    """The privacy guarantee of a release for one customer.

    Attributes:
        rho: Largest cost of all questions of the run (zero-concentrated differential privacy),
            including those that were asked again; nine decimals, rounded up.
        delta: As agreed.
        unit: Whose data is protected.
        asked_again: Number of changes of the participant set, after each of which a question may
            have been asked again.
    """

    rho: Decimal
    delta: Decimal
    unit: str
    asked_again: int

    @property
    def epsilon(self) -> float:
        """The epsilon of `rho` at `delta`."""
        return epsilon_of(cost_of_rho(self.rho), float(self.delta))

    def to_dict(self) -> dict[str, Any]:
        """The values as in the signed JSON."""
        return {
            "rho": format(self.rho, "f"),
            "delta": format(self.delta, "f"),
            "unit": self.unit,
            "asked_again": self.asked_again,
            "noise": NOISE_WORDS,
        }

    @staticmethod
    def read(fields: Fields) -> ReleasePrivacy:
        """Read the values at `fields`."""
        fields.one_of("noise", (NOISE_WORDS,))
        privacy = ReleasePrivacy(
            rho=fields.decimal("rho"),
            delta=fields.decimal("delta"),
            unit=fields.text("unit", max_length=200),
            asked_again=fields.integer("asked_again", at_least=0, at_most=limits.MAX_CHAIN_LINKS),
        )
        fields.finish()
        return privacy

    @staticmethod
    def of(terms: PrivacyTerms, noise: NoiseReport, *, asked_again: int) -> ReleasePrivacy:
        """The guarantee of a run in which the set changed `asked_again` times."""
        cost = noise.cost + asked_again * noise.dearest
        billionths = -(-cost * 10**RHO_DECIMALS // RHO_ONE)
        return ReleasePrivacy(
            rho=Decimal(billionths).scaleb(-RHO_DECIMALS),
            delta=terms.delta,
            unit=terms.unit,
            asked_again=asked_again,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """Clusters that are not released, with the reason in words."""

    clusters: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON."""
        return {"clusters": self.clusters, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A partner that dropped out after something that is stated had been answered.

    Attributes:
        after: The last of `STATED` that its customers are in.
    """

    id: str
    after: str

    def to_dict(self) -> dict[str, str]:
        """The values as JSON."""
        return {"id": self.id, "after": self.after}

    @property
    def is_counted(self) -> bool:
        """Whether its customers are in the sizes."""
        return STATED.index(self.after) >= STATED.index(SIZES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The result of a run.

    Attributes:
        participants: Ids of the partners whose customers were counted and who sign.
        left: Partners whose customers are in some of what is stated, and who do not sign.
        fraction_bits: Bits after the binary point of the grid.
        statement: What protects the customers in it, in words.
        withheld: Clusters whose customers no size counts; None when there are none.
        merged: Clusters that were merged into their nearest neighbours, whose sizes count their
            customers; None when there are none.
        choice: How the number of clusters was chosen; None where it was not.
        distance: How far customers lie from the nearest segment's centre, those of clusters that
            were withheld since included; None for exact totals and without segments.
        start: The release that the run started from; None when it started anew.
    """

    agreement_id: str
    agreement_hash: bytes
    run_hash: bytes
    plan: str
    rounds: int
    converged: bool
    participants: tuple[str, ...]
    fraction_bits: int
    statement: str
    segments: tuple[Segment, ...]
    withheld: Withheld | None
    merged: Withheld | None = None
    choice: Choice | Silhouettes | None = None
    distance: Distance | None = None
    privacy: ReleasePrivacy | None = None
    start: Beginning | None = None
    left: tuple[Left, ...] = ()

    @property
    def counted(self) -> tuple[str, ...]:
        """Ids of the partners whose customers the sizes count."""
        return (*self.participants, *(left.id for left in self.left if left.is_counted))

    def to_bytes(self) -> bytes:
        """The canonical bytes that are signed."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "agreement_id": self.agreement_id,
            "agreement_hash": self.agreement_hash.hex(),
            "run_hash": self.run_hash.hex(),
            "plan": self.plan,
            "rounds": self.rounds,
            "converged": int(self.converged),
            "participants": [{"id": partner} for partner in self.participants],
            "fraction_bits": self.fraction_bits,
            "statement": self.statement,
            "segments": [self._segment(s) for s in self.segments],
        }
        if self.privacy is not None:
            values["privacy"] = self.privacy.to_dict()
        if self.choice is not None:
            values["choice"] = self.choice.signed()
        if self.distance is not None:
            values["distance"] = self.distance.signed()
        if self.start is not None:
            values["start"] = {
                "release": self.start.release.hex(),
                "changed": int(self.start.changed),
            }
        if self.left:
            values["left"] = [left.to_dict() for left in self.left]
        for name, found in (("withheld", self.withheld), ("merged", self.merged)):
            if found is not None:
                values[name] = found.to_dict()
        return canonical_json(values)

    def _segment(self, s: Segment) -> dict[str, Any]:
        exact = {"segment": s.segment, "size": s.size, "centre": list(s.centre), "spread": s.spread}
        if self.privacy is None:
            return exact
        noised = {**exact, "size_sigma": s.size_sigma, "centre_sigma": s.centre_sigma}
        if s.spreads is not None:
            noised |= {"spreads": list(s.spreads), "spread_sigma": s.spread_sigma}
        if s.satisfaction is not None:
            noised["satisfaction"] = s.satisfaction.to_dict()
        return noised

    @property
    def privacy_words(self) -> str:
        """What protects the customers in it: the line printed with every output."""
        if self.privacy is None:
            return EXACT_WORDS
        return statement(self.privacy.epsilon, float(self.privacy.delta), self.privacy.unit)

    @property
    def hash(self) -> bytes:
        """Hash by which people compare the release; 32 bytes."""
        return tagged_hash("release", self.to_bytes())

    @property
    def centres(self) -> IntMatrix:
        """Grid coordinates of all segments, shape ``(n_segments, n_features)``, int64."""
        return np.array([s.centre for s in self.segments], dtype=np.int64)

    @staticmethod
    def from_bytes(data: bytes) -> Release:
        """Read a release from its canonical bytes; raises MalformedError."""
        fields = Fields(
            parse_canonical_json(data, max_bytes=limits.MAX_RELEASE_BYTES, what="release"),
            "release",
        )
        fields.one_of("schema", (SCHEMA,))
        privacy = None
        if fields.has("privacy"):
            privacy = ReleasePrivacy.read(fields.object("privacy"))
        release = Release(
            agreement_id=fields.text("agreement_id", max_length=40),
            agreement_hash=fields.hex("agreement_hash", size=32),
            run_hash=fields.hex("run_hash", size=32),
            plan=fields.text("plan", max_length=40),
            rounds=fields.integer("rounds", at_least=1, at_most=limits.MAX_ROUNDS),
            converged=bool(fields.integer("converged", at_least=0, at_most=1)),
            participants=tuple(
                _participant(f) for f in fields.objects("participants", at_most=limits.MAX_PARTNERS)
            ),
            fraction_bits=fields.integer("fraction_bits", at_least=1, at_most=40),
            statement=fields.text("statement", max_length=1_000),
            privacy=privacy,
            segments=tuple(
                _segment(f, exact=privacy is None)
                for f in fields.objects("segments", at_most=limits.MAX_CLUSTERS, at_least=0)
            ),
            withheld=_withheld(fields.object("withheld")) if fields.has("withheld") else None,
            merged=_withheld(fields.object("merged")) if fields.has("merged") else None,
            choice=_choice(fields) if fields.has("choice") else None,
            distance=Distance.read(fields.object("distance")) if fields.has("distance") else None,
            start=_beginning(fields.object("start")) if fields.has("start") else None,
            left=_left(fields) if fields.has("left") else (),
        )
        fields.finish()
        return release


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRelease:
    """A release with its signatures; `verify` checks them all."""

    release: Release
    envelope: Envelope

    @staticmethod
    def unsigned(release: Release) -> SignedRelease:
        """The release before anybody signed."""
        return SignedRelease(
            release=release,
            envelope=Envelope(payload_type=PAYLOAD_TYPE, payload=release.to_bytes(), signatures={}),
        )

    @staticmethod
    def from_bytes(data: bytes) -> SignedRelease:
        """Read an envelope; raises MalformedError."""
        envelope = Envelope.from_bytes(
            data, payload_type=PAYLOAD_TYPE, max_bytes=limits.MAX_RELEASE_BYTES
        )
        return SignedRelease(release=Release.from_bytes(envelope.payload), envelope=envelope)

    def to_bytes(self) -> bytes:
        """The envelope as JSON."""
        return self.envelope.to_bytes()

    def verify(self, agreement: Agreement, *, in_force: bool = False) -> Release:
        """Return the release if it belongs to `agreement` and every participant signed it.

        Args:
            in_force: Whether the keys in force alone count, as at the end of a run; else also those
                that were handed over since the release was signed.

        Raises:
            RuleError: Another agreement, too few participants, or a signature is missing
                (E-RELEASE).
        """
        release = self.release
        if (release.privacy is None) != (agreement.privacy is None):
            raise RuleError("the release and its agreement do not agree on noise", code="E-RELEASE")
        if release.agreement_hash != agreement.hash:
            raise RuleError(
                f"the release belongs to another agreement ({release.agreement_id!r})",
                code="E-RELEASE",
            )
        if any(len(s.centre) != agreement.n_coordinates for s in release.segments):
            raise RuleError("a segment's centre has not one value a feature", code="E-RELEASE")
        wanted = agreement.n_coordinates if agreement.plan.profile else None
        found = (None if s.spreads is None else len(s.spreads) for s in release.segments)
        if any(length != wanted for length in found):
            raise RuleError("a segment's profile is not as agreed", code="E-RELEASE")
        if agreement.plan.satisfaction is None and any(s.satisfaction for s in release.segments):
            raise RuleError(
                "the release tells how satisfied customers are, which was not agreed",
                code="E-RELEASE",
            )
        if not all(
            s.satisfaction is None or s.satisfaction.may_be_told(agreement)
            for s in release.segments
        ):
            raise RuleError("a segment's satisfaction is not as agreed", code="E-RELEASE")
        keys = {
            party.id: had[-1:] if in_force else had
            for party, had in zip(agreement.parties, agreement.keys.of_parties, strict=True)
        }
        unknown = [p for p in release.participants if p not in keys]
        if unknown or len(set(release.participants)) < agreement.smallest_set:
            raise RuleError(
                f"the release names {len(set(release.participants))} participants, "
                f"{agreement.smallest_set} parties of the agreement are needed",
                code="E-RELEASE",
            )
        left = {one.id for one in release.left}
        others = set(keys) - set(release.participants)
        if len(left) < len(release.left) or not left <= others:
            raise RuleError(
                "those who left are not parties of the agreement besides the participants",
                code="E-RELEASE",
            )
        try:
            signed = self.envelope.signers([k for p in release.participants for k in keys[p]])
        except SignatureError as error:
            raise RuleError(error.message, code="E-RELEASE") from error
        missing = [p for p in release.participants if signed.isdisjoint(keys[p])]
        if missing:
            raise RuleError(f"the release is not signed by {', '.join(missing)}", code="E-RELEASE")
        return release


def make_release(
    agreement: Agreement,
    clustering: Clustering,
    *,
    run_hash: bytes,
    members: Members,
    sets: Sequence[Members] = (),
) -> Release:
    """Derive the release from a plan's result.

    Segments with fewer customers than ``min_segment_size`` are withheld: neither their size nor
    their centre is in the document, and customers near them belong to the nearest released one.
    With noise, a size must exceed that by three standard deviations of its noise, and clusters that
    were too small before the last question are merged into their neighbours, which count them.

    Args:
        sets: All participant sets of the run, of which `members` is the last: who dropped out after
            something that is stated is named.
    """
    noise, terms, profile = clustering.noise, agreement.privacy, clustering.profile
    sizes = clustering.sizes
    if noise is not None and sizes is None:
        raise LocalProtocolError("a result with noise has no sizes")
    n_clusters = len(clustering.counts)
    places = range(n_clusters) if sizes is None else sizes.kept
    counts = clustering.counts if sizes is None else sizes.counts
    size_sigmas = np.zeros(n_clusters, dtype=np.int64) if sizes is None else sizes.sigmas
    least = [least_size(agreement.min_segment_size, sigma) for sigma in size_sigmas.tolist()]
    kept = [i for i, count in enumerate(counts.tolist()) if count >= least[i]]
    order = sorted(kept, key=lambda i: (-int(counts[i]), i))
    return Release(
        agreement_id=agreement.id,
        agreement_hash=agreement.hash,
        run_hash=run_hash,
        plan=agreement.plan.name,
        rounds=clustering.rounds,
        converged=clustering.converged,
        participants=tuple(agreement.parties[i].id for i in sorted(members)),
        fraction_bits=FeatureScale.of(agreement.coordinates).fraction_bits,
        statement=EXACT_STATEMENT if noise is None else NOISED_STATEMENT,
        privacy=None
        if noise is None or terms is None
        else ReleasePrivacy.of(terms, noise, asked_again=max(0, len(sets) - 1)),
        segments=tuple(
            Segment(
                segment=number,
                size=int(counts[i]),
                centre=tuple(clustering.centroids[places[i]].tolist()),
                spread=int(clustering.spread[places[i]]),
                size_sigma=int(size_sigmas[i]),
                centre_sigma=0 if noise is None else int(noise.centre_sigmas[places[i]]),
                spreads=None if profile is None else tuple(profile.spreads[i].tolist()),
                spread_sigma=0 if profile is None else int(profile.sigmas[i]),
                satisfaction=SegmentSatisfaction.of(
                    clustering.satisfaction, i, min_segment_size=agreement.min_segment_size
                ),
            )
            for number, i in enumerate(order, start=1)
        ),
        choice=clustering.choice,
        distance=clustering.distance if order else None,
        start=clustering.beginning,
        left=_who_left(agreement, clustering, sets, members),
        **_left_out(agreement, n_clusters, n_left=len(places), n_released=len(order)),
    )


def _who_left(
    agreement: Agreement, clustering: Clustering, sets: Sequence[Members], members: Members
) -> tuple[Left, ...]:
    """The partners that are none of the members, but answered a question whose answer is stated."""
    last: dict[int, str] = {}
    for answered in clustering.answered:
        for those in sets:
            if agreement.most_customers(those) == answered.customers:
                last |= dict.fromkeys(those - members, answered.what)
    return tuple(Left(id=agreement.parties[i].id, after=last[i]) for i in sorted(last))


def _left_out(
    agreement: Agreement, n_clusters: int, *, n_left: int, n_released: int
) -> dict[str, Any]:
    """Values of the release about clusters that did not become segments.

    Every partner signs these words: another letter is another protocol.
    """
    small = f"fewer than {agreement.min_segment_size} customers"
    if agreement.privacy is not None:
        small += ", or are too small to tell under the noise"
    merged, hidden = n_clusters - n_left, n_left - n_released
    if not n_released:
        merged, hidden = 0, n_clusters
    return {
        "withheld": Withheld(
            clusters=hidden,
            reason=f"{hidden} of {n_clusters} clusters {_have(hidden)} {small}; their customers "
            "belong to the nearest released segment and are in no size",
        )
        if hidden
        else None,
        "merged": Withheld(
            clusters=merged,
            reason=f"{merged} of {n_clusters} clusters {_have(merged)} {small}; their customers "
            "belong to the nearest segment and are in its size",
        )
        if merged
        else None,
    }


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def release_centres(release: Release, agreement: Agreement) -> FloatMatrix:
    """The segments' centres in the features' units, shape ``(n_segments, n_features)``."""
    centres = release.centres.reshape(len(release.segments), agreement.n_coordinates)
    return FeatureScale.of(agreement.coordinates).from_grid(centres)


def promised(agreement: Agreement) -> str:
    """What protects the customers in a release under an agreement, in words."""
    terms = agreement.privacy
    if terms is None:
        return EXACT_WORDS
    return statement(terms.epsilon_of(terms.run_cost), float(terms.delta), terms.unit)


def centre_intervals(release: Release, agreement: Agreement) -> tuple[FloatMatrix, FloatMatrix]:
    """Lower and upper end of each centre's 95 % interval under the noise, in the features' units.

    The bias from clipping to agreed bounds and radii is not included. For exact totals both are the
    centres.

    Returns:
        Two arrays of shape ``(n_segments, n_features)``.
    """
    scale = FeatureScale.of(agreement.coordinates)
    centres = release.centres.reshape(len(release.segments), agreement.n_coordinates)
    margin = np.array([s.centre_margin for s in release.segments], dtype=np.int64)[:, None]
    low, high = (
        np.clip(c, -scale.limit, scale.limit) for c in (centres - margin, centres + margin)
    )
    return scale.from_grid(low), scale.from_grid(high)


TYPICAL_WORDS: Final = (
    "Typical: one standard deviation to either side of the centre, where most of a segment's "
    "customers lie; a dash where noise hides it"
)
HIDDEN_WORDS: Final = (
    "Typical ranges: all too narrow to tell under the noise; more customers, fewer segments or a "
    "larger epsilon would show them"
)
#: Low and high end along each feature; None where the range is too narrow to see under the noise.
Ranges = list[tuple[float, float] | None]


def typical_ranges(release: Release, agreement: Agreement) -> list[Ranges] | None:
    """Typical ranges of each segment's customers, feature by feature; None without a profile."""
    scale = FeatureScale.of(agreement.coordinates)
    found = []
    for segment in release.segments:
        if segment.spreads is None:
            return None
        centre = np.array(segment.centre, dtype=np.int64)
        found.append(typical_range(centre, segment.spreads, segment.spread_sigma, scale))
    return found


def typical_range(
    centre: IntVector, spreads: Sequence[int], sigma: int, scale: FeatureScale
) -> Ranges:
    """One standard deviation to either side of a centre, in the features' units.

    That is about two thirds of the customers where a feature has one peak and short tails, else
    mostly more.

    Args:
        centre: Grid coordinates, shape ``(n_features,)``.
        spreads: Mean squared distances along each feature, in units of 2^-fraction_bits.
        sigma: Standard deviation of the noise in each of them.
    """
    deviation = np.array([isqrt(spread << scale.fraction_bits) for spread in spreads])
    low, high = (
        scale.from_grid(np.clip(edge, -scale.limit, scale.limit)[None, :])[0].tolist()
        for edge in (centre - deviation, centre + deviation)
    )
    least = sigma * INTERVAL_PERCENT // 100
    return [(low[i], high[i]) if spread > least else None for i, spread in enumerate(spreads)]


def verify_signature(public_key: bytes, release: bytes, signature: bytes, *, who: str) -> None:
    """Check one partner's signature on a release's bytes; raises SignatureError."""
    verify_document(public_key, PAYLOAD_TYPE, release, signature, who=who)


def mean_distance(release: Release) -> tuple[float, float] | None:
    """Mean squared distance to the nearest segment's centre, and half its 95 % interval.

    In squared units of the scaled cube; None where it was not asked for.
    """
    found, unit = release.distance, float(1 << release.fraction_bits)
    if found is None:
        return None
    return found.mean / unit, found.sigma * INTERVAL_PERCENT / 100 / unit


def _participant(fields: Fields) -> str:
    partner = fields.text("id", max_length=40)
    fields.finish()
    return partner


def _segment(fields: Fields, *, exact: bool) -> Segment:
    segment = Segment(
        segment=fields.integer("segment", at_least=1, at_most=limits.MAX_CLUSTERS),
        size=fields.integer("size", at_least=1, at_most=_COUNT),
        centre=tuple(
            fields.integers("centre", at_most=limits.MAX_FEATURES, lowest=-_GRID, highest=_GRID)
        ),
        spread=fields.integer("spread", at_least=0, at_most=_GRID),
        size_sigma=0 if exact else fields.integer("size_sigma", at_least=0, at_most=_COUNT),
        centre_sigma=0 if exact else fields.integer("centre_sigma", at_least=0, at_most=_COUNT),
        **({} if exact or not fields.has("spreads") else _profile(fields)),
        satisfaction=None
        if exact or not fields.has("satisfaction")
        else SegmentSatisfaction.read(fields.object("satisfaction")),
    )
    fields.finish()
    return segment


def _profile(fields: Fields) -> dict[str, Any]:
    return {
        "spreads": tuple(
            fields.integers("spreads", at_most=limits.MAX_FEATURES, lowest=0, highest=_GRID)
        ),
        "spread_sigma": fields.integer("spread_sigma", at_least=0, at_most=_COUNT),
    }


def _choice(fields: Fields) -> Choice | Silhouettes:
    if fields.is_list("choice"):
        return Silhouettes.read(fields.objects("choice", at_most=limits.MAX_CLUSTERS))
    return Choice.read(fields.object("choice"))


def _beginning(fields: Fields) -> Beginning:
    beginning = Beginning(
        release=fields.hex("release", size=32),
        changed=bool(fields.integer("changed", at_least=0, at_most=1)),
    )
    fields.finish()
    return beginning


def _left(fields: Fields) -> tuple[Left, ...]:
    found = []
    for one in fields.objects("left", at_most=limits.MAX_PARTNERS):
        found.append(Left(id=one.text("id", max_length=40), after=one.one_of("after", STATED)))
        one.finish()
    return tuple(found)


def _withheld(fields: Fields) -> Withheld:
    withheld = Withheld(
        clusters=fields.integer("clusters", at_least=1, at_most=limits.MAX_CLUSTERS),
        reason=fields.text("reason", max_length=1_000),
    )
    fields.finish()
    return withheld
