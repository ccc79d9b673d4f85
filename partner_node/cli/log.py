"""The audit log: `log show|checkpoint|verify|prove|check-proof|consistency|export`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.files import write_file
from machine.log_table import entries_shown, entries_words
from machine.named_files import read_if_there, read_of_log, write_within
from machine.text import how_many
from partner_node.cli import log_witness
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.sealed_copies import CopiedSeals, copied_seals, copy_seals
from partner_node.sealed_proofs import checked_seals, cosigned_states, sealed_proof_of
from partner_node.shown.sealed import copied_values, copied_words, witnesses_of
from partner_node.store.audit_log import AuditLog
from partner_node.store.node_store import NodeStore
from protocol.errors import LogError, UsageError
from protocol.log.checking import LogReader, check_log, check_since, check_states
from protocol.log.checkpoints import Checkpoint
from protocol.log.copies import CHECKPOINT_FILE, exported_files, open_copied
from protocol.log.entries import Entry
from protocol.log.names import key_of_log
from protocol.log.notes import MAX_NOTE_BYTES, Note, VerifierKey
from protocol.log.showing import (
    check_continues,
    check_follows,
    proof_of,
    signed_checkpoint,
    verified_checkpoint,
)

app = typer.Typer(
    help="The audit log: what happened here, whether it is whole, proofs and copies of it.",
    no_args_is_help=True,
)
app.command("witness")(log_witness.witness)
app.command("accept")(log_witness.accept)
app.command("check-proof")(log_witness.check_proof)

Copy = Annotated[
    Path | None,
    typer.Option("--log", help="A copy that `log export` wrote, instead of this node's own log."),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        help="Verifier key of a log, as `log checkpoint` prints it; repeat it for earlier keys. "
        "Those of this node's own log are known here.",
    ),
]


@app.command("show")
def show(
    since: Annotated[int, typer.Option(min=0, help="The first entry's number.")] = 0,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Entries of one kind, like left; repeat it for several."),
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=1, help="Of these only so many, the newest.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """The entries, oldest first."""
    with _own(directory) as (_, store):
        log = store.log
        numbered = log.numbered(since=since, kinds=kind or (), last=last)
        found = [(number, Entry.from_bytes(data).to_dict()) for number, data in numbered]
        output.show(entries_shown(found, log.size))


@app.command("checkpoint")
def checkpoint(
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the signed note; of those there it replaces only an earlier one."
        ),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Size and root of the log now, signed: whoever keeps it notices what is changed before it."""
    with _own(directory) as (home, store):
        if out is not None:
            check_continues(store.log, read_if_there(out, MAX_NOTE_BYTES), str(out))
        key, note = _key(home), _signed(home, store.log)
    said = Checkpoint.from_text(note.text)
    if out is not None:
        write_file(out, note.to_bytes())
    output.result(
        {**_named(said), "key": str(key), "note": note.to_bytes().decode(), "file": _text(out)},
        note.to_bytes().decode().rstrip("\n") if out is None else f"Wrote {out}.",
        f"The log's key, for whoever checks it: {key}",
    )


@app.command("verify")
def verify(
    copy: Copy = None,
    key: Keys = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint that was kept elsewhere; repeat it for several."),
    ] = None,
    witness: log_witness.Witnesses = None,
    agreement: log_witness.Agreed = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Read only what came after the newest state that partners cosigned, or that a "
            "checkpoint which you give says.",
        ),
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Whether the log is whole: every entry and hash, and every checkpoint that is given.

    Also every state of it that was sealed; of a copy, with the keys of partners, who cosigned that.
    """
    if quick:
        _verify_quickly(copy, key, checkpoint, directory)
        return
    with _chosen(copy, key, directory) as (log, keys, newest, store):
        earlier = [
            verified_checkpoint(read_of_log(one, MAX_NOTE_BYTES), keys) for one in checkpoint or ()
        ]
        seals: list[CopiedSeals] = []
        if copy is not None:
            seals = copied_seals(copy, keys, witnesses_of(witness or (), agreement, keys))
        sealed = [state for one in seals for state in one.sealed]
        if store is not None:
            sealed = checked_seals(store)
        size, root = check_log(log, [*earlier, *sealed, *([] if newest is None else [newest])])
    output.result(
        {"size": size, "root": root.hex(), "checkpoints": [_named(one) for one in earlier],
         "seals": len(sealed), "cosigned": [copied_values(one) for one in seals]},
        f"The log is whole: {entries_words(size)}, root {root.hex()}.",
        f"It begins with each of {how_many(len(sealed), 'state')} that was sealed."
        if sealed
        else "",
        *(copied_words(one) for one in seals),
        f"It begins with what {how_many(len(earlier), 'checkpoint')} said."
        if earlier
        else "Whether entries at its end were cut off only a checkpoint kept elsewhere tells.",
    )  # fmt: skip


def _verify_quickly(
    copy: Path | None, key: list[str] | None, checkpoint: list[Path] | None, directory: Path
) -> None:
    """Check a log from the newest state on that others vouch for."""
    with _chosen(copy, key, directory) as (log, keys, newest, store):
        states = [
            verified_checkpoint(read_of_log(one, MAX_NOTE_BYTES), keys) for one in checkpoint or ()
        ]
        if store is not None:
            states += cosigned_states(store)
        if not states:
            raise LogError(
                "no partner cosigned this log yet, and no checkpoint of it is given",
                code="E-LOG-NOT-COSIGNED",
                remedy="give one that was kept elsewhere, --checkpoint; or leave --quick out",
            )
        known = max(states, key=lambda one: one.size)
        size, root = check_since(log, known)
        check_states(log, [*states, *([] if newest is None else [newest])])
    output.result(
        {"size": size, "root": root.hex(), "known": known.size},
        f"The log is whole from entry {known.size} on: {entries_words(size)}, root {root.hex()}.",
        f"Its first {entries_words(known.size)} have the hashes that others vouch for; their bytes "
        "were not read again: without --quick they are.",
    )


@app.command("prove")
def prove(
    number: Annotated[int, typer.Argument(min=0, help="The entry's number.")],
    out: Annotated[Path, typer.Option(help="File for the proof, a C2SP tlog-proof.")],
    entry: Annotated[Path | None, typer.Option(help="File for the entry's own bytes.")] = None,
    cosigned: Annotated[
        bool,
        typer.Option(
            "--cosigned", help="By a seal that other partners cosigned, with their words."
        ),
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """A proof that an entry is in the log, which others check offline; nothing else is in it.

    With --cosigned it also shows who saw a seal of it, and when by their clocks; the proof tells
    how many entries the log had then.
    """
    with _own(directory) as (home, store):
        log = store.log
        if cosigned:
            proof = sealed_proof_of(store, number)
        else:
            proof = proof_of(log, number, _signed(home, log))
        data, key = log.entry(number), _key(home)
    write_file(out, proof.to_bytes(), mode=0o600)
    if entry is not None:
        write_file(entry, data, mode=0o600)
    said = Checkpoint.from_text(proof.note.text)
    witnesses = [one.name for one in proof.note.signatures[1:]]
    output.result(
        {**_named(said), "number": number, "file": str(out), "entry_file": _text(entry),
         "key": str(key), "cosigned_by": witnesses},
        f"Wrote {out}: entry {number}, under a seal cosigned by {', '.join(witnesses)}."
        if cosigned
        else f"Wrote {out}: entry {number} of {said.size}.",
        f"The log's key, for whoever checks it: {key}",
    )  # fmt: skip


@app.command("consistency")
def consistency(
    old: Annotated[Path, typer.Argument(help="A checkpoint.")],
    new: Annotated[Path, typer.Argument(help="Another one.")],
    copy: Copy = None,
    key: Keys = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Whether one checkpoint's log begins the other's: nothing was changed in between."""
    with _chosen(copy, key, directory) as (log, keys, *_):
        found = [verified_checkpoint(read_of_log(one, MAX_NOTE_BYTES), keys) for one in (old, new)]
        proof = check_follows(log, *found)
    first, second = sorted(found, key=lambda one: one.size)
    output.result(
        {"old": _named(first), "new": _named(second), "proof": [one.hex() for one in proof]},
        f"The log of {entries_words(first.size)} begins that of {entries_words(second.size)}.",
    )


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for the copy, new or of an earlier one.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Copy the log into files, as C2SP tlog-tiles has them, for an auditor to check offline.

    Beside it its seals, opened, with what other partners cosigned of them.
    """
    with _own(directory) as (home, store):
        note, key = _signed(home, store.log), _key(home)
        said = Checkpoint.from_text(note.text)
        place = folder / CHECKPOINT_FILE
        check_continues(store.log, read_if_there(place, MAX_NOTE_BYTES), str(place))
        files = write_within(folder, exported_files(store.log, note)) + copy_seals(
            store, folder, said.size
        )
    output.result(
        {**_named(said), "folder": str(folder), "files": files, "key": str(key)},
        f"Wrote {entries_words(said.size)} into {folder}.",
        f"The log's key, for whoever checks it: {key}",
    )


@contextmanager
def _own(directory: Path) -> Iterator[tuple[NodeHome, NodeStore]]:
    home = NodeHome.load(directory)
    with closing(home.store(home.keystore())) as store:
        yield home, store


@contextmanager
def _chosen(
    copy: Path | None, keys: list[str] | None, directory: Path
) -> Iterator[tuple[LogReader, list[VerifierKey], Checkpoint | None, NodeStore | None]]:
    """The log that is meant, the keys that count for it, the checkpoint of a copy, else the state
    that has the log.
    """
    given = [VerifierKey.parse(one) for one in keys or ()]
    if copy is None:
        with _own(directory) as (home, store):
            keys_of_it = list(dict.fromkeys([*_own_keys(home), *given]))
            yield store.log, keys_of_it, None, store
        return
    if not given:
        raise UsageError(
            "a copy is checked with the key of its log",
            remedy="add --key; the log's keeper prints it: fedseg-node log checkpoint",
        )
    copied, newest = open_copied(lambda path, most: read_of_log(copy / path, most), given)
    yield copied, given, newest, None


def _key(home: NodeHome) -> VerifierKey:
    return key_of_log(home.config.node.partner, home.keystore().identity_public)


def _own_keys(home: NodeHome) -> list[VerifierKey]:
    """The log's key, and those that this node handed over, which signed it before."""
    public = home.keystore().identity_public
    return [
        key_of_log(home.config.node.partner, one)
        for one in sorted(home.hand_overs.load().same_owner(public))
    ]


def _signed(home: NodeHome, log: AuditLog) -> Note:
    return signed_checkpoint(log, home.config.node.partner, home.keystore().identity)


def _named(said: Checkpoint) -> dict[str, object]:
    return {"origin": said.origin, "size": said.size, "root": said.root.hex()}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
