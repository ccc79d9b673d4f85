"""Entries: strict for the kinds that are known, kept as they are for others; whole logs checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from protocol.errors import FedsegError
from protocol.log.checking import check_log, check_since
from protocol.log.checkpoints import Checkpoint
from protocol.log.entries import BUILD, KINDS, LEFT, REFUSED, Entry, check_entry
from protocol.log.tree import leaf_hash, root
from tests import effort
from tests.protocol.log.trees import Kept

AT = "2026-12-01T09:00:00.000000Z"
VALUES = {
    "party": "north", "program": "1.0", "schema": 29, "earlier": False, "agreement": "pilot",
    "version": 1, "agreement_hash": "ab" * 32, "by": "anna", "partner": "north", "run": "ab" * 16,
    "round": 0, "asked": "counts", "cost": "12", "context": "ab" * 32, "what": "MASKED",
    "bytes": 7, "sha256": "ab" * 32, "message": None, "code": "E-RULE", "day": AT[:10],
    "decision": "approved", "run_hash": "ab" * 32, "phase": "done", "release": "ab" * 32,
    "use": "own-marketing", "right": "object", "subject": "ab" * 32, "step": "received",
    "build": "ab" * 32, "partners": 3, "head": "ab" * 32, "act": "egress", "about": "ab" * 32,
    "epsilon": "4", "delta": "0.000001", "number": 2, "ending": "deleted", "changed": "data.path",
    "key": "ab" * 32, "made_at": AT, "old_key": "ab" * 32, "new_key": "ab" * 32,
    "size": 9, "known": "ab" * 32, "other": "cd" * 32,
    "language": "de", "facts": "ab" * 32, "own": False, "bits": 2, "root": "ab" * 32, "kept": False,
    "name": "anna", "course": "fedseg-basics", "on": "2026-12-01",
    "until": "2027-12-01", "evidence": "",
    "without": "south", "expires": AT, "signed": True, "moment": AT, "paused": True,
}  # fmt: skip


def made(kind: str) -> Entry:
    about = {name: VALUES[name] for name in KINDS[kind]}
    own = {"decision": {"message": 3}, "notice": {"version": "2"}}
    return Entry(AT, kind, {**about, **own.get(kind, {})})


def code_of(data: bytes) -> str:
    with pytest.raises(FedsegError) as refused:
        Entry.from_bytes(data)
    return refused.value.code


class Log(Kept):
    """A log in memory."""

    def __init__(self, entries: Sequence[bytes] = ()) -> None:
        super().__init__()
        self.all: list[bytes] = []
        for entry in entries:
            self.add(entry)

    def add(self, entry: bytes) -> None:
        self.append(leaf_hash(entry))
        self.all.append(entry)

    @property
    def size(self) -> int:
        return len(self.all)

    def entries(self, start: int, stop: int) -> Sequence[bytes]:
        return self.all[start:stop]

    def at(self, size: int) -> Checkpoint:
        return Checkpoint("fedseg/north", size, root(size, self))


def entries(count: int) -> list[bytes]:
    return [Entry(AT, REFUSED, {"run": "", "code": f"E-{i}"}).to_bytes() for i in range(count)]


def refused(log: Log, *checkpoints: Checkpoint) -> str:
    with pytest.raises(FedsegError) as error:
        check_log(log, checkpoints)
    return error.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_fields_and_no_others(kind: str) -> None:
    entry = made(kind)
    assert Entry.from_bytes(entry.to_bytes()) == entry
    for name in KINDS[kind]:
        for other in (True, 1.5, [], "\u2028" * 5000, -2, "XY"):
            if isinstance(entry.about[name], bool) and other is True:
                continue
            if isinstance(other, str) and len(other) < 5000 and isinstance(entry.about[name], str):
                continue  # a text may be any text
            with pytest.raises(FedsegError, match="E-LOG-FORMAT"):
                replace(entry, about={**entry.about, name: other})
        with pytest.raises(FedsegError, match="E-LOG-FORMAT"):
            replace(entry, about={k: v for k, v in entry.about.items() if k != name})
    with pytest.raises(FedsegError, match="E-LOG-FORMAT"):
        replace(entry, about={**entry.about, "customers": 7})


def test_hashes_are_hexadecimal() -> None:
    with pytest.raises(FedsegError, match="E-LOG-FORMAT"):
        replace(made(BUILD), about={**made(BUILD).about, "build": "XY"})


def test_what_came_after_a_known_state_is_checked() -> None:
    whole = entries(600)
    for known in (0, 1, 255, 256, 300, 599, 600):
        log = Log(whole)
        assert check_since(log, log.at(known)) == check_log(log)
        if known:
            other = replace(log.at(known), root=bytes(31) + b"\x01")
            with pytest.raises(FedsegError, match="E-LOG-FORKED"):
                check_since(log, other)
        with pytest.raises(FedsegError, match="E-LOG-SHORT"):
            check_since(Log(whole[: known // 2]), log.at(known)) if known else check_since(
                log, replace(log.at(600), size=601)
            )
        for at in range(known, 600, 37):
            log.all[at] = Entry(AT, REFUSED, {"run": "", "code": "E-OTHER"}).to_bytes()
            with pytest.raises(FedsegError, match="E-LOG-HASHES"):
                check_since(log, log.at(known))
            log.all[at] = whole[at]
    before = Log(whole)
    before.all[3] = Entry(AT, REFUSED, {"run": "", "code": "E-OTHER"}).to_bytes()
    check_since(before, before.at(300))  # its bytes are not read: its hash is vouched for


def test_a_kind_of_a_later_version_is_kept_as_it_is() -> None:
    later = Entry(AT, "roster-sealed", {"whatever": [1, {"a": None}]})
    assert Entry.from_bytes(later.to_bytes()) == later
    assert not later.is_known


def test_an_entry_has_one_form() -> None:
    data = made(LEFT).to_bytes()
    assert code_of(data + b" ") == "E-LOG-FORMAT"
    assert code_of(data.replace(b":", b": ", 1)) == "E-LOG-FORMAT"
    assert code_of(b'{"at":"","at":"","kind":"left"}') == "E-LOG-FORMAT"
    assert code_of(b'{"at":"","kind":5}') == "E-LOG-FORMAT"
    assert code_of(b"[]") == "E-LOG-FORMAT"
    for value in (b"1152921504606846976", b'"\\ud800"'):
        assert code_of(b'{"at":"","kind":"later","x":' + value + b"}") == "E-LOG-FORMAT"
    with pytest.raises(FedsegError, match="65535"):
        Entry(AT, "later", {"text": "x" * 65_536}).to_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_quick_look_takes_no_bytes_that_are_no_entry(kind: str) -> None:
    whole = made(kind).to_bytes()
    check_entry(whole)
    for at in range(len(whole)):
        for other in (b"", b"0", b"-", b"\\", b'"', b"a", b"Z", b"\x7f", b"\xc3", b"\n", b"1e"):
            for changed in (whole[:at] + other + whole[at + 1 :], whole[:at] + other + whole[at:]):
                assert _takes(check_entry, changed) == _takes(Entry.from_bytes, changed), changed


def _takes(reader: Callable[[bytes], object], data: bytes) -> bool:
    try:
        reader(data)
    except FedsegError:
        return False
    return True


def test_a_whole_log_has_the_root_of_its_entries() -> None:
    for count in (0, 1, 2, 255, 256, 257, 513):
        log = Log(entries(count))
        assert check_log(log, [log.at(size) for size in {0, count // 2, count}]) == (
            count,
            root(count, log) if count else hashlib.sha256(b"").digest(),
        )


def test_what_was_changed_is_noticed() -> None:
    whole = entries(600)
    for at in (0, 255, 256, 599):
        log = Log(whole)
        log.all[at] = Entry(AT, REFUSED, {"run": "", "code": "E-OTHER"}).to_bytes()
        assert refused(log) == "E-LOG-HASHES", "an entry"
    log = Log(whole)
    log.all[3], log.all[4] = log.all[4], log.all[3]
    assert refused(log) == "E-LOG-HASHES", "the order"
    log = Log(whole)
    log.all[3] = b"{}"
    assert refused(log) == "E-LOG-FORMAT", "no entry"
    for level, position in ((0, 0), (0, 599), (1, 0), (1, 1)):
        log = Log(whole)
        log.levels[level][position] = bytes(32)
        assert refused(log) == "E-LOG-HASHES", "a stored hash"
    log = Log(whole)
    del log.levels[1][1:]
    assert refused(log) == "E-LOG-HASHES", "a missing hash"
    cut, before = Log(whole[:500]), Log(whole).at(600)
    assert check_log(cut), "by itself a log that was cut is whole"
    assert refused(cut, before) == "E-LOG-SHORT"
    other = Log([*whole[:-1], whole[0]])
    assert refused(other, before) == "E-LOG-FORKED"
    assert refused(Log([*whole[1:], *whole]), before, Log(whole).at(2)) == "E-LOG-FORKED"


def test_an_entry_that_is_not_there_is_noticed() -> None:
    class Short(Log):
        @property
        def size(self) -> int:
            return len(self.all) + 1

    assert refused(Short(entries(3))) == "E-LOG-HASHES"
    assert refused(Short(entries(256))) == "E-LOG-HASHES"


@pytest.mark.long
def test_checking_reads_each_entry_and_each_hash_once() -> None:
    _check_work(effort.count(10_000, 1_000_000))


def test_checking_reads_a_small_log_once() -> None:
    _check_work(3_000)


def _check_work(count: int) -> None:
    class Counting(Log):
        read = 0

        def entries(self, start: int, stop: int) -> Sequence[bytes]:
            self.read += stop - start
            return super().entries(start, stop)

        def tile(self, level: int, index: int, width: int) -> Sequence[bytes]:
            self.read += width
            return super().tile(level, index, width)

    log = Counting(entries(count))
    earlier = log.at(count // 3)
    log.read = 0
    check_log(log, [earlier])
    assert 2 * count <= log.read <= 2 * count + count // 200 + 2_000
