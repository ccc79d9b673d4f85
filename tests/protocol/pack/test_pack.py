"""Evidence packs: a whole one is taken by both verifiers, and none that somebody changed."""

from __future__ import annotations

import io
import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import playwright
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import protocol.pack
from machine import plain_archive
from machine.plain_archive import MAX_FILE_BYTES, PlainArchive, write_archive
from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import HandOvers
from protocol.errors import ArchiveError, FedsegError
from protocol.log.entries import Entry
from protocol.pack.checking import CheckedPack, check_pack
from tests import effort
from tests.protocol.pack import tampering
from tests.protocol.pack.packs import Making, archive, making

#: Node.js comes with what drives the browser.
NODE = Path(playwright.__file__).parent / "driver" / "node"
VERIFIER = Path(protocol.pack.__file__).parent / "verifier.mjs"
MOST_LINES = 500


@pytest.fixture(scope="module")
def made() -> Making:
    return making()


def checked(made: Making, data: bytes) -> CheckedPack:
    return check_pack(PlainArchive(io.BytesIO(data)), [made.agreements[0].agreement.hash])


def refused(made: Making, data: bytes) -> str:
    with pytest.raises(FedsegError) as error:
        checked(made, data)
    assert error.value.remedy
    return error.value.code


def said_by_the_other(made: Making, packs: Iterable[Path]) -> list[dict[str, object]]:
    """What the verifier in JavaScript says of each pack."""
    words = ["--agreement", made.agreements[0].agreement.hash.hex(), *map(str, packs)]
    done = subprocess.run(
        [NODE, VERIFIER, *words], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def handed_over(made: Making) -> tuple[Making, bytes]:
    """The same, where the party and a partner handed their keys over; and what proves that."""
    new = [Ed25519PrivateKey.generate() for _ in range(2)]
    agreement = made.agreements[0].agreement
    at = "2026-01-14T00:00:00Z"
    known = HandOvers.of(
        HandOver.make(made.keys[n], key, partner=agreement.parties[n].id, number=1, at=at)
        for n, key in enumerate(new)
    )
    return replace(made, keys=[*new, *made.keys[2:]]), known.to_bytes()


def test_a_whole_pack_shows_what_was_witnessed_and_what_was_not(
    made: Making, tmp_path: Path
) -> None:
    found = checked(made, archive(made.files()))
    assert (found.party, found.entries) == (made.party, len(made.entries))
    assert found.entries_witnessed == made.sealed[-1] == len(made.entries) - 2
    (witnessed,) = found.witnessed
    assert set(witnessed.by) == {"partner-1", "partner-2"}
    assert (witnessed.seals, witnessed.needed, found.releases) == (len(made.sealed), 1, 2)
    assert found.documents == ("documents/record.md",)
    (tmp_path / "pack").write_bytes(archive(made.files()))
    (other,) = said_by_the_other(made, [tmp_path / "pack"])
    assert other == {
        "file": str(tmp_path / "pack"), "accepted": True, "party": found.party,
        "made_at": found.made_at, "entries": found.entries, "root": found.root.hex(),
        "entries_witnessed": found.entries_witnessed, "releases": 2,
        "witnessed": [
            {"agreement": "simulation", "seals": len(made.sealed), "entries": made.sealed[-1],
             "by": dict(witnessed.by)}
        ],
    }  # fmt: skip


def test_keys_that_were_handed_over_count_and_no_others(made: Making, tmp_path: Path) -> None:
    later, proof = handed_over(made)
    files = later.files()
    with_proof = archive(later.signed({**files, "hand-overs": proof}))
    assert checked(made, with_proof).entries_witnessed == made.sealed[-1]
    assert refused(made, archive(files)) == "E-LOG-UNSIGNED"
    (tmp_path / "with").write_bytes(with_proof)
    (tmp_path / "without").write_bytes(archive(files))
    found = said_by_the_other(made, [tmp_path / "with", tmp_path / "without"])
    assert [one["accepted"] for one in found] == [True, False]


def test_a_folder_that_is_older_than_its_log_may_have_more_than_that(
    made: Making, tmp_path: Path
) -> None:
    begun = Entry.from_bytes(made.entries[0])
    for earlier in (True, False):
        entries = [
            replace(begun, about={**begun.about, "earlier": earlier}).to_bytes(),
            *(one for one in made.entries[1:] if Entry.from_bytes(one).kind != "agreement-kept"),
        ]
        data = archive(replace(made, entries=entries, sealed=[3]).files())
        (tmp_path / "pack").write_bytes(data)
        (found,) = said_by_the_other(made, [tmp_path / "pack"])
        assert found["accepted"] is earlier
        if earlier:
            assert checked(made, data).entries == len(entries)
        else:
            assert refused(made, data) == "E-PACK-LOG"


def test_the_reader_names_the_agreement_whose_keys_count(made: Making) -> None:
    pack = PlainArchive(io.BytesIO(archive(made.files())))
    for named in ([], [bytes(32)]):
        with pytest.raises(FedsegError, match="E-PACK-AGREEMENT"):
            check_pack(pack, named)


def test_what_came_after_the_last_seal_is_the_party_s_word_alone(made: Making) -> None:
    last = Entry.from_bytes(made.entries[-1])
    entries = [
        *made.entries[:-1],
        replace(last, about={**last.about, "sha256": "ab" * 32}).to_bytes(),
    ]
    before = checked(made, archive(made.files()))
    after = checked(made, archive(replace(made, entries=entries).files()))
    assert after.entries_witnessed == before.entries_witnessed < after.entries
    assert after.root != before.root


@pytest.mark.parametrize("tamper", tampering.ALL, ids=lambda one: one.__name__)
def test_a_pack_that_was_changed_is_refused(made: Making, tamper: tampering.Tampering) -> None:
    random = Random(effort.SEED)
    for _ in range(effort.count(3, 40)):
        data = tamper(random, made)
        assert data != archive(made.files())
        refused(made, data)


def test_the_other_verifier_refuses_them_all(made: Making, tmp_path: Path) -> None:
    random = Random(effort.SEED + 1)
    count = effort.count(100, 1_000)
    for number in range(count):
        tamper = tampering.ALL[number % len(tampering.ALL)]
        (tmp_path / f"{number:04}-{tamper.__name__}").write_bytes(tamper(random, made))
    found = said_by_the_other(made, sorted(tmp_path.iterdir()))
    assert len(found) == count
    assert [one for one in found if one["accepted"]] == []
    assert [one for one in found if not str(one["code"]).startswith("E-")] == []
    assert Counter(one["code"] == "E-INTERNAL" for one in found) == {False: count}


def test_a_cosignature_that_nobody_knows_counts_for_nothing(made: Making, tmp_path: Path) -> None:
    files, note = made.files(), "seals/simulation/checkpoint"
    files[note] = files[note].replace(b"fedseg/partner-1/", b"fedseg/partner-9/")
    data = archive(made.signed(files))
    (witnessed,) = checked(made, data).witnessed
    assert set(witnessed.by) == {"partner-2"}
    (tmp_path / "pack").write_bytes(data)
    (other,) = said_by_the_other(made, [tmp_path / "pack"])
    assert other["witnessed"] == [
        {"agreement": "simulation", "seals": 4, "entries": made.sealed[-1], "by": witnessed.by}
    ]


def test_codes_say_what_is_wrong(made: Making) -> None:
    random = Random(2)
    for tamper, code in (
        (tampering.with_more_at_the_end, "E-ARCHIVE"),
        (tampering.with_a_changed_document, "E-PACK-FILES"),
        (tampering.with_a_file_nobody_knows, "E-PACK-FILES"),
        (tampering.with_the_note_of_another_pack, "E-PACK-SIGNATURE"),
        (tampering.with_the_checkpoint_of_another_log, "E-PACK-SIGNATURE"),
        (tampering.all_by_strangers, "E-PACK-AGREEMENT"),
        (tampering.with_entries_cut, "E-PACK-SEALS"),
        (tampering.forked_and_sealed_anew, "E-PACK-WITNESS"),
        (tampering.dated_before_what_is_in_it, "E-PACK-TIME"),
        (tampering.with_a_late_entry_back_dated, "E-PACK-TIME"),
        (tampering.with_another_release, "E-PACK-LOG"),
    ):
        assert refused(made, tamper(random, made)) == code, tamper.__name__


def test_clocks_may_be_a_little_apart(made: Making) -> None:
    a_little = replace(made, made_at=made.made_at - timedelta(minutes=4))
    assert checked(made, archive(a_little.signed(made.files()))).releases == 2


def test_a_clock_that_was_ahead_once_spoils_no_later_pack(made: Making, tmp_path: Path) -> None:
    for number, code in ((2, ""), (made.sealed[-1] - 1, ""), (made.sealed[-1], "E-PACK-TIME")):
        entries = list(made.entries)
        ahead = replace(Entry.from_bytes(entries[number]), at="2999-01-01T00:00:00.000000Z")
        entries[number] = ahead.to_bytes()
        data = archive(replace(made, entries=entries).files())
        (tmp_path / "pack").write_bytes(data)
        (found,) = said_by_the_other(made, [tmp_path / "pack"])
        assert found.get("code", "") == code
        if code:
            assert refused(made, data) == code
        else:
            assert checked(made, data).entries_witnessed == made.sealed[-1]


@pytest.mark.parametrize("time", [2**53 - 1, 2**63 - 1])
def test_a_time_that_no_calendar_has_is_refused_as_any_that_is_ahead(
    made: Making, time: int, tmp_path: Path
) -> None:
    data = archive(replace(made, cosigned_at=time).files())
    assert refused(made, data) == "E-PACK-TIME"
    (tmp_path / "pack").write_bytes(data)
    (found,) = said_by_the_other(made, [tmp_path / "pack"])
    assert found["code"] == "E-PACK-TIME"


@pytest.mark.parametrize("name", ["", "/x", "../x", "a//b", "a/", ".hidden", "x" * 101, "a b", "ä"])
def test_an_archive_has_plain_names_that_rise(name: str) -> None:
    with pytest.raises(ArchiveError, match="E-ARCHIVE"):
        write_archive(io.BytesIO(), [(name, b"")])
    with pytest.raises(ArchiveError, match="E-ARCHIVE"):
        write_archive(io.BytesIO(), [("b", b""), ("a", b"")])
    with pytest.raises(ArchiveError, match="E-ARCHIVE"):
        write_archive(io.BytesIO(), [("a", b""), ("a", b"")])


@pytest.mark.parametrize("more", [0, 1])
def test_no_file_of_a_pack_takes_more_memory_than_one_may(
    made: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    size = MAX_FILE_BYTES + more
    with monkeypatch.context() as patch:
        patch.setattr(plain_archive, "MAX_FILE_BYTES", size)
        head = plain_archive._header("agreements/x.json", size)
    pack = tmp_path / "pack"
    with pack.open("wb") as file:  # a hole, which takes no room on the disk
        file.write(head)
        file.truncate(512 + size + -size % 512 + 1024)
    (found,) = said_by_the_other(made, [pack])
    with pack.open("rb") as file:
        if more:
            with pytest.raises(ArchiveError, match="too large"):
                PlainArchive(file)
            assert found["code"] == "E-ARCHIVE"
        else:
            assert list(PlainArchive(file)) == ["agreements/x.json"]
            assert found["code"] == "E-PACK-FILES", "an archive, but no pack"


def test_an_archive_is_what_tar_reads(made: Making, tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "pack").write_bytes(archive(made.files()))
    with tarfile.open(tmp_path / "pack") as found:
        assert found.getnames() == sorted(made.files())


def test_the_other_verifier_is_short_and_needs_no_package() -> None:
    text = VERIFIER.read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if line.strip() and not line.startswith("//")]
    assert len(code) <= MOST_LINES
    assert max(map(len, text.splitlines())) <= 110
    imports = [line for line in text.splitlines() if line.startswith("import ")]
    assert all('from "node:' in line for line in imports)
