"""What left the node: `egress …`."""

from __future__ import annotations

import typer

from partner_node.cli.options import HERE, Directory
from partner_node.console import Format, FormatOption, output
from partner_node.home import NodeHome
from partner_node.record_tables import egress_privacy, egress_values, egress_words

app = typer.Typer(help="What left this node.", no_args_is_help=True)


@app.command("list")
def list_messages(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Every message that left this node: what it was, and how many customers it counted."""
    home = NodeHome.load(directory)
    records = home.store(home.keystore()).egress()
    output.result(
        {"messages": egress_values(records), "privacy": egress_privacy(records)},
        *egress_words(records),
    )
