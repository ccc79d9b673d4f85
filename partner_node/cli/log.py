"""The audit log: `log show|checkpoint|verify|prove|check-proof|consistency|export`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.files import write_file
from machine.text import how_many
from partner_node.auditing import (
    MAX_PROOF_BYTES,
    check_follows,
    copy_log,
    open_copy,
    proof_of,
    read_file,
    signed_checkpoint,
    verified_checkpoint,
)
from partner_node.cli import log_witness
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.sealed_proofs import checked_seals, sealed_proof_of
from partner_node.shown.audit_log import entries_words, log_shown
from partner_node.shown.sealed import keys_for, sealed_shown
from partner_node.store.audit_log import AuditLog
from partner_node.store.node_store import NodeStore
from protocol.errors import UsageError
from protocol.log.checking import LogReader, check_log
from protocol.log.checkpoints import Checkpoint
from protocol.log.entries import Entry
from protocol.log.names import key_of_log
from protocol.log.notes import MAX_NOTE_BYTES, Ed25519Verifier, Note, VerifierKey
from protocol.log.proofs import LogProof
from protocol.log.seals import is_sealed
from protocol.log.tiles import MAX_ENTRY_BYTES

app = typer.Typer(
    help="The audit log: what happened here, whether it is whole, proofs and copies of it.",
    no_args_is_help=True,
)
app.command("witness")(log_witness.witness)
app.command("accept")(log_witness.accept)

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
    kind: Annotated[str | None, typer.Option(help="Entries of one kind, like left.")] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """The entries, oldest first."""
    with _own(directory) as (_, store):
        output.show(log_shown(store.log, since=since, kind=kind))


@app.command("checkpoint")
def checkpoint(
    out: Annotated[Path | None, typer.Option(help="File for the signed note.")] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Size and root of the log now, signed: whoever keeps it notices what is changed before it."""
    with _own(directory) as (home, store):
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
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Whether the log is whole: every entry and hash, and every checkpoint that is given."""
    with _chosen(copy, key, directory) as (log, keys, newest, sealed):
        earlier = [
            verified_checkpoint(read_file(one, MAX_NOTE_BYTES), keys) for one in checkpoint or ()
        ]
        states = [*earlier, *sealed] if newest is None else [*earlier, newest]
        size, root = check_log(log, states)
    output.result(
        {"size": size, "root": root.hex(), "checkpoints": [_named(one) for one in earlier],
         "seals": len(sealed)},
        f"The log is whole: {entries_words(size)}, root {root.hex()}.",
        f"It begins with each of {how_many(len(sealed), 'state')} that was sealed."
        if sealed
        else "",
        f"It begins with what {how_many(len(earlier), 'checkpoint')} said."
        if earlier
        else "Whether entries at its end were cut off only a checkpoint kept elsewhere tells.",
    )  # fmt: skip


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
    write_file(out, proof.to_bytes())
    if entry is not None:
        write_file(entry, data)
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


@app.command("check-proof")
def check_proof(
    file: Annotated[Path, typer.Argument(help="A proof that `log prove` wrote.")],
    key: Annotated[
        str | None, typer.Option(help="The log's verifier key, from a way that you trust.")
    ] = None,
    entry: Annotated[
        Path | None, typer.Option(help="The entry's bytes; those in the proof when left out.")
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(help="Verifier key of a partner that cosigns; repeat it for several."),
    ] = None,
    agreement: Annotated[
        Path | None, typer.Option(help="Instead of keys: the agreement, which names those of all.")
    ] = None,
    quorum: Annotated[
        int | None,
        typer.Option(min=0, help="How many have to have cosigned; one where keys are given."),
    ] = None,
    format: Format = FormatOption,
) -> None:
    """Check a proof offline, of whatever party's log; of one by a seal also who cosigned it."""
    proof = LogProof.parse(read_file(file, MAX_PROOF_BYTES))
    if is_sealed(proof):
        own, others = keys_for(proof, key, witness or (), agreement)
        output.show(sealed_shown(proof, own, others, quorum, entry))
        return
    if key is None:
        raise UsageError("a proof is checked with the key of its log", remedy="add --key")
    data = proof.extra if entry is None else read_file(entry, MAX_ENTRY_BYTES)
    if data is None:
        raise UsageError(
            f"{file} has no entry in it", code="E-LOG-FILE", remedy="name its file: --entry"
        )
    named = VerifierKey.parse(key)
    said = proof.check(data, origin=named.name, log=Ed25519Verifier(named))
    found = Entry.from_bytes(data)
    output.result(
        {**_named(said), "number": proof.index, "entry": found.to_dict()},
        f"Entry {proof.index} is in the log of {said.origin}, of {entries_words(said.size)}:",
        data.decode(),
    )


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
        found = [verified_checkpoint(read_file(one, MAX_NOTE_BYTES), keys) for one in (old, new)]
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
    """Copy the log into files, as C2SP tlog-tiles has them, for an auditor to check offline."""
    with _own(directory) as (home, store):
        note, key = _signed(home, store.log), _key(home)
        files = copy_log(store.log, note, folder)
    said = Checkpoint.from_text(note.text)
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
) -> Iterator[tuple[LogReader, list[VerifierKey], Checkpoint | None, list[Checkpoint]]]:
    """The log that is meant, the keys that count for it, the checkpoint of a copy, and the states
    of this node's own that were sealed.
    """
    given = [VerifierKey.parse(one) for one in keys or ()]
    if copy is None:
        with _own(directory) as (home, store):
            keys_of_it = list(dict.fromkeys([*_own_keys(home), *given]))
            yield store.log, keys_of_it, None, checked_seals(store)
        return
    if not given:
        raise UsageError(
            "a copy is checked with the key of its log",
            remedy="add --key; the log's keeper prints it: fedseg-node log checkpoint",
        )
    copied, newest = open_copy(copy, given)
    yield copied, given, newest, []


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
