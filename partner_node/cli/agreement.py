"""Reading, signing and installing the agreement: `agreement …`."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from machine.console import Format, FormatOption, output
from machine.files import check_writable, write_file
from partner_node.agreeing import install_agreement, note_stop
from partner_node.agreement_files import (
    read_agreement,
    read_start,
    verified,
)
from partner_node.cli import builds
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory, Under
from partner_node.four_eyes import First
from partner_node.home import FILE_NAME, NodeHome
from partner_node.shown.agreement import agreement_shown, stop_values
from partner_node.shown.four_eyes import waits_shown
from partner_node.signing import (
    FORGOTTEN,
    Signing,
    forget_first,
    let_out,
    sign_agreement,
    taken,
)
from partner_node.store.node_store import NodeStore
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.document import Agreement, time_text
from protocol.agreement.stop import MAX_BYTES as MAX_STOP_BYTES
from protocol.agreement.stop import SignedStop
from protocol.errors import FedsegError, UsageError, naming_file

app = typer.Typer(help="Read, sign and install the agreement.", no_args_is_help=True)
app.add_typer(builds.app, name="builds")

#: What names a proposal; anything else is a file.
_DIGITS: Final = re.compile(r"[0-9a-f]{1,64}")

Proposed = Annotated[
    str | None,
    typer.Option(
        help="Instead of a file: the hash, or its first digits, of one that the operator proposed "
        "online; see `agreement proposals`."
    ),
]


@app.command("show")
def show(
    file: Annotated[
        Path | None, typer.Argument(help="An envelope; the installed one when left out.")
    ] = None,
    proposed: Proposed = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """The agreement in plain words, for whoever decides whether to sign."""
    home: NodeHome | None = None
    if proposed is not None:
        from partner_node.control.proposals import fetched  # gRPC takes long to import

        home = NodeHome.load(directory)
        signed, path = fetched(home, proposed)
    elif file is None:
        home = NodeHome.load(directory).chosen(under)
        path, signed = home.config.node.agreement, home.signed_agreement()
    else:
        path, signed = file, read_agreement(file)
        if (directory / FILE_NAME).exists():
            home = NodeHome.load(directory)
    output.show(
        agreement_shown(
            signed, path, None if home is None else (home, _store(home)), datetime.now(UTC)
        )
    )


def _store(home: NodeHome) -> NodeStore:
    return home.store(home.keystore())


@app.command("proposals")
def proposals(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The agreements that the operator proposed online, and who answered what."""
    from partner_node.shown.proposals import proposals_shown  # gRPC takes long to import

    output.show(proposals_shown(NodeHome.load(directory)))


@app.command("sign")
def sign(
    file: Annotated[Path | None, typer.Argument(help="The agreement's envelope.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the signed copy of a file goes.")] = None,
    proposed: Proposed = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Sign an agreement with this node's key; run `agreement show` first.

    Where the agreement asks for two people nothing is signed before a second one signs too.
    """
    if proposed is not None and (file is not None or out is not None):
        raise UsageError("--proposed signs online, without files", remedy="leave the files out")
    if proposed is None and (file is None or out is None):
        raise UsageError(
            "what to sign is missing: a file with --out, or --proposed",
            remedy="see `fedseg-node agreement proposals`",
        )
    home = NodeHome.load(directory)
    if proposed is not None:
        from partner_node.control.proposals import fetched, send_signature

        signed, where = fetched(home, proposed)
    elif file is not None:
        signed, where = read_agreement(file), file
    agreement, now = signed.agreement, datetime.now(UTC)
    complete = None
    if out is not None:
        check_writable(out)
    with noted(home, "agreement sign", agreement.hash.hex()[:16], now) as noting:
        signing = sign_agreement(home, signed, where, by=noting.who, now=now)
        if isinstance(signing, Signing):
            copy = signing.copy
            if out is not None:
                let_out(home, signing, partial(write_file, out, copy.to_bytes()), now=now)
            else:
                complete = let_out(home, signing, partial(send_signature, home, copy), now=now)
        else:
            noting.waits()
    if isinstance(signing, First):
        called = f"Agreement {agreement.id}, version {agreement.version},"
        output.show(waits_shown(signing, f"{called} is not signed yet"))
        raise typer.Exit(3)
    warnings = [*taken(home, agreement), *_problems(directory, where)]
    output.warn(warnings)
    output.result(
        {
            **agreement.named(),
            "file": None if out is None else str(out),
            "signed_by": signing.by,
            "complete": complete,
            "signed_before": None if signing.before is None else time_text(signing.before),
            "warnings": warnings,
        },
        f"Signed agreement {agreement.id}, version {agreement.version}"
        + (f"; wrote {out}." if out is not None else "; the operator has the signature."),
        _signed_before(home, agreement, signing),
        "Every party has signed: a serving node takes it up by itself." if complete else "",
    )


@app.command("decline")
def decline(
    proposed: Annotated[
        str,
        typer.Argument(
            help="The proposal's hash, or its first digits; see `proposals`. Or an agreement's "
            "file, of which the first of two signatures is taken back.",
            metavar="HASH|FILE",
        ),
    ],
    comment: Annotated[
        str | None, typer.Option(help="Why, for the operator and the other parties.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Say that a proposed agreement is not signed as it is, and why.

    A first signature that waits here for a second person is forgotten, also while the coordinator
    is away. With a file that is all; tell the operator why.
    """
    home, now = NodeHome.load(directory), datetime.now(UTC)
    if _DIGITS.fullmatch(proposed):
        if comment is None:
            raise UsageError("no comment says why", remedy="add --comment")
        from partner_node.control import proposals as online  # gRPC takes long to import

        with noted(home, "agreement decline", proposed[:16], now):
            found = online.decline(home, proposed, comment)
        output.result(
            {**found.named(), "comment": comment},
            f"Declined agreement {found.id}, version {found.version}; the operator reads why.",
        )
        return
    if comment is not None:
        raise UsageError("--comment goes online, with a proposal", remedy="leave it out")
    agreement = read_agreement(Path(proposed)).agreement
    with noted(home, "agreement decline", agreement.hash.hex()[:16], now):
        forgotten = forget_first(home, agreement.hash.hex())
    output.result(
        {**agreement.named(), "comment": None},
        FORGOTTEN if forgotten else "No first signature of it waits here.",
        "Tell the operator why it is not signed.",
    )


def _signed_before(home: NodeHome, agreement: Agreement, signing: Signing) -> str:
    """That it was signed here before, for whoever meant another one; else nothing."""
    if signing.before is None:
        return ""
    there = home.under(agreement.id).installed_agreement()
    in_force = there is not None and there.hash == agreement.hash
    return (
        f"It was signed here before, at {time_text(signing.before)}"
        + (", and is in force" if in_force else "")
        + "; see `fedseg-node agreement proposals` for what is open."
    )


def _problems(directory: Path, file: Path) -> list[str]:
    """What would keep this node from a run under an agreement, as `check` finds it."""
    from partner_node.preflight import preflight

    found = preflight(directory, now=datetime.now(UTC), agreement_file=file, connect=False)
    return [
        f"this node would not answer under it as it is now: {item.title}: {item.problem}; "
        f"{item.problem.remedy}"
        for item in found.items
        if item.problem is not None
    ]


@app.command("install")
def install(
    file: Annotated[Path, typer.Argument(help="The agreement with every signature.")],
    downgrade: Annotated[
        bool,
        typer.Option(
            "--downgrade",
            help="Replace a version of the same agreement that this one does not supersede.",
        ),
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put the fully signed agreement into force at this node, also at one that serves now."""
    home = NodeHome.load(directory)
    signed, now = read_agreement(file), datetime.now(UTC)
    about = signed.agreement.hash.hex()[:16] + (", downgrade" if downgrade else "")
    with noted(home, "agreement install", about, now):
        done = install_agreement(home, signed, file, downgrade=downgrade)
    agreement, replaces, ended = done.agreement, done.replaces, done.runs_ended
    output.result(
        {
            **agreement.named(),
            "file": str(done.file),
            "replaces": None if replaces is None else replaces.named(),
            "runs_ended": [run_id.hex() for run_id in ended],
            "waits_until": time_text(agreement.effective) if done.waits else None,
        },
        f"Agreement {agreement.id}, version {agreement.version}, is in force here"
        + (f" from {agreement.effective:%Y-%m-%d %H:%M} UTC" if done.waits else "")
        + f", signed by all {agreement.n_partners} parties.",
        "Until then what is in force now goes on." if done.waits else "",
        "" if replaces is None or done.waits else _replaced(agreement, replaces),
        ""
        if replaces is None or done.waits or replaces.id == agreement.id
        else _beside(home, agreement),
        f"Unfinished runs of other agreements that it ended: {len(ended)}." if ended else "",
        ""
        if done.waits
        else "A node that serves now takes it up with the next message that it gets.",
    )


def _beside(home: NodeHome, agreement: Agreement) -> str:
    return (
        f"To have both in force, give {agreement.id} a section in {home.config.file.name}, "
        f"[agreements.{agreement.id}], and install both again (docs/several-agreements.md)."
    )


def _replaced(agreement: Agreement, earlier: Agreement) -> str:
    same = (earlier.id, earlier.version) == (agreement.id, agreement.version)
    return f"It replaces agreement {earlier.id}, version {earlier.version}" + (
        f", with OTHER TERMS UNDER THE SAME VERSION: hash {agreement.hash.hex()} instead of "
        f"{earlier.hash.hex()}."
        if same
        else "."
    )


@app.command("stop")
def stop(
    out: Annotated[Path, typer.Option(help="Where the signed stop goes, for all other parties.")],
    reason: Annotated[str, typer.Option(help="Why, in words that the others may read.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, only say what it means.")
    ] = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Stop the installed agreement at once and for good, also in the middle of a run."""
    home = NodeHome.load(directory).chosen(under)
    agreement = verified(home.signed_agreement(), home.config.node.agreement)
    if not yes:
        raise UsageError(
            f"this ends every run under agreement {agreement.id}, version {agreement.version}, for "
            "all its partners, and cannot be taken back",
            remedy="add --yes; what was released stays, and the parties that stay may sign a new "
            "version",
        )
    now = datetime.now(UTC)
    coming = [one for one in _waiting(home) if one.id == agreement.id]
    stopped = {agreement: out} | {one: _beside_file(out, one) for one in coming}
    with noted(home, "agreement stop", agreement.hash.hex()[:16], now):
        done = [_stopped(home, one, file, reason=reason, now=now) for one, file in stopped.items()]
    warnings = list(dict.fromkeys(words for one in done for words in one["warnings"]))
    output.warn(warnings)
    files, sent = ", ".join(map(str, stopped.values())), all(one["sent"] for one in done)
    output.result(
        {**done[0], "warnings": warnings, "waiting": done[1:]},
        f"Agreement {agreement.id}, version {agreement.version}, is stopped here. "
        + "".join(f"So is version {one.version}, which waits. " for one in coming)
        + (
            "The coordinator has the stop and hands it on to serving nodes."
            if sent
            else f"Send {files} to the operator (fedseg-coordinator agreement stop) and to the "
            "other partners (fedseg-node agreement accept-stop)."
        ),
    )


def _stopped(
    home: NodeHome, agreement: Agreement, out: Path, *, reason: str, now: datetime
) -> dict[str, Any]:
    """Stop one version, which is in force or waits; what came of it, as JSON values."""
    signed = SignedStop.sign(
        agreement, home.keystore().identity, at=f"{now:%Y-%m-%dT%H:%M:%SZ}", reason=reason
    )
    ended = note_stop(home, signed, now)
    write_file(out, signed.to_bytes())
    sent, warnings = _sent(home, signed)
    return {
        **stop_values(signed, agreement), "file": str(out), "sent": sent, "warnings": warnings,
        "runs_ended": ended,
    }  # fmt: skip


def _beside_file(out: Path, agreement: Agreement) -> Path:
    """The file for the stop of a version that waits."""
    return out.with_name(f"{out.stem}-version-{agreement.version}{out.suffix}")


def _waiting(home: NodeHome) -> list[Agreement]:
    """Versions that are not effective yet, of every agreement."""
    with closing(_store(home)) as store:
        return [home.with_keys(one).agreement for one in WaitingVersions(store).all()]


@app.command("accept-stop")
def accept_stop(
    file: Annotated[Path, typer.Argument(help="Another partner's signed stop.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Answer nothing more under an installed agreement, because another partner stopped it."""
    home = NodeHome.load(directory)
    data = read_start(file, 2 * MAX_STOP_BYTES + 1)
    with naming_file(file, remedy="ask the partner that stopped for the file again"):
        signed = SignedStop.from_bytes(data)
    waiting = [one for one in _waiting(home) if one.hash == signed.agreement_hash]
    home = _place_of(home, signed.agreement_hash)
    agreement = (
        waiting[0] if waiting else verified(home.signed_agreement(), home.config.node.agreement)
    )
    now = datetime.now(UTC)
    with noted(home, "agreement accept-stop", signed.agreement_hash.hex()[:16], now):
        with naming_file(file, remedy="ask the partner that stopped for the file again"):
            signed.verify(agreement)
        ended = note_stop(home, signed, now)
    output.result(
        {**stop_values(signed, agreement), "runs_ended": ended},
        f"{signed.partner} stopped agreement {agreement.id}, version {agreement.version}, at "
        f"{signed.at}; this node answers nothing more under it.",
    )


def _place_of(home: NodeHome, agreement_hash: bytes) -> NodeHome:
    """The place of the agreement in force with a hash; the first one's where it is none of them."""
    for place in home.in_force():
        if place.signed_agreement().agreement.hash == agreement_hash:
            return place
    return home.main()


def _sent(home: NodeHome, signed: SignedStop) -> tuple[bool, list[str]]:
    """Send a stop online where this node joined; whether it was, and a warning if it could not."""
    if home.config.coordinator.control is None:
        return False, []
    from partner_node.control.stopping import send_stop  # gRPC takes long to import

    try:
        send_stop(home, signed)
    except FedsegError as error:
        return False, [f"the coordinator does not have it yet: {error.message}"
                       + (f" ({error.remedy})" if error.remedy else "")
                       + "; a serving node sends it again, and the file does the same"]  # fmt: skip
    return True, []
