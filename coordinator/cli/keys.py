"""The coordinator's signing key, its passphrase, and keys that partners replaced: `key …`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.agreement_file import load_hand_over
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.control.passphrase import change_passphrase
from coordinator.control.rotating import finish, rotate
from coordinator.control.taking_hand_overs import keep_hand_over
from coordinator.shown.forks import forks_shown
from coordinator.store.hand_overs import KeptHandOvers
from machine.console import Format, FormatOption, output
from machine.files import write_file
from machine.private_files import read_private_file
from machine.tables import folding_table
from protocol.agreement.hand_over import HandOver
from protocol.errors import UsageError, naming_file
from protocol.signing import key_id, public_bytes

app = typer.Typer(
    help="The coordinator's signing key and its passphrase, and keys that partners replaced.",
    no_args_is_help=True,
)


def hand_over_values(one: HandOver) -> dict[str, Any]:
    """A hand-over as JSON values; no partner where it is the coordinator's."""
    return {
        "partner": one.partner or None,
        "number": one.number,
        "old_key": key_id(one.old_key),
        "new_key": key_id(one.new_key),
        "at": one.at,
    }


@app.command("show")
def show(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The coordinator's signing key, and every hand-over of a key that it knows."""
    config = CoordinatorConfig.load(directory)
    own = public_bytes(config.signing_key())
    with closing(config.open_store()) as store:
        known, forks = KeptHandOvers(store).load(), forks_shown(store)
    table = folding_table("whose", "number", "made at", "old key", "new key", title="Hand-overs")
    for one in known:
        table.add_row(one.whose, str(one.number), one.at, key_id(one.old_key), key_id(one.new_key))
    output.result(
        {
            "key": key_id(own),
            "public_key": own.hex(),
            "hand_overs": [hand_over_values(one) for one in known],
            **forks.values,
        },
        f"The coordinator's signing key is {key_id(own)}.",
        table if known else "No key was handed over.",
        *forks.parts,
    )


@app.command("rotate")
def rotate_key(
    out: Annotated[
        Path | None,
        typer.Option(help="Where the hand-over goes as a file, for partners by hand."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Replace the signing key by a new one, without a new agreement; the old one is erased.

    Not while it serves. What was switched off in between is finished by the same command, or when
    it serves again.
    """
    one = rotate(CoordinatorConfig.load(directory), now=datetime.now(UTC))
    if out is not None:
        write_file(out, one.to_bytes())
    output.result(
        hand_over_values(one) | {"file": None if out is None else str(out)},
        f"The coordinator's signing key is now {key_id(one.new_key)}; the old one, "
        f"{key_id(one.old_key)}, signs nothing any more and is erased.",
        "Nodes take the hand-over online, and with the next run; serve again.",
        f"Wrote {out}, for a node that is to know it before: `fedseg-node key accept`."
        if out is not None
        else "",
        "Make a backup now: in earlier ones there is the old key alone. "
        "`fedseg-coordinator state backup`",
    )


@app.command("export")
def export(
    partner: Annotated[
        str, typer.Argument(help="Whose; the coordinator's own when left out.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Where the last hand-over goes.")] = Path(
        "hand-over.json"
    ),
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write the last hand-over of a partner, or the coordinator's own, for nodes by hand."""
    known = KeptHandOvers(CoordinatorConfig.load(directory).open_store()).load()
    found = [one for one in known if one.partner == partner]
    if not found:
        raise UsageError(
            f"no hand-over of {partner or 'the coordinator'} is known",
            remedy="see `fedseg-coordinator key show`",
        )
    write_file(out, found[-1].to_bytes())
    output.result(
        hand_over_values(found[-1]) | {"file": str(out)}, f"Wrote {out}: {found[-1].words}."
    )


@app.command("accept")
def accept(
    file: Annotated[Path, typer.Argument(help="A partner's hand-over.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take a partner's hand-over that came as a file; one that joined sends it by itself."""
    config = CoordinatorConfig.load(directory)
    store = config.open_store()
    one, own = load_hand_over(file), public_bytes(config.signing_key())
    with naming_file(file):
        is_new = keep_hand_over(store, one, own_key=own, now=datetime.now(UTC))
    output.result(
        hand_over_values(one) | {"new": is_new},
        f"{'Took' if is_new else 'Known already:'} {one.words}. The next run begins under the new "
        "key, and tells every node of it.",
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
    """Encrypt the coordinator's keys with another passphrase; the keys stay as they are."""
    config = CoordinatorConfig.load(directory)
    finish(config, config.open_store())
    new = None
    if new_file is not None:
        new = read_private_file(new_file, check_folder=False).strip()
    changed = change_passphrase(config, new)
    place = config.passphrase_file
    output.result(
        {"keys": changed, "passphrase_file": None if place is None else str(place)},
        f"{', '.join(changed)} open with the new passphrase.",
        f"It is in {place}."
        if place is not None
        else f"Set {config.passphrase_env} to it, also for the service, and start that again.",
        "Backups of before open with the passphrase of before: keep it as long as them, or make a "
        "backup now and delete those.",
    )
