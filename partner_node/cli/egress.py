"""Commands about messages that left the node or wait for approval: `egress …`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory
from partner_node.egress.deciding import DECISIONS, decide
from partner_node.egress.words import STATE_WORDS, manifest_values
from partner_node.home import NodeHome
from partner_node.shown.egress import egress_shown, message_shown
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp

app = typer.Typer(help="What left this node, and what waits for approval.", no_args_is_help=True)

Number = Annotated[
    int, typer.Argument(min=1, help="Number of the message, as `egress list` shows it.")
]


@app.command("list")
def list_messages(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Every message that left this node, and every one that was held for approval."""
    output.show(egress_shown(_store(directory), _now()))


@app.command("show")
def show(number: Number, directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The manifest of one message: what it says, of how many customers, and to whom."""
    output.show(message_shown(_store(directory), number, _now()))


@app.command("approve")
def approve(number: Number, directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Let a message that was held leave; it does when the coordinator asks the next time."""
    _decide(directory, number, "approve")


@app.command("refuse")
def refuse(number: Number, directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Keep a message that was held here for good; its run goes on without it, or ends."""
    _decide(directory, number, "refuse")


def _decide(directory: Path, number: int, word: str) -> None:
    home, now = NodeHome.load(directory), _now()
    with noted(home, f"egress {word}", str(number), now) as noting:
        store, people = home.store(home.keystore()), home.people()
        written = decide(store, number, word, now=now, by=noting.who, people=people)
        if written.first_by:
            noting.waits()
    said = STATE_WORDS[DECISIONS[word]]
    if written.first_by:
        said += ". It stays here until a second person approves it too"
    output.result(
        manifest_values(written, stamp(now)),
        f"Message {number} of run {written.manifest.run_id.hex()[:8]}: {said}.",
    )


def _store(directory: Path) -> NodeStore:
    home = NodeHome.load(directory)
    return home.store(home.keystore())


def _now() -> datetime:
    return datetime.now(UTC)
