"""``partner diligence``: what was checked of a partner, by whom, and until when it holds."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli.cards import load_card
from coordinator.cli.noting import noted
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.control.joined import joined_cards
from coordinator.shown.diligence import diligence_shown
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from machine.console import Format, FormatOption, output
from machine.files import open_regular
from machine.text import shown
from protocol.agreement.diligence import DiligenceRecord
from protocol.agreement.document import time_text
from protocol.errors import UsageError

app = typer.Typer(
    help="Due diligence: what was checked of a partner, by whom, until when it holds.",
    no_args_is_help=True,
)
_MOST_DAYS = 3_660


@app.command("add")
def add(
    partner: Annotated[str, typer.Argument(help="The partner's id, as in agreements.")],
    checked: Annotated[str, typer.Option(help="What was checked, in words; partners read it.")],
    by: Annotated[str, typer.Option(help="Who checked it.")],
    days: Annotated[int, typer.Option(min=1, max=_MOST_DAYS, help="For how long it holds.")] = 365,
    card: Annotated[
        Path | None, typer.Option(help="The partner's card, where it did not join by invitation.")
    ] = None,
    document: Annotated[
        list[Path] | None,
        typer.Option(help="A document that it rests on; its name and SHA-256 are kept. Repeat it."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Sign a record on a partner; it takes the place of the one before."""
    config = CoordinatorConfig.load(directory)
    store = config.open_store()
    now = datetime.now(UTC)
    record = DiligenceRecord.sign(
        {
            "partner": partner,
            "public_key": _key_of(store, partner, card).hex(),
            "checked": checked,
            "by": by,
            "documents": [{"title": f.name, "sha256": _sha256(f)} for f in document or ()],
            "at": time_text(now),
            "expires": time_text(now + timedelta(days=days)),
        },
        config.signing_key(),
    )
    with noted(config, "partner diligence add", partner):
        Diligence(store).add(record, now=now)
    output.result(
        record.to_dict(),
        f"The record on {partner} holds until {record.expires:%Y-%m-%d}; partners see it.",
    )


@app.command("list")
def list_records(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The newest record on each partner, and whether it holds."""
    store = CoordinatorConfig.load(directory).open_store()
    output.show(diligence_shown(store, datetime.now(UTC)))


@app.command("show")
def show(
    partner: Annotated[str, typer.Argument(help="The partner's id.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Every record on a partner, newest first."""
    store = CoordinatorConfig.load(directory).open_store()
    found = [record for record in Diligence(store).all() if record.partner == partner]
    if not found:
        raise UsageError(
            f"there is no record on {partner!r}",
            remedy="fedseg-coordinator partner diligence add PARTNER",
        )
    lines = []
    for record in found:
        lines += [
            f"{record.at:%Y-%m-%d} to {record.expires:%Y-%m-%d}, by {shown(record.by)}: "
            f"{shown(record.checked)}",
            *(f"  {shown(d.title)}: SHA-256 {d.sha256.hex()}" for d in record.documents),
        ]
    output.result({"records": [record.to_dict() for record in found]}, *lines)


def _key_of(store: CoordinatorStore, partner: str, file: Path | None) -> bytes:
    """A partner's key: of its card, or with which it joined, or that was agreed last.

    Args:
        file: Its card; None where it joined, or is party to an agreement that was published.

    Raises:
        UsageError: The card is another partner's, or no key is known.
    """
    if file is not None:
        card = load_card(file)
        if card.id != partner:
            raise UsageError(
                f"{file} is the card of {card.id!r}, not of {partner!r}",
                remedy=f"name the card of {partner}",
            )
        return card.public_key
    agreed = reversed(store.agreements())  # of several keys the newest
    keys = {
        party.id: had[-1]
        for signed in agreed
        for party, had in zip(
            signed.agreement.parties, signed.agreement.keys.of_parties, strict=True
        )
    }
    keys |= {card.id: card.public_key for card in joined_cards(store)}
    if partner in keys:
        return keys[partner]
    raise UsageError(
        f"no partner {partner!r} joined, and no published agreement has one",
        remedy="invite and admit it first: see `fedseg-coordinator partner list`; or name the card "
        "that it gave you: --card FILE",
    )


def _sha256(file: Path) -> str:
    try:
        with open_regular(file) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", remedy="name a document's file"
        ) from error
