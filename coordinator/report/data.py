"""What a report is filled with: plain values that any part of fedseg can fill in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFeature:
    """A feature as agreed.

    Attributes:
        label: Its name for people.
        unit: Unit of its values; may be empty.
        minimum, maximum: Agreed bounds in `unit`.
        logarithmic: Whether it was transformed by log(1 + x).
        words: What it says, in a sentence's words; may be empty.
    """

    label: str
    unit: str
    minimum: float
    maximum: float
    logarithmic: bool
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSegment:
    """A released segment.

    Attributes:
        number: Its number in the release.
        size: Customers of all partners together.
        centre: One value a feature, in the features' units.
        margin: What noise may have moved the size by, 95 % of the time; 0 for exact totals.
        typical: From where to where its customers typically lie, one range a feature, None where
            that is too narrow to tell under the noise; empty when it was not asked.
        id: What it is called in every release, such as "S3"; empty where only this one counts.
        since: What became of it since the release before, in words; empty if unknown.
        use: What a marketer may try; empty if unknown.
        satisfaction: How satisfied its customers said they are, in words; empty if not asked.
        intervals: Where noise leaves the centre, 95 % of the time, one pair a feature; empty for
            exact totals.
    """

    number: int
    name: str
    size: int
    centre: tuple[float, ...]
    margin: int = 0
    typical: tuple[tuple[float, float] | None, ...] = ()
    id: str = ""
    since: str = ""
    use: str = ""
    satisfaction: str = ""
    intervals: tuple[tuple[float, float], ...] = ()

    @property
    def label(self) -> str:
        """What its badge and its dots say."""
        return self.id or str(self.number)

    @property
    def colour(self) -> int:
        """The number of its colour, which lasts as its id does."""
        digits = self.id.removeprefix("S")
        return int(digits) if digits.isdecimal() else self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPartner:
    """What passed between the coordinator and one partner.

    Attributes:
        customers: Own customers that were counted; None when whoever writes the report does not
            know it (a deployed coordinator never does).
        messages_down: Messages that came to it: requests, each answered by one message at most.
        bytes_up: Bytes that left the partner.
        bytes_down: Bytes that came to it.
        counted: Whether its customers are in the release.
    """

    name: str
    customers: int | None
    messages_down: int
    bytes_up: int
    bytes_down: int
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCoordinator:
    """What the coordinator received.

    Attributes:
        masked_vectors: How many masked vectors, of all partners together.
        vector_length: Numbers in the longest of them.
        totals: How many totals it could open.
        one_bits: Share of one bits in all masked vectors; near one half when they look uniform.
            None when not measured.
        masked_example: The first words of one masked vector, in hexadecimal.
        total_example: The same words of the total that it belongs to.
    """

    masked_vectors: int
    vector_length: int
    totals: int
    one_bits: float | None = None
    masked_example: tuple[str, ...] = ()
    total_example: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRound:
    """One round.

    Attributes:
        partners: Partners in its total.
        seconds: From the query to the opened total, or from the restart of a driver in between.
        inertia: Mean squared distance to the nearest centroid in the scaled cube; None if unknown.
        asked: What was asked, in words; empty if unknown.
    """

    number: int
    partners: int
    seconds: float
    inertia: float | None = None
    asked: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportHash:
    """A hash to compare.

    Attributes:
        what: What it names.
        value: In hexadecimal.
        command: What shows it at a node; may be empty.
    """

    what: str
    value: str
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCheck:
    """A way to verify the report: in words, and the command for it (may be empty)."""

    words: str
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything in a report.

    Attributes:
        title: Of the page.
        purpose: The agreement's purpose, word for word.
        agreement: Which agreement and version.
        created: When the release was made, with a time zone.
        privacy: What protects the customers in the release, in words; the page adds nothing to it.
        privacy_note: What follows from it for the reader; may be empty.
        plan: Name of the plan.
        converged: Whether the plan ended by itself; None if unknown.
        segments: In the order of the release.
        withheld: Which clusters are not released and why; empty if none. Totals and averages then
            cover the released segments only, and the page says so wherever it shows one.
        withheld_clusters: How many they are.
        merged: Which clusters were merged into others and why; empty if none.
        choice: Why there are as many clusters as there are; empty when that was agreed.
        question: What customers were asked about how satisfied they are; empty if nothing.
        allowed, forbidden: Uses that the agreement allows and forbids; empty if unknown.
        gone: What became of segments that the release before had and this one has not, in words.
        rounds: In order; may be empty.
        took_s: From the run's request to its release, waiting and restarts included; None if
            unknown.
        drivers: How many processes have driven the run, one after the other.
        checks: How to verify.
        software: Name and version.
    """

    title: str
    purpose: str
    agreement: str
    created: datetime
    privacy: str
    privacy_note: str
    plan: str
    converged: bool | None
    features: tuple[ReportFeature, ...]
    segments: tuple[ReportSegment, ...]
    withheld: str
    partners: tuple[ReportPartner, ...]
    coordinator: ReportCoordinator | None
    rounds: tuple[ReportRound, ...]
    hashes: tuple[ReportHash, ...]
    checks: tuple[ReportCheck, ...]
    software: str
    withheld_clusters: int = 0
    merged: str = ""
    choice: str = ""
    question: str = ""
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    took_s: float | None = None
    drivers: int = 1
