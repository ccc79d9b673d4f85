"""Backups of a folder's state: one private file, made while the folder is in use.

A backup is a tar archive whose first member, ``manifest.json``, names what is in it: for each part
its role, its length and its SHA-256. A database is in it as one moment saw it. What was written is
read back before a backup is called one, and one that is restored is checked before anything of it
is put in place.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from machine.files import create_file, open_regular, replacing, sync_folder, write_file
from protocol.errors import ConfigError, FedsegError, UsageError

SCHEMA: Final = "fedseg/backup/v1"
#: The parts that every backup has, by role: the file with the settings, and the database.
SETTINGS: Final = "settings"
STATE: Final = "state"

_MANIFEST: Final = "manifest.json"
_MANIFEST_BYTES: Final = 1 << 20
_MOST_PARTS: Final = 64
_DRAFT_END: Final = ".restoring"


class BackupError(FedsegError):
    """A file is no backup, or not whole."""

    default_code = "E-BACKUP"
    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a backup.

    Attributes:
        role: What it is to whoever made the backup.
        path: Where it stood: relative to the folder, or absolute if it stood outside.
    """

    role: str
    path: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        kind: What was backed up: a node or a coordinator.
        whose: Whose it is, for people.
        made_at: When, as an ISO time in UTC.
        version: Of the program that made it.
    """

    kind: str
    whose: str
    made_at: str
    version: str
    parts: tuple[Part, ...]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "whose": self.whose,
            "made_at": self.made_at,
            "version": self.version,
            "parts": [
                {"role": p.role, "path": p.path, "bytes": p.n_bytes, "sha256": p.sha256}
                for p in self.parts
            ],
        }


def gathered(
    folder: Path,
    places: Mapping[str, Path],
    *,
    read: Mapping[str, Callable[[], bytes]],
    may_lack: Collection[str],
) -> dict[str, tuple[str, bytes]]:
    """Path and bytes of each part, by role, for `write_backup`.

    Args:
        folder: The folder that is backed up.
        places: Where each part stands, by role.
        read: How parts are read that are not just files.
        may_lack: Roles of parts that need not be there.

    Raises:
        ConfigError: A file cannot be read.
    """
    contents = {}
    for role, path in places.items():
        if role in may_lack and not path.exists():
            continue
        data = read[role]() if role in read else _bytes_of(path)
        contents[role] = (_said(path, folder), data)
    return contents


def write_backup(
    out: Path,
    contents: Mapping[str, tuple[str, bytes]],
    *,
    kind: str,
    whose: str,
    made_at: str,
    version: str,
) -> Manifest:
    """Write a new backup with mode 0600, and read it back.

    Args:
        out: The file; never replaced.
        contents: Path and bytes of each part, by role.

    Raises:
        UsageError: It is there already, or cannot be written.
        BackupError: What was written does not read as it was meant.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already", remedy="name another file")
    manifest = Manifest(
        kind=kind,
        whose=whose,
        made_at=made_at,
        version=version,
        parts=tuple(
            Part(role=role, path=path, n_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for role, (path, data) in contents.items()
        ),
    )
    named = {part.role: contents[part.role][1] for part in manifest.parts}
    listed = json.dumps(manifest.to_dict(), indent=2, ensure_ascii=False).encode("utf-8")
    with replacing(out, mode=0o600, is_new=True) as draft:
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, data in {_MANIFEST: listed, **named}.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(data), 0o600
                archive.addfile(entry, io.BytesIO(data))
        with draft.open("rb") as file:
            read = _read(file, out)
        if read != (manifest, named):
            raise BackupError(f"{out} does not read as it was written", remedy="try another disk")
    return manifest


def note_backup(note: Path, made_at: str) -> None:
    """Note when a backup was written, for whoever watches; it is no part of a backup itself."""
    write_file(note, made_at + "\n")


def last_backup(note: Path) -> datetime | None:
    """When the last backup was written; None where none was, or the note cannot be read."""
    try:
        found = datetime.fromisoformat(note.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_backup(path: Path, *, kind: str) -> tuple[Manifest, dict[str, bytes]]:
    """What a backup says of itself, and the bytes of each part by role.

    Raises:
        UsageError: The file cannot be read.
        BackupError: It is no backup, of something else, or not whole.
    """
    try:
        with open_regular(path) as file:
            manifest, contents = _read(file, path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}", remedy="name the backup's file"
        ) from error
    if manifest.kind != kind:
        raise BackupError(
            f"{path} is the backup of a {manifest.kind}, not of a {kind}",
            remedy=f"restore it with the command of the {manifest.kind}",
        )
    if not {SETTINGS, STATE} <= contents.keys():
        raise BackupError(f"{path} has no settings, or no state", remedy="take another one")
    return manifest, contents


def put_back(
    path: Path,
    folder: Path,
    *,
    kind: str,
    settings: str,
    places: Callable[[Path], Mapping[str, Path]],
    check: Callable[[Path], None],
    elsewhere: bool = False,
    rewritten: Callable[[bytes, Path], bytes] = lambda found, _: found,
    last: Callable[[Path, Path], None] = lambda _, __: None,
) -> Manifest:
    """Make a folder from a backup, whole or not at all.

    Parts that stood outside the folder are put back where the settings say, first.

    Args:
        kind: What it has to be a backup of.
        settings: The name of the file with the settings.
        places: Where each part belongs, by role, for a folder that has its settings.
        check: Raises an error when a copy of the database cannot be used.
        elsewhere: Whether parts may be written outside the folder. The settings that say where are
            in the backup: whoever made that says which files are written.
        rewritten: The settings that the folder is to have, of those in the backup and the folder.
        last: Called with the draft of the folder and a checked copy of the database, when all else
            is in place; what it raises undoes the rest.

    Raises:
        FedsegError: The backup is not whole, something is there already, or a part belongs outside
            the folder and may not (E-ELSEWHERE).
    """
    manifest, contents = read_backup(path, kind=kind)
    with restoring(folder) as draft:
        contents[SETTINGS] = rewritten(contents[SETTINGS], draft)
        place(draft / settings, contents[SETTINGS])
        copy = draft / ".state-checked.db"
        place(copy, contents[STATE])
        check(copy)
        wanted = {role: where for role, where in places(draft).items() if role in contents}
        if not elsewhere:
            _refuse_elsewhere(wanted.values(), draft)
        for role, where in wanted.items():
            place(where, contents[role])
        last(draft, copy)
        copy.unlink()
    return manifest


def _refuse_elsewhere(places: Iterable[Path], folder: Path) -> None:
    inside = folder.resolve()
    outside = [str(path) for path in places if not path.resolve().is_relative_to(inside)]
    if outside:
        raise UsageError(
            f"the settings in the backup place parts outside the folder: {', '.join(outside)}",
            code="E-ELSEWHERE",
            remedy="if these are the files that you expect there, and you trust the backup, add "
            "--elsewhere",
        )


@contextmanager
def restoring(folder: Path) -> Iterator[Path]:
    """Yield a new private folder that becomes `folder` at the end, unless the block raises.

    A process that is killed leaves `folder` as it was, and a draft beside it, which the next one
    removes.

    Raises:
        UsageError: There is something in `folder`, or it cannot be made (E-FILE).
    """
    folder = folder.absolute()
    draft = folder.with_name(f".{folder.name}{_DRAFT_END}")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{folder} is there, and nothing is restored over it",
                remedy="name a new folder with --dir, or move that one away first",
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        try:
            yield draft
            for made in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
                sync_folder(made)
            draft.rename(folder)  # over an empty folder at most
            sync_folder(folder.parent)
        finally:
            if draft.exists():
                shutil.rmtree(draft)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be restored: {error.strerror or error}",
            code="E-FILE",
            remedy="name a folder that this account may make, on a disk with room",
        ) from error


def place(path: Path, data: bytes) -> None:
    """Write one restored file, private; a file that is there must be the same.

    Raises:
        OSError: It cannot be written.
        UsageError: Another file is there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        create_file(path, data)
    except FileExistsError as error:
        if path.read_bytes() != data:
            raise UsageError(
                f"{path} is there, and nothing is restored over it",
                remedy="move it away first",
            ) from error


def _said(path: Path, folder: Path) -> str:
    """A path as a manifest has it: relative to the folder where it is inside."""
    absolute, around = path.absolute(), folder.absolute()
    return str(absolute.relative_to(around) if absolute.is_relative_to(around) else absolute)


def _bytes_of(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}",
            remedy="bring it back, or correct the settings",
        ) from error


def _read(file: IO[bytes], path: Path) -> tuple[Manifest, dict[str, bytes]]:
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            manifest = _manifest(_member(archive, _MANIFEST, _MANIFEST_BYTES))
            contents = {p.role: _member(archive, p.role, p.n_bytes) for p in manifest.parts}
            if archive.next() is not None:
                raise ValueError("more is in it than it says")
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        raise BackupError(
            f"{path} is no whole backup: {error}", remedy="take another one"
        ) from error
    for part in manifest.parts:
        if hashlib.sha256(contents[part.role]).hexdigest() != part.sha256:
            raise BackupError(
                f"{path} is damaged: its part {part.role!r} is not what was written",
                remedy="take another one",
            )
    return manifest, contents


def _member(archive: tarfile.TarFile, name: str, most: int) -> bytes:
    """The bytes of the next member, which has that name and is a file."""
    entry = archive.next()
    if entry is None or entry.name != name or not entry.isreg() or entry.size > most:
        raise ValueError(f"{name} is missing, or longer than it should be")
    stream = archive.extractfile(entry)
    data = b"" if stream is None else stream.read()
    if len(data) != entry.size:
        raise ValueError(f"{name} ends too early")
    return data


def _manifest(data: bytes) -> Manifest:
    values = json.loads(data)
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ValueError(f"its manifest is not of {SCHEMA}")
    parts = values["parts"]
    if not isinstance(parts, list) or len(parts) > _MOST_PARTS:
        raise ValueError("its manifest lists no parts")
    texts = ("kind", "whose", "made_at", "version")
    manifest = Manifest(
        **{name: values[name] for name in texts},
        parts=tuple(
            Part(role=p["role"], path=p["path"], n_bytes=p["bytes"], sha256=p["sha256"])
            for p in parts
        ),
    )
    if not all(isinstance(getattr(manifest, name), str) for name in texts) or not all(
        isinstance(p.role, str) and isinstance(p.path, str) and isinstance(p.n_bytes, int)
        for p in manifest.parts
    ):
        raise ValueError("its manifest is malformed")
    return manifest
