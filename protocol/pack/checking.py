"""Checking a pack offline: nothing in it is believed but what the parties' keys and hashes show.

The agreements that the reader names by their hash, known from somewhere else, say whose keys count.
What partners cosigned cannot be changed by the party whose pack it is; what came after that is its
word alone, and is told apart. The same is checked by ``verifier.mjs``, in another language.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from protocol.agreement.document import Agreement
from protocol.agreement.hand_overs import HandOvers
from protocol.canonical import parse_canonical_json
from protocol.errors import FedsegError, PackError
from protocol.log.checking import check_log
from protocol.log.checkpoints import Checkpoint
from protocol.log.copies import CopiedLog, paths_of
from protocol.log.cosignatures import CLOCKS_S, cosigned_at, cosigner
from protocol.log.entries import AGREEMENT_KEPT, BEGUN, RELEASE
from protocol.log.growing import Tiles
from protocol.log.names import key_of_log, key_of_seals, key_of_witness
from protocol.log.notes import Ed25519Verifier, Note, VerifierKey
from protocol.log.seals import NONCE_BYTES, seal
from protocol.log.tree import leaf_hash, root
from protocol.pack.manifest import MANIFEST, NOTE, Manifest, note_text
from protocol.release.document import SignedRelease
from protocol.signed_agreement import SignedAgreement
from protocol.strict import Fields

AGREEMENTS: Final = "agreements/"
RELEASES: Final = "releases/"
DOCUMENTS: Final = "documents/"
LOG: Final = "log/"
SEALS: Final = "seals/"
HAND_OVERS: Final = "hand-overs"
CHECKPOINT: Final = "checkpoint"
OPENED: Final = "opened"
_MAX_LINE: Final = 1024
_REMEDY: Final = "do not rely on the pack: keep it, and ask for it again by another way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """What partners of one agreement cosigned.

    Attributes:
        seals: How many seals of this party's log they saw.
        entries: How many entries the log had at the last of them.
        by: When each of them cosigned it, by its clock, seconds since 1970.
        needed: How many had to.
    """

    agreement: str
    seals: int
    entries: int
    by: Mapping[str, int]
    needed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPack:
    """What a pack shows.

    Attributes:
        entries: Of the log.
        witnessed: By agreement; those alone that the reader named.
        agreements: Id, version and hash of every agreement that all its parties signed.
        named: The hashes that the reader named.
        releases: How many, each signed by its participants and in the log.
        documents: Their names; of what they say nothing is checked but that this party gave them.
    """

    party: str
    made_at: str
    program: str
    entries: int
    root: bytes
    witnessed: tuple[Witnessed, ...]
    agreements: tuple[Agreement, ...]
    named: frozenset[bytes]
    releases: int
    documents: tuple[str, ...]

    @property
    def entries_witnessed(self) -> int:
        """So many entries nobody can have changed since without the partners who cosigned."""
        return max((one.entries for one in self.witnessed), default=0)


def check_pack(files: Mapping[str, bytes], named: Collection[bytes]) -> CheckedPack:
    """Check a pack.

    Args:
        files: By name; read one by one, and more than once.
        named: Hashes of agreements that the reader knows from elsewhere, one at least: they fix
            whose keys count. Partners have to have cosigned under each.

    Raises:
        PackError: E-PACK-FILES what is in it is not what it lists; E-PACK-SIGNATURE this party's
            key did not sign it; E-PACK-AGREEMENT an agreement is not signed by all, is not the one
            that is named, or is not there; E-PACK-LOG what the log says is not in the pack, or the
            other way round; E-PACK-SEALS the log is not the one that was sealed;
            E-PACK-WITNESS fewer partners cosigned than may collude; E-PACK-TIME it is back-dated.
        FedsegError: A part does not hold; the code is that of the part.
    """
    try:
        return _checked(files, named)
    except FedsegError as error:
        if error.remedy:
            raise
        raise PackError(error.message, code=error.code, remedy=_REMEDY) from error


def _checked(files: Mapping[str, bytes], named: Collection[bytes]) -> CheckedPack:
    manifest = _manifest(files)
    agreements = _agreements(files, manifest.party, named)
    keys = _keys_of(agreements, manifest.party, named)
    _check_note(files, manifest.party, keys)
    log, said = _log_at(files, LOG, [key_of_log(manifest.party, key) for key in keys])
    witnessed: list[Witnessed] = []
    states: list[Checkpoint] = []
    for agreement in _newest(agreements, named):
        found, opened = _witnessed(files, manifest.party, agreement)
        witnessed.append(found)
        states += opened
    own = {one.name for one in (key_of_log(manifest.party, key) for key in keys)}
    if any(one.origin not in own or one.size > said.size for one in states):
        raise _wrong("E-PACK-SEALS", "a seal is of a state that this log was not in")
    try:
        entries, root = check_log(log, [said, *states])
    except FedsegError as error:
        raise _wrong("E-PACK-SEALS", error.message) from error
    releases = _check_entries(files, manifest, log, agreements, witnessed)
    _check_known(files, said.size, {one.id for one in agreements.values()})
    return CheckedPack(
        party=manifest.party,
        made_at=manifest.made_at,
        program=manifest.program,
        entries=entries,
        root=root,
        witnessed=tuple(witnessed),
        agreements=tuple(agreements.values()),
        named=frozenset(named),
        releases=releases,
        documents=tuple(sorted(name for name in files if name.startswith(DOCUMENTS))),
    )


def _manifest(files: Mapping[str, bytes]) -> Manifest:
    if MANIFEST not in files or NOTE not in files:
        raise _wrong("E-PACK-FILES", f"{MANIFEST} or {NOTE} is missing")
    manifest = Manifest.from_bytes(files[MANIFEST])
    if set(files) - {MANIFEST, NOTE} != set(manifest.files):
        other = sorted((set(files) - {MANIFEST, NOTE}) ^ set(manifest.files))
        raise _wrong("E-PACK-FILES", f"not listed, or listed and missing: {other[0]}")
    for name, digest in manifest.files.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise _wrong("E-PACK-FILES", f"{name} is not what is listed")
    return manifest


def _agreements(
    files: Mapping[str, bytes], party: str, named: Collection[bytes]
) -> dict[bytes, Agreement]:
    """Every agreement by its hash, with the keys that follow from hand-overs."""
    if not named:
        raise _wrong("E-PACK-AGREEMENT", "no agreement is named whose keys count")
    handed_over = HandOvers.from_bytes(files[HAND_OVERS]) if HAND_OVERS in files else HandOvers()
    found = {}
    for name in files:
        if not name.startswith(AGREEMENTS):
            continue
        signed = SignedAgreement.from_bytes(files[name], kept=True)
        agreement = signed.verify()
        _check_form(name, files[name], signed.to_bytes())
        if name != f"{AGREEMENTS}{agreement.hash.hex()}.json":
            raise _wrong("E-PACK-AGREEMENT", f"{name} is the agreement {agreement.hash.hex()}")
        if party not in {one.id for one in agreement.parties}:
            raise _wrong("E-PACK-AGREEMENT", f"{party} is no party of {name}")
        found[agreement.hash] = agreement.with_hand_overs(handed_over)
    missing = sorted(one.hex() for one in named if one not in found)
    if missing:
        raise _wrong("E-PACK-AGREEMENT", f"there is no agreement {missing[0]} in it")
    return found


def _keys_of(
    agreements: Mapping[bytes, Agreement], party: str, named: Collection[bytes]
) -> list[bytes]:
    """The keys that a party has or had under the agreements that are named."""
    keys: dict[bytes, None] = {}
    for one in sorted(named):
        keys.update(dict.fromkeys(_had(agreements[one])[party]))
    return list(keys)


def _had(agreement: Agreement) -> dict[str, tuple[bytes, ...]]:
    ids = [party.id for party in agreement.parties]
    return dict(zip(ids, agreement.keys.of_parties, strict=True))


def _check_note(files: Mapping[str, bytes], party: str, keys: Collection[bytes]) -> None:
    note = Note.parse(files[NOTE])
    signers = note.verified([Ed25519Verifier(key_of_log(party, key)) for key in keys])
    if note.text not in {note_text(one.name, files[MANIFEST]) for one in signers}:
        raise _wrong("E-PACK-SIGNATURE", f"{NOTE} is about something else")


def _log_at(
    files: Mapping[str, bytes], folder: str, keys: Collection[VerifierKey]
) -> tuple[CopiedLog, Checkpoint]:
    def read(path: str, most: int) -> bytes:
        data = _file(files, f"{folder}{path}")
        if len(data) > most:
            raise _wrong("E-PACK-FILES", f"{folder}{path} has more than {most} bytes")
        return data

    said = _signed_at(files, folder, keys)
    return CopiedLog(read, said.size), said


def _signed_at(
    files: Mapping[str, bytes], folder: str, keys: Collection[VerifierKey]
) -> Checkpoint:
    """The checkpoint in a folder, which one of the keys signed under its own name."""
    note = Note.parse(_file(files, f"{folder}{CHECKPOINT}"))
    signers = note.verified([Ed25519Verifier(key) for key in keys])
    said = Checkpoint.from_text(note.text)
    if said.origin not in {one.name for one in signers}:
        raise _wrong("E-PACK-SIGNATURE", f"{folder}{CHECKPOINT} is of another log: {said.origin}")
    return said


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise _wrong("E-PACK-FILES", f"{name} is missing")
    return files[name]


def _newest(agreements: Mapping[bytes, Agreement], named: Collection[bytes]) -> list[Agreement]:
    """Of each agreement that is named, its newest version that is named."""
    found: dict[str, Agreement] = {}
    for one in sorted((agreements[one] for one in named), key=lambda one: one.version):
        found[one.id] = one
    return list(found.values())


def _witnessed(
    files: Mapping[str, bytes], party: str, agreement: Agreement
) -> tuple[Witnessed, list[Checkpoint]]:
    """What partners cosigned under an agreement, and the states of the log that were sealed."""
    had = _had(agreement)
    folder = f"{SEALS}{agreement.id}/"
    if f"{folder}{CHECKPOINT}" not in files:
        raise _wrong("E-PACK-WITNESS", f"nobody cosigned under {agreement.id}")
    names = [key_of_seals(party, key, agreement.id) for key in had[party]]
    said = _signed_at(files, folder, names)
    witnesses = {key_of_witness(one, key): one for one in had if one != party for key in had[one]}
    note = Note.parse(files[f"{folder}{CHECKPOINT}"])
    signed = note.verified(
        [*(Ed25519Verifier(key) for key in names), *(cosigner(key) for key in witnesses)]
    )
    by = {witnesses[key]: cosigned_at(data) for key, data in signed.items() if key in witnesses}
    needed = max(1, agreement.secure_sum.max_colluding)  # with this party one more than may collude
    if len(by) < needed:
        raise _wrong(
            "E-PACK-WITNESS",
            f"under {agreement.id} {needed} partners have to have cosigned, and {len(by)} did",
        )
    states = _opened(files, folder, said)
    last = states[-1].size if states else 0
    return (
        Witnessed(agreement=agreement.id, seals=said.size, entries=last, by=by, needed=needed),
        states,
    )


def _opened(files: Mapping[str, bytes], folder: str, said: Checkpoint) -> list[Checkpoint]:
    """The states that were sealed, in order: every seal is opened, and they are all."""
    tiles, states = Tiles(), []
    for line in _file(files, f"{folder}{OPENED}").splitlines():
        fields = Fields(parse_canonical_json(line, max_bytes=_MAX_LINE, what="a seal"), "seal")
        nonce = fields.hex("nonce", size=NONCE_BYTES)
        text = fields.text("checkpoint", max_length=_MAX_LINE)
        fields.finish()
        tiles.append(leaf_hash(seal(nonce, text)))
        states.append(Checkpoint.from_text(text))
    if (tiles.size, root(tiles.size, tiles)) != (said.size, said.root):
        raise _wrong("E-PACK-SEALS", f"the seals in {folder} are not those that were signed")
    if any(later.size < one.size for one, later in pairwise(states)):
        raise _wrong("E-PACK-SEALS", "the log got shorter from one seal to the next")
    return states


def _check_entries(
    files: Mapping[str, bytes],
    manifest: Manifest,
    log: CopiedLog,
    agreements: Mapping[bytes, Agreement],
    witnessed: Collection[Witnessed],
) -> int:
    """Check that log and files tell the same, and in which order; how many releases there are."""
    releases: dict[str, str] = {}
    kept: set[str] = set()
    sealed, number = max((one.entries for one in witnessed), default=0), 0
    latest = max((time for one in witnessed for time in one.by.values()), default=0)
    newest, earlier = -math.inf, False
    for batch in _batches(log):
        for data in batch:
            entry = json.loads(data)
            at = _moment(entry["at"]).timestamp()
            if number < sealed:
                at = min(at, latest)  # by a clock that was ahead: no reason to refuse what follows
            elif at < newest - CLOCKS_S:
                raise _wrong("E-PACK-TIME", f"entry {number} is dated before earlier ones")
            newest, number = max(newest, at), number + 1
            if entry["kind"] == BEGUN:
                earlier = earlier or entry["earlier"]
            elif entry["kind"] == RELEASE:
                releases[entry["run_hash"]] = entry["sha256"]
            elif entry["kind"] == AGREEMENT_KEPT:
                kept.add(entry["agreement_hash"])
    if _moment(manifest.made_at).timestamp() < max(newest, latest) - CLOCKS_S:
        raise _wrong("E-PACK-TIME", f"it is dated {manifest.made_at}, before what is in it")
    _compare("agreements", kept, {one.hex() for one in agreements}, earlier=earlier)
    names = {name for name in files if name.startswith(RELEASES)}
    logged = {f"{RELEASES}{run_hash}.json": digest for run_hash, digest in releases.items()}
    _compare("releases", set(logged), names, earlier=earlier)
    for name in names:
        data = files[name]
        release = SignedRelease.from_bytes(data)
        agreement = agreements.get(release.release.agreement_hash)
        digest = hashlib.sha256(data).hexdigest()
        if agreement is None or name != f"{RELEASES}{release.release.run_hash.hex()}.json":
            raise _wrong("E-PACK-LOG", f"{name} is of another run, or under no agreement in it")
        if logged.get(name, digest) != digest:
            raise _wrong("E-PACK-LOG", f"{name} is not the release that the log has")
        release.verify(agreement)
        _check_form(name, data, release.to_bytes())
    return len(names)


def _check_form(name: str, data: bytes, form: bytes) -> None:
    if data != form:
        raise _wrong("E-PACK-FILES", f"{name} is not written in the one form of RFC 8785")


def _compare(what: str, logged: set[str], there: set[str], *, earlier: bool) -> None:
    """Compare what the log has with what is in the pack; only an older folder has more than it."""
    if not logged <= there or (there != logged and not earlier):
        raise _wrong("E-PACK-LOG", f"{what} in the log and in the pack are not the same")


def _check_known(files: Mapping[str, bytes], size: int, agreement_ids: Collection[str]) -> None:
    """Nothing is in the pack that no reader knows."""
    folders = {f"{SEALS}{one}/" for one in agreement_ids}
    known = {MANIFEST, NOTE, HAND_OVERS, f"{LOG}{CHECKPOINT}"}
    known |= {f"{LOG}{path}" for path in paths_of(size)}
    known |= {f"{folder}{name}" for folder in folders for name in (CHECKPOINT, OPENED)}
    for name in files:
        if name not in known and not name.startswith((AGREEMENTS, RELEASES, DOCUMENTS)):
            raise _wrong("E-PACK-FILES", f"nobody knows what {name} is")


def _batches(log: CopiedLog) -> Iterator[list[bytes]]:
    for start in range(0, log.size, 256):
        yield list(log.entries(start, min(start + 256, log.size)))


def _moment(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise _wrong("E-PACK-TIME", f"no time: {str(text)[:40]!r}") from error
    if found.tzinfo is None:
        raise _wrong("E-PACK-TIME", f"a time without a zone: {text!r}")
    return found


def _wrong(code: str, what: str) -> PackError:
    return PackError(what, code=code, remedy=_REMEDY)
