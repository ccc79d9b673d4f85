"""The audit log: `log show|checkpoint|verify|prove|check-proof|consistency|export`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.store.audit_log import PARTY
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from machine.console import Format, FormatOption, output
from machine.files import write_file
from machine.log_table import entries_shown, entries_words
from machine.named_files import read_if_there, read_of_log, write_within
from machine.text import how_many
from protocol.errors import UsageError
from protocol.log.checking import LogReader, check_log
from protocol.log.checkpoints import Checkpoint
from protocol.log.copies import CHECKPOINT_FILE, exported_files, open_copied
from protocol.log.entries import Entry
from protocol.log.names import key_of_log
from protocol.log.notes import MAX_NOTE_BYTES, Ed25519Verifier, Note, VerifierKey
from protocol.log.proofs import LogProof
from protocol.log.showing import (
    MAX_PROOF_BYTES,
    check_continues,
    check_follows,
    proof_of,
    signed_checkpoint,
    verified_checkpoint,
)
from protocol.log.tiles import MAX_ENTRY_BYTES
from protocol.signing import public_bytes

app = typer.Typer(
    help="The audit log: what happened here, whether it is whole, proofs and copies of it.",
    no_args_is_help=True,
)

Copy = Annotated[
    Path | None,
    typer.Option("--log", help="A copy that `log export` wrote, instead of this log itself."),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        help="Verifier key of a log, as `log checkpoint` prints it; repeat it for earlier keys. "
        "Those of this coordinator's own log are known here.",
    ),
]


@app.command("show")
def show(
    since: Annotated[int, typer.Option(min=0, help="The first entry's number.")] = 0,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Entries of one kind, like release; repeat it for several."),
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=1, help="Of these only so many, the newest.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """The entries, oldest first."""
    with _store(directory) as (_, store):
        numbered = store.log.numbered(since=since, kinds=kind or (), last=last)
        found = [(number, Entry.from_bytes(data).to_dict()) for number, data in numbered]
        output.show(entries_shown(found, store.log.size))


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
    with _store(directory) as (config, store):
        if out is not None:
            check_continues(store.log, read_if_there(out, MAX_NOTE_BYTES), str(out))
        key, note = _key(config), _signed(config, store)
    said = Checkpoint.from_text(note.text)
    if out is not None:
        write_file(out, note.to_bytes())
    output.result(
        {**_named(said), "key": str(key), "note": note.to_bytes().decode(),
         "file": None if out is None else str(out)},
        note.to_bytes().decode().rstrip("\n") if out is None else f"Wrote {out}.",
        f"The log's key, for whoever checks it: {key}",
    )  # fmt: skip


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
    with _chosen(copy, key, directory) as (log, keys, newest):
        earlier = [
            verified_checkpoint(read_of_log(one, MAX_NOTE_BYTES), keys) for one in checkpoint or ()
        ]
        size, root = check_log(log, [*earlier, *([] if newest is None else [newest])])
    output.result(
        {"size": size, "root": root.hex(), "checkpoints": [_named(one) for one in earlier]},
        f"The log is whole: {entries_words(size)}, root {root.hex()}.",
        f"It begins with what {how_many(len(earlier), 'checkpoint')} said."
        if earlier
        else "Whether entries at its end were cut off only a checkpoint kept elsewhere tells.",
    )


@app.command("prove")
def prove(
    number: Annotated[int, typer.Argument(min=0, help="The entry's number.")],
    out: Annotated[Path, typer.Option(help="File for the proof, a C2SP tlog-proof.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """A proof that an entry is in the log, which others check offline; nothing else is in it."""
    with _store(directory) as (config, store):
        proof, key = proof_of(store.log, number, _signed(config, store)), _key(config)
    write_file(out, proof.to_bytes(), mode=0o600)
    said = Checkpoint.from_text(proof.note.text)
    output.result(
        {**_named(said), "number": number, "file": str(out), "key": str(key)},
        f"Wrote {out}: entry {number} of {said.size}.",
        f"The log's key, for whoever checks it: {key}",
    )


@app.command("check-proof")
def check_proof(
    file: Annotated[Path, typer.Argument(help="A proof that `log prove` wrote.")],
    key: Annotated[str, typer.Option(help="The log's verifier key, from a way that you trust.")],
    format: Format = FormatOption,
) -> None:
    """Check a proof offline, of whatever party's log; one by a seal: `fedseg-node log`."""
    proof, named = LogProof.parse(read_of_log(file, MAX_PROOF_BYTES)), VerifierKey.parse(key)
    if proof.extra is None or len(proof.extra) > MAX_ENTRY_BYTES:
        raise UsageError(f"{file} has no entry in it", code="E-LOG-FILE", remedy="name a proof")
    said = proof.check(proof.extra, origin=named.name, log=Ed25519Verifier(named))
    found = Entry.from_bytes(proof.extra)
    output.result(
        {"origin": said.origin, "size": said.size, "root": said.root.hex(),
         "number": proof.index, "entry": found.to_dict()},
        f"Entry {proof.index} is in the log of {said.origin}, of {entries_words(said.size)}:",
        proof.extra.decode(),
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
    with _chosen(copy, key, directory) as (log, keys, _):
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
    """Copy the log into files, as C2SP tlog-tiles has them, for an auditor to check offline."""
    with _store(directory) as (config, store):
        note, key = _signed(config, store), _key(config)
        place = folder / CHECKPOINT_FILE
        check_continues(store.log, read_if_there(place, MAX_NOTE_BYTES), str(place))
        files = write_within(folder, exported_files(store.log, note))
    said = Checkpoint.from_text(note.text)
    output.result(
        {**_named(said), "folder": str(folder), "files": files, "key": str(key)},
        f"Wrote {entries_words(said.size)} into {folder}.",
        f"The log's key, for whoever checks it: {key}",
    )


@contextmanager
def _store(directory: Path) -> Iterator[tuple[CoordinatorConfig, CoordinatorStore]]:
    config = CoordinatorConfig.load(directory)
    with closing(config.open_store()) as store:
        yield config, store


@contextmanager
def _chosen(
    copy: Path | None, keys: list[str] | None, directory: Path
) -> Iterator[tuple[LogReader, list[VerifierKey], Checkpoint | None]]:
    """The log that is meant, the keys that count for it, and the checkpoint of a copy."""
    given = [VerifierKey.parse(one) for one in keys or ()]
    if copy is None:
        with _store(directory) as (config, store):
            yield store.log, list(dict.fromkeys([*_own_keys(config, store), *given])), None
        return
    if not given:
        raise UsageError(
            "a copy is checked with the key of its log",
            remedy="add --key; the log's keeper prints it: fedseg-coordinator log checkpoint",
        )
    copied, newest = open_copied(lambda path, most: read_of_log(copy / path, most), given)
    yield copied, given, newest


def _key(config: CoordinatorConfig) -> VerifierKey:
    return key_of_log(PARTY, public_bytes(config.signing_key()))


def _own_keys(config: CoordinatorConfig, store: CoordinatorStore) -> list[VerifierKey]:
    """The log's key, and those that were handed over, which signed it before."""
    public = public_bytes(config.signing_key())
    return [
        key_of_log(PARTY, one) for one in sorted(KeptHandOvers(store).load().same_owner(public))
    ]


def _signed(config: CoordinatorConfig, store: CoordinatorStore) -> Note:
    return signed_checkpoint(store.log, PARTY, config.signing_key())


def _named(said: Checkpoint) -> dict[str, object]:
    return {"origin": said.origin, "size": said.size, "root": said.root.hex()}
