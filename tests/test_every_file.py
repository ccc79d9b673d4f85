"""Every file that either side keeps is old or new, whole, wherever its writer is killed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from coordinator.cli.service import write_address
from coordinator.keystore import create_key, create_passphrase, load_key
from coordinator.service.bundle import write_bundle_project
from coordinator.service.certificates import make_server_certificate
from machine.named_files import read_of_log, write_within
from partner_node.keystore import Keystore
from partner_node.register.pseudonyms import Pseudonyms
from partner_node.store.node_store import NodeStore
from protocol.log.checking import check_log
from protocol.log.copies import exported_files, open_copied
from protocol.log.names import key_of_log
from protocol.log.showing import signed_checkpoint
from protocol.log.tiles import read_bundle, read_tile
from simulations.federation import EphemeralSealer
from tests.kills import killed_before_every_call

ROOT = Path(__file__).parents[1]
PASSPHRASE = b"a passphrase of some length"
LOG_KEY = Ed25519PrivateKey.generate()
NOW = datetime(2026, 11, 29, tzinfo=UTC)

#: Where a file is written but through `machine.files`, and why that is right.
ALLOWED = {
    "machine/backups.py": "into a draft of `machine.files`, and a folder that is named when whole",
    "machine/files.py": "the writer itself",
    "machine/logs.py": "logs that grow until they are full",
    "coordinator/service/superlink.py": "a log that grows",
    "partner_node/packing.py": "into a draft of `machine.files`",
    "partner_node/cli/rights/settling.py": "into a draft of `machine.files`",
    "partner_node/segments/assignments.py": "into a draft of `machine.files`",
    "partner_node/segments/segment_tables.py": "into a draft of `machine.files`",
}
WRITES = re.compile(
    r"write_text|write_bytes|open\([^)]*\"[wxa]b?\"|os\.(replace|rename|link)\b|O_CREAT"
    r"|\.(rename|replace)\((path|target)\)"
)


@dataclass(frozen=True)
class Writer:
    """Something that writes files into a folder, and a look at one of them, which raises."""

    write: Callable[[Path], object]
    look: Callable[[Path], object]


def _certificate(folder: Path) -> None:
    make_server_certificate(folder, name="server", hosts=["localhost"], now=NOW, lifetime_days=9)


def _look_at_certificate(file: Path) -> None:
    if b"PRIVATE KEY" in file.read_bytes():
        load_pem_private_key(file.read_bytes(), None)
    else:
        x509.load_pem_x509_certificate(file.read_bytes())


def _copy_audit_log(folder: Path) -> None:
    store = NodeStore(":memory:", EphemeralSealer(), party="north")
    with store.transaction():
        for number in range(3):
            store.note_signed(bytes([number]) * 32, now="2026-11-29", by="anna")
    write_within(folder, exported_files(store.log, signed_checkpoint(store.log, "north", LOG_KEY)))


def _look_at_copy(file: Path) -> None:
    if file.name == "checkpoint":  # written last: the copy is whole
        key = key_of_log("north", LOG_KEY.public_key().public_bytes_raw())
        copied, said = open_copied(lambda path, most: read_of_log(file.parent / path, most), [key])
        check_log(copied, [said])
    elif file.parent.parent.name == "entries":
        read_bundle(file.read_bytes(), 4)
    else:
        read_tile(file.read_bytes(), 4)


WRITERS = {
    "a copy of an audit log": Writer(write=_copy_audit_log, look=_look_at_copy),
    "a node's keys": Writer(
        write=lambda folder: Keystore.create(folder / "node.keys", PASSPHRASE, log2_n=14),
        look=lambda file: Keystore.open(file, PASSPHRASE),
    ),
    "the coordinator's key": Writer(
        write=lambda folder: create_key(folder / "coordinator.pem", PASSPHRASE),
        look=lambda file: load_key(file, PASSPHRASE),
    ),
    "a passphrase": Writer(
        write=lambda folder: create_passphrase(folder / "passphrase"),
        look=lambda file: None if len(file.read_bytes()) == 44 else 1 / 0,
    ),
    "certificates": Writer(write=_certificate, look=_look_at_certificate),
    "the address": Writer(
        write=lambda folder: write_address(folder, "coordinator.example:443"),
        look=lambda file: None if file.read_text() == "coordinator.example:443\n" else 1 / 0,
    ),
    "the bundle's project": Writer(
        write=write_bundle_project,
        look=lambda file: None if file.read_text().endswith("\n") else 1 / 0,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WRITERS)
def test_what_a_killed_writer_left_is_whole(tmp_path: Path, what: str) -> None:
    writer = WRITERS[what]
    folders = [tmp_path / "0"]
    folders[0].mkdir(mode=0o700)
    whole = set()
    for number in killed_before_every_call(lambda: writer.write(folders[-1])):
        for file in folders[-1].rglob("*"):
            if file.is_file() and not file.name.startswith(".draft-"):
                writer.look(file)
                whole.add(file.name)
        folders.append(tmp_path / str(number + 1))
        folders[-1].mkdir(mode=0o700)
    assert whole, "every kill came before a file was there: nothing is shown"


def test_nothing_else_writes_files() -> None:
    writing = {
        str(path.relative_to(ROOT))
        for package in ("machine", "partner_node", "coordinator", "protocol")
        for path in (ROOT / package).rglob("*.py")
        if WRITES.search(path.read_text(encoding="utf-8"))
    }
    assert writing == set(ALLOWED)


@pytest.mark.slow
def test_a_pseudonym_key_that_a_killed_process_left_is_whole(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    keystore = Keystore.create(tmp_path / "node.keys", PASSPHRASE, log2_n=14)
    path = tmp_path / "pseudonyms-ours.key"
    seen = set()
    for _ in killed_before_every_call(lambda: Pseudonyms.under("ours", tmp_path, keystore)):
        seen.add(path.exists())
        if path.exists():
            Pseudonyms.under("ours", tmp_path, keystore)
            path.unlink()
    assert seen == {True, False}
