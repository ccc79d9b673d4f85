"""Who was counted: kept with each answer or not at all, shown to customers, and never wrongly."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import os
import shutil
import signal
import traceback
import warnings
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from machine.text import how_many
from partner_node.customers.source_customers import SourceCustomers
from partner_node.egress.settings import EgressSection
from partner_node.home import NodeHome
from partner_node.node import Node
from partner_node.receipts.counting import Counting
from partner_node.receipts.handle_files import between, joined, marked, pack, unpack
from partner_node.rights import counted
from partner_node.segments.retention import purge
from protocol.agreement.features import Feature
from protocol.agreement.governance import SEGMENTATION
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import RunFailedError
from protocol.log.checking import check_log
from protocol.log.entries import Entry
from protocol.log.names import key_of_log
from protocol.messages import Announce
from protocol.receipts.buckets import least_bits
from protocol.receipts.handles import handle, handles, in_order
from protocol.strict import Fields
from simulations.federation import FeatureTerms
from tests import effort
from tests.partner_node.counted_runs import IDS, CountedRuns, made_folder
from tests.partner_node.nodes import shell  # noqa: F401 - a fixture
from tests.partner_node.test_consent_rules import IDS as SPIED
from tests.partner_node.test_consent_rules import SpySource
from tests.shell import Shell


@pytest.fixture
def runs(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CountedRuns:
    made_folder(shell, tmp_path)
    return CountedRuns(tmp_path, monkeypatch)


def receipt(shell: Shell, runs: CountedRuns, subject: str, *more: object) -> dict[str, Any]:
    words = ("rights", "receipt", "--subject", subject, *more, "--dir", runs.folder / "node")
    return shell.json(*words)


def states(told: dict[str, Any]) -> list[str]:
    return [one["state"] for one in told["answers"]]


def test_whoever_objects_between_rounds_has_it_proved_from_the_next_round_on(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    runs.before[2] = lambda: shell.json("rights", "object", "--subject", "K-007", "--dir", folder)
    runs.fed.run()
    rounds = len(runs.logged("counted"))
    assert rounds >= 3
    told = receipt(shell, runs, "K-007", "--out", "K-007.json")
    assert states(told) == ["counted"] * 2 + ["not-counted"] * (rounds - 2)
    assert [one["round"] for one in told["answers"]] == list(range(1, rounds + 1))
    assert all(one["left"] for one in told["answers"])
    assert states(receipt(shell, runs, "K-008", "--out", "K-008.json")) == ["counted"] * rounds
    assert states(receipt(shell, runs, "stranger")) == ["not-counted"] * rounds
    checked = shell.json(
        "rights", "check-receipt", "K-007.json", "K-008.json", "--key", told["key"]
    )
    assert states(checked["receipts"][0]) == states(told)
    assert (tmp_path / "K-007.json").stat().st_mode & 0o777 == 0o600
    for name in ("K-007.txt", "K-007.html"):
        receipt(shell, runs, "K-007", "--out", name)
        letter = " ".join((tmp_path / name).read_text().split())
        assert "In rounds 1 to 2: counted, by what was written down at 20" in letter
        assert f"In rounds 3 to {rounds}: not counted, by" in letter or rounds == 3
        assert told["key"] in letter
    erased = shell.json("rights", "erase", "--subject", "K-008", "--dir", folder)
    assert "sets of customers that answers counted" in erased["stays"]
    assert states(receipt(shell, runs, "K-008")) == ["counted"] * rounds
    entry = runs.logged("counted")[0]
    assert set(entry) == {
        "at", "kind", "agreement", "run", "round", "number", "context", "key", "bits", "root",
    }  # fmt: skip


def test_a_receipt_shows_who_else_saw_the_log_that_it_is_of(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    """What nobody cosigned yet is not in it, and said to be missing."""
    agreement, folder = tmp_path / "agreement.json", tmp_path / "node"
    asked = ("rights", "receipt", "--subject", "K-007", "--cosigned", "--dir", folder)
    assert shell.refused(*asked, status=3)["code"] == "E-LOG-NOT-COSIGNED"
    agreement.write_bytes(runs.fed.signed.to_bytes())
    runs.fed.exchange.cosigned = True
    runs.before[1] = lambda: shell.json("rights", "object", "--subject", "K-007", "--dir", folder)
    runs.fed.run()
    rounds = len(runs.logged("counted"))
    others = [one.id for one in runs.fed.agreement.parties if one.id != "north"]
    told = receipt(shell, runs, "K-007", "--cosigned", "--out", "first.json")
    assert len(told["cosigned_by"]) == 2 and all(
        name.split("/")[1] in others for name in told["cosigned_by"]
    )
    shown = len(told["answers"])
    assert shown > 2 and told["later"] == rounds - shown
    assert states(told) == ["counted"] + ["not-counted"] * (shown - 1)

    check = ("rights", "check-receipt", "first.json", "--key", told["key"])
    assert shell.json(*check)["receipts"][0]["cosigned"] == {}
    seen = shell.json(*check, "--agreement", agreement, "--quorum", 2)["receipts"][0]
    assert [*seen["cosigned"]] == told["cosigned_by"]
    assert states(seen) == states(told)
    words = " ".join(shell(*check, "--agreement", agreement).out.split())
    assert f"{told['cosigned_by'][0]} cosigned a seal of that log at 20" in words
    whole = receipt(shell, runs, "K-007", "--out", "whole.json")
    assert whole["cosigned_by"] == [] and len(whole["answers"]) == rounds
    both = ("rights", "check-receipt", "first.json", "whole.json", "--key", told["key"])
    shell.json(*both)
    assert shell.refused(*both, "--agreement", agreement, status=3)["code"] == "E-LOG-QUORUM"

    runs.fed.exchange.cosigned = False
    runs.fed.run()
    more = len(runs.logged("counted")) - rounds
    later = receipt(shell, runs, "K-007", "--cosigned", "--out", "later.txt")
    assert later["answers"] == told["answers"] and later["later"] == told["later"] + more > 0
    letter = " ".join((tmp_path / "later.txt").read_text().split())
    assert f"{how_many(later['later'], 'answer')} written down since then: not in it." in letter
    assert f"{later['cosigned_by'][0]} and " in letter


def test_a_receipt_is_not_cosigned_under_a_key_that_the_seals_have_not(
    shell: Shell, runs: CountedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.fed.exchange.cosigned = True
    runs.fed.run()
    other = replace(key_of_log("north", bytes(32)), name="fedseg/north/0000000000000000")
    monkeypatch.setattr(counted, "key_of_log", lambda *_: other)
    asked = ("rights", "receipt", "--subject", "K-007", "--cosigned", "--dir", runs.folder / "node")
    found = shell.refused(*asked, status=3)
    assert found["code"] == "E-LOG-NOT-COSIGNED"
    assert "since the node has its key" in found["message"]


def test_what_each_round_counted_is_what_is_kept_of_it(
    shell: Shell, runs: CountedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every customer's state in every round, against who was really added up."""
    seen: list[set[bytes]] = []
    real = Counting.add

    def noting(counting: Counting, found: Any) -> None:
        if not counting._found:
            seen.append(set())
        seen[-1] |= {bytes(one) for one in found.astype(">u8").view("V16").ravel()}
        real(counting, found)

    monkeypatch.setattr(Counting, "add", noting)
    folder = tmp_path / "node"
    for number, out in ((1, "K-001"), (2, "K-002"), (3, "K-003")):
        runs.before[number] = lambda o=out: shell.json(  # type: ignore[misc]
            "rights", "object", "--subject", o, "--dir", folder
        )
    runs.fed.run()
    key = runs.sets.key(runs.run_id)
    assert key is not None
    assert [len(one) for one in seen] == [60, 59, 58, 57][: len(seen)]
    for subject in ("K-000", "K-001", "K-002", "K-003", "K-059", "nobody"):
        told = receipt(shell, runs, subject)
        wanted = ["counted" if handle(key, subject) in one else "not-counted" for one in seen]
        assert states(told) == wanted


def test_a_customer_who_comes_in_mid_run_is_shown_from_then_on(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    def comes() -> None:
        with (tmp_path / "customers.csv").open("a") as file:
            file.write("new,4.0\n")
        with (tmp_path / "consents.csv").open("a") as file:
            file.write(f"new,ConsentGiven,2026-01-02T00:00:00Z,{SEGMENTATION},1\n")

    runs.before[1] = comes
    runs.before[2] = lambda: shell.json(
        "rights", "object", "--subject", "new", "--dir", tmp_path / "node"
    )
    runs.fed.run()
    rounds = len(runs.logged("counted"))
    assert states(receipt(shell, runs, "new")) == [
        "not-counted", "counted", *["not-counted"] * (rounds - 2),
    ]  # fmt: skip
    assert states(receipt(shell, runs, "K-001")) == ["counted"] * rounds
    assert [one.count for one in runs.sets.parts(runs.run_id)] == [60, 1]
    assert len({one["key"] for one in runs.logged("counted")}) == 1


@pytest.mark.parametrize("settled", [True, False])
def test_customers_that_are_read_anew_have_the_same_handles(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    made_folder(shell, tmp_path)
    runs = CountedRuns(tmp_path, monkeypatch, settled=settled)
    runs.fed.run()
    assert [one.count for one in runs.sets.parts(runs.run_id)] == [60]
    (part,) = runs.sets.parts(runs.run_id)
    key = runs.sets.key(runs.run_id)
    assert key is not None
    data = (tmp_path / "node" / "state" / "receipts" / part.file).read_bytes()
    wanted = in_order(handles(key, IDS))
    assert data == wanted.astype("<u8").tobytes()
    assert not any(one.encode() in data for one in IDS)


def test_handles_of_one_run_are_not_those_of_the_next(
    runs: CountedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what was read for the one is kept in memory when the other begins."""
    runs.node._run_over = str  # what is kept is not forgotten with the run
    runs.fed.run()
    first = runs.run_id
    runs.fed.run()
    for run_id in (first, runs.run_id):
        key, (part,) = runs.sets.key(run_id), runs.sets.parts(run_id)
        assert key is not None
        data = (Path(runs.store.path).parent / "receipts" / part.file).read_bytes()
        assert data == in_order(handles(key, IDS)).astype("<u8").tobytes()


def test_no_customer_is_in_log_state_or_files_by_its_id(runs: CountedRuns, tmp_path: Path) -> None:
    runs.fed.run()
    folder = tmp_path / "node" / "state" / "receipts"
    assert folder.stat().st_mode & 0o777 == 0o700
    files = [one for one in folder.iterdir() if one.suffix == ".handles"]
    assert [one.stat().st_mode & 0o777 for one in files] == [0o600]
    state = runs.store.snapshot()
    key = runs.sets.key(runs.run_id)
    assert key is not None
    assert key not in state
    for one in IDS:
        assert handle(key, one) not in state
        assert one.encode() not in b"".join(runs.store.log.entries(0, runs.store.log.size))


def test_every_answer_that_left_has_its_set_in_the_log_before_it(runs: CountedRuns) -> None:
    runs.fed.run()
    check_log(runs.store.log)
    entries = [
        (one["kind"], one.get("round"))
        for kind in ("counted", "left")
        for one in runs.logged(kind)
        if kind == "counted" or one["what"].startswith("MASKED")
    ]
    counted = [number for kind, number in entries if kind == "counted"]
    assert counted == [number for kind, number in entries if kind == "left"]
    kinds = [one["kind"] for one in map(_parsed, _all(runs))]
    for place, kind in enumerate(kinds):
        if kind == "counted":
            assert kinds[place + 1] == "left"


def _all(runs: CountedRuns) -> list[bytes]:
    return runs.store.log.entries(0, runs.store.log.size)


def _parsed(data: bytes) -> dict[str, Any]:
    return Entry.from_bytes(data).to_dict()


def test_the_same_message_again_is_the_same_set(runs: CountedRuns) -> None:
    asked: list[bytes] = []
    noting = runs.fed.exchange.tamper_request
    assert noting is not None

    def twice(node: int, message: bytes) -> bytes | None:
        if node == 0:
            asked.append(message)
        return noting(node, message)

    runs.fed.exchange.tamper_request = twice
    real, answers = runs.node.handle, {}

    def handled(message: bytes) -> bytes:
        first = real(message)
        answers[message] = (first, real(message))
        return first

    runs.node.handle = handled  # type: ignore[method-assign]
    runs.fed.run()
    assert all(one == other for one, other in answers.values())
    contexts = [one["context"] for one in runs.logged("counted")]
    assert len(contexts) == len(set(contexts)) > 2
    assert len(asked) >= len(contexts)


def test_an_answer_that_another_process_gave_first_keeps_its_own_set(
    runs: CountedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes count at once; the second one's set is of an answer that nobody was given."""
    real = Node._sums
    inside = []

    def counted_twice(node: Node, query: Any, counting: Any) -> Any:
        found = real(node, query, counting)
        if not inside:
            inside.append(True)
            other = Node.open(runs.home, runs.home.store(runs.home.keystore()))
            other._seed_of = runs.fed.seed_of
            other.handle(runs.last)
        return found

    noting = runs.fed.exchange.tamper_request
    assert noting is not None

    def kept(node: int, message: bytes) -> bytes | None:
        if node == 0:
            runs.last = message
        return noting(node, message)

    runs.fed.exchange.tamper_request = kept
    monkeypatch.setattr(Node, "_sums", counted_twice)
    runs.fed.run()
    assert inside
    assert runs.logged("refused") == [], "the same bytes at once"
    contexts = [one["context"] for one in runs.logged("counted")]
    assert len(contexts) == len(set(contexts))
    assert [one["number"] for one in runs.logged("counted")] == list(range(len(contexts)))


def test_an_answer_that_was_held_and_refused_is_said_never_to_have_left(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    runs.node._egress = EgressSection(hold="answers")
    with pytest.raises(RunFailedError):
        runs.fed.run()
    told = receipt(shell, runs, "K-001", "--out", "K-001.txt")
    assert [(one["state"], one["left"]) for one in told["answers"]] == [("counted", False)]
    letter = " ".join((tmp_path / "K-001.txt").read_text().split())
    assert "In round 1: counted, by" in letter
    assert "in an answer that was held and never left." in letter


def test_where_no_sets_are_kept_nobody_is_said_not_to_be_counted(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    """Switched off for the second question of a run, and on again for the third."""
    config = tmp_path / "node" / "node.toml"
    text = config.read_text()

    def keep(yes: bool) -> None:
        word = "true" if yes else "false"
        config.write_text(text.replace("# keep = true", f"keep = {word}"))
        runs.opened()

    runs.before = {1: lambda: keep(False), 2: lambda: keep(True)}
    runs.fed.run()
    rounds = len({one["round"] for one in runs.logged("left") if one["what"][:6] == "MASKED"})
    told = receipt(shell, runs, "K-001", "--out", "K-001.json")
    assert sorted((one["round"], one["state"]) for one in told["answers"]) == [
        (number, "not-recorded" if number == 2 else "counted") for number in range(1, rounds + 1)
    ]
    assert [one["kept"] for one in runs.logged("receipts")] == [False, True]
    shell.json("rights", "check-receipt", "K-001.json", "--key", told["key"])
    everybody = receipt(shell, runs, "stranger")
    assert {one["round"] for one in everybody["answers"] if one["state"] == "not-counted"} == (
        set(range(1, rounds + 1)) - {2}
    )


def test_customers_that_are_not_noted_are_not_committed_to(
    runs: CountedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counting, "add", lambda *_: None)
    with pytest.raises(RunFailedError, match="E-RECEIPT-COUNT"):
        runs.fed.run()
    assert runs.logged("counted") == []
    assert not [one for one in runs.logged("left") if one["what"].startswith("MASKED")]


class TellingGrid:
    """Customers in memory who tell who they are."""

    def __init__(self, runs: CountedRuns) -> None:
        self._vectors = runs.vectors

    def vectors(self, noted: Any = None) -> Any:
        if noted is not None:
            noted.add(noted.handles(np.array(IDS, dtype=object)))
        yield self._vectors


@pytest.mark.slow
def test_a_kill_leaves_an_answer_with_its_set_or_neither(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each statement, and each change of a file, of answering the first question."""
    made_folder(shell, tmp_path)
    runs = CountedRuns(tmp_path, monkeypatch)
    stopped: list[bytes] = []

    def stop(node: int, message: bytes) -> bytes | None:
        if node == 0 and (stopped or isinstance(runs.request(message), Announce)):
            stopped.append(message)
            return None
        return message

    runs.fed.exchange.tamper_request = stop
    with pytest.raises(RunFailedError):
        runs.fed.run()
    runs.store.close()
    state = Path(runs.store.path).parent
    fresh = tmp_path / "fresh"
    shutil.copytree(state, fresh)
    killed_at = 0
    for number in range(0, 200, 1 if effort.LONG else 5):
        shutil.rmtree(state)
        shutil.copytree(fresh, state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads
            pid = os.fork()
        if pid == 0:
            _killed_before(runs, stopped[0], number)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        assert killed or os.WEXITSTATUS(status) == 0
        _check_after_kill(runs, whole=not killed)
        if not killed:
            break
        killed_at = number
    assert 30 < killed_at < 199


def _killed_before(runs: CountedRuns, message: bytes, left: int) -> None:
    try:
        store = runs.reopened(TellingGrid(runs))

        def counted(*_: object) -> None:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        store._connection.set_trace_callback(counted)
        for name in ("replace", "fsync", "write"):
            real = getattr(os, name)

            def instead(*words: Any, real: Any = real, **named: Any) -> Any:
                counted()
                return real(*words, **named)

            setattr(os, name, instead)
        runs.node.handle(message)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _check_after_kill(runs: CountedRuns, *, whole: bool) -> None:
    with closing(runs.reopened(TellingGrid(runs))) as store:
        check_log(store.log)
        run_id = runs.run_id
        answered = store.runs()[0].round >= 0
        sets, parts = runs.sets.sets(run_id), runs.sets.parts(run_id)
        assert len(runs.logged("counted")) == len(sets) == len(parts) == int(answered)
        assert answered or not whole
        for part in parts:
            data = Path(store.path).parent / "receipts" / part.file
            assert data.stat().st_size == 16 * len(IDS)
        left = [one for one in runs.logged("left") if one["what"].startswith("MASKED")]
        assert len(left) == int(answered), "in one transaction"
        runs.sets.sweep()
        folder = Path(store.path).parent / "receipts"
        named = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
        assert named - {"lock"} == {part.file for part in parts}


def test_sets_are_forgotten_with_the_records_of_their_run(runs: CountedRuns) -> None:
    runs.fed.run()
    runs.fed.run()
    agreement = replace_days(runs, 10)
    folder = Path(runs.store.path).parent / "receipts"
    now = datetime.now(UTC)
    purge(runs.store, [agreement], now + timedelta(days=9))
    assert len(list(folder.glob("*.handles"))) == 2
    entries = runs.store.log.size
    purge(runs.store, [agreement], now + timedelta(days=11))
    assert list(folder.glob("*.handles")) == []
    for table in ("counted_keys", "counted_parts", "counted_sets"):
        assert runs.store.ask(f"SELECT count(*) FROM {table}") == [(0,)]
    assert runs.store.log.size == entries
    check_log(runs.store.log)


def replace_days(runs: CountedRuns, days: int) -> Any:
    agreement = runs.fed.agreement
    return replace(agreement, retention=replace(agreement.retention, records_days=days))


def test_sets_of_a_run_that_goes_on_stay(runs: CountedRuns) -> None:
    def late() -> None:
        purge(runs.store, [replace_days(runs, 1)], datetime.now(UTC) + timedelta(days=5))

    runs.before[2] = late
    runs.fed.run()
    assert len(runs.sets.sets(runs.run_id)) == len(runs.logged("counted")) > 2


def test_files_that_are_gone_are_said_and_nothing_is_proved_with_less(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    runs.fed.run()
    (file,) = (tmp_path / "node" / "state" / "receipts").glob("*.handles")
    data = bytearray(file.read_bytes())
    told = receipt(shell, runs, "K-001")
    rounds = len(told["answers"])
    data[3] ^= 255
    file.write_bytes(data)
    done = shell("rights", "receipt", "--subject", "K-001", "--dir", tmp_path / "node")
    assert done.code != 0
    assert "E-RECEIPT-KEPT" in done.err
    file.unlink()
    told = receipt(shell, runs, "K-001", "--out", "gone.txt")
    assert states(told) == ["not-recorded"] * rounds
    assert "is not kept any more" in " ".join((tmp_path / "gone.txt").read_text().split())
    assert "gone" in shell("rights", "receipt", "--subject", "c1", "--dir", tmp_path / "node").err


def test_a_run_whose_file_is_lost_goes_on(runs: CountedRuns, tmp_path: Path) -> None:
    def lost() -> None:
        for file in (tmp_path / "node" / "state" / "receipts").glob("*.handles"):
            file.unlink()

    runs.before[1] = lost
    runs.fed.run()
    assert [one.count for one in runs.sets.parts(runs.run_id)] == [60, 60]


def test_there_is_no_receipt_before_the_first_answer_or_of_an_unknown_run(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    for more in ((), ("--run", "ffff")):
        done = shell("rights", "receipt", "--subject", "c1", *more, "--dir", tmp_path / "node")
        assert "E-RECEIPT-NONE" in done.err
    runs.fed.run()
    run = runs.run_id.hex()
    assert states(receipt(shell, runs, "K-001", "--run", run[:6]))
    done = shell(
        "rights", "receipt", "--subject", "c1", "--run", "ffff", "--dir", tmp_path / "node"
    )
    assert "E-RECEIPT-NONE" in done.err
    done = shell(
        "rights", "receipt", "--subject", "c1", "--out", "c.pdf", "--dir", tmp_path / "node"
    )
    assert "ends in none of" in done.err


def test_an_auditor_holds_a_receipt_against_the_customers_id(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    runs.fed.run()
    told = receipt(shell, runs, "K-001", "--out", "one.json")
    run = runs.run_id.hex()
    key = shell.json("rights", "receipt-key", run[:8], "--dir", tmp_path / "node")
    assert (key["run"], len(key["run_key"])) == (run, 64)
    words = ("rights", "check-receipt", "one.json", "--key", told["key"])
    shell.json(*words, "--run-key", key["run_key"], "--subject", "K-001")
    for opened, subject in ((key["run_key"], "K-002"), ("00" * 32, "K-001")):
        done = shell(*words, "--run-key", opened, "--subject", subject)
        assert "E-RECEIPT-HANDLE" in done.err
    assert "belong together" in shell(*words, "--subject", "K-001").err
    done = shell("rights", "receipt-key", "zz", "--dir", tmp_path / "node")
    assert "E-RECEIPT-NONE" in done.err


def test_a_changed_receipt_is_refused_by_the_command(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    runs.fed.run()
    told = receipt(shell, runs, "K-001", "--out", "K-001.json")
    file = tmp_path / "K-001.json"
    file.write_text(file.read_text().replace("fedseg:counted", "fedseg:not-counted", 1))
    done = shell("rights", "check-receipt", "K-001.json", "--key", told["key"])
    assert done.code != 0
    assert "E-RECEIPT-SIGNATURE" in done.err


def test_access_says_that_there_are_receipts(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    words = ("rights", "access", "--subject", "K-001", "--dir", tmp_path / "node")
    assert "is not recorded" in " ".join(shell(*words).out.split())
    runs.fed.run()
    said = " ".join(shell(*words).out.split())
    assert "a receipt shows and proves" in said
    assert "is not recorded" not in said


def test_a_restored_backup_has_no_handles_and_says_so(
    shell: Shell, runs: CountedRuns, tmp_path: Path
) -> None:
    runs.fed.run()
    told = receipt(shell, runs, "K-001")
    shell.json("state", "backup", "b.fedseg", "--dir", tmp_path / "node")
    runs.store.close()
    words = (tmp_path / "node" / "keys" / "passphrase").read_bytes()
    shutil.rmtree(tmp_path / "node")
    shell.json("state", "restore", "b.fedseg", "--elsewhere", "--dir", tmp_path / "node")
    home = NodeHome.load(tmp_path / "node")
    assert not (home.state_file.parent / "receipts").exists()
    passphrase = tmp_path / "node" / "keys" / "passphrase"
    passphrase.write_bytes(words)
    passphrase.chmod(0o600)
    again = shell.json("rights", "receipt", "--subject", "K-001", "--dir", tmp_path / "node")
    assert states(again) == ["not-recorded"] * len(told["answers"])


SPIED_FEATURES = [
    Feature.read(Fields(FeatureTerms(name=name, min="0", max="10").to_dict(), name))
    for name in ("visits", "spent")
]


class Everybody(SpySource):
    """The ids and values of a source, with scores for those who gave one."""

    def snapshot(self, terms: Any) -> Any:
        return self

    def of(self, ids: Any) -> Any:
        return np.where(ids == ids[0], 3.0, np.nan)


class Notes:
    """Notes who is counted, in clear."""

    hashing = "clear"

    def __init__(self) -> None:
        self.noted: list[str] = []

    def handles(self, ids: Any) -> Any:
        return ids

    def add(self, found: Any) -> None:
        self.noted += list(found)


def test_all_who_may_be_counted_are_noted_also_where_nothing_is_kept_and_of_scores() -> None:
    """Who gave no score is counted, too: the answer has the number of customers from all."""
    source = Everybody(np.full((len(SPIED), 2), 2.0))
    terms = SatisfactionTerms(question="How?", lowest=1, highest=5)
    customers = SourceCustomers(
        source, SPIED_FEATURES, columns={}, chunk_rows=3,
        gate=None, scores=source,
    )  # fmt: skip
    for ask in (customers.vectors, lambda noted: customers.scored(terms, noted)):
        notes = Notes()
        rows = sum(one.shape[0] for one in ask(notes))  # type: ignore[arg-type]
        assert notes.noted == list(SPIED)
        assert rows == len(SPIED)


# --- files and marks -----------------------------------------------------------------------------


def test_marks_say_who_of_a_part_is_counted_and_who_is_in_none() -> None:
    key = bytes(32)
    names = [f"n{number}" for number in range(500)]
    parts = [in_order(handles(key, names[:300])), in_order(handles(key, names[300:400]))]
    for chosen in (names, names[:0], names[::3], names[290:310], names[450:]):
        counted = in_order(handles(key, chosen))
        marks, rest = marked(parts, counted)
        whole = joined([*(p[m] for p, m in zip(parts, marks, strict=True)), rest])
        assert (in_order(whole) == counted).all()
        assert rest.shape[0] == len(set(chosen) - set(names[:400]))
        for own in marks:
            assert (unpack(pack(own), own.shape[0]) == own).all()
    marks, rest = marked([None, np.empty((0, 2), np.uint64)], counted)
    assert rest.shape == counted.shape
    assert not unpack(pack(marks[0]), 7).any()


def test_handles_that_begin_alike_are_told_apart() -> None:
    part = np.array([[5, 1], [5, 2], [6, 1]], dtype=np.uint64)
    counted = np.array([[5, 2], [6, 9]], dtype=np.uint64)
    marks, rest = marked([part], counted)
    whole = joined([part[marks[0]], rest])
    assert sorted(map(tuple, whole.tolist())) == [(5, 2), (6, 9)]


def test_rows_of_a_shelf_are_found() -> None:
    part = np.array([[v, 0] for v in (0, 1, 1, 4, 2**63, 2**64 - 1)], dtype=np.uint64)
    assert between(part, 0, 1) == slice(0, 1)
    assert between(part, 1, 5) == slice(1, 4)
    assert between(part, 2**63, 2**64) == slice(4, 6)
    assert between(part[:0], 0, 2**64) == slice(0, 0)
    assert least_bits(len(part)) == 0
