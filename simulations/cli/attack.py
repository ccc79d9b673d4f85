"""`attack`: attacks on single customers, run against the code that is deployed, and measured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import click
import typer

from machine.console import Format, FormatOption, output
from machine.delivering import write_new
from protocol.agreement.plan_names import CHOOSING_PLAN, EXACT_PLAN
from protocol.canonical import canonical_json
from protocol.errors import UsageError
from protocol.evidence.attack_results import NAMES


def attack(
    out: Annotated[Path, typer.Option(help="File to write, .json, which must not be there.")],
    plan: Annotated[
        str,
        typer.Option(
            click_type=click.Choice((CHOOSING_PLAN, EXACT_PLAN)), help="Which plan is attacked."
        ),
    ] = CHOOSING_PLAN,
    agreement: Annotated[
        Path | None,
        typer.Option(
            help="An agreement: its epsilon of one run, delta, partners and colluding partners "
            "are attacked.",
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--attack",
            click_type=click.Choice(NAMES),
            help="One attack alone; repeat it. All when left out: a page needs all.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=2, max=100_000, help="Runs, in each of which one is attacked.")
    ] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same results to the bit.")] = 0,
    format: Format = FormatOption,
) -> None:
    """Attack single customers with the node's own code: can anybody be singled out?

    Each attack is run on customers in the data, on customers outside of them, as a naive guess,
    and with noise or mask off, where it has to succeed. A thousand runs take some minutes.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", remedy="name another file")
    from machine.tables import Table
    from simulations.attacking.agreed import setting_of
    from simulations.attacking.results import attack_results

    chosen = [name for name in NAMES if not names or name in names]
    found = attack_results(
        chosen, setting_of(plan, agreement), runs=runs, seed=seed, now=datetime.now(UTC)
    )
    values = found.to_dict()
    write_new(out, canonical_json(values).decode("utf-8") + "\n")
    table = Table("attack", "succeeds", "outside the data", "naive", "unprotected", "risk")
    for one in found.attacks:
        risk = one.risk
        table.add_row(
            one.name,
            *(f"{part / one.attacks:.3f}"
              for part in (one.successes, one.control, one.baseline, one.unprotected)),
            f"{risk.value:.3f} ({risk.low:.3f} to {risk.high:.3f})",
        )  # fmt: skip
    output.result(
        {"file": str(out), **values},
        table,
        f"Wrote {out}: {found.runs} runs of {found.plan}, seed {found.seed}. Nobody signed it: "
        "whoever wants to be sure runs it again.",
    )
