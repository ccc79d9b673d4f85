"""What customers ask for: `rights …`; what they are told, what they wish, and the register."""

from __future__ import annotations

import typer

from partner_node.cli.rights import answers, requests, wishes

app = typer.Typer(
    help="Answer customers: access, objections, erasure and more; receipts and deadlines.",
    no_args_is_help=True,
)
app.command("access")(answers.access)
app.command("explain")(answers.explain)
app.command("object")(wishes.object_)
app.command("erase")(wishes.erase)
app.command("restrict")(wishes.restrict)
app.command("rectify")(requests.rectify)
app.command("extend")(requests.extend)
app.command("refuse")(requests.refuse)
app.command("take-back")(wishes.take_back)
app.command("correct")(wishes.correct)
app.command("export")(answers.export)
app.command("receive")(requests.receive)
app.command("list")(requests.list_requests)
