"""Files about customers: one process at a time writes them, and none is forgotten when it dies.

Such a file is written as a draft beside its place, under a random name, and takes its place when
it is whole. The draft's name is on record, synced, before the draft is made.

Whoever writes holds a lock that lies beside the database, and that the system takes back however
a process ends. So what is on record when somebody gets the lock was left by a process that is no
more, and is deleted. No process number is asked, which another process may have by then. Taking
customers out of files needs the lock as well: a file that is being written is waited for.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from machine.files import make_folder_of, replacing, sync_folder
from machine.locks import held
from machine.text import shown
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
        unreachable: Those whose folder is not there.
        stuck: Those that this account cannot delete, with the reason.
    """

    unreachable: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """What there is to do, a line each."""
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
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """A draft on record.

    Attributes:
        path: Where the draft is, absolute.
        place: The place that it will take.
        n_rows, sha256: What will be noted of the file of segments in that place once the draft
            has taken it; None where nothing will be.
    """

    number: int
    path: Path
    place: Path
    n_rows: int | None
    sha256: str | None


class Draft:
    """A file that is being written; `path` is empty, for its owner alone."""

    def __init__(self, record: _Record, store: NodeStore) -> None:
        self._store = store
        self._record = record
        self.path = record.path

    def will_hold(self, *, n_rows: int, sha256: str) -> None:
        """Have the record of the file in the draft's place changed as soon as it is replaced.

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
        """What is on record of it."""
        return self._record


class HeldFiles:
    """Files about customers while no other process writes any.

    Attributes:
        left: What killed processes left and could not be deleted.
    """

    def __init__(self, store: NodeStore, left: Leftovers) -> None:
        self._store = store
        self.left = left

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Draft]:
        """A draft that takes the place of `path` at the end unless something is raised.

        Raises:
            UsageError: The file cannot be written (E-FILE).
        """
        make_folder_of(path)  # first: a draft that could never be made is not looked for for ever
        draft = self._begin(path)
        try:
            with replacing(path, mode=_MODE, temporary=draft.path):
                yield draft
        finally:
            _settle(draft.record, self._store)

    def _begin(self, path: Path) -> Draft:
        place = path if path.is_absolute() else located(path)
        # Nothing of the name that it will have: a long one would be too long, and a name may be
        # a customer's id.
        draft = place.with_name(f".fedseg-{secrets.token_hex(8)}.part")
        record = _Record(number=0, path=draft, place=place, n_rows=None, sha256=None)
        with self._store.transaction():
            ((number,),) = self._store.ask(
                "INSERT INTO drafts (sealed) VALUES (?) RETURNING number",
                _sealed(record, self._store),
            )
        return Draft(replace(record, number=number), self._store)


class PrivateFiles:
    """What one node writes about customers."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    @contextmanager
    def held(self) -> Iterator[HeldFiles]:
        """Wait until no other process writes; what killed ones left is deleted first.

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

        Nothing is done while another process writes: it has done so before.
        """
        with self._lock(wait_s=0.0) as ours:
            return self._sweep() if ours else Leftovers()

    @contextmanager
    def _lock(self, *, wait_s: float) -> Iterator[bool]:
        """Whether no other process writes; none does until the end of the block, if so."""
        if self._store.path == _IN_MEMORY:
            yield True  # no other process knows this database
            return
        with held(Path(self._store.path).with_name(LOCK_FILE), wait_s=wait_s) as ours:
            yield ours

    def _sweep(self) -> Leftovers:
        unreachable, stuck = [], []
        for record in _records(self._store):
            reason = _settle(record, self._store)
            if reason == "":
                unreachable.append(str(record.path))
            elif reason is not None:
                stuck.append(f"{record.path} cannot be deleted ({reason})")
        return Leftovers(unreachable=tuple(unreachable), stuck=tuple(stuck))


def located(path: Path) -> Path:
    """Where a file is or will be that replaces whatever has its name, a link too; absolute."""
    return path.parent.resolve() / path.name


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that is there, unless it may be replaced; raises UsageError (E-FILE)."""
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
    """Have a draft be gone, and what became of it noted; then forget it.

    This is how every writing ends, whether the draft took its place, or an error or a kill came
    in between.

    Returns:
        None when the draft is gone; else it stays on record: empty when its folder is not there, or
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
            store.rewrite_export(str(record.place), n_rows=record.n_rows, sha256=record.sha256)
        store.ask("DELETE FROM drafts WHERE number = ?", record.number)
    return None


def _holds(path: Path, sha256: str) -> bool:
    try:
        return digest(path) == sha256
    except FileNotFoundError:
        return False


def _sealed(record: _Record, store: NodeStore) -> bytes:
    """A draft as it is stored: names of files may be customers' ids."""
    values = {
        "path": str(record.path),
        "place": str(record.place),
        "n_rows": record.n_rows,
        "sha256": record.sha256,
    }
    return store.sealer.seal(json.dumps(values).encode("ascii"), _CONTEXT)


def _records(store: NodeStore) -> list[_Record]:
    found = []
    for number, sealed in store.ask("SELECT number, sealed FROM drafts ORDER BY number"):
        values: dict[str, Any] = json.loads(store.sealer.unseal(sealed, _CONTEXT))
        found.append(
            _Record(
                number=number,
                path=Path(values["path"]),
                place=Path(values["place"]),
                n_rows=values["n_rows"],
                sha256=values["sha256"],
            )
        )
    return found
