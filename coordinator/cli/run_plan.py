"""``run plan``: what a run costs, who is ready, and how precise its release will be."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.runs.in_force import chosen_in_force
from coordinator.runs.life import is_served
from coordinator.runs.obstacles import check_parties
from coordinator.shown.run_plan import plan_shown
from machine.console import Format, FormatOption, output


def plan(
    agreement: Annotated[
        str, typer.Option(help="Agreement's id, where several are in force.")
    ] = "",
    without: Annotated[
        list[str] | None,
        typer.Option(help="A partner that is to be left out; repeat it for several."),
    ] = None,
    customers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many customers all partners have. When left out: those of the last release, "
            "or else as many as the agreement allows at most.",
        ),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """What the next run costs and who is ready, and how precise its release will be.

    Nobody is asked anything: all of it follows from the agreement, from releases, and from what
    nodes said of themselves.
    """
    with closing(CoordinatorConfig.load(directory).open_store()) as store:
        chosen = chosen_in_force(store, agreement, now := datetime.now(UTC))
        left_out = tuple(without or ())
        check_parties(chosen, left_out)
        served = is_served(directory)
        output.show(
            plan_shown(store, chosen, without=left_out, customers=customers, served=served, now=now)
        )
