"""The page of attack results: can somebody be singled out, measured, and on which build."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from protocol.agreement.software import Build
from protocol.errors import UsageError
from protocol.evidence.attack_rates import Rate
from protocol.evidence.attack_results import LEAST_UNPROTECTED, Attack, Results
from protocol.evidence.document import (
    Audience,
    Document,
    Field,
    Grid,
    Section,
    Source,
    State,
    Value,
)

KIND: Final = "attacks"
_FILE: Final = Source(
    "measured", "results", "the file of results", "fedseg-simulate attack --out attacks.json"
)
_HEADERS: Final = (
    "Attack", "Sense", "Succeeds in the data", "Outside of them", "Naive guess",
    "Protection off", "Risk",
)  # fmt: skip


def check_results(
    results: Results,
    installed: Build,
    now: datetime,
    *,
    other_build: bool = False,
    max_age_days: int | None = None,
) -> None:
    """Refuse results that show nothing about the installed build.

    Args:
        other_build: Results of another build are taken, and marked.
        max_age_days: They may be so old; None for any age.

    Raises:
        UsageError: Attacks are missing (E-ATTACKS-INCOMPLETE), one does not work where nothing
            protects (E-ATTACKS-CONTROL), the build is another (E-ATTACKS-BUILD), or they are too
            old or of the future (E-ATTACKS-AGE).
    """
    if results.missing:
        raise UsageError(
            f"the results lack {', '.join(results.missing)}",
            code="E-ATTACKS-INCOMPLETE",
            remedy="run all: fedseg-simulate attack without --attack",
        )
    for one in results.attacks:
        if not one.worked:
            raise UsageError(
                f"{one.name} succeeds in {one.unprotected} of {one.attacks} cases without "
                f"protection, which does not show that it works in more than "
                f"{LEAST_UNPROTECTED:.0%}: an attack that fails there shows nothing",
                code="E-ATTACKS-CONTROL",
                remedy="run more: fedseg-simulate attack --runs 1000",
            )
    if results.build != installed and not other_build:
        raise UsageError(
            f"the results are of fedseg {results.build.version}, code "
            f"{results.build.sha256.hex()[:16]}…, installed is {installed.version}, "
            f"{installed.sha256.hex()[:16]}…",
            code="E-ATTACKS-BUILD",
            remedy="run the attacks on the installed build, or say --other-build: the page marks "
            "it",
        )
    age = (now - results.made_at).total_seconds() / 86_400.0
    if age < -0.01 or (max_age_days is not None and age > max_age_days):
        raise UsageError(
            f"the results were made at {results.made_at:%Y-%m-%d %H:%M} UTC, {age:.1f} days ago",
            code="E-ATTACKS-AGE",
            remedy="run the attacks again",
        )


def attacks_document(results: Results, installed: Build, now: datetime, sha256: str) -> Document:
    """The page.

    Args:
        installed: The build that the reader's node runs.
        sha256: Of the file of results.
    """
    return Document(
        kind=KIND,
        title="Can somebody be singled out? Attacks, measured",
        term="dpv:Assessment",
        audience=Audience.PUBLIC,
        audience_words="For auditors and data protection officers. Customers are generated: "
        "nothing in it is about anybody.",
        follows="WP29 Opinion 05/2014 on anonymisation techniques (singling out, linkability, "
        "inference); Giomi et al., A Unified Framework for Quantifying Privacy Risk in Synthetic "
        "Data (PoPETs 2023), for rates, risk and intervals.",
        about={
            "build": results.build.to_dict(), "attacks_sha256": results.attacks_sha256.hex(),
            "results_sha256": sha256, "seed": results.seed,
        },
        made_at=now,
        program=f"fedseg {installed.version}",
        sections=(
            Section(key="what", title="What was attacked", fields=_what(results, installed)),
            Section(
                key="found",
                title="What was found",
                fields=(_table(results), *(_attack(one, results) for one in results.attacks)),
            ),
            Section(key="limits", title="What it cannot show", fields=_limits(results)),
        ),
    )  # fmt: skip


def found_words(results: Results) -> tuple[str, ...]:
    """The same in two sentences, for documents that cite it."""
    risks = "; ".join(
        f"{one.name} {one.risk.value:.3f} ({one.risk.low:.3f} to {one.risk.high:.3f})"
        for one in results.attacks
    )
    return (
        f"Attacks were run on fedseg {results.build.version}, code {results.build.sha256.hex()}, "
        f"on {results.made_at:%Y-%m-%d}: {results.runs} runs of {results.plan} on generated "
        f"customers, seed {results.seed}; {_promise(results)}",
        f"Risk beyond that of customers outside the data, with 95 % intervals: {risks}. Each "
        "attack succeeds where noise or masks are off.",
    )


def _what(results: Results, installed: Build) -> tuple[Field, ...]:
    same = results.build == installed
    build = _field(
        "build", "Build",
        f"fedseg {results.build.version}, code of nodes {results.build.sha256.hex()}; code of the "
        f"attacks {results.attacks_sha256.hex()}.",
        "It is the build that is installed here." if same else
        f"Installed here is fedseg {installed.version}, {installed.sha256.hex()}.",
        lacks=() if same else ("results of the installed build: these are of ANOTHER BUILD",),
    )  # fmt: skip
    return (
        build,
        _field(
            "when", "When and how",
            f"{results.made_at:%Y-%m-%d %H:%M} UTC; seed {results.seed}, {results.runs} runs with "
            "one attacked customer each.",
            "The file of results is signed by nobody: whoever could write it could write other "
            "counts. Whoever wants to be sure runs it again on the same build with the same seed "
            "and number of runs, and gets the same counts to the last one.",
        ),
        _field(
            "terms", "Plan and promise",
            f"Plan {results.plan}, {results.n_clusters} segments of {results.customers} customers "
            f"with {results.n_features} features, {results.partners} partners, "
            f"{results.colluding} of them colluding.",
            _promise(results),
        ),
        _field("dataset", "Customers", results.dataset),
    )  # fmt: skip


def _promise(results: Results) -> str:
    if results.epsilon is None or results.delta is None:
        return "exact totals: nothing is promised to a single customer."
    epsilon, delta = float(results.epsilon), float(results.delta)
    bound = Rate.largest_advantage(epsilon, delta)
    return (
        f"promised for the run: epsilon {results.epsilon.normalize():f}, delta "
        f"{results.delta.normalize():f}, so that no attack tells better than by {bound:.3f} "
        "whether somebody is in the data (true positives less false ones)."
    )


def _table(results: Results) -> Field:
    return Field(
        key="table", label="All attacks", hook="WP29 05/2014", state=State.FACT, sources=(_FILE,),
        value=Value(
            paragraphs=(
                "Shares of successes with 95 % intervals (Wilson). Risk is (rate - control) / "
                "(1 - control), where control is the rate on customers outside the data.",
            ),
            grid=Grid(headers=_HEADERS, rows=tuple(_row(one) for one in results.attacks)),
        ),
    )  # fmt: skip


def _row(one: Attack) -> tuple[str, ...]:
    counts = (one.successes, one.control, one.baseline, one.unprotected)
    return (
        one.name, one.sense, *(_shown(Rate.of(part, one.attacks)) for part in counts),
        _shown(one.risk),
    )  # fmt: skip


def _shown(rate: Rate) -> str:
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"


def _attack(one: Attack, results: Results) -> Field:
    risk = one.risk
    said = (
        "The attack does not tell customers in the data from those outside."
        if risk.low == 0.0
        else "THE ATTACK FINDS OUT MORE about customers in the data than about others."
    )
    return _field(
        one.name, one.name,
        f"The attacker: {one.knows}", f"Success: {one.success} Naive guess: {one.naive} Control: "
        f"{one.outside}",
        f"{one.successes} of {one.attacks} succeed, {one.control} outside the data, "
        f"{one.baseline} by the naive guess, {one.unprotected} with the protection off. {said}",
        *_kept(one, results),
        hook=one.sense,
    )  # fmt: skip


def _kept(one: Attack, results: Results) -> tuple[str, ...]:
    if results.epsilon is None or results.delta is None:
        return ()
    if one.within(float(results.epsilon), float(results.delta)):
        return (
            "That is within what epsilon allows: e^epsilon times the control's rate, plus delta, "
            "as far as intervals tell.",
        )
    return (
        "THAT IS MORE THAN EPSILON ALLOWS: e^epsilon times the control's rate, plus delta. The "
        "promise is broken.",
    )


def _limits(results: Results) -> tuple[Field, ...]:
    return (
        _field(
            "others", "Attackers",
            "Attacks that nobody thought of are not in it. What bounds them all is epsilon, where "
            "one was agreed; measured attacks show that the code keeps to it, not that the agreed "
            "value is small enough.",
        ),
        _field(
            "once", "One run",
            f"Each attack sees one run and what is left when a customer leaves, {results.runs} "
            "times: a risk below what the interval's upper end says can be there. Runs add up, "
            "which the ledger counts. What a partner does with its own customers' segments is not "
            "attacked.",
        ),
        _field(
            "real", "Real customers",
            "Customers are generated and few; whom real data make stand out more is protected by "
            "the same noise, but other success rates, of naive guesses too, are to be expected.",
        ),
    )  # fmt: skip


def _field(
    key: str, label: str, *paragraphs: str, hook: str = "WP29 05/2014", lacks: tuple[str, ...] = ()
) -> Field:
    return Field(
        key=key, label=label, hook=hook, state=State.MISSING if lacks else State.FACT,
        value=Value(paragraphs=paragraphs), sources=(_FILE,), lacks=lacks,
    )  # fmt: skip
