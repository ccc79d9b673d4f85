"""A node's backup: settings, keys, state and agreement; never a customer's row or a passphrase."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

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
from machine.database import Database
from machine.private_files import check_settled, read_private_file
from partner_node import membership
from partner_node.home import CARD_FILE, FILE_NAME, NodeHome, changing_keys
from partner_node.state_file import MARK
from partner_node.store.schema import MIGRATIONS
from partner_node.store.times import stamp
from protocol.log.outside_facts import mark_restored

KIND: Final = "node"
_KEYS, _MARK, _ACCOUNTS, _HAND_OVERS = "keys", "state-made", "accounts", "hand-overs"
#: Before the id of an agreement with a section of its own.
_AGREEMENT: Final = "agreement-"
#: Parts that a node may lack.
_MAY_LACK: Final = (
    _MARK, _ACCOUNTS, _HAND_OVERS, "agreement", "root-certificates", "partner-card", "membership",
    "certificate",
)  # fmt: skip
#: What is in no backup, for people.
LEFT_OUT: Final = (
    "the passphrase of the keys, without which a backup opens nothing: keep it where your secrets "
    "are",
    "customers' data and your tables of consents",
    "files of customers' segments, which may not be kept longer than agreed",
    "the handles of customers that were counted (state/receipts), which receipts are made of",
)
#: What a node that was put back does not know, for people.
NOT_KNOWN: Final = (
    "objections, opt-outs, restrictions and erasures since then: make them again, from your "
    "receipts",
    "accounts of people since then: look through `fedseg-node user list`",
    "requests of customers, feedback and files of segments since then: they are on no register",
    "who was counted in runs of before: receipts say that it is not recorded, unless you copy the "
    "folder state/receipts back yourself",
    "runs since then: those that the signed chain of participant sets names are charged when the "
    "next run begins, each with the most that it may have cost",
)


def back_up(home: NodeHome, out: Path, *, now: datetime, version: str) -> Manifest:
    """Write a backup of a node, which may be serving.

    Raises:
        FedsegError: A part cannot be read, the backup cannot be written, another process changes
            the keys, or a change of the passphrase was begun and not ended.
    """
    keystore = home.keystore()  # refuses a backup whose keys nobody could open

    def state() -> bytes:
        with closing(home.store(keystore)) as store:
            return store.snapshot()

    def accounts() -> bytes:
        with closing(home.accounts()) as opened:
            return opened.database.snapshot()

    places = _places(home)
    with changing_keys(home):  # else an old key may stand beside the hand-over of a new one
        if home.config.keys.passphrase_file is not None:
            check_settled(home.config.keys.passphrase_file, command="fedseg-node key passphrase")
        contents = gathered(
            home.directory,
            places,
            read={
                STATE: state,
                _KEYS: lambda: read_private_file(home.config.keys.store),
                _ACCOUNTS: accounts,
            },
            may_lack=(*_MAY_LACK, *(role for role in places if role.startswith(_AGREEMENT))),
        )
    made = write_backup(
        out, contents, kind=KIND, whose=home.config.node.partner, made_at=stamp(now),
        version=version,
    )  # fmt: skip
    note_backup(home.backup_note, made.made_at)
    return made


def restore(file: Path, folder: Path, *, elsewhere: bool = False) -> tuple[Manifest, NodeHome]:
    """Make a node's folder from a backup; raises FedsegError as `put_back` does."""
    made_at = read_backup(file, kind=KIND)[0].made_at
    manifest = put_back(
        file, folder, kind=KIND, settings=FILE_NAME, check=_check, elsewhere=elsewhere,
        places=lambda draft: _places(NodeHome.load(draft)),
        last=lambda draft, _: _mark(NodeHome.load(draft).state_file, made_at),
    )  # fmt: skip
    return manifest, NodeHome.load(folder)


def _places(home: NodeHome) -> Mapping[str, Path]:
    """Where each part stands, by role; the mark after the state, which makes it."""
    return {
        SETTINGS: home.directory / FILE_NAME,
        _KEYS: home.config.keys.store,
        STATE: home.state_file,
        _MARK: home.keys_folder / MARK,
        _ACCOUNTS: home.accounts_file,
        _HAND_OVERS: home.hand_overs_file,
        "agreement": home.config.node.agreement,
        "root-certificates": home.config.coordinator.root_certificates,
        "partner-card": home.directory / CARD_FILE,
        "membership": home.directory / membership.FILE_NAME,
        "certificate": home.keys_folder / membership.CERTIFICATE_FILE,
        **{f"{_AGREEMENT}{name}": section.file for name, section in home.config.agreements.items()},
    }


def _check(state: Path) -> None:
    """Raise StoreError when a state is not sound, or of a newer version."""
    with closing(_open(state)) as database:
        database.check()


def _mark(state: Path, made_at: str) -> None:
    """Have the audit log say, as soon as the node serves, that this state was put back."""
    with closing(_open(state)) as database, database.transaction():
        mark_restored(database, made_at=made_at)


def _open(state: Path) -> Database:
    return Database(
        state, name="node state", migrations=MIGRATIONS, remedy="take another backup",
        made_before=True,
    )  # fmt: skip
