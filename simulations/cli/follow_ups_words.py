"""What runs of `cluster` found that follow the first, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from protocol.percents import percent_words

if TYPE_CHECKING:
    from simulations.follow_ups import LaterRun
    from simulations.results import ClusterResult


def follow_ups_shown(results: Sequence[ClusterResult]) -> list[object]:
    """A line for each run after the first of each seed; empty when none were asked for."""
    if not any(result.follow_ups for result in results):
        return []
    from machine.tables import Table
    from protocol.privacy.accounting import epsilon_text

    noised = results[0].epsilon_spent is not None
    told = any(_said(one) for result in results for one in result.follow_ups)
    table = Table(
        *(["seed"] if len(results) > 1 else []),
        *("run", "segments", "kept", "kept since the first run", "rounds"),
        *(["epsilon", "epsilon in all"] if noised else []),
        *([""] if told else []),
        title="Runs that follow, on the same customers",
    )
    for result in results:
        for number, one in enumerate(result.follow_ups, start=2):
            epsilons = [
                "none" if spent is None else epsilon_text(spent)
                for spent in (one.epsilon_spent, one.epsilon_in_all)
            ]
            table.add_row(
                *([str(result.seed)] if len(results) > 1 else []),
                *(str(number), str(one.segments), percent_words(one.kept)),
                *(percent_words(one.kept_since_first), str(one.rounds)),
                *(epsilons if noised else []),
                *([_said(one)] if told else []),
            )
    return [
        table,
        "Kept: the part of customers who are in the same segment as after the run before, by the "
        "segments' lasting ids. Each run starts from the last release"
        + (", draws noise of its own and is charged what it asks." if noised else "."),
    ]


def _said(one: LaterRun) -> str:
    """What is particular to a run, in words."""
    if one.starts_anew:
        return "started anew"
    return "says that customers changed" if one.changed else ""
