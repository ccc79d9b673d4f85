"""`demo`: a federation of processes on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, diagnostics, output, people


def demo(
    out: Annotated[
        Path,
        typer.Option(help="Folder for everything the demo makes; an earlier demo's is replaced."),
    ] = Path("demo-out"),
    customers: Annotated[
        int, typer.Option(min=100, help="Customers of all partners together.")
    ] = 3_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same data.")] = 0,
    stay: Annotated[
        bool,
        typer.Option(
            "--stay",
            help="Leave all of it running until Ctrl-C, with the consoles of the coordinator and "
            "of one node; prints where they are and who may sign in.",
        ),
    ] = False,
    format: Format = FormatOption,
) -> None:
    """Run a federation for real: a coordinator and three nodes as processes, TLS on loopback.

    Takes less than a minute, prints what each party saw and writes an HTML report.
    """
    from simulations.demo import run_demo

    console = diagnostics if format is Format.JSON else people
    result = run_demo(out, n_customers=customers, seed=seed, console=console, stay=stay)
    output.result(
        {
            "report": str(result.report),
            "seconds": result.seconds,
            "rounds": result.rounds,
            "partners": [
                {
                    "id": view.id,
                    "name": view.name,
                    "customers": view.customers,
                    "messages": view.messages,
                    "bytes_sent": view.bytes_sent,
                    "by_segment": view.by_segment,
                }
                for view in result.partners
            ],
        },
        f"Report: {result.report}  ({result.seconds:.0f} s in all)",
    )
