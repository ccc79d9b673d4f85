"""The results of attacks as a file has them, read strictly: rates follow from counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import exp
from typing import Any, Final, Self

from protocol.agreement.software import Build
from protocol.errors import MalformedError
from protocol.evidence.attack_rates import Rate, risk
from protocol.strict import Fields

SCHEMA: Final = "fedseg/attacks/v1"
NAMES: Final = (
    "membership",
    "masked-answers",
    "exact-totals",
    "differencing",
    "singling-out-univariate",
    "singling-out-multivariate",
    "linkability",
    "inference",
)
_MOST: Final = 1_000_000
_TEXT: Final = 1_000
_STAMP: Final = "%Y-%m-%dT%H:%M:%SZ"
_TIME: Final = r"[0-9T:Z-]{20}"
#: With noise or mask off an attack has to succeed at least so often, by its interval's lower end.
LEAST_UNPROTECTED: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack, counted.

    Attributes:
        attacks: How many on customers in the data, and as many of each other kind.
        successes: On customers in the data.
        control: On customers outside of them.
        baseline: Of the naive guess.
        unprotected: On customers in the data with noise or mask switched off.
    """

    name: str
    sense: str
    knows: str
    success: str
    naive: str
    outside: str
    attacks: int
    successes: int
    control: int
    baseline: int
    unprotected: int

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """It from JSON values; raises MalformedError where rates do not follow from counts."""
        most = fields.integer("attacks", at_least=1, at_most=_MOST)

        def text(name: str) -> str:
            return fields.text(name, max_length=_TEXT)

        def count(name: str) -> int:
            return fields.integer(name, at_least=0, at_most=most)

        found = cls(
            name=fields.one_of("name", NAMES),
            sense=text("sense"),
            knows=text("knows"),
            success=text("success"),
            naive=text("naive"),
            outside=text("outside"),
            attacks=most,
            successes=count("successes"),
            control=count("control"),
            baseline=count("baseline"),
            unprotected=count("unprotected"),
        )
        for name, computed in found.computed().items():
            fields.object(name)
            if fields.values[name] != computed:
                raise MalformedError(f"{fields.path(name)} does not follow from the counts")
        fields.finish()
        return found

    def computed(self) -> dict[str, Any]:
        """What follows from the counts."""
        return {
            "rate": Rate.of(self.successes, self.attacks).to_dict(),
            "control_rate": Rate.of(self.control, self.attacks).to_dict(),
            "baseline_rate": Rate.of(self.baseline, self.attacks).to_dict(),
            "unprotected_rate": Rate.of(self.unprotected, self.attacks).to_dict(),
            "risk": self.risk.to_dict(),
        }

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values (docs/json.md)."""
        return {**asdict(self), **self.computed()}

    @property
    def rate(self) -> Rate:
        """Successes on customers in the data."""
        return Rate.of(self.successes, self.attacks)

    @property
    def risk(self) -> Rate:
        """How much of the success the data are to blame for."""
        return risk(self.successes, self.control, self.attacks)

    @property
    def worked(self) -> bool:
        """Whether it succeeds with the protection off: an attack that cannot shows nothing."""
        return Rate.of(self.unprotected, self.attacks).low > LEAST_UNPROTECTED

    def within(self, epsilon: float, delta: float) -> bool:
        """Whether intervals allow ``rate <= e^epsilon control + delta``."""
        allowed = exp(epsilon) * Rate.of(self.control, self.attacks).high + delta
        return Rate.of(self.successes, self.attacks).low <= allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A file of results.

    Attributes:
        build: On which build they were run.
        attacks_sha256: Hash of the package that has the attacks, which no build's hash covers.
        made_at: When; the one thing that the seed does not decide. UTC.
        epsilon, delta: Promised for the run that was attacked; None with exact totals.
    """

    build: Build
    attacks_sha256: bytes
    made_at: datetime
    seed: int
    runs: int
    plan: str
    epsilon: Decimal | None
    delta: Decimal | None
    customers: int
    n_features: int
    n_clusters: int
    partners: int
    colluding: int
    dataset: str
    attacks: tuple[Attack, ...]

    @classmethod
    def read(cls, values: object) -> Self:
        """Results from JSON values; raises MalformedError."""
        fields = Fields(values, "results")
        fields.one_of("schema", (SCHEMA,))
        made = fields.text("made_at", max_length=20, pattern=_TIME)
        exact = fields.one_of("plan", ("hybrid-dp", "lloyd-exact")) == "lloyd-exact"
        try:
            made_at = datetime.strptime(made, _STAMP).replace(tzinfo=UTC)
        except ValueError as error:
            raise MalformedError(f"{fields.path('made_at')}: {made!r} is no time") from error
        numbers = {
            name: fields.integer(name, at_least=least, at_most=_MOST)
            for name, least in (
                ("runs", 1), ("customers", 2), ("n_features", 2), ("n_clusters", 1),
                ("partners", 2), ("colluding", 0),
            )
        }  # fmt: skip
        build = fields.object("build")
        found = cls(
            build=Build.read(build),
            attacks_sha256=fields.hex("attacks_sha256", size=32),
            made_at=made_at,
            seed=fields.integer("seed", at_least=0, at_most=1 << 53),
            plan=fields.values["plan"],
            epsilon=None if exact else fields.decimal("epsilon"),
            delta=None if exact else fields.decimal("delta"),
            dataset=fields.text("dataset", max_length=_TEXT),
            attacks=tuple(map(Attack.read, fields.objects("attacks", at_most=len(NAMES)))),
            **numbers,
        )
        fields.finish()
        if len({one.name for one in found.attacks}) < len(found.attacks):
            raise MalformedError("results.attacks names an attack twice")
        if any(one.attacks != found.runs for one in found.attacks):
            raise MalformedError("results.attacks counts other runs than results.runs")
        return found

    def to_dict(self) -> dict[str, Any]:
        """They as JSON values (docs/json.md)."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "build": self.build.to_dict(),
            "attacks_sha256": self.attacks_sha256.hex(),
            "made_at": self.made_at.astimezone(UTC).strftime(_STAMP),
            **{
                name: getattr(self, name)
                for name in ("seed", "runs", "plan", "customers", "n_features", "n_clusters",
                             "partners", "colluding", "dataset")
            },
            "attacks": [one.to_dict() for one in self.attacks],
        }  # fmt: skip
        if self.epsilon is not None and self.delta is not None:
            values |= {"epsilon": f"{self.epsilon:f}", "delta": f"{self.delta:f}"}
        return values

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of attacks that were not run."""
        return tuple(sorted(set(NAMES) - {one.name for one in self.attacks}))
