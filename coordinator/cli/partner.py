"""``partner``: commands that invite, admit and remove partners' nodes."""

from __future__ import annotations

import secrets
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from coordinator.acts import partners as acts
from coordinator.cli import diligence
from coordinator.cli.cards import load_cards
from coordinator.cli.noting import noted
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.control.inviting import check_id
from coordinator.control.inviting import invite as make_invitation
from coordinator.control.standing import shut_out
from coordinator.service.certificates import read_certificate
from coordinator.shown.partners import partners_shown
from coordinator.store.admitted_nodes import key_end
from machine.console import Format, FormatOption, Verbatim, output
from machine.files import write_file
from machine.text import minute
from protocol.control.invitation import SECRET_BYTES
from protocol.errors import UsageError
from protocol.signing import public_bytes

app = typer.Typer(help="Invite, admit and remove partners' nodes.", no_args_is_help=True)

app.add_typer(diligence.app, name="diligence")

_MAX_DAYS: Final = 90


@app.command("invite")
def invite(
    partners: Annotated[
        list[str],
        typer.Argument(
            metavar="PARTNER…", help="Each partner's id in agreements, like north-shop."
        ),
    ],
    days: Annotated[
        int, typer.Option(help="Days for which an invitation is good.", min=1, max=_MAX_DAYS)
    ] = 7,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name or address by which partners reach the coordinator; the first one of "
            "the certificate when left out."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the invitation, of one partner, to this file, closed to others."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make one-time invitations, by which partners' nodes join: each a text to be handed over."""
    if len(partners) > len({*partners}):
        raise UsageError(
            f"a partner is named twice: {', '.join(partners)}",
            remedy="one invitation lets one node in",
        )
    if out is not None and len(partners) > 1:
        raise UsageError(
            f"--out is one file, and {len(partners)} partners are named",
            remedy="invite each in a call of its own, or leave --out out",
        )
    config = CoordinatorConfig.load(directory)
    names = read_certificate(config.certificate).names
    if name is not None and name not in names:
        raise UsageError(
            f"--name {name!r} is not in the certificate, which is for {', '.join(names)}",
            remedy="fedseg-coordinator certificate renew --name, then switch",
        )
    for partner in partners:
        check_id(partner)
    now = datetime.now(UTC)
    by = name or next((one for one in names if "*" not in one), names[0])
    with (
        closing(config.open_store()) as store,
        noted(config, "partner invite", ", ".join(partners)),
    ):
        made = {
            partner: make_invitation(
                config,
                store,
                partner,
                name=by,
                secret=secrets.token_bytes(SECRET_BYTES),
                now=now,
                end=now + timedelta(days=days),
            )
            for partner in partners
        }
    values, words = [], []
    for partner, one in made.items():
        text = one.invitation.to_text()
        if out is not None:
            write_file(out, text + "\n", mode=0o600)
        values.append(
            {
                "partner": partner,
                "invitation": text if out is None else None,
                "file": None if out is None else str(out),
                "address": one.invitation.address,
                "expires": one.invitation.end.isoformat(),
                "replaced": one.replaced,
            }
        )
        words += [
            f"Invitation for {partner}, once, until {one.invitation.end:%Y-%m-%d %H:%M} UTC.",
            Verbatim(text) if out is None else f"Wrote {out}.",
            "The invitation before is worth nothing any more." if one.replaced else "",
        ]
    output.result(
        {"invitations": values},
        *words,
        "Whoever has an invitation can join in the partner's place: hand it over by a way that "
        "you trust.",
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
    if not cards and not code:
        raise UsageError(
            "whom to admit is missing",
            remedy="give --code with the short code of a node that joined, or name cards",
        )
    config = CoordinatorConfig.load(directory)
    store = config.open_store()
    read = load_cards(cards or [])
    about = ", ".join([*(card.id for card in read), *(code or ())])
    with noted(config, "partner admit", about):
        done = acts.admit(
            store,
            read,
            code or [],
            coordinator_key=public_bytes(config.signing_key()) if code else b"",
            replace=replace,
        )
    output.result(
        {"admitted": list(done.partners), "replaced": done.replaced},
        f"Admitted {', '.join(done.partners)}.",
        *(
            f"Replaced the node key of {id} that ends in {key_end(key)}."
            for id, key in done.replaced.items()
        ),
    )


@app.command("remove")
def remove(
    partner: Annotated[str, typer.Argument(help="The partner's id, see `partner list`.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Shut a partner's node out, and withdraw its invitation; `serve` notices within a second."""
    config = CoordinatorConfig.load(directory)
    with closing(config.open_store()) as store, noted(config, "partner remove", partner):
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
        own_key = public_bytes(config.signing_key())
        output.show(partners_shown(store, coordinator_key=own_key, now=datetime.now(UTC)))


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
    about = ", ".join(partners or ())
    with closing(config.open_store()) as store, noted(config, "partner check", about):
        seen = acts.ask_to_check(
            store,
            partners or (),
            coordinator_key=public_bytes(config.signing_key()),
            now=datetime.now(UTC),
        )
    output.result(
        {"asked": [{"partner": partner, "seen_at": at} for partner, at in seen.items()]},
        *(f"Asked {partner}, whose node was seen {minute(at)}." for partner, at in seen.items()),
        "`fedseg-coordinator partner list` shows what they found.",
    )
