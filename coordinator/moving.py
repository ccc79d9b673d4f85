"""Moving a coordinator's state between the file in its folder and a server's database.

Whole or not at all: the state is copied and read back while nobody may change it, then the settings
name the new place, then the old one is removed. A process killed before the settings changed has
moved nothing, and the next move clears up after it; one killed after it leaves the old state, which
nobody uses.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from coordinator.config import FILE_NAME, STORE_FILE, CoordinatorConfig, with_store
from coordinator.runs.standstill import nobody_serves
from coordinator.store.content import copy
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.settings import StoreSettings
from coordinator.store.store_database import StoreDatabase, open_file
from machine.files import sync_folder, write_file
from protocol.errors import UsageError

_DRAFT_END = ".moving"


def move(config: CoordinatorConfig, store: StoreSettings | None) -> CoordinatorConfig:
    """Move the state to where new settings say; the settings that the folder has then.

    Args:
        store: A database that is made now; None for a file in the folder.

    Raises:
        FedsegError: A process serves the coordinator or drives a run of it, the new place is not
            empty, or either cannot be read or written.
    """
    if (config.store is None) == (store is None):
        raise UsageError(
            "the state is moved between a file and a server's database alone",
            remedy="to another server: move it to the file (--to sqlite) first",
        )
    with nobody_serves(config, then="move the state"):
        if store is None:
            _to_file(config)
        else:
            _to_server(config, store)
    return CoordinatorConfig.load(config.directory)


def _to_server(config: CoordinatorConfig, settings: StoreSettings) -> None:
    file = config.directory / STORE_FILE
    with closing(open_file(file)) as database, database.transaction():
        settings.make(lambda target: copy(database, target))
        _name(config, settings)
        settings.open().close()  # in use from now on
        database.retire()
    for path in (file, file.with_name(file.name + _DRAFT_END)):
        _remove(path)
    sync_folder(config.directory)


def _to_file(config: CoordinatorConfig) -> None:
    if config.store is None:
        raise ValueError("the state is in a file already")
    from coordinator.store.postgresql.making import drop

    file = config.directory / STORE_FILE
    draft = file.with_name(file.name + _DRAFT_END)
    _clear(file, draft)
    with closing(config.store.open()) as database, database.transaction():
        _fill_file(draft, database)
        file.hardlink_to(draft)  # by the draft a killed move is known as one
        sync_folder(config.directory)
        _name(config, None)
        drop(database)
    draft.unlink()


def _clear(file: Path, draft: Path) -> None:
    """Remove what a killed move left; raises UsageError for any other file that is there."""
    if file.exists() and not (draft.exists() and draft.samefile(file)):
        raise UsageError(
            f"{file} is there, and nothing is moved over it",
            remedy="move it away first: it is an earlier state",
        )
    for path in (file, draft):
        _remove(path)


def _remove(file: Path) -> None:
    """Remove a database that nobody uses, with its logs."""
    for end in ("-wal", "-shm", ""):
        file.with_name(file.name + end).unlink(missing_ok=True)


def _fill_file(path: Path, source: StoreDatabase) -> None:
    """Write the state into a new file, whose log is empty when it is closed."""
    with closing(open_file(path)) as database:
        with database.transaction():
            copy(source, database)
        CoordinatorStore(database).check()


def _name(config: CoordinatorConfig, store: StoreSettings | None) -> None:
    path = config.directory / FILE_NAME
    write_file(path, with_store(path.read_bytes(), config.directory, store))
