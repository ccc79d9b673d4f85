"""Report on a partner's data under an agreement: every problem with its way out. Stays here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from partner_node.columns.excluded import excluded_by_name, excluded_by_values, is_excluded
from partner_node.columns.special import of_name
from partner_node.consent.count import check_number, count_now, leaves_out, refuse_nobody
from partner_node.consent.words import strangers
from partner_node.data_quality.reading import Read, read_features
from partner_node.data_quality.statistics import Summary
from partner_node.home import NodeHome
from partner_node.sources.kinds import open_source
from partner_node.sources.source import Source
from protocol.agreement.document import Agreement
from protocol.agreement.features import Feature
from protocol.agreement.parties import Party
from protocol.errors import AgreementError, EncodingRangeError, FedsegError, RuleError, SourceError
from protocol.feature_values import NO_LEVEL
from protocol.percents import percent_words

#: Shares and days from which a report has a note.
_MUCH_CLIPPED: Final = 0.05
_NEARLY_ALL: Final = 0.95
_OLD_DAYS: Final = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureQuality:
    """One agreed feature.

    Attributes:
        column: The source's column that holds it.
        summary: Statistics of its values; None when it is refused or cannot be read.
        problem: Why it cannot be used.
    """

    feature: Feature
    column: str
    summary: Summary | None
    problem: FedsegError | None

    def to_dict(self) -> dict[str, Any]:
        """The feature as JSON values."""
        return {
            "feature": self.feature.name,
            "column": self.column,
            "unit": self.feature.unit,
            "type": self.feature.type,
            **self._agreed(),
            "values": None if self.summary is None else self.summary.to_dict(),
            "problem": None if self.problem is None else problem_values(self.problem),
        }

    def _agreed(self) -> dict[str, Any]:
        if self.feature.levels:
            return {"levels": list(self.feature.levels)}
        return {"min": float(self.feature.min), "max": float(self.feature.max)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """The age of the data.

    Attributes:
        on: The day of the data; None when it is unknown.
        told_by: Where the day is from, in words.
        days: Whole days since.
    """

    on: date | None
    told_by: str
    days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """Findings about a node's data.

    Attributes:
        customers: Number of customers in the source; None when their ids cannot be read.
        eligible: Number of them that a node would count now; None when it is unknown.
        problems: Everything that would fail a run, including the features' own problems.
        notes: Remarks that do not prevent a run.
    """

    agreement: Agreement
    looked_at: datetime
    kind: str
    customers: int | None
    eligible: int | None
    age: Age
    features: tuple[FeatureQuality, ...]
    problems: tuple[FedsegError, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "passed": not self.problems,
            **self.agreement.named(version="agreement_version"),
            "looked_at": f"{self.looked_at:%Y-%m-%dT%H:%M:%SZ}",
            "kind": self.kind,
            "customers": self.customers,
            "eligible": self.eligible,
            "data_of": None if self.age.on is None else self.age.on.isoformat(),
            "data_of_told_by": self.age.told_by,
            "age_days": self.age.days,
            "features": [feature.to_dict() for feature in self.features],
            "problems": [problem_values(problem) for problem in self.problems],
            "notes": list(self.notes),
        }


def problem_values(problem: FedsegError) -> dict[str, str]:
    """A problem as JSON values."""
    return {"code": problem.code, "message": problem.message, "remedy": problem.remedy}


def data_report(
    home: NodeHome, agreement: Agreement, *, now: datetime, max_age_days: int | None = None
) -> DataReport:
    """Inspect the data of a node's folder.

    Args:
        agreement: The agreement to check them against, signed or not.
        max_age_days: The age from which old data are a problem; None if they never are.
    """
    problems: list[FedsegError] = []
    notes: list[str] = []
    party = {p.id: p for p in agreement.parties}.get(home.config.node.partner)
    if party is None:
        problems.append(_no_party(home, agreement))
    customers: int | None = None
    eligible: int | None = None
    age = Age(on=None, told_by="nothing tells it", days=None)
    features: tuple[FeatureQuality, ...] = ()
    source: Source | None = None
    try:
        home.customers(agreement, None)
        source = open_source(home.config.data, home.config.limits)
        names = source.columns()
        age = _age(home, source, now)
    except FedsegError as error:
        problems.append(error)
    else:
        features, customers, broken = _features(home, agreement, source)
        found = [f.problem for f in features if f.problem is not None] + broken
        problems += {(problem.code, problem.message): problem for problem in found}.values()
        notes += [note for f in features for note in _notes(f)]
        notes += _unread(agreement, home, names, features)
    if source is not None and customers is not None and party is not None:
        sound = all(feature.problem is None for feature in features)
        eligible, refused = _how_many(home, agreement, party, now, notes, sound=sound)
        known = {(problem.code, problem.message) for problem in problems}
        if refused is not None and (refused.code, refused.message) not in known:
            problems.append(refused)
    notes += _age_notes(age, max_age_days, problems)
    return DataReport(
        agreement=agreement,
        looked_at=now,
        kind=home.config.data.kind,
        customers=customers,
        eligible=eligible,
        age=age,
        features=features,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _no_party(home: NodeHome, agreement: Agreement) -> AgreementError:
    return AgreementError(
        f"agreement {agreement.id!r} has no partner {home.config.node.partner!r}",
        code="E-AGR-PARTY",
        remedy="partners are " + ", ".join(p.id for p in agreement.parties) + "; correct partner "
        "in node.toml, or name the right agreement by --agreement",
    )


def _features(
    home: NodeHome, agreement: Agreement, source: Source
) -> tuple[tuple[FeatureQuality, ...], int | None, list[FedsegError]]:
    """Every agreed feature, the number of customers, and problems of the source as a whole."""
    columns = {f.name: home.config.data.columns.get(f.name, f.name) for f in agreement.features}
    refused: dict[str, FedsegError] = {}
    for feature in agreement.features:
        error = excluded_by_name(feature, columns[feature.name], agreement.excluded)
        if error is not None:
            refused[feature.name] = error
    wanted = [f for f in agreement.features if f.name not in refused]
    reading = read_features(
        source,
        wanted,
        [columns[f.name] for f in wanted],
        chunk_rows=home.config.data.chunk_rows,
    )
    found = {f.name: read for f, read in zip(wanted, reading.features, strict=False)}
    features = tuple(
        _feature(f, columns[f.name], refused.get(f.name), found.get(f.name), agreement)
        for f in agreement.features
    )
    return features, reading.customers, [reading.problem] if reading.problem else []


def _feature(
    feature: Feature,
    column: str,
    refused: FedsegError | None,
    read: Read | None,
    agreement: Agreement,
) -> FeatureQuality:
    problem, summary = refused, None
    if read is not None:
        problem = read.problem or excluded_by_values(
            feature, column, read.sample, agreement.excluded
        )
        summary = read.summary if problem is None else None
    return FeatureQuality(feature=feature, column=column, summary=summary, problem=problem)


def _notes(quality: FeatureQuality) -> list[str]:
    summary, name = quality.summary, quality.feature.name
    if summary is None:
        return []
    notes = []
    rule = quality.feature.missing
    if summary.missing and rule is not None:
        notes.append(
            f"{name}: {summary.missing:,} customers ({percent_words(summary.missing_share)}) have "
            "no value; as agreed, " + rule.each_words
        )
    if not summary.customers:
        return notes
    if summary.labels and summary.labels[-1] == NO_LEVEL and summary.counts[-1]:
        notes.append(
            f"{name}: {summary.counts[-1]:,} values are no agreed level; as agreed, they count as "
            f"{quality.feature.other}"
        )
    if summary.clipped_share > _MUCH_CLIPPED:
        notes.append(
            f"{name}: {percent_words(summary.clipped_share)} of the values lie beyond the agreed "
            "bounds and will be clipped to them; check the unit, or agree on wider bounds"
        )
    if summary.lowest == summary.highest:
        notes.append(f"{name}: every customer has the same value, so it tells nobody apart")
    elif summary.share(summary.commonest_count) >= _NEARLY_ALL:
        share = summary.share(summary.commonest_count)
        notes.append(f"{name}: {percent_words(share)} of the customers have one and the same value")
    return notes


def _unread(
    agreement: Agreement,
    home: NodeHome,
    names: Sequence[str],
    features: Sequence[FeatureQuality],
) -> list[str]:
    """Notes about columns with suspicious names: those never read, and those not excluded."""
    used = {quality.column for quality in features} | {home.config.data.id_column}
    told = {
        name: found.words
        for name in names
        if name not in used and (found := of_name(name)) is not None
    }
    notes = []
    if told:
        listed = ", ".join(f"{name!r} ({what})" for name, what in told.items())
        notes.append(f"never read, as no agreed feature is made of them: {listed}")
    for quality in features:
        for name in dict.fromkeys((quality.feature.name, quality.column)):
            found = of_name(name)
            if found is not None and not is_excluded(found, agreement.excluded):
                notes.append(
                    f"{quality.feature.name}: its name tells of {found.words}, a "
                    "special category that this agreement does not exclude; GDPR 9 forbids most "
                    "uses of it"
                )
                break
    return notes


def _how_many(
    home: NodeHome,
    agreement: Agreement,
    party: Party,
    now: datetime,
    notes: list[str],
    *,
    sound: bool,
) -> tuple[int | None, FedsegError | None]:
    """Number of customers counted now, and the error if it is unknown or not as agreed.

    Args:
        notes: Gets a note for each table of which no customer is in the data.
        sound: Whether all features can be read; else nobody knows whom the agreement leaves out.
    """
    counted: int | None = None
    try:
        home.rules(agreement, party).check(now)
        gate, customers = home.gate(agreement, party), home.customers(agreement, None)
        if not sound and leaves_out(agreement):
            refuse_nobody(gate.standing(customers.ids(), now))
            return None, None
        count = count_now(customers, gate, agreement, now)
        notes += strangers(gate, count.standing)
        counted = count.customers
        refuse_nobody(count.standing)
        check_number(counted, agreement, party)
    except (RuleError, SourceError, EncodingRangeError) as error:
        return counted, error
    return counted, None


def _age(home: NodeHome, source: Source, now: datetime) -> Age:
    observed = home.config.data.observed
    if observed is not None:
        return Age(
            on=observed,
            told_by="observation_date of [data.transactions]",
            days=(now.astimezone(UTC).date() - observed).days,
        )
    files = source.describe().files
    if not files:
        return Age(
            on=None, told_by="a server does not tell when its data were brought up to date",
            days=None,
        )  # fmt: skip
    newest = max(Path(file).stat().st_mtime for file in files)
    changed = datetime.fromtimestamp(newest, UTC)
    return Age(
        on=changed.date(),
        told_by="the last change of the file" if len(files) == 1 else "the newest file's change",
        days=max((now - changed).days, 0),
    )


def _age_notes(age: Age, max_age_days: int | None, problems: list[FedsegError]) -> list[str]:
    """A note about old data; a problem instead if a largest age was given."""
    if max_age_days is not None and age.days is None:
        return [f"the age of the data is not known: {age.told_by}"]
    if age.days is None or age.on is None:
        return []
    of = f"the data are of {age.on.isoformat()}, {age.days:,} days ago ({age.told_by})"
    if max_age_days is not None and age.days > max_age_days:
        problems.append(
            RuleError(
                f"{of}, and may be {max_age_days:,} days old",
                code="E-DATA-STALE",
                remedy="export the data again, or move observation_date on at all partners alike",
            )
        )
    elif max_age_days is None and age.days > _OLD_DAYS:
        return [f"{of}; customers may have changed since"]
    return []
