"""An evidence pack of a partner of a small federation, and what somebody may do to one."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from machine.plain_archive import PlainArchive, write_archive
from partner_node.store.times import stamp
from protocol.canonical import canonical_json
from protocol.log.checkpoints import Checkpoint
from protocol.log.copies import copied_files
from protocol.log.cosignatures import cosign_ed25519
from protocol.log.entries import Entry
from protocol.log.names import key_of_log, key_of_seals, key_of_witness
from protocol.log.notes import Note, sign_ed25519
from protocol.log.seals import seal
from protocol.log.tree import leaf_hash, root
from protocol.pack.manifest import Manifest
from protocol.release.document import SignedRelease
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes
from simulations.federation import Federation
from tests.federations import small_federation
from tests.protocol.log.trees import Kept

LATER = timedelta(seconds=1)


class Log(Kept):
    """A log in memory, of whatever bytes."""

    def __init__(self, entries: list[bytes]) -> None:
        super().__init__()
        self.all = list(entries)
        for entry in entries:
            self.append(leaf_hash(entry))

    @property
    def size(self) -> int:
        return len(self.all)

    def entries(self, start: int, stop: int) -> list[bytes]:
        return self.all[start:stop]


@dataclass
class Making:
    """What a pack is made from; whoever changes a part writes it again with the keys that it has.

    Attributes:
        sealed: How many entries the log had at each seal.
        witnesses: Places of the partners who cosign.
        cosigned_at: By their clocks, seconds since 1970; when the pack is made where it is None.
    """

    agreements: list[SignedAgreement]
    releases: list[SignedRelease]
    keys: list[Ed25519PrivateKey]
    entries: list[bytes]
    sealed: list[int]
    made_at: datetime
    witnesses: list[int] = field(default_factory=lambda: [1, 2])
    documents: dict[str, bytes] = field(default_factory=dict)
    cosigned_at: int | None = None

    @property
    def party(self) -> str:
        return self.agreements[0].agreement.parties[0].id

    def files(self) -> dict[str, bytes]:
        """The pack, made by the party whose it is and by those who cosign."""
        agreement, own = self.agreements[0].agreement, self.keys[0]
        log = Log(self.entries)
        name = key_of_log(self.party, public_bytes(own)).name
        said = Checkpoint(name, log.size, root(log.size, log))
        files = {
            "log/checkpoint": sign_ed25519(Note(said.to_text()), name, own).to_bytes(),
            **{f"log/{path}": data for path, data in copied_files(log, log.size)},
            **{f"documents/{path}": data for path, data in self.documents.items()},
        }
        texts = [Checkpoint(name, size, root(size, log)).to_text() for size in self.sealed]
        nonces = [hashlib.sha256(b"nonce %d" % at).digest() for at in range(len(texts))]
        seals = Log([seal(one, text) for one, text in zip(nonces, texts, strict=True)])
        folder = f"seals/{agreement.id}/"
        origin = key_of_seals(self.party, public_bytes(own), agreement.id).name
        state = Checkpoint(origin, seals.size, root(seals.size, seals))
        note = sign_ed25519(Note(state.to_text()), origin, own)
        for witness in self.witnesses:
            who, key = agreement.parties[witness].id, self.keys[witness]
            name = key_of_witness(who, public_bytes(key)).name
            made = int(self.made_at.timestamp())
            note = cosign_ed25519(
                note, name, key, made if self.cosigned_at is None else self.cosigned_at
            )
        files[f"{folder}checkpoint"] = note.to_bytes()
        files[f"{folder}opened"] = b"".join(
            canonical_json({"nonce": nonce.hex(), "checkpoint": text}) + b"\n"
            for nonce, text in zip(nonces, texts, strict=True)
        )
        for signed in self.agreements:
            files[f"agreements/{signed.agreement.hash.hex()}.json"] = signed.to_bytes()
        for release in self.releases:
            files[f"releases/{release.release.run_hash.hex()}.json"] = release.to_bytes()
        return self.signed(files)

    def signed(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """Files with a manifest that lists them, signed by the party."""
        others = {name: data for name, data in files.items() if not name.startswith("pack.")}
        manifest = Manifest(
            party=self.party,
            made_at=self.made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            program="1.0",
            files={name: hashlib.sha256(data).hexdigest() for name, data in others.items()},
        )
        note = manifest.note(self.keys[0]).to_bytes()
        return {**others, "pack.json": manifest.to_bytes(), "pack.note": note}


def making() -> Making:
    """A pack of a partner that took part in two runs."""
    federation: Federation = small_federation(1.0, 2.0)
    releases = [federation.run().release for _ in range(2)]
    store = federation.nodes[0].store
    entries = store.log.entries(0, store.log.size)
    newest = max(datetime.fromisoformat(Entry.from_bytes(one).at) for one in entries)
    count = len(entries)
    return Making(
        agreements=[federation.signed],
        releases=releases,
        keys=list(federation.partner_keys),
        entries=list(entries),
        sealed=[3, count // 2, count // 2, count - 2],
        made_at=newest + LATER,
        documents={"record.md": b"# Record\n"},
    )


def archive(files: dict[str, bytes]) -> bytes:
    """A pack as one file."""
    out = io.BytesIO()
    write_archive(out, sorted(files.items()))
    return out.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    """The files of a pack."""
    return dict(PlainArchive(io.BytesIO(data)))


def entry(at: datetime, kind: str, **about: object) -> bytes:
    """The bytes of an entry."""
    return Entry(stamp(at.astimezone(UTC)), kind, about).to_bytes()
