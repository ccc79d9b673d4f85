"""``partner``: commands that invite, admit and remove partners' nodes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from coordinator.cli import diligence
from coordinator.cli.cards import load_cards
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.control.announcements import ADMITTED, CHECK, Announcements
from coordinator.control.inviting import invite as make_invitation
from coordinator.control.joined import card_with_code
from coordinator.control.standing import PartnerStanding, shut_out, standings
from coordinator.service.certificates import read_certificate
from coordinator.store.admitted_nodes import AdmittedNodes, key_end
from coordinator.store.diligence import Diligence
from machine.console import Format, FormatOption, Verbatim, output
from machine.files import write_file
from machine.text import minute
from protocol.agreement.document import Agreement, time_text
from protocol.agreement.partner_card import PartnerCard
from protocol.control.invitation import SECRET_BYTES
from protocol.errors import AgreementError, UsageError
from protocol.signing import public_bytes

app = typer.Typer(help="Invite, admit and remove partners' nodes.", no_args_is_help=True)

app.add_typer(diligence.app, name="diligence")

_MAX_DAYS: Final = 90


@app.command("invite")
def invite(
    partner: Annotated[
        str, typer.Argument(help="The partner's id in agreements, like north-shop.")
    ],
    days: Annotated[
        int, typer.Option(help="Days for which the invitation is good.", min=1, max=_MAX_DAYS)
    ] = 7,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name or address by which the partner reaches the coordinator; the first one of "
            "the certificate when left out."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the invitation to this file, closed to others.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make a one-time invitation, by which a partner's node joins: a text to be handed over."""
    config = CoordinatorConfig.load(directory)
    names = read_certificate(config.certificate).names
    if name is not None and name not in names:
        raise UsageError(
            f"--name {name!r} is not in the certificate, which is for {', '.join(names)}",
            remedy="fedseg-coordinator certificate renew --name",
        )
    now = datetime.now(UTC)
    with closing(config.open_store()) as store:
        made = make_invitation(
            config,
            store,
            partner,
            name=name or next((one for one in names if "*" not in one), names[0]),
            secret=secrets.token_bytes(SECRET_BYTES),
            now=now,
            end=now + timedelta(days=days),
        )
    text = made.invitation.to_text()
    if out is not None:
        write_file(out, text + "\n", mode=0o600)
    output.result(
        {
            "partner": partner,
            "invitation": text if out is None else None,
            "file": None if out is None else str(out),
            "address": made.invitation.address,
            "expires": made.invitation.end.isoformat(),
            "replaced": made.replaced,
        },
        f"Invitation for {partner}, once, until {made.invitation.end:%Y-%m-%d %H:%M} UTC. Whoever "
        "has it can join in its place: hand it over by a way that you trust.",
        Verbatim(text) if out is None else f"Wrote {out}.",
        "The invitation before is worth nothing any more." if made.replaced else "",
    )


@app.command("admit")
def admit(
    cards: Annotated[
        list[Path] | None, typer.Argument(help="Partners' cards, where they came as files.")
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option(
            help="The short code that a partner whose node joined tells you over the telephone; "
            "repeat it for several."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let a card's node key take an earlier one's place.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Let partners' nodes through the public port; `serve` notices within a second."""
    from coordinator.service.superlink import node_key_bytes  # Flower takes long to import

    if not cards and not code:
        raise UsageError(
            "whom to admit is missing",
            remedy="give --code with the short code of a node that joined, or name cards",
        )
    config = CoordinatorConfig.load(directory)
    store = config.open_store()
    read = load_cards(cards or [])
    if code:
        key = public_bytes(config.signing_key())
        read += [card_with_code(store, one, coordinator_key=key) for one in code]
    published = [signed.agreement for signed in store.agreements()]
    for card in read:
        node_key_bytes(card.node_key.encode("ascii"))
        _check_party(card, published)
    keys = {card.id: card.node_key for card in read}
    replaced = AdmittedNodes(store).admit(keys, replace=replace)
    with store.transaction():
        Announcements(store).add(ADMITTED, list(keys))
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
    keys = {
        key
        for agreement in published
        for party, had in zip(agreement.parties, agreement.keys.of_parties, strict=True)
        if party.id == card.id
        for key in had
    }
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
    """Shut a partner's node out, and withdraw its invitation; `serve` notices within a second."""
    with closing(CoordinatorConfig.load(directory).open_store()) as store:
        was = shut_out(store, partner)
    output.result(
        {"removed": partner, **was.to_dict()},
        f"The node of {partner} may not connect any more." if was.admitted or was.joined else "",
        f"The invitation of {partner} is worth nothing any more." if was.invited else "",
    )


@app.command("list")
def list_partners(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Who is invited, joined and admitted, with short codes, when each was seen last, and who is
    ready.
    """
    config = CoordinatorConfig.load(directory)
    with closing(config.open_store()) as store:
        admitted = AdmittedNodes(store).key_of_partner()
        found = standings(
            store, coordinator_key=public_bytes(config.signing_key()), now=datetime.now(UTC)
        )
        records = Diligence(store).newest()
    table = Table(
        "partner", "stands", "code", "node key", "seen last", "version", "diligence until"
    )
    rows = []
    for one in found:
        record = records.get(one.partner)
        table.add_row(*_row(one), "" if record is None else f"{record.expires:%Y-%m-%d}")
        until = None if record is None else time_text(record.expires)
        rows.append(one.to_dict() | {"diligence_until": until})
    output.result(
        {"admitted": admitted, "partners": rows},
        table,
        *_readiness_table(found),
    )


@app.command("check")
def check(
    partners: Annotated[
        list[str] | None, typer.Argument(help="Partners' ids; all that joined when left out.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Ask partners' nodes to check whether they are ready; `partner list` shows what they say.

    A node reads all its customers for that, so it does it at most once in ten minutes.
    """
    config = CoordinatorConfig.load(directory)
    with closing(config.open_store()) as store:
        found = standings(
            store, coordinator_key=public_bytes(config.signing_key()), now=datetime.now(UTC)
        )
        seen = {one.partner: one.seen_at for one in found if one.state == "admitted" and one.code}
        asked = sorted(set(partners or seen))
        strangers = [partner for partner in asked if partner not in seen]
        if strangers or not asked:
            raise UsageError(
                f"{', '.join(strangers) or 'nobody'}: no admitted node joined by invitation",
                remedy="see `fedseg-coordinator partner list`; others call `fedseg-node check`",
            )
        with store.transaction():
            Announcements(store).add(CHECK, asked)
    output.result(
        {"asked": [{"partner": partner, "seen_at": seen[partner]} for partner in asked]},
        *(f"Asked {partner}, whose node was seen {minute(seen[partner])}." for partner in asked),
        "`fedseg-coordinator partner list` shows what they found.",
    )


def _readiness_table(found: Sequence[PartnerStanding]) -> list[object]:
    table = Table("partner", "agreement", "ready", "since", "told last", title="Readiness")
    for one in found:
        for agreement, row in one.readiness:
            table.add_row(
                one.partner,
                f"{agreement.id}, version {agreement.version}",
                row.words,
                minute(row.since),
                minute(row.told_at),
            )
    return [table] if table.rows else []


def _seen_words(one: PartnerStanding) -> str:
    if one.listens:
        return "listens now"
    return minute(one.seen_at) if one.seen_at else ""


def _row(one: PartnerStanding) -> tuple[str, ...]:
    until = f", until {minute(one.expires_at)}" if one.expires_at else ""
    return (
        one.partner,
        one.state + until,
        one.code,
        key_end(one.node_key) if one.node_key else "",
        _seen_words(one),
        one.version,
    )
