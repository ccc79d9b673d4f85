"""`run plan`: what a run costs, who is ready, and how precise its release will be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from coordinator.control.standing import UNKNOWN, PartnerReadiness, parties_readiness
from coordinator.control.unready import check_enough_ready
from coordinator.runs.forecast import (
    AGREED,
    Budget,
    LastRun,
    Precision,
    budget,
    last_release,
    last_runs,
    precision,
)
from coordinator.runs.late_refusals import late_refusals
from coordinator.runs.life import NOT_SERVED
from coordinator.runs.obstacles import obstacles
from coordinator.store.coordinator_store import CoordinatorStore
from machine.shown import Shown
from machine.tables import folding_table
from machine.text import how_many, minute, number_words, short
from protocol.agreement.document import Agreement
from protocol.clustering.plan import last_questions
from protocol.errors import FedsegError, RuleError
from protocol.limits import USUAL_MAX_CUSTOMERS
from protocol.percents import whole_percent_words
from protocol.privacy.accounting import epsilon_text
from protocol.privacy.words import counted
from protocol.release.last import begins_at


def plan_shown(
    store: CoordinatorStore,
    chosen: Agreement,
    *,
    without: Sequence[str],
    customers: int | None,
    served: bool,
    now: datetime,
) -> Shown:
    """What the next run under an agreement costs, and how precise its release will be.

    Args:
        without: Ids of partners that are to be left out.
        customers: How many all partners have; None for those of the last release, or else as many
            as the agreement allows.
        served: Whether a process serves the coordinator.
    """
    rows = store.runs_of(chosen.hash)
    release = last_release(store, chosen)
    partners = parties_readiness(store, chosen, without=without, now=now)
    problems = obstacles(store, chosen, without=without, now=now)
    try:
        check_enough_ready(chosen, partners)
    except RuleError as problem:
        problems.append(problem)
    costs = budget(store, chosen)
    follows = begins_at(chosen, release) is not None
    expected = precision(chosen, release, without=without, customers=customers)
    late, took = late_refusals(rows), last_runs(rows)
    return Shown(
        values={
            **chosen.named(),
            "served": served,
            "obstacles": [
                {"code": one.code, "message": one.message, "remedy": one.remedy} for one in problems
            ],
            "partners": [
                one.to_dict() | {"late_refusals": late.get(one.partner, [])} for one in partners
            ],
            "follows": follows,
            "max_questions": chosen.plan.max_rounds,
            "budget": None if costs is None else costs.to_dict(),
            "precision": None if expected is None else expected.to_dict(),
            "assumed": [] if expected is None else assumed_words(chosen, expected),
            "last_runs": [one.to_dict() for one in took],
        },
        parts=[
            f"The next run under agreement {chosen.id}, version {chosen.version}, "
            + ("follows the last release." if follows else "starts anew."),
            *([] if served else [f"Note: {NOT_SERVED}."]),
            *map(_obstacle_words, problems),
            *_partners_view(partners, late),
            *budget_words(costs, follows=follows),
            *_precision_view(chosen, expected),
            _duration_words(took),
        ],
    )


def _obstacle_words(problem: FedsegError) -> str:
    return f"It would not begin: {problem.code}: {problem.message}. Way out: {problem.remedy}."


def _partners_view(
    partners: Sequence[PartnerReadiness], late: dict[str, list[str]]
) -> list[object]:
    table = folding_table("partner", "state", "codes", "since", "seen last", title="Partners")
    for one in partners:
        table.add_row(
            one.partner,
            one.state,
            "" if one.said is None else ", ".join(one.said.codes),
            "" if one.said is None else minute(one.said.since),
            minute(one.seen_at) if one.seen_at else "",
        )
    refused = [
        f"{partner} refused at the end of {len(codes)} runs ({', '.join(dict.fromkeys(codes))}), "
        "when every budget had been charged: ask why first."
        for partner, codes in late.items()
    ]
    told = any(one.state == UNKNOWN for one in partners)
    hint = (
        "Whoever is not known has told nothing: fedseg-coordinator partner check." if told else ""
    )
    return [table, *refused, hint]


def budget_words(costs: Budget | None, *, follows: bool) -> list[str]:
    """What a run costs of the budget, and how many are left."""
    if costs is None:
        return [
            "It costs nothing of a budget: these are exact totals, and nothing limits what runs "
            "show of a customer."
        ]
    found = [
        f"A run that starts anew costs a rho of {costs.rho_anew:.3g} at most (epsilon "
        f"{epsilon_text(costs.epsilon_run)} at delta {costs.delta:.0e}): "
        f"{_left_words(costs.left_anew)} left if all do."
    ]
    if costs.rho_follows is not None and costs.left_follows is not None:
        part = costs.rho_follows / costs.rho_anew
        found.append(
            f"One that follows the last release costs {whole_percent_words(part)} of that: "
            f"{_left_words(costs.left_follows)} left if all do."
            + (" The next one does." if follows else "")
        )
    spent, all_of_it = map(epsilon_text, (costs.epsilon_spent, costs.epsilon_budget))
    found.append(
        f"Spent: epsilon {spent} of {all_of_it} at most, as the coordinator knows it. Each node's "
        "own ledger decides."
    )
    return found


def _left_words(left: tuple[int, int]) -> str:
    fewest, greatest = left
    return counted(fewest, "run") if fewest == greatest else f"{fewest} to {greatest} runs"


def _precision_view(agreement: Agreement, expected: Precision | None) -> list[object]:
    most = agreement.plan.max_rounds
    if expected is None and agreement.privacy is not None:
        return ["Nothing can be said of a release with so few partners."]
    if expected is None:
        return [f"It asks {most} questions at most. Sizes and centres are exact."]
    noise = expected.noise
    table = folding_table("what", "expected", "which is", title="Precision")

    def row(*cells: Any) -> None:
        table.add_row(*map(str, cells))

    row("a segment's size", f"± {number_words(noise.size_margin)} customers", "exact")
    row("smallest noised size that is released", number_words(noise.least), "exact")
    row("told in 97.5 of 100 runs from a size of", number_words(noise.told), "estimated")
    row("questions", f"{noise.questions}, {most} at most", "estimated")
    for centre in expected.centres:
        row(f"mean {centre.feature}", f"± {number_words(centre.margin)} {centre.unit}", "estimated")
    last = last_questions(agreement.plan)
    return [
        *assumed_words(agreement, expected),
        table,
        f"± holds 95 of 100 errors that the noise makes. Centres are those of "
        f"{how_many(expected.n_segments, 'segment')} of {number_words(noise.segment)} customers "
        f"each ({expected.customers:,} in all, from: {expected.customers_from}), who lie from "
        f"their centre as far as {_whose(expected)}, about the middle of each range; a segment of "
        f"half as many customers has twice the error. Of the questions {last} are about sizes and "
        "distances.",
    ]


def assumed_words(agreement: Agreement, expected: Precision) -> list[str]:
    """What is assumed where no release counted customers and nobody said how many there are."""
    if expected.customers_from != AGREED:
        return []
    found = [
        f"Assumed, as no release has counted them: {expected.customers:,} customers, the most that "
        "max_customers allows. Of fewer the errors are greater, ten times with a tenth: say how "
        "many there are with --customers."
    ]
    names = [p.id for p in agreement.parties if p.max_customers == USUAL_MAX_CUSTOMERS]
    if names:
        found.append(
            f"Warning: max_customers of {', '.join(names)} is {USUAL_MAX_CUSTOMERS:,}, which is "
            "what a node proposes where nobody chose: the figures below say nothing of fewer "
            "customers."
        )
    return found


def _whose(expected: Precision) -> str:
    from_release = expected.deviation_from == "last release"
    return "those of the last release" if from_release else expected.deviation_from


def _duration_words(took: Sequence[LastRun]) -> str:
    if not took:
        return "No run under this agreement has finished yet."
    runs = ", ".join(f"{short(one.run_id)} {one.seconds:.1f} s" for one in took)
    return f"The last runs took: {runs}."
