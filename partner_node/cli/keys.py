"""This node's signing key, its passphrase, and keys that others replaced: `key …`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.files import check_writable, write_file
from partner_node.agreement_files import read_start
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory
from partner_node.handing_over import take_up_one
from partner_node.home import CARD_FILE, NodeHome
from partner_node.keystore import read_passphrase
from partner_node.passphrase import change_passphrase
from partner_node.rotating import renew, rotate
from protocol.agreement.hand_over import MAX_BYTES, HandOver
from protocol.errors import FedsegError, TransportError, UsageError, naming_file
from protocol.signing import key_id

app = typer.Typer(
    help="This node's signing key and its passphrase, and keys that partners replaced.",
    no_args_is_help=True,
)


@app.command("show")
def show(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """This node's signing key, and every hand-over of a key that is known here."""
    from partner_node.shown.keys import keys_shown

    home = NodeHome.load(directory)
    output.show(keys_shown(home, home.store(home.keystore())))


@app.command("rotate")
def rotate_key(
    out: Annotated[
        Path | None,
        typer.Option(help="Where the hand-over goes as a file, for an operator by hand."),
    ] = None,
    end_runs: Annotated[
        bool, typer.Option("--end-runs", help="End runs that go on here; they may go on without.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Replace the signing key by a new one, without a new agreement; the old one is erased.

    What was switched off in between is finished by the same command.
    """
    home = NodeHome.load(directory)
    if out is not None:
        check_writable(out)  # before the old key is erased
    now = datetime.now(UTC)
    with noted(home, "key rotate", "", now):
        found = rotate(home, now=now, end_runs=end_runs)
    one = found.hand_over
    if out is not None:
        write_file(out, one.to_bytes())
    sent, warnings = _sent(NodeHome.load(directory))
    output.warn(warnings)
    output.result(
        {
            **one.values,
            "agreements": list(found.agreements),
            "runs_ended": [run.hex() for run in found.runs_ended],
            "file": None if out is None else str(out),
            "sent": sent,
            "warnings": warnings,
        },
        f"The signing key of {one.partner} is now {key_id(one.new_key)}; the old one, "
        f"{key_id(one.old_key)}, signs nothing any more and is erased. It holds under: "
        f"{', '.join(found.agreements) or 'no agreement yet'}.",
        *(f"Ended here: run {run.hex()[:8]}." for run in found.runs_ended),
        f"The coordinator has the hand-over and hands it on ({CARD_FILE} has the new key)."
        if sent
        else "",
        f"Wrote {out}: the operator takes it with `fedseg-coordinator key accept`."
        if out is not None
        else "",
        "Make a backup now: in earlier ones there is the old key alone. `fedseg-node state backup`",
    )


def _sent(home: NodeHome) -> tuple[bool, list[str]]:
    """Send the hand-over where this node joined; whether it was, and else what to do."""
    if home.config.coordinator.control is None:
        return False, [
            "This node is in no control plane: give the operator the hand-over as a file, "
            "`fedseg-node key export`. Until then no run begins with this node (E-KEY-BEHIND)."
        ]
    from partner_node.control.handing_over import send_own  # gRPC is slow to import

    try:
        send_own(home)
    except TransportError as error:
        return False, [
            f"The coordinator has not got the hand-over ({error}); a node that serves sends it as "
            "soon as it can."
        ]
    except FedsegError as error:
        return False, [f"The hand-over is refused ({error}). Way out: {error.remedy}."]
    return True, []


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="Where this node's hand-over goes.")],
    number: Annotated[
        int | None, typer.Option(min=1, help="Which one, as in `key show`; the last if left out.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write a hand-over of this node to a file, for an operator or partners by hand.

    Whoever lacks several takes them in their order.
    """
    home = NodeHome.load(directory)
    own = home.keystore().identity_public
    chain = home.hand_overs.load().to_key(own)
    if not chain:
        raise UsageError(
            f"the key of {home.config.node.partner} was not handed over",
            remedy="`fedseg-node key rotate` does that",
        )
    found = next((one for one in reversed(chain) if number in (None, one.number)), None)
    if found is None:
        raise UsageError(
            f"no hand-over {number} leads to the key of {home.config.node.partner}",
            remedy=f"there are {chain[0].number} to {chain[-1].number}: `fedseg-node key show`",
        )
    write_file(out, found.to_bytes())
    output.result(found.values | {"file": str(out)}, f"Wrote {out}: {found.words}.")


@app.command("accept")
def accept(
    file: Annotated[Path, typer.Argument(help="A hand-over of a partner or the coordinator.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take a hand-over that came as a file; a node online, or in a run, does it by itself."""
    home = NodeHome.load(directory)
    data = read_start(file, 2 * MAX_BYTES + 1)
    with naming_file(file):
        one = HandOver.from_bytes(data)
        with noted(home, "key accept", f"{one.whose}, {one.number}", datetime.now(UTC)):
            is_new = take_up_one(home, one)
    output.result(
        one.values | {"new": is_new},
        f"{'Took up' if is_new else 'Known already:'} {one.words}.",
    )


@app.command("renew")
def renew_key(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, only say what it means.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make a new signing key without a hand-over, where the old one was lost to somebody else.

    Agreements name the old one: each needs a new version, drafted with the new card. The ledger and
    all that customers wished stay.
    """
    home = NodeHome.load(directory)
    if not yes:
        raise UsageError(
            "no agreement of now knows the new key: runs here are over until every party has "
            "signed a new version that names it",
            remedy="`fedseg-node key rotate` needs no new version, while the key is this node's "
            "alone; else add --yes",
        )
    now = datetime.now(UTC)
    with noted(home, "key renew", "", now):
        key = key_id(renew(home, now=now).identity_public)
    output.result(
        {"key": key, "card": str(home.directory / CARD_FILE)},
        f"The signing key of {home.config.node.partner} is now {key}.",
        f"Give the operator {home.directory / CARD_FILE}, by a way that you both trust, for the "
        "next version: `fedseg-coordinator agreement draft --next --card`.",
    )


@app.command("passphrase")
def passphrase(
    new_file: Annotated[
        Path | None,
        typer.Option(help="File with the new passphrase, mode 0600; one is drawn when left out."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Encrypt the key store with another passphrase, also while serving; the keys stay."""
    home = NodeHome.load(directory)
    new = None
    if new_file is not None:
        new = read_passphrase(file=new_file, variable=None, environment={})
    with noted(home, "key passphrase", "", datetime.now(UTC)):
        change_passphrase(home, new)
    keys = home.config.keys
    output.result(
        {
            "key_store": str(keys.store),
            "passphrase_file": None if keys.passphrase_file is None else str(keys.passphrase_file),
        },
        f"{keys.store} opens with the new passphrase.",
        f"It is in {keys.passphrase_file}."
        if keys.passphrase_file is not None
        else f"Set {keys.passphrase_env} to it, also for the service; a node that serves goes on "
        "with the keys that it has open.",
        "Backups of before open with the passphrase of before: keep it as long as them, or make a "
        "backup now and delete those.",
    )
