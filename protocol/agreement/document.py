"""The agreement that every partner signs: who, what for, which features, which rules. SPEC.md, 6.

The signed bytes are RFC 8785 JSON; decimals are strings; unknown fields are refused. Nothing runs
before every party has signed the same bytes, and nothing that it fixes can be overridden by the
coordinator or by a command-line flag.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, Final, Self

from protocol import limits
from protocol.agreement.duties import (
    MAX_LISTED,
    Document,
    Duties,
    Exclusions,
    Population,
    ResultsUse,
    Retention,
)
from protocol.agreement.features import Coordinate, Feature, coordinates_of
from protocol.agreement.governance import ConsentTerms, Purpose, four_eyes_in, training_in
from protocol.agreement.hand_overs import NONE, HandOvers
from protocol.agreement.keys import Keys
from protocol.agreement.parties import Operator, Party
from protocol.agreement.plan_names import CHOOSING_PLAN, PLAN_NAMES
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.agreement.schedule import Moment, ScheduleTerms
from protocol.agreement.software import PROTOCOL, Build, Software
from protocol.canonical import canonical_json, parse_canonical_json, tagged_hash
from protocol.errors import AgreementError, MalformedError
from protocol.privacy.terms import PrivacyTerms
from protocol.schema import Names, Part, names_of
from protocol.signing import key_id
from protocol.strict import Fields

SCHEMA: Final = "fedseg/agreement/v1"
CLOCK_SKEW: Final = timedelta(minutes=5)

#: What an agreement on exact totals says of them, word for word.
EXACT_TOTALS: Final = "rows of single customers can be computed"
#: What a segment profile holds; a plan without one leaves the field out.
PROFILE: Final = "spread"
#: What a plan says whose runs follow no earlier release; one whose runs do leaves the field out.
ANEW: Final = "anew"

#: What `diligence` says where records of due diligence are demanded.
REQUIRED: Final = "required"

#: The form of an agreement's id.
AGREEMENT_ID: Final = r"[a-z][a-z0-9-]{0,39}"
#: So many agreements of at most `MAX_AGREEMENT_BYTES` are remembered as they were read.
_REMEMBERED: Final = 16
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTerms(Part):
    """Which computation the partners agreed to, and how far it may go.

    Attributes:
        n_clusters: How many clusters; with a smaller `n_clusters_min` the most of a range.
        n_clusters_min: The fewest; `hybrid-dp` chooses, other plans have one number.
        n_clusters_agreed: The number where customers show none in the range; None for the most.
        max_rounds: The most questions of a run.
        profile: Whether it is also asked how customers differ within each cluster.
        satisfaction: What customers are asked about how satisfied they are, of whose answers one
            question of a run is; None when none is.
        exact_totals: Whether it says `EXACT_TOTALS`.
        start: `ANEW` when every run starts anew; empty when it starts from the last signed release.
    """

    name: str
    n_clusters: int
    n_clusters_min: int
    max_rounds: int
    n_clusters_agreed: int | None = None
    profile: bool = False
    satisfaction: SatisfactionTerms | None = None
    exact_totals: bool = False
    start: str = ""

    @classmethod
    def names(cls, values: Mapping[str, Any]) -> Names:
        """The plan's fields: the fewest clusters are said where the plan chooses."""
        names, name = names_of(cls), values.get("name")
        if name == CHOOSING_PLAN:
            return names
        known = name in PLAN_NAMES
        if known:
            return names.without("n_clusters_min", "n_clusters_agreed")
        return names.optional("n_clusters_min")

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        name = fields.one_of("name", PLAN_NAMES)
        n_clusters = fields.integer("n_clusters", at_least=1, at_most=limits.MAX_CLUSTERS)
        fewest = n_clusters
        if name == CHOOSING_PLAN:
            fewest = fields.integer("n_clusters_min", at_least=1, at_most=n_clusters)
        return cls(
            name=name,
            n_clusters=n_clusters,
            n_clusters_min=fewest,
            max_rounds=fields.integer("max_rounds", at_least=1, at_most=limits.MAX_ROUNDS),
            n_clusters_agreed=fields.integer(
                "n_clusters_agreed", at_least=fewest, at_most=n_clusters
            )
            if fields.has("n_clusters_agreed")
            else None,
            profile=fields.has("profile") and bool(fields.one_of("profile", (PROFILE,))),
            satisfaction=SatisfactionTerms.read(fields.object("satisfaction"))
            if fields.has("satisfaction")
            else None,
            exact_totals=fields.has("exact_totals")
            and bool(fields.one_of("exact_totals", (EXACT_TOTALS,))),
            start=fields.one_of("start", (ANEW,)) if fields.has("start") else "",
        )

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "name": self.name,
            "n_clusters": self.n_clusters,
            "max_rounds": self.max_rounds,
        }
        if self.name == CHOOSING_PLAN:
            values["n_clusters_min"] = self.n_clusters_min
        if self.n_clusters_agreed is not None:
            values["n_clusters_agreed"] = self.n_clusters_agreed
        if self.profile:
            values["profile"] = PROFILE
        if self.satisfaction is not None:
            values["satisfaction"] = self.satisfaction.to_dict()
        if self.exact_totals:
            values["exact_totals"] = EXACT_TOTALS
        if self.start:
            values["start"] = self.start
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSumTerms(Part):
    """Which participant sets may ever be opened (SPEC.md, section 7).

    Attributes:
        min_partners: No total over fewer partners is formed.
        max_colluding: ``t``: partners that may collude with the coordinator without learning
            another partner's numbers.
        min_atom: Fewest partners that may ever be told apart by the sets opened.
        max_set_changes: ``c_max``: how often the participant set may change.
    """

    min_partners: int
    max_colluding: int
    min_atom: int
    max_set_changes: int

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            min_partners=fields.integer("min_partners", at_least=2, at_most=limits.MAX_PARTNERS),
            max_colluding=fields.integer("max_colluding", at_least=0, at_most=limits.MAX_PARTNERS),
            min_atom=fields.integer("min_atom", at_least=1, at_most=limits.MAX_PARTNERS),
            max_set_changes=fields.integer("max_set_changes", at_least=0, at_most=1_000),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "min_partners": self.min_partners,
            "max_colluding": self.max_colluding,
            "min_atom": self.min_atom,
            "max_set_changes": self.max_set_changes,
        }


@dataclass(frozen=True, kw_only=True)  # no slots: the hash is computed once and kept
class Agreement(Part):
    """What the partners signed: `from_bytes` parses strictly, `problems_of` checks the rules.

    Attributes:
        supersedes: Hash of the version before; None for a first version.
        review_by: After that no run begins before a new version is signed.
        min_customers_per_partner: A node with fewer customers who may be counted answers nothing;
            0 lets a node with none take part.
        min_segment_size: Smaller clusters are not released.
        software: What every node must run.
        diligence: Whether each party needs a record of due diligence that holds.
        four_eyes: What two people have to do at every node, of `governance.FOUR_EYES`.
        training: Courses that whoever signs, approves or writes files at a node has to have.
        schedule: When runs begin by themselves; None when the operator alone starts them.
        hand_overs: Those by which keys that it names were replaced, as far as they are known
            here; no part of what is signed. `with_hand_overs` sets them.
    """

    BESIDE = ("schema",)

    id: str
    version: int
    supersedes: bytes | None
    purpose: Purpose
    effective: datetime
    review_by: datetime
    expires: datetime
    parties: tuple[Party, ...]
    coordinator: Operator
    population: Population
    features: tuple[Feature, ...]
    excluded: Exclusions
    consent: ConsentTerms
    plan: PlanTerms
    privacy: PrivacyTerms | None
    secure_sum: SecureSumTerms
    min_customers_per_partner: int
    min_segment_size: int
    results_use: ResultsUse
    retention: Retention
    duties: Duties
    documents: tuple[Document, ...]
    software: Software
    schedule: ScheduleTerms | None = None
    diligence: bool = False
    four_eyes: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    hand_overs: HandOvers = NONE

    @classmethod
    def names(cls, values: Mapping[str, Any]) -> Names:
        """The agreement's fields; what is known beside it is none."""
        return names_of(cls).without("hand_overs")

    @staticmethod
    def from_dict(values: object) -> Agreement:
        """Read an agreement from parsed JSON or YAML.

        Raises:
            AgreementError: A field is missing, unknown, of the wrong type or out of range
                (E-AGR-SCHEMA); the message names its path.
        """
        try:
            fields = Fields(values, "agreement")
            fields.one_of("schema", (SCHEMA,))
            return Agreement.read(fields)
        except MalformedError as error:
            raise AgreementError(error.message, remedy=error.remedy) from error

    @staticmethod
    @lru_cache(maxsize=_REMEMBERED)
    def from_bytes(data: bytes) -> Agreement:
        """Read an agreement from its canonical bytes; raises AgreementError.

        The same bytes are read once: programs look into their agreement's file again and again.
        """
        try:
            values = parse_canonical_json(
                data, max_bytes=limits.MAX_AGREEMENT_BYTES, what="agreement"
            )
        except MalformedError as error:
            raise AgreementError(error.message) from error
        agreement = Agreement.from_dict(values)
        if agreement.to_bytes() != data:
            raise AgreementError("the agreement's bytes are not the form that is signed")
        return agreement

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            id=fields.text("id", max_length=40, pattern=AGREEMENT_ID),
            version=fields.integer("version", at_least=1, at_most=1_000_000),
            supersedes=_superseded(fields),
            purpose=Purpose.read(fields.object("purpose")),
            effective=time_in(fields, "effective"),
            review_by=time_in(fields, "review_by"),
            expires=time_in(fields, "expires"),
            parties=tuple(
                Party.read(f) for f in fields.objects("parties", at_most=limits.MAX_PARTNERS)
            ),
            coordinator=Operator.read(fields.object("coordinator")),
            population=Population.read(fields.object("population")),
            features=tuple(
                Feature.read(f) for f in fields.objects("features", at_most=limits.MAX_FEATURES)
            ),
            excluded=Exclusions.read(fields.object("excluded")),
            consent=ConsentTerms.read(fields.object("consent")),
            plan=PlanTerms.read(fields.object("plan")),
            privacy=_privacy(fields),
            secure_sum=SecureSumTerms.read(fields.object("secure_sum")),
            min_customers_per_partner=fields.integer(
                "min_customers_per_partner", at_least=0, at_most=limits.MAX_CUSTOMERS_PER_PARTNER
            ),
            min_segment_size=fields.integer("min_segment_size", at_least=1, at_most=1 << 30),
            results_use=ResultsUse.read(fields.object("results_use")),
            retention=Retention.read(fields.object("retention")),
            duties=Duties.read(fields.object("duties")),
            documents=tuple(
                Document.read(f)
                for f in fields.objects("documents", at_least=0, at_most=MAX_LISTED)
            ),
            software=Software.read(fields.object("software")),
            schedule=ScheduleTerms.read(fields.object("schedule"))
            if fields.has("schedule")
            else None,
            diligence=fields.has("diligence") and bool(fields.one_of("diligence", (REQUIRED,))),
            four_eyes=four_eyes_in(fields, "four_eyes"),
            training=training_in(fields, "training"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The agreement as JSON values."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self.id,
            "version": self.version,
            "supersedes": "none" if self.supersedes is None else self.supersedes.hex(),
            "purpose": self.purpose.to_dict(),
            "effective": time_text(self.effective),
            "review_by": time_text(self.review_by),
            "expires": time_text(self.expires),
            "parties": [party.to_dict() for party in self.parties],
            "coordinator": self.coordinator.to_dict(),
            "population": self.population.to_dict(),
            "features": [feature.to_dict() for feature in self.features],
            "excluded": self.excluded.to_dict(),
            "consent": self.consent.to_dict(),
            "plan": self.plan.to_dict(),
            "privacy": "none" if self.privacy is None else self.privacy.to_dict(),
            "secure_sum": self.secure_sum.to_dict(),
            "min_customers_per_partner": self.min_customers_per_partner,
            "min_segment_size": self.min_segment_size,
            "results_use": self.results_use.to_dict(),
            "retention": self.retention.to_dict(),
            "duties": self.duties.to_dict(),
            "documents": [document.to_dict() for document in self.documents],
            "software": self.software.to_dict(),
        }
        if self.schedule is not None:
            values["schedule"] = self.schedule.to_dict()
        if self.diligence:
            values["diligence"] = REQUIRED
        if self.four_eyes:
            values["four_eyes"] = list(self.four_eyes)
        if self.training:
            values["training"] = list(self.training)
        return values

    def to_bytes(self) -> bytes:
        """The canonical bytes that are signed."""
        return canonical_json(self.to_dict())

    @cached_property
    def hash(self) -> bytes:
        """``hA``: names this agreement in every message; 32 bytes."""
        return tagged_hash("agreement", self.to_bytes())

    def named(self, *, version: str = "version") -> dict[str, Any]:
        """Which agreement is meant, as the JSON values that programs read (docs/json.md).

        Args:
            version: The name of its version, where another thing's is called so.
        """
        return {"agreement": self.id, version: self.version, "agreement_hash": self.hash.hex()}

    @property
    def n_partners(self) -> int:
        """How many parties there are."""
        return len(self.parties)

    @cached_property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """What is scaled and added up of a customer: one number a feature, or one a level."""
        return coordinates_of(self.features)

    @property
    def n_coordinates(self) -> int:
        """How many numbers stand for a customer."""
        return len(self.coordinates)

    @property
    def quorum(self) -> int:
        """``Q = floor((n + t) / 2) + 1``: any two such sets share an honest partner."""
        return (self.n_partners + self.secure_sum.max_colluding) // 2 + 1

    @property
    def smallest_set(self) -> int:
        """The fewest partners over which a total may be formed."""
        terms = self.secure_sum
        fewest = terms.max_colluding + (2 if self.privacy is None else 1)
        return max(self.quorum, terms.min_partners, fewest)

    def most_customers(self, partners: Iterable[int]) -> int:
        """Row caps of some partners, by their numbers, added up."""
        return sum(self.parties[partner].max_customers for partner in partners)

    @cached_property
    def keys(self) -> Keys:
        """Which key each party and the coordinator has now; ask nothing else for one."""
        return Keys.following(self.parties, self.coordinator, self.hand_overs)

    def with_hand_overs(self, known: HandOvers) -> Self:
        """The agreement under the keys that follow from hand-overs; others do nothing.

        Raises:
            AgreementError: They do not lead to one key for each party (E-KEY-PARTY, E-KEY-REUSED).
        """
        keys = Keys.following(self.parties, self.coordinator, known)
        followed = HandOvers(keys.handed_over)
        return self if followed == self.hand_overs else replace(self, hand_overs=followed)

    def index_of_key(self, public_key: bytes) -> int:
        """The number of the party whose key in force is `public_key`.

        Raises:
            AgreementError: Nobody's (E-AGR-PARTY), or a party's that handed it over since
                (E-KEY-ROTATED).
        """
        for index, keys in enumerate(self.keys.of_parties):
            if keys[-1] == public_key:
                return index
            if public_key in keys:
                raise AgreementError(
                    f"key {key_id(public_key)[:16]}… of {self.parties[index].id} was handed over: "
                    "it signs nothing any more",
                    code="E-KEY-ROTATED",
                    remedy="use the key store with the new key; see `fedseg-node key show`",
                )
        raise AgreementError(
            f"key {key_id(public_key)[:16]}… belongs to no party of agreement {self.id!r}",
            code="E-AGR-PARTY",
            remedy="ask the coordinator to draft the agreement with your node's public key",
        )

    def check_time(self, now: datetime) -> None:
        """Refuse an agreement outside its dates, with five minutes for clocks (E-AGR-EXPIRED)."""
        # The clock is moved, not the dates: those may be the first or last that there are.
        if now + CLOCK_SKEW < self.effective or now - CLOCK_SKEW > self.expires:
            raise AgreementError(
                f"agreement {self.id!r} holds from {self.effective:%Y-%m-%d %H:%M} to "
                f"{self.expires:%Y-%m-%d %H:%M} UTC, now it is {now:%Y-%m-%d %H:%M}",
                code="E-AGR-EXPIRED",
                remedy="draft a new version of the agreement and have every party sign it",
            )

    def moments(self, begin: datetime, end: datetime) -> Iterator[Moment]:
        """When runs are due between two times, both included; none without a schedule.

        None lies before the agreement is effective, and none after `review_by`, when no run begins.
        """
        if self.schedule is None:
            return iter(())
        return self.schedule.moments(max(begin, self.effective), min(end, self.review_by))

    def latest_moment(self, now: datetime) -> Moment | None:
        """The last moment until `now`, whether its window is over or not; None before the first."""
        if self.schedule is None:
            return None
        return self.schedule.latest(self.effective, min(now, self.review_by))

    def check_clock(self, now: datetime, *, latest: datetime | None) -> None:
        """Refuse a clock that was set back, with five minutes for clocks (E-AGR-CLOCK).

        Args:
            latest: The last moment on record under this agreement; None when there is none.
        """
        if latest is not None and now + CLOCK_SKEW < latest:
            raise AgreementError(
                f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, what it did last under "
                f"agreement {self.id!r} was at {latest:%Y-%m-%d %H:%M}: dates and consents would "
                "be judged by a time that is over",
                code="E-AGR-CLOCK",
                remedy="set the clock; where it ran ahead before, wait until that time has come, "
                "or have every party sign a new version",
            )

    def check_review(self, now: datetime) -> None:
        """Refuse to begin a run after `review_by`, with five minutes for clocks (E-AGR-REVIEW)."""
        if now - CLOCK_SKEW > self.review_by:
            raise AgreementError(
                f"agreement {self.id!r} was to be reviewed by {self.review_by:%Y-%m-%d %H:%M} UTC, "
                f"now it is {now:%Y-%m-%d %H:%M}: no run begins",
                code="E-AGR-REVIEW",
                remedy="look at the agreement again, and have every party sign a new version",
            )

    @property
    def build_signers(self) -> tuple[Party, ...]:
        """Who has to sign that another build may run; nobody where none may be added."""
        named = self.software.added_by
        if named is None:
            return ()
        return tuple(party for party in self.parties if not named or party.id in named)

    def check_software(
        self, installed: Software, *, added: Callable[[], Collection[Build]] = tuple
    ) -> None:
        """Refuse to run other code than agreed (E-CODE).

        Args:
            added: Gives the builds that were added since; asked when the agreement does not name
                what is installed.
        """
        agreed = self.software
        if agreed.protocol not in (None, PROTOCOL):
            raise AgreementError(
                f"agreement {self.id!r} is for protocol {agreed.protocol}, fedseg "
                f"{installed.version} speaks protocol {PROTOCOL}",
                code="E-CODE",
                remedy="install a fedseg that speaks it, or have every party sign a new version",
            )
        if installed.build in agreed.allowed or installed.build in added():
            return
        what = f"fedseg {installed.version}"
        if installed.version in {build.version for build in agreed.allowed}:
            what += f" with other code (SHA-256 {installed.sha256.hex()[:16]}…, agreed is "
            what += f"{agreed.sha256.hex()[:16]}…)"
        way_out = f"install fedseg {agreed.version} unchanged, or agree on what is installed"
        if agreed.added_by is not None:
            way_out += ": agreement builds"
        versions = ", ".join(sorted({build.version for build in agreed.allowed}))
        raise AgreementError(
            f"agreement {self.id!r} is for fedseg {versions}, installed is {what}",
            code="E-CODE",
            remedy=way_out,
        )


def _superseded(fields: Fields) -> bytes | None:
    if fields.is_text("supersedes") and fields.text("supersedes", max_length=64) == "none":
        return None
    return fields.hex("supersedes", size=32)


def _privacy(fields: Fields) -> PrivacyTerms | None:
    if fields.is_text("privacy"):
        fields.one_of("privacy", ("none",))
        return None
    return PrivacyTerms.read(fields.object("privacy"))


def time_text(time: datetime) -> str:
    """A time in UTC as an agreement writes it."""
    return time.strftime(_TIME_FORMAT)


def time_in(fields: Fields, name: str) -> datetime:
    """A field with a time as an agreement writes it; raises MalformedError."""
    text = fields.text(name, max_length=20)
    try:
        found = datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or time_text(found) != text:
        raise MalformedError(
            f"{fields.path(name)} is {text!r}, expected a time in UTC like 2026-01-31T00:00:00Z"
        )
    return found
