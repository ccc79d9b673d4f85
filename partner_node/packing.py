"""Making an evidence pack of a node: log, seals, agreements, releases and documents in one file.

All of it is as of one moment. A log may be longer than memory, so its files are read twice, to
hash them and to write them; in between it only grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from machine.files import replacing
from machine.plain_archive import write_archive
from partner_node.home import NodeHome
from partner_node.sealed_copies import FOLDER as SEALS
from partner_node.sealed_copies import seal_files
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.errors import UsageError
from protocol.log.copies import copied_file, paths_of
from protocol.log.entries import PACK
from protocol.log.showing import signed_checkpoint
from protocol.pack.checking import AGREEMENTS, CHECKPOINT, DOCUMENTS, HAND_OVERS, LOG, RELEASES
from protocol.pack.manifest import MANIFEST, NOTE, Manifest
from protocol.release.document import SignedRelease
from protocol.signed_agreement import SignedAgreement

#: What gives the bytes of a file, the same whenever it is called.
Reading = Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadePack:
    """A pack that was written.

    Attributes:
        sha256: Of its manifest, which names all that is in it; the log has it.
        entries: Of the log in it.
        agreements: Every agreement in it, the newest last.
    """

    sha256: str
    entries: int
    files: int
    agreements: tuple[SignedAgreement, ...]


def write_pack(
    home: NodeHome,
    store: NodeStore,
    documents: Mapping[str, bytes],
    out: Path,
    *,
    now: datetime,
    program: str,
    by: str,
) -> MadePack:
    """Write a pack, whole or not at all, and have the log say that it was made.

    Args:
        documents: By their names in the pack, without its folder.
        by: Who does, as the log of people names them.

    Raises:
        UsageError: There is such a file already (E-PACK-OUT).
        FedsegError: Something cannot be read or written.
    """
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists already", code="E-PACK-OUT", remedy="name another file")
    party, key = home.config.node.partner, home.keystore().identity
    with store.transaction():  # all that changes is read at one moment
        size, agreements = store.log.size, store.agreements()
        files: dict[str, Reading] = {
            f"{LOG}{CHECKPOINT}": _just(signed_checkpoint(store.log, party, key).to_bytes()),
            **{f"{SEALS}/{name}": _just(data) for name, data in seal_files(store, size)},
            **{f"{AGREEMENTS}{one.agreement.hash.hex()}.json": one.to_bytes for one in agreements},
            **{_release_name(data): _just(data) for _, data in store.releases()},
            **{f"{DOCUMENTS}{name}": _just(data) for name, data in documents.items()},
        }
    handed_over = home.hand_overs.load()
    if len(handed_over):
        files[HAND_OVERS] = handed_over.to_bytes
    for path in paths_of(size):
        files[f"{LOG}{path}"] = partial(copied_file, store.log, path)
    manifest = Manifest(
        party=party,
        made_at=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        program=program,
        files={name: hashlib.sha256(read()).hexdigest() for name, read in files.items()},
    )
    listed = manifest.to_bytes()
    files |= {MANIFEST: _just(listed), NOTE: _just(manifest.note(key).to_bytes())}
    digest = hashlib.sha256(listed).hexdigest()
    with replacing(out, mode=0o600, is_new=True) as draft:
        with draft.open("wb") as file:
            write_archive(file, ((name, files[name]()) for name in sorted(files)))
        with store.transaction():  # before it is there: what was given out is in the log
            store.log.append(PACK, at=stamp(now), sha256=digest, by=by)
    return MadePack(sha256=digest, entries=size, files=len(files), agreements=tuple(agreements))


def _release_name(envelope: bytes) -> str:
    return f"{RELEASES}{SignedRelease.from_bytes(envelope).release.run_hash.hex()}.json"


def _just(data: bytes) -> Reading:
    return lambda: data
