"""The coordinator's backup: settings, signing key, certificate and database; no passphrase."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from coordinator.config import (
    ACCOUNTS_FILE,
    BACKUP_NOTE,
    FILE_NAME,
    KEY_FILE,
    STORE_FILE,
    CoordinatorConfig,
    with_store,
)
from coordinator.control import authority
from coordinator.control.changing_keys import changing_keys
from coordinator.control.passphrase import check_passphrase_settled
from coordinator.control.renewing import NEXT_FILE, authority_file, settle
from coordinator.control.rotating import finish
from coordinator.store.content import copy
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.settings import StoreSettings
from coordinator.store.store_database import open_file
from coordinator.store.times import stamp
from machine.backups import (
    SETTINGS,
    STATE,
    Manifest,
    gathered,
    note_backup,
    put_back,
    read_backup,
    write_backup,
)
from protocol.log.outside_facts import mark_restored

KIND: Final = "coordinator"
_AUTHORITY: Final = "authority"
_ACCOUNTS: Final = "accounts"
_NEXT: Final = "certificate-next"
_NODES_KEY, _NODES_AUTHORITY = "nodes-authority-key", "nodes-authority"
#: Parts that a coordinator may lack: with a certificate of the operator's own, or without a
#: control port, before it served, without people's accounts, or where no certificate waits.
_MAY_LACK: Final = (_AUTHORITY, _NEXT, _NODES_KEY, _NODES_AUTHORITY, _ACCOUNTS)
#: What is in no backup, for people.
LEFT_OUT: Final = (
    "the passphrase of the signing key, without which a backup signs nothing: keep it where your "
    "secrets are, as well as the password of a server's database",
    "logs, and Flower's own folder, which is made anew",
)
#: What a coordinator that was put back does not know, for people.
NOT_KNOWN: Final = (
    "runs and releases since then: nodes that hold a later release, or signed a participant set "
    "since, refuse (E-RUN-START, E-CHAIN-FORK) until a newer backup is restored or every party "
    "signs a new version",
    "agreements that were published, signatures for other builds, records of due diligence, "
    "partners that were admitted or removed, and stops that were taken since then: do that again",
    "pauses of the schedule since then, and their ends: see `run schedule` before it serves",
    "people's accounts that were made, changed or removed since then: see `user list`; and the log "
    "of what they did",
)


def back_up(config: CoordinatorConfig, out: Path, *, now: datetime, version: str) -> Manifest:
    """Write a backup of a coordinator, which may be serving.

    Raises:
        FedsegError: A part cannot be read, the backup cannot be written, or another process changes
            the keys.
    """
    config.signing_key()  # refuses a backup whose key nobody could open

    def state() -> bytes:
        with closing(config.open_store()) as store:
            return store.snapshot()

    def accounts() -> bytes:
        with closing(config.open_accounts()) as opened:
            return opened.database.snapshot()

    with changing_keys(config):  # else a new key may stand there without its hand-over
        check_passphrase_settled(config)
        with closing(config.open_store()) as store:
            finish(config, store)
            settle(config, store, now=now)
        contents = gathered(
            config.directory,
            _places(config),
            read={STATE: state, _ACCOUNTS: accounts},
            may_lack=_MAY_LACK,
        )
    made = write_backup(
        out, contents, kind=KIND, whose=config.legal_name, made_at=stamp(now), version=version
    )
    note_backup(config.directory / BACKUP_NOTE, made.made_at)
    return made


def restore(
    file: Path,
    folder: Path,
    *,
    elsewhere: bool = False,
    store: Callable[[StoreSettings | None], StoreSettings | None] = lambda found: found,
) -> tuple[Manifest, CoordinatorConfig]:
    """Make a coordinator's folder from a backup; raises FedsegError as `put_back` does.

    A server's database is filled in one transaction when everything else is in place. A process
    that is killed between the two leaves a database that is in use by nobody, and is made anew.

    Args:
        store: Where the state is to be, for where it was: None for a file in the folder.
    """

    def rewritten(found: bytes, draft: Path) -> bytes:
        before = CoordinatorConfig.parse(found, draft).store
        wanted = store(before)
        if wanted == before:
            return found
        if wanted is not None:  # files that its URL names are where they will be
            wanted = replace(wanted, place=replace(wanted.place, folder=draft))
        return with_store(found, draft, wanted)

    def places(draft: Path) -> Mapping[str, Path]:
        config = CoordinatorConfig.load(draft)
        found = dict(_places(config))
        if config.store is not None:
            del found[STATE]
        return found

    made_at = read_backup(file, kind=KIND)[0].made_at
    manifest = put_back(
        file, folder, kind=KIND, settings=FILE_NAME, check=_check, elsewhere=elsewhere,
        rewritten=rewritten, places=places,
        last=lambda draft, state: _fill(draft, state, made_at),
    )  # fmt: skip
    config = CoordinatorConfig.load(folder)
    if config.store is not None:
        config.open_store().close()  # in use from now on
    return manifest, config


def _fill(draft: Path, state: Path, made_at: str) -> None:
    """Have the state's audit log say that it was put back, as soon as it is served.

    Fills a server's database, if the settings name one, with a copy of that state.
    """
    settings = CoordinatorConfig.load(draft).store
    with closing(open_file(draft / STORE_FILE if settings is None else state)) as database:
        with database.transaction():
            mark_restored(database, made_at=made_at)
        if settings is not None:
            with database.transaction():
                settings.make(lambda target: copy(database, target))


def _places(config: CoordinatorConfig) -> Mapping[str, Path]:
    """Where each part stands, by role."""
    return {
        SETTINGS: config.directory / FILE_NAME,
        "signing-key": config.directory / KEY_FILE,
        "certificate": config.certificate,
        "certificate-key": config.key,
        _AUTHORITY: authority_file(config),
        _NEXT: config.directory / NEXT_FILE,
        _NODES_KEY: config.directory / authority.KEY_FILE,
        _NODES_AUTHORITY: config.directory / authority.CERTIFICATE_FILE,
        STATE: config.directory / STORE_FILE,
        _ACCOUNTS: config.directory / ACCOUNTS_FILE,
    }


def _check(state: Path) -> None:
    """Raise StoreError when a state is not sound, or of a newer version."""
    with closing(CoordinatorStore.in_file(state)) as store:
        store.check()
