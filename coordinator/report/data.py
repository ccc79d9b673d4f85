"""Contents of a report: plain values that any part of fedseg can fill in."""

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
        words: Its meaning, as part of a sentence; may be empty.
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
        margin: Half the size's 95 % interval under the noise; 0 for exact totals.
        typical: Typical ranges of its customers, one per feature, None where the range is too
            narrow to see under the noise; empty when it was not asked.
        id: Its id in every release, such as "S3"; empty where there is only one release.
        since: Its change since the release before, in words; empty if unknown.
        use: Suggestion for marketers; empty if unknown.
        named_by: The columns of the features that gave the name.
        satisfaction: Its customers' stated satisfaction, in words; empty if not asked.
        intervals: 95 % intervals of the centre under the noise, one per feature; empty for exact
            totals.
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
    named_by: tuple[int, ...] = ()
    satisfaction: str = ""
    intervals: tuple[tuple[float, float], ...] = ()

    @property
    def label(self) -> str:
        """The text in its badge and dots."""
        return self.id or str(self.number)

    @property
    def colour(self) -> int:
        """The number of its colour, as permanent as its id."""
        digits = self.id.removeprefix("S")
        return int(digits) if digits.isdecimal() else self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPartner:
    """Messages between the coordinator and one partner.

    Attributes:
        customers: Own customers that were counted; None if unknown to the report's writer (always
            at a deployed coordinator).
        messages_down: Messages to it: requests, each answered by one message at most.
        bytes_up: Bytes from the partner.
        bytes_down: Bytes to it.
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
    """Data that the coordinator received.

    Attributes:
        masked_vectors: Number of masked vectors, of all partners together.
        vector_length: Entries of the longest of them.
        totals: Number of totals that it could open.
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
        seconds: Time from the query, or from the restart of a driver since, to the opened total.
        inertia: Mean squared distance to the nearest centroid in the scaled cube; None if unknown.
        asked: The question, in words; empty if unknown.
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
        what: What it identifies.
        value: The hash in hexadecimal.
        command: Command that shows it at a node; may be empty.
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
        purpose: The agreement's purpose, verbatim.
        agreement: Id and version of the agreement.
        created: When the release was made, with a time zone.
        privacy: What protects the customers in the release, in words; printed verbatim.
        privacy_note: Consequence for the reader; may be empty.
        plan: Name of the plan.
        converged: Whether the plan ended by itself; None if unknown.
        segments: In the order of the release.
        withheld: Which clusters are not released and why; empty if none. Totals and averages then
            cover the released segments only, and the page says so wherever it shows one.
        withheld_clusters: Number of withheld clusters.
        merged: Which clusters were merged into others and why; empty if none.
        choice: Why there are this many clusters; empty when the number was agreed.
        distance: How far customers lie from their segment's centre, in words; empty if unknown.
        start: The release that the run started from, in words; empty when it started anew.
        left: In what customers of partners are that dropped out at the end, in words; empty where
            in nothing.
        asked_again: That a question may have been asked again, in words; empty where none was.
        row_caps: How much room the agreed row caps leave, in words; empty if unknown.
        question: The question about satisfaction that customers were asked; empty if none.
        allowed, forbidden: Uses that the agreement allows and forbids; empty if unknown.
        gone: Segments that the release before had and this one has not, with their fate, in words.
        rounds: In order; may be empty.
        took_s: Seconds from the run's request to its release, including waits and restarts; None
            if unknown.
        drivers: Number of processes that have driven the run, one after the other.
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
    distance: str = ""
    start: str = ""
    left: str = ""
    asked_again: str = ""
    row_caps: str = ""
    question: str = ""
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    took_s: float | None = None
    drivers: int = 1
