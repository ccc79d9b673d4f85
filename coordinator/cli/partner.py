"""``partner``: commands that admit and remove partners' nodes at the public port."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from coordinator.cli.cards import load_cards
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.store.admitted_nodes import AdmittedNodes, key_end
from machine.console import Format, FormatOption, output
from protocol.agreement.document import Agreement
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import AgreementError

app = typer.Typer(help="Admit partners' nodes to the public port.", no_args_is_help=True)


@app.command("admit")
def admit(
    cards: Annotated[list[Path], typer.Argument(help="Partners' cards.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Let a card's node key take an earlier one's place.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Let partners' nodes through the public port; `serve` notices within a second."""
    from coordinator.service.superlink import node_key_bytes  # Flower takes long to import

    store = CoordinatorConfig.load(directory).open_store()
    read = load_cards(cards)
    published = [signed.agreement for signed in store.agreements()]
    for card in read:
        node_key_bytes(card.node_key.encode("ascii"))
        _check_party(card, published)
    keys = {card.id: card.node_key for card in read}
    replaced = AdmittedNodes(store).admit(keys, replace=replace)
    admitted = [card.id for card in read]
    output.result(
        {"admitted": admitted, "replaced": replaced},
        f"Admitted {', '.join(admitted)}.",
        *(
            f"Replaced the node key of {id} that ends in {key_end(replaced[id])}."
            for id in replaced
        ),
    )


def _check_party(card: PartnerCard, published: Sequence[Agreement]) -> None:
    """Refuse a card with a party's id and another signing key."""
    keys = {p.public_key for agreement in published for p in agreement.parties if p.id == card.id}
    if keys and card.public_key not in keys:
        raise AgreementError(
            f"the card of {card.id!r} has another public key than the party {card.id!r} of a "
            "published agreement",
            code="E-AGR-PARTY",
            remedy=f"ask {card.id}, over a way that you trust, whether it made its node anew: "
            "then its signing key is new too, and a new version of the agreement has to be drafted "
            "with this card, signed by every party and published before it is admitted; or it puts "
            "its folder back from a backup",
        )


@app.command("remove")
def remove(
    partner: Annotated[str, typer.Argument(help="The partner's id, see `partner list`.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Shut a partner's node out; `serve` notices within a second."""
    AdmittedNodes(CoordinatorConfig.load(directory).open_store()).remove(partner)
    output.result({"removed": partner}, f"The node of {partner} may not connect any more.")


@app.command("list")
def list_partners(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Which partners' nodes may connect."""
    admitted = AdmittedNodes(CoordinatorConfig.load(directory).open_store()).key_of_partner()
    table = Table("partner", "node key")
    for partner, key in admitted.items():
        table.add_row(partner, key_end(key))
    output.result({"admitted": admitted}, table)
