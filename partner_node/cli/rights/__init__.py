"""What customers ask for: `rights …`; what they are told, what they wish, and the register."""

from __future__ import annotations

import typer

from partner_node.cli.noting import noting
from partner_node.cli.rights import answers, receipts, requests, wishes

app = typer.Typer(
    help="Answer customers: access, objections, erasure and more; receipts and deadlines.",
    no_args_is_help=True,
)
for _word, _command in (
    ("access", answers.access),
    ("explain", answers.explain),
    ("object", wishes.object_),
    ("erase", wishes.erase),
    ("restrict", wishes.restrict),
    ("rectify", requests.rectify),
    ("extend", requests.extend),
    ("refuse", requests.refuse),
    ("take-back", wishes.take_back),
    ("correct", wishes.correct),
    ("export", answers.export),
    ("receive", requests.receive),
    ("receipt", receipts.receipt),
    ("receipt-key", receipts.receipt_key),
):
    app.command(_word)(noting(f"rights {_word}")(_command))
app.command("list")(requests.list_requests)
app.command("check-receipt")(receipts.check_receipt)
