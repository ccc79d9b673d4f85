"""Files about customers: written by one process at a time, and cleaned up after a crash.

Such a file is written as a draft beside its final place, under a random name, and renamed when it
is complete. The draft's name is recorded durably before the draft is created.

A writer holds a lock file beside the database, which the system releases however the process ends.
So a draft that is on record when a process acquires the lock was left by one that has ended, and
is deleted. Process ids are not used, as they may have been reassigned. Removing customers from
files needs the lock, too, and so waits for a file that is being written.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from machine.files import make_folder_of, replacing, sync_folder
from machine.locks import held
from machine.text import shown
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.recorded_paths import RecordedPath
from partner_node.store.node_store import NodeStore
from protocol.errors import UsageError

LOCK_FILE: Final = "files.lock"
#: The longest wait for a process that writes files.
LONGEST_WAIT_S: Final = 600.0
_MODE: Final = 0o600
_CONTEXT: Final = b"draft"
_IN_MEMORY: Final = ":memory:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Drafts that a killed process left and that could not be deleted; they stay on record.

    Attributes:
        unreachable: Those whose folder is missing.
        stuck: Those that this account cannot delete, with the reason.
        foreign: Those outside a folder of which the node's may be a copy.
    """

    unreachable: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Where those are that nobody tried to delete."""
        return self.unreachable + self.foreign

    @property
    def words(self) -> list[str]:
        """What the person has to do, a line each."""
        return [
            *(
                f"{shown(path)}, an unfinished file about customers that a killed process left, is "
                "in a folder that is not there now: bring the folder back, or make an empty one in "
                "its place when it is gone for good"
                for path in self.unreachable
            ),
            *(
                f"{shown(path)}: it is an unfinished file about customers that a killed process "
                "left; delete it, or let this account do so"
                for path in self.stuck
            ),
            *(
                f"{shown(path)}: it is an unfinished file about customers that a killed process "
                "left when this node had another folder, of which this one may be a copy; delete "
                "it there"
                for path in self.foreign
            ),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """A draft on record.

    Attributes:
        path: Where the draft is, absolute.
        place: The path that it will be renamed to.
        n_rows, sha256: New values for the export record of the file at that path, to be stored
            once the draft has replaced it; None where there are none.
        foreign: Whether the node had another folder when it was begun.
    """

    number: int
    path: Path
    place: Path
    n_rows: int | None
    sha256: str | None
    foreign: bool = False


class Draft:
    """A file that is being written; at first the file at `path` is empty, readable by us alone."""

    def __init__(self, record: _Record, store: NodeStore) -> None:
        self._store = store
        self._record = record
        self.path = record.path

    def will_hold(self, *, n_rows: int, sha256: str) -> None:
        """Set the values that the file's export record gets once the draft has replaced the file.

        Args:
            n_rows: Customers in it.
            sha256: Of the draft as it is now, in hexadecimal.
        """
        self._record = replace(self._record, n_rows=n_rows, sha256=sha256)
        with self._store.transaction():
            self._store.ask(
                "UPDATE drafts SET sealed = ? WHERE number = ?",
                _sealed(self._record, self._store),
                self._record.number,
            )

    @property
    def record(self) -> _Record:
        """Its present record."""
        return self._record


class HeldFiles:
    """Access to files about customers while no other process writes any.

    Attributes:
        left: Drafts that killed processes left and that could not be deleted.
    """

    def __init__(self, store: NodeStore, left: Leftovers) -> None:
        self._store = store
        self.left = left

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Draft]:
        """Yield a draft that replaces `path` at the end, unless the block raises.

        Raises:
            UsageError: The file cannot be written (E-FILE).
        """
        make_folder_of(path)  # first: a draft that cannot be created would stay on record
        draft = self._begin(path)
        try:
            with replacing(path, mode=_MODE, temporary=draft.path):
                yield draft
        finally:
            _settle(draft.record, self._store)

    def _begin(self, path: Path) -> Draft:
        place = path if path.is_absolute() else located(path)
        # Independent of the final name, which may be too long for a prefix, or a customer's id.
        draft = place.with_name(f".fedseg-{secrets.token_hex(8)}.part")
        record = _Record(number=0, path=draft, place=place, n_rows=None, sha256=None)
        with self._store.transaction():
            ((number,),) = self._store.ask(
                "INSERT INTO drafts (sealed) VALUES (?) RETURNING number",
                _sealed(record, self._store),
            )
        return Draft(replace(record, number=number), self._store)


class PrivateFiles:
    """All files about customers that one node writes."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    @contextmanager
    def held(self) -> Iterator[HeldFiles]:
        """Acquire the lock on files about customers; first deletes what killed processes left.

        Raises:
            UsageError: Another process has been writing for `LONGEST_WAIT_S` seconds.
        """
        with self._lock(wait_s=LONGEST_WAIT_S) as ours:
            if not ours:
                raise UsageError(
                    f"another process of this node has been writing files about customers for "
                    f"{LONGEST_WAIT_S:g} seconds",
                    remedy="wait until it is done, or end it; then call this command again",
                )
            yield HeldFiles(self._store, self._sweep())

    def sweep(self) -> Leftovers:
        """Delete what killed processes left.

        Does nothing while another process writes: that one has done so already.
        """
        with self._lock(wait_s=0.0) as ours:
            return self._sweep() if ours else Leftovers()

    @contextmanager
    def _lock(self, *, wait_s: float) -> Iterator[bool]:
        """Yield whether the lock was acquired; it is held until the end of the block."""
        if self._store.path == _IN_MEMORY:
            yield True  # no other process has this database
            return
        with held(Path(self._store.path).with_name(LOCK_FILE), wait_s=wait_s) as ours:
            yield ours

    def _sweep(self) -> Leftovers:
        unreachable, stuck, foreign = [], [], []
        for record in _records(self._store):
            if record.foreign:
                if os.path.lexists(record.path):
                    foreign.append(str(record.path))
                else:
                    _forget(record, self._store)
                continue
            reason = _settle(record, self._store)
            if reason == "":
                unreachable.append(str(record.path))
            elif reason is not None:
                stuck.append(f"{record.path} cannot be deleted ({reason})")
        return Leftovers(unreachable=tuple(unreachable), stuck=tuple(stuck), foreign=tuple(foreign))


def located(path: Path) -> Path:
    """The absolute path of a file, its folder resolved; a link at the path itself is kept."""
    return path.parent.resolve() / path.name


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse an existing file unless `overwrite`; raises UsageError (E-FILE)."""
    if not overwrite and os.path.lexists(path):
        raise UsageError(
            f"{path} is there already",
            code="E-FILE",
            remedy="name another file, or give --overwrite",
        )


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _settle(record: _Record, store: NodeStore) -> str | None:
    """Delete a draft, update the export record if it replaced its file, and remove its record.

    Every write ends here, whether the draft was renamed, or an error or a crash came in between.

    Returns:
        None when the draft is gone. Else it stays on record: empty when its folder is missing, or
        why it cannot be deleted.
    """
    try:
        record.path.unlink(missing_ok=True)
        sync_folder(record.path.parent)
        replaced = record.sha256 is not None and _holds(record.place, record.sha256)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or type(error).__name__
    with store.transaction():
        if replaced and record.n_rows is not None and record.sha256 is not None:
            ExportRecords(store).rewrite(
                str(record.place),
                n_rows=record.n_rows,
                sha256=record.sha256,
                now=datetime.now(UTC),
            )
        store.ask("DELETE FROM drafts WHERE number = ?", record.number)
    return None


def _forget(record: _Record, store: NodeStore) -> None:
    with store.transaction():
        store.ask("DELETE FROM drafts WHERE number = ?", record.number)


def _holds(path: Path, sha256: str) -> bool:
    try:
        return digest(path) == sha256
    except FileNotFoundError:
        return False


def _sealed(record: _Record, store: NodeStore) -> bytes:
    """A draft's record, encrypted: names of files may be customers' ids."""
    path, place = (RecordedPath.of(one, store.folder) for one in (record.path, record.place))
    values = {
        "path": path.text,
        "place": place.text,
        "home": path.home,
        "n_rows": record.n_rows,
        "sha256": record.sha256,
    }
    return store.sealer.seal(json.dumps(values).encode("ascii"), _CONTEXT)


def _records(store: NodeStore) -> list[_Record]:
    found = []
    for number, sealed in store.ask("SELECT number, sealed FROM drafts ORDER BY number"):
        values: dict[str, Any] = json.loads(store.sealer.unseal(sealed, _CONTEXT))
        path, place = (
            RecordedPath(text=values[name], home=values.get("home", ""))
            for name in ("path", "place")
        )
        found.append(
            _Record(
                number=number,
                path=path.under(store.folder),
                place=place.under(store.folder),
                n_rows=values["n_rows"],
                sha256=values["sha256"],
                foreign=path.is_foreign_to(store.folder),
            )
        )
    return found
