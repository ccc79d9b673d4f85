"""Commands about messages that left the node or wait for approval: `egress …`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from partner_node.cli.options import HERE, Directory
from partner_node.egress.records import APPROVED, REFUSED, Manifests
from partner_node.egress.sent import egress_privacy, egress_values, egress_words
from partner_node.egress.words import STATE_WORDS, held_words, manifest_values, manifest_words
from partner_node.home import NodeHome
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp

app = typer.Typer(help="What left this node, and what waits for approval.", no_args_is_help=True)

Number = Annotated[
    int, typer.Argument(min=1, help="Number of the message, as `egress list` shows it.")
]


@app.command("list")
def list_messages(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Every message that left this node, and every one that was held for approval."""
    store = _store(directory)
    records, held, now = store.egress(), Manifests(store).held(), _now()
    output.result(
        {
            "messages": egress_values(records),
            "held": [manifest_values(written, now) for written in held],
            "privacy": egress_privacy(records),
        },
        *egress_words(records),
        *held_words(held, now),
    )


@app.command("show")
def show(number: Number, directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The manifest of one message: what it says, of how many customers, and to whom."""
    written, now = Manifests(_store(directory)).get(number), _now()
    output.result(manifest_values(written, now), *manifest_words(written, now))


@app.command("approve")
def approve(number: Number, directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Let a message that was held leave; it does when the coordinator asks the next time."""
    _decide(directory, number, APPROVED)


@app.command("refuse")
def refuse(number: Number, directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Keep a message that was held here for good; its run goes on without it, or ends."""
    _decide(directory, number, REFUSED)


def _decide(directory: Path, number: int, decision: str) -> None:
    store, now = _store(directory), _now()
    with store.transaction():
        written = Manifests(store).decide(number, decision, now=now)
    output.result(
        manifest_values(written, now),
        f"Message {number} of run {written.manifest.run_id.hex()[:8]}: {STATE_WORDS[decision]}.",
    )


def _store(directory: Path) -> NodeStore:
    home = NodeHome.load(directory)
    return home.store(home.keystore())


def _now() -> str:
    return stamp(datetime.now(UTC))
