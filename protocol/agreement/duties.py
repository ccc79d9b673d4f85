"""What partners owe their customers and each other: whose data, never which, for how long, and who.

Terms that software cannot check, such as how a breach is told, are signed texts all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from protocol.agreement.features import FEATURE_NAME
from protocol.schema import Part
from protocol.strict import Fields

#: Special categories of personal data (GDPR 9) and criminal convictions (GDPR 10).
SPECIAL_CATEGORIES: Final = (
    "racial-or-ethnic-origin",
    "political-opinions",
    "religious-or-philosophical-beliefs",
    "trade-union-membership",
    "genetic-data",
    "biometric-data",
    "health",
    "sex-life-or-sexual-orientation",
    "criminal-convictions",
)
#: A use of the results, such as ``own-marketing``.
USE: Final = r"[a-z][a-z0-9-]{0,39}"
#: Between the age from which GDPR 8 lets a state ask for a child's own consent, and adulthood.
YOUNGEST_AGE: Final = 13
OLDEST_AGE: Final = 21
MAX_RETENTION_DAYS: Final = 3_660
MAX_LISTED: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusions(Part):
    """What no partner may compute on.

    Attributes:
        special: Special categories of personal data, of `SPECIAL_CATEGORIES`.
        children_under: Customers younger than this, in years, are never counted.
        proxies: Columns that stand for something excluded, and are no features either.
    """

    special: tuple[str, ...]
    children_under: int
    proxies: tuple[str, ...]

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            special=fields.texts_of("special", SPECIAL_CATEGORIES),
            children_under=fields.integer(
                "children_under", at_least=YOUNGEST_AGE, at_most=OLDEST_AGE
            ),
            proxies=fields.texts(
                "proxies", at_least=0, at_most=MAX_LISTED, max_length=60, pattern=FEATURE_NAME
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "special": list(self.special),
            "children_under": self.children_under,
            "proxies": list(self.proxies),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Population(Part):
    """Whose data is used.

    Attributes:
        subject: Who a row is about, in words.
        inclusion: Which of a partner's customers are meant, in words.
        dedupe_key: What tells two customers apart, in words; one row a customer.
    """

    subject: str
    inclusion: str
    dedupe_key: str

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            subject=fields.text("subject", max_length=200),
            inclusion=fields.text("inclusion", max_length=1_000),
            dedupe_key=fields.text("dedupe_key", max_length=200),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "inclusion": self.inclusion,
            "dedupe_key": self.dedupe_key,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention(Part):
    """How long a partner keeps what follows from a run, in days.

    Attributes:
        assignments_days: Files with customers' segments.
        records_days: What left the node, and what it refused; never what was spent.
    """

    assignments_days: int
    records_days: int

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        days = {
            name: fields.integer(name, at_least=1, at_most=MAX_RETENTION_DAYS)
            for name in ("assignments_days", "records_days")
        }
        return cls(**days)

    def to_dict(self) -> dict[str, Any]:
        return {"assignments_days": self.assignments_days, "records_days": self.records_days}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsUse(Part):
    """What segments may be used for, and by whom.

    Attributes:
        allowed: Uses for which assignments may be written; the first is the usual one.
        forbidden: Uses that every card warns of.
        recipients: Who receives results, in words.
    """

    allowed: tuple[str, ...]
    forbidden: tuple[str, ...]
    recipients: tuple[str, ...]

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            allowed=fields.texts("allowed", at_most=MAX_LISTED, max_length=40, pattern=USE),
            forbidden=fields.texts(
                "forbidden", at_least=0, at_most=MAX_LISTED, max_length=40, pattern=USE
            ),
            recipients=fields.texts("recipients", at_most=MAX_LISTED, max_length=200),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "allowed": list(self.allowed),
            "forbidden": list(self.forbidden),
            "recipients": list(self.recipients),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties(Part):
    """What the parties promise in words (GDPR 26 and 28(3)).

    Attributes:
        withdrawal: How a party leaves.
        audit: Who may check what.
        breach: Who tells whom of a breach, and how soon.
        responsibilities: Who answers customers' requests, and for what each party stands.
    """

    withdrawal: str
    audit: str
    breach: str
    responsibilities: str

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(**{name: fields.text(name, max_length=2_000) for name in Duties.__slots__})

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Part):
    """A document that belongs to the agreement, such as a contract in words, by its SHA-256."""

    title: str
    sha256: bytes

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(title=fields.text("title", max_length=200), sha256=fields.hex("sha256", size=32))

    def to_dict(self) -> dict[str, Any]:
        return {"title": self.title, "sha256": self.sha256.hex()}
