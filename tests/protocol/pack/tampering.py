"""What somebody may do to an evidence pack: with no key, with the party's own, or with two.

Whatever is said here changes what partners cosigned, or what is signed by somebody whose key is not
there. Entries after the last seal are the party's word alone, and are not among it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.canonical import canonical_json, parse_json
from protocol.log.cosignatures import cosign_ed25519
from protocol.log.entries import Entry
from protocol.log.names import key_of_witness
from protocol.log.notes import Note, sign_ed25519
from protocol.release.document import SignedRelease
from protocol.signed_agreement import SignedAgreement
from protocol.signing import Envelope, key_id, public_bytes, sign_document
from tests.protocol.pack.packs import Making, archive, making

Tampering = Callable[[Random, Making], bytes]


def flipped(random: Random, made: Making) -> bytes:
    data = bytearray(archive(made.files()))
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def cut_anywhere(random: Random, made: Making) -> bytes:
    data = archive(made.files())
    return data[: random.randrange(len(data))]


def with_more_at_the_end(random: Random, made: Making) -> bytes:
    return archive(made.files()) + bytes(random.choice([1, 512, 1024]))


def without_a_file(random: Random, made: Making) -> bytes:
    files = made.files()
    del files[random.choice(sorted(files))]
    return archive(files)


def without_a_listed_file(random: Random, made: Making) -> bytes:
    files = made.files()
    needed = [n for n in files if not n.startswith(("pack.", "documents/"))]
    del files[random.choice(needed)]
    return archive(made.signed(files))


def with_a_file_nobody_knows(random: Random, made: Making) -> bytes:
    files = made.files()
    where = random.choice(["log/", "log/tile/0/", "seals/", "", f"seals/{random.random()}/"])
    return archive(made.signed({**files, f"{where}more": b"more"}))


def with_a_changed_file(random: Random, made: Making) -> bytes:
    """Listed so by the party. Of the seals' note a line of a stranger counts for nothing."""
    files = made.files()
    note = f"seals/{made.agreements[0].agreement.id}/checkpoint"
    passed = ("pack.", "documents/", note)
    name = random.choice([n for n in files if not n.startswith(passed)])
    data = bytearray(files[name])
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    files[name] = bytes(data)
    return archive(made.signed(files))


def with_a_changed_document(random: Random, made: Making) -> bytes:
    return archive({**made.files(), "documents/record.md": b"# %d\n" % random.getrandbits(32)})


def with_files_exchanged(random: Random, made: Making) -> bytes:
    files = made.files()
    one, other = random.sample(sorted(n for n in files if not n.startswith("pack.")), 2)
    files[one], files[other] = files[other], files[one]
    return archive(files if random.random() < 0.5 else made.signed(files))


def with_entries_cut(random: Random, made: Making) -> bytes:
    """The party cuts its log, and leaves the seals that partners cosigned."""
    kept = random.randrange(1, made.sealed[-1])
    return with_old_seals(made, made.entries[:kept])


def with_an_entry_left_out(random: Random, made: Making) -> bytes:
    at = random.randrange(made.sealed[-1])
    return with_old_seals(made, made.entries[:at] + made.entries[at + 1 :])


def with_entries_reordered(random: Random, made: Making) -> bytes:
    one, other = sorted(random.sample(range(made.sealed[-1]), 2))
    entries = list(made.entries)
    entries[one], entries[other] = entries[other], entries[one]
    return with_old_seals(made, entries)


def with_an_entry_replaced(random: Random, made: Making) -> bytes:
    entries = list(made.entries)
    at = random.randrange(made.sealed[-1])
    entries[at] = Entry(
        Entry.from_bytes(entries[at]).at, "refused", {"run": "", "code": "E-X"}
    ).to_bytes()
    return with_old_seals(made, entries)


def with_an_entry_back_dated(random: Random, made: Making) -> bytes:
    entries = list(made.entries)
    at = random.randrange(made.sealed[-1])
    old = Entry.from_bytes(entries[at])
    day = f"2025-{random.randrange(1, 13):02}-{random.randrange(1, 28):02}"
    entries[at] = replace(old, at=day + old.at[10:]).to_bytes()
    return with_old_seals(made, entries)


def forked_and_sealed_anew(random: Random, made: Making) -> bytes:
    """The party makes another past, and seals it: nobody cosigns that, or it does so itself."""
    at = random.randrange(1, made.sealed[-1])
    entries = [*made.entries[:at], made.entries[at - 1], *made.entries[at + 1 :]]
    keys = list(made.keys)
    if random.random() < 0.5:
        keys = [keys[0], *(Ed25519PrivateKey.generate() for _ in keys[1:])]
        return archive(replace(made, entries=entries, keys=keys).files())
    return archive(replace(made, entries=entries, witnesses=[]).files())


def cosigned_by_itself(random: Random, made: Making) -> bytes:
    return archive(replace(made, witnesses=[0] * random.randrange(1, 2)).files())


def with_seals_changed(random: Random, made: Making) -> bytes:
    """Seals cut, exchanged, or opened to something else; listed so by the party."""
    files = made.files()
    folder = f"seals/{made.agreements[0].agreement.id}/"
    seals = opened(files, folder)
    what = random.randrange(4)
    if what == 0:
        del seals[random.randrange(len(seals))]
    elif what == 1:
        seals[0], seals[-1] = seals[-1], seals[0]
    elif what == 2:
        seals[random.randrange(len(seals))]["nonce"] = random.randbytes(32).hex()
    else:
        seals.append(seals[-1])
    return archive(made.signed({**files, f"{folder}opened": closed(seals)}))


def with_a_seal_opened_to_another(random: Random, made: Making) -> bytes:
    files = made.files()
    folder = f"seals/{made.agreements[0].agreement.id}/"
    seals = opened(files, folder)
    random.choice(seals)["nonce"] = random.randbytes(32).hex()
    return archive(made.signed({**files, f"{folder}opened": closed(seals)}))


def opened(files: dict[str, bytes], folder: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in files[f"{folder}opened"].splitlines()]


def closed(seals: list[dict[str, str]]) -> bytes:
    return b"".join(canonical_json(one) + b"\n" for one in seals)


def dated_before_what_is_in_it(random: Random, made: Making) -> bytes:
    files = made.files()
    earlier = replace(made, made_at=made.made_at - timedelta(days=random.randrange(1, 900)))
    return archive(earlier.signed(files))


def with_a_late_entry_back_dated(random: Random, made: Making) -> bytes:
    last = Entry.from_bytes(made.entries[-1])
    day = f"2025-{random.randrange(1, 13):02}-{random.randrange(1, 28):02}"
    entries = [*made.entries[:-1], replace(last, at=day + last.at[10:]).to_bytes()]
    return archive(replace(made, entries=entries).files())


def with_another_agreement(random: Random, made: Making) -> bytes:
    """The agreement in other words, signed by one or two of its parties."""
    signed = made.agreements[0]
    values = parse_json(signed.envelope.payload, max_bytes=1 << 20, what="agreement")
    values["parties"][0]["contact"] = f"dpo-{random.randrange(10**6)}@example.org"
    payload = canonical_json(values)
    kind = signed.envelope.payload_type
    signatures = dict(signed.envelope.signatures)
    for key in made.keys[: random.randrange(3)]:
        signatures[key_id(public_bytes(key))] = sign_document(key, kind, payload)
    data = Envelope(payload_type=kind, payload=payload, signatures=signatures).to_bytes()
    files = made.files()
    name = f"agreements/{signed.agreement.hash.hex()}.json"
    if random.random() < 0.5:
        del files[name]
        name = f"agreements/{SignedAgreement.from_bytes(data, kept=True).agreement.hash.hex()}.json"
    return archive(made.signed({**files, name: data}))


def with_another_release(random: Random, made: Making) -> bytes:
    """A release in other numbers, signed by the party alone, or not at all."""
    release = random.choice(made.releases)
    data = _in_other_numbers(random, release, made.keys[: random.randrange(2)])
    name = f"releases/{release.release.run_hash.hex()}.json"
    return archive(made.signed({**made.files(), name: data}))


def with_a_release_that_all_signed_later(random: Random, made: Making) -> bytes:
    """All participants agree on other numbers, when the log has the first ones."""
    release = random.choice(made.releases)
    data = _in_other_numbers(random, release, made.keys)
    name = f"releases/{release.release.run_hash.hex()}.json"
    return archive(made.signed({**made.files(), name: data}))


def with_a_false_release_that_was_logged(random: Random, made: Making) -> bytes:
    """The party writes a release of its own into its log, in time to have it sealed."""
    release = random.choice(made.releases)
    false = SignedRelease.from_bytes(_in_other_numbers(random, release, made.keys[:1]))
    digest = hashlib.sha256(false.to_bytes()).hexdigest()
    run_hash = release.release.run_hash.hex()
    entries = [
        replace(one, about={**one.about, "sha256": digest}).to_bytes()
        if one.kind == "release" and one.about["run_hash"] == run_hash
        else one.to_bytes()
        for one in map(Entry.from_bytes, made.entries)
    ]
    releases = [false if one is release else one for one in made.releases]
    return archive(replace(made, entries=entries, releases=releases).files())


def _in_other_numbers(
    random: Random, release: SignedRelease, keys: Sequence[Ed25519PrivateKey]
) -> bytes:
    """A release with another size, signed by some keys; the other signatures stay as they are."""
    values = parse_json(release.envelope.payload, max_bytes=1 << 24, what="release")
    values["segments"][0]["size"] += random.randrange(1, 9)
    payload, kind = canonical_json(values), release.envelope.payload_type
    signatures = dict(release.envelope.signatures)
    for key in keys:
        signatures[key_id(public_bytes(key))] = sign_document(key, kind, payload)
    return Envelope(payload_type=kind, payload=payload, signatures=signatures).to_bytes()


def with_signatures_left_out(random: Random, made: Making) -> bytes:
    """A document of several without one's signature."""
    files = made.files()
    name = random.choice([n for n in files if n.startswith(("agreements/", "releases/"))])
    values = json.loads(files[name])
    del values["signatures"][random.randrange(len(values["signatures"]))]
    return archive(made.signed({**files, name: canonical_json(values)}))


def signed_by_somebody_else(random: Random, made: Making) -> bytes:
    stranger = Ed25519PrivateKey.generate() if random.random() < 0.5 else made.keys[1]
    return archive(replace(made, keys=[stranger, *made.keys[1:]]).signed(made.files()))


def with_the_note_of_another_pack(random: Random, made: Making) -> bytes:
    other = made.signed({"documents/other.md": random.randbytes(8)})
    return archive({**made.files(), "pack.note": other["pack.note"]})


def with_the_checkpoint_of_another_log(random: Random, made: Making) -> bytes:
    """Signed by the party's key under the name of its log, and about another one."""
    files, own = made.files(), made.keys[0]
    folder = random.choice(["log/", f"seals/{made.agreements[0].agreement.id}/"])
    text = Note.parse(files[f"{folder}checkpoint"]).text
    name, rest = text.split("\n", 1)
    note = sign_ed25519(Note(f"fedseg/other\n{rest}"), name, own)
    for witness in made.witnesses:
        key = made.keys[witness]
        who = made.agreements[0].agreement.parties[witness].id
        note = cosign_ed25519(note, key_of_witness(who, public_bytes(key)).name, key, 1)
    files[f"{folder}checkpoint"] = note.to_bytes()
    return archive(made.signed(files))


def all_by_strangers(_: Random, made: Making) -> bytes:
    """A pack that is whole in itself, of an agreement between invented parties."""
    return archive(making().files())


def with_old_seals(made: Making, entries: list[bytes]) -> bytes:
    """Another log, with the seals that were cosigned of the one before; signed by the party."""
    before = made.files()
    sealed = [min(one, len(entries)) for one in made.sealed]
    files = replace(made, entries=entries, sealed=sealed).files()
    old = {name: data for name, data in before.items() if name.startswith("seals/")}
    new = {name: data for name, data in files.items() if not name.startswith("seals/")}
    return archive(made.signed({**new, **old}))


ALL: tuple[Tampering, ...] = (
    flipped, cut_anywhere, with_more_at_the_end, without_a_file, without_a_listed_file,
    with_a_file_nobody_knows, with_a_changed_file, with_a_changed_document, with_files_exchanged,
    with_entries_cut, with_an_entry_left_out, with_entries_reordered, with_an_entry_replaced,
    with_an_entry_back_dated, forked_and_sealed_anew, cosigned_by_itself, with_seals_changed,
    dated_before_what_is_in_it, with_a_late_entry_back_dated, with_another_agreement,
    with_a_seal_opened_to_another, with_a_release_that_all_signed_later,
    with_a_false_release_that_was_logged, with_another_release, with_signatures_left_out,
    signed_by_somebody_else,
    with_the_note_of_another_pack, with_the_checkpoint_of_another_log, all_by_strangers,
)  # fmt: skip
