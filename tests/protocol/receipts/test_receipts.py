"""Receipts: what they prove, that no altered one is taken, and that two lies are found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.canonical import canonical_json
from protocol.errors import FedsegError
from protocol.log.entries import COUNTED as COUNTED_ENTRY
from protocol.log.entries import Entry
from protocol.log.notes import sign_ed25519
from protocol.log.text import from_base64, to_base64
from protocol.receipts.checking import check_opened, check_together
from protocol.receipts.document import COUNTED, NOT_COUNTED, NOT_RECORDED, RECEIPT_TYPE
from protocol.receipts.seen import Seen
from protocol.signing import sign_document
from tests.protocol.receipts.made_receipts import AT, Partner, about, bytes_of

ALL = [f"C-{number}" for number in range(200)]


def partner() -> Partner:
    """A partner whose customer C-1 objects after three answers, and whose log goes on."""
    made = Partner()
    for leaving in (0, 0, 0, 1, 1):
        made.counts("spring", [one for one in ALL if not leaving or one != "C-1"])
        made.add(Entry(AT, "stop", {"agreement_hash": "", "partner": "north"}))
    return made


def states(checked: Any) -> list[str]:
    return [one.state for run in checked.runs for one in run.told]


def test_a_receipt_proves_in_which_rounds_a_customer_was_counted_and_in_which_not() -> None:
    north = partner()
    checked = north.check(north.signed(north.shown("spring", "C-1")))
    assert states(checked) == [COUNTED] * 3 + [NOT_COUNTED] * 2
    (run,) = checked.runs
    assert run.counted == (0, 1, 2)
    assert (checked.cosigned, checked.checkpoint.size) == ({}, len(north.entries))
    assert states(north.check(north.signed(north.shown("spring", "C-2")))) == [COUNTED] * 5
    assert states(north.check(north.signed(north.shown("spring", "C-999")))) == [NOT_COUNTED] * 5


def test_a_receipt_of_several_runs_has_a_handle_for_each() -> None:
    north = partner()
    north.counts("autumn", ALL[:9])
    shown = [north.shown("spring", "C-1"), north.shown("autumn", "C-1")]
    checked = north.check(north.signed(*shown))
    assert states(checked) == [COUNTED] * 3 + [NOT_COUNTED] * 2 + [COUNTED]
    assert shown[0].handle != shown[1].handle


def test_an_answer_whose_set_was_not_kept_is_said_to_be_unknown_and_never_not_counted() -> None:
    north = partner()
    checked = north.check(north.signed(north.shown("spring", "C-1", unrecorded=[5, 6])))
    assert states(checked)[-2:] == [NOT_RECORDED] * 2
    nothing = replace(north.shown("spring", "C-1", unrecorded=[0]), answers=(), handle=b"")
    assert states(north.check(north.signed(nothing))) == [NOT_RECORDED]


def test_a_receipt_may_be_laid_out_in_any_way() -> None:
    north = partner()
    data = north.signed(north.shown("spring", "C-1"))
    pretty = json.dumps(json.loads(data), indent=2, ensure_ascii=False).encode()
    assert north.check(pretty) == north.check(data)


def test_a_proof_of_one_round_is_small() -> None:
    """Of a million customers and entries: 16 and 20 hashes beside the bucket and the entry."""
    north = partner()
    (answer, *_) = north.answers("spring", "C-1")
    full = replace(
        answer, proof=replace(answer.proof, inclusion=(bytes(32),) * 20, path=(bytes(32),) * 16)
    )
    assert len(canonical_json(full.to_dict())) < 3_600


def resigned(north: Partner, values: dict[str, Any]) -> bytes:
    """A receipt that the node itself altered."""
    values = {k: v for k, v in values.items() if k != "fedseg:signature"}
    signature = sign_document(north.signs, RECEIPT_TYPE, canonical_json(values))
    return canonical_json({**values, "fedseg:signature": signature.hex()})


def code(call: Callable[[], object]) -> str:
    with pytest.raises(FedsegError) as refused:
        call()
    return refused.value.code


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every single value in JSON."""
    if isinstance(value, dict):
        return [p for name in value for p in places(value[name], (*path, name))]
    if isinstance(value, list):
        return [p for at, one in enumerate(value) for p in places(one, (*path, at))]
    return [path]


def altered(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    last = {"0": "1", "=": "A", "A": "B"}.get(value[-1:], "0")
    return value[:-1] + last


def test_no_altered_value_of_a_receipt_is_taken() -> None:
    """Every single value, altered by whoever has the file, and then by the node itself too."""
    north = partner()
    south = Partner("south")
    shown = north.shown("spring", "C-1", unrecorded=[7])
    values = json.loads(north.signed(shown, seen=north.seen(south)))
    free = {"receipt_id", "record_id", "pii_principal_id", "pii_processing", "party_identification"}
    tried = 0
    for path in places(values):
        changed = json.loads(json.dumps(values))
        inner = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = altered(inner[path[-1]])
        assert code(lambda c=changed: _check(north, south, canonical_json(c))).startswith("E-"), (
            path
        )
        tried += 1
        words = path[0] in free or path[-2:] in {("answers", "left")}
        if words or path[0] == "fedseg:signature":
            continue  # what the node says beside its proofs is its own
        assert code(lambda c=changed: _check(north, south, resigned(north, c))).startswith("E-"), (
            path
        )
    assert tried > 100


def _check(north: Partner, south: Partner, data: bytes) -> object:
    return north.check(data, witnesses=[south.witness], quorum=1)


def test_a_receipt_that_somebody_else_signed_is_refused() -> None:
    north = partner()
    values = north.receipt(north.shown("spring", "C-1")).to_dict()
    signed = canonical_json(
        {**values, "fedseg:signature": sign_document(
            Ed25519PrivateKey.generate(), RECEIPT_TYPE, canonical_json(values)).hex()}
    )  # fmt: skip
    assert code(lambda: north.check(signed)) == "E-RECEIPT-SIGNATURE"
    south = Partner("south")
    data = north.signed(north.shown("spring", "C-1"))
    assert code(lambda: south.check(data)) == "E-RECEIPT-SIGNATURE"


def test_a_checkpoint_of_another_log_is_refused() -> None:
    north = partner()
    shown = north.shown("spring", "C-1")
    receipt = north.receipt(shown)
    other = replace(receipt, checkpoint=north.note("fedseg/north/ffffffffffffffff"))
    assert code(lambda: north.check(canonical_json(other.signed_by(north.signs)))) == "E-LOG-ORIGIN"
    stranger = Ed25519PrivateKey.generate()
    unsigned = replace(receipt.checkpoint, signatures=())
    theirs = sign_ed25519(unsigned, "fedseg/south/0123456789abcdef", stranger)
    other = replace(receipt, checkpoint=theirs)
    assert (
        code(lambda: north.check(canonical_json(other.signed_by(north.signs)))) == "E-LOG-UNSIGNED"
    )


def test_witnesses_of_a_seal_are_counted_and_may_be_asked_for() -> None:
    north, south, east = partner(), Partner("south"), Partner("east")
    shown = north.shown("spring", "C-1")
    data = north.signed(shown, seen=north.seen(south, east))
    assert north.check(data).cosigned == {}
    assert code(lambda: north.check(data, quorum=1)) == "E-LOG-QUORUM"
    found = north.check(data, witnesses=[south.witness], quorum=1).cosigned
    assert found == {south.origin: 1_800_000_000}
    assert code(lambda: north.check(data, witnesses=[south.witness], quorum=2)) == "E-LOG-QUORUM"
    both = [south.witness, east.witness]
    assert len(north.check(data, witnesses=both, quorum=2).cosigned) == 2
    plain = north.signed(shown)
    assert north.check(plain, witnesses=both).cosigned == {}
    assert code(lambda: north.check(plain, witnesses=both, quorum=1)) == "E-LOG-QUORUM"


def test_a_key_cosigns_once_under_however_many_names_and_the_logs_own_never() -> None:
    north, south = partner(), Partner("south")
    again = Partner("south")
    again.origin = "fedseg/south/again"
    data = north.signed(north.shown("spring", "C-1"), seen=north.seen(south, again, north))
    keys = [south.witness, again.witness, north.witness]
    assert [*north.check(data, witnesses=keys).cosigned] == [south.origin]
    assert code(lambda: north.check(data, witnesses=keys, quorum=2)) == "E-LOG-QUORUM"


def test_a_seal_of_something_else_is_refused() -> None:
    north, south = partner(), Partner("south")
    shown = north.shown("spring", "C-1")

    def refused(seen: Seen) -> str:
        data = north.signed(shown, seen=seen)
        return code(lambda: north.check(data, witnesses=[south.witness]))

    true = north.seen(south)
    earlier = north.note().text
    north.add(Entry(AT, "stop", {"agreement_hash": "", "partner": "north"}))
    shown = north.shown("spring", "C-1")
    assert refused(true) == "E-LOG-INCLUSION"  # the log was sealed before this entry
    assert refused(north.seen(south, text=earlier)) == "E-LOG-INCLUSION"
    assert refused(north.seen(south, under="fedseg/south/0123456789abcdef/pilot")) == "E-LOG-ORIGIN"
    assert refused(north.seen(south, under=f"{north.origin}more/pilot")) == "E-LOG-ORIGIN"
    assert refused(north.seen(south, strange=True)) == "E-LOG-UNSIGNED"
    good = north.seen(south)
    for lie in (
        replace(good, nonce=bytes(32)),
        replace(good, proof=replace(good.proof, index=1)),
        replace(good, proof=replace(good.proof, hashes=good.proof.hashes[1:])),
    ):
        assert refused(lie) == "E-LOG-INCLUSION"
    other = replace(good.proof.note.signatures[1], data=bytes(76))
    note = replace(good.proof.note, signatures=(good.proof.note.signatures[0], other))
    assert refused(replace(good, proof=replace(good.proof, note=note))) == "E-LOG-SIGNATURE"
    note = replace(note, signatures=note.signatures[1:])
    assert refused(replace(good, proof=replace(good.proof, note=note))) == "E-LOG-SIGNATURE"
    extra = replace(good, proof=replace(good.proof, extra=b"more"))
    assert refused(extra) == "E-RECEIPT-FORMAT"
    data = north.signed(shown, seen=good)
    assert north.check(data, witnesses=[south.witness], quorum=1).cosigned


def test_an_entry_that_is_not_in_the_log_is_refused() -> None:
    north = partner()
    shown = north.shown("spring", "C-1")
    forged = partner()
    forged.counts("spring", ALL)  # a sixth set that the log of the checkpoint has not
    more = replace(shown, answers=(*shown.answers, forged.answers("spring", "C-1")[-1]))
    told = forged.told(forged.shown("spring", "C-1"))
    data = north.signed(more, told=told)
    assert code(lambda: north.check(data)) in ("E-LOG-INCLUSION", "E-LOG-FORMAT")


@pytest.mark.parametrize("whose", ["C-2", "C-3"])
def test_a_bucket_of_another_customer_is_refused(whose: str) -> None:
    """Non-membership is shown in one's own bucket alone: whoever has another one is not in it."""
    north = partner()
    own, other = north.shown("spring", "C-1"), north.shown("spring", whose)
    assert own.answers[0].proof.bucket != other.answers[0].proof.bucket
    proof = replace(
        own.answers[0].proof,
        bucket=other.answers[0].proof.bucket, path=other.answers[0].proof.path,
    )  # fmt: skip
    mixed = replace(own, answers=(replace(own.answers[0], proof=proof), *own.answers[1:]))
    data = north.signed(mixed, told=north.told(own))
    assert code(lambda: north.check(data)) == "E-RECEIPT-PROOF"


def test_a_set_that_is_left_out_is_noticed() -> None:
    north = partner()
    whole = north.shown("spring", "C-1")
    for out in range(4):
        answers = tuple(one for at, one in enumerate(whole.answers) if at != out)
        data = north.signed(replace(whole, answers=answers))
        assert code(lambda d=data: north.check(d)) == "E-RECEIPT-RUN"
    swapped = replace(whole, answers=(whole.answers[1], whole.answers[0], *whole.answers[2:]))
    data = north.signed(swapped)
    assert code(lambda: north.check(data)) == "E-RECEIPT-RUN"


def test_sets_of_two_runs_are_not_joined() -> None:
    north = partner()
    north.counts("autumn", ALL)
    spring, autumn = north.shown("spring", "C-1"), north.shown("autumn", "C-1")
    data = north.signed(replace(autumn, run=spring.run))
    assert code(lambda: north.check(data)) == "E-RECEIPT-RUN"
    data = north.signed(spring, spring)
    assert code(lambda: north.check(data)) == "E-RECEIPT-RUN"


def test_two_keys_in_one_run_are_refused() -> None:
    north = partner()
    north.counts("spring", ALL, key="11" * 32)
    data = north.signed(north.shown("spring", "C-1"))
    assert code(lambda: north.check(data)) == "E-RECEIPT-RUN"


def test_one_answer_has_one_set() -> None:
    north = partner()
    again = about(north.entries[north.runs["spring"][0][3]]).context
    north.runs["spring"].append(north.runs["spring"][0])
    north.add(
        Entry.from_bytes(
            canonical_json({**json.loads(north.entries[north.runs["spring"][0][3]]), "number": 5})
        )
    )
    context, found, committed, _ = north.runs["spring"][-1]
    north.runs["spring"][-1] = context, found, committed, len(north.entries) - 1
    assert context == again
    data = north.signed(north.shown("spring", "C-1"))
    assert code(lambda: north.check(data)) == "E-RECEIPT-RUN"


def test_words_that_say_something_else_than_the_proofs_are_refused() -> None:
    north = partner()
    shown = north.shown("spring", "C-1")
    told = north.told(shown)
    for lie in (
        [replace(told[3], state=COUNTED), *told[:3], *told[4:]],
        [*told[:2], replace(told[2], state=NOT_COUNTED), *told[3:]],
        told[:-1], [*told, told[-1]], told[::-1], [replace(told[0], round=9), *told[1:]],
        [replace(told[0], left=False), *told[1:]],
    ):  # fmt: skip
        data = north.signed(shown, told=lie)
        assert code(lambda d=data: north.check(d)) == "E-RECEIPT-CLAIM"


def test_an_entry_of_another_kind_or_with_odd_hashes_proves_nothing() -> None:
    for changes in ({"root": "ab"}, {"key": "ab"}, {"context": "ab"}, {"bits": 1}, {"bits": 32}):
        with pytest.raises(FedsegError, match="E-RECEIPT-FORMAT"):
            north = partner()
            north.counts("spring", ALL, **changes)
            about(north.entries[-1])
    with pytest.raises(FedsegError, match="E-RECEIPT-FORMAT"):
        about(partner().entries[0])


def _values() -> dict[str, Any]:
    north = partner()
    found: dict[str, Any] = json.loads(north.signed(north.shown("spring", "C-1")))
    return found


@pytest.mark.parametrize("more", ["", "fedseg:runs", "answers", "unrecorded", "fedseg:seal"])
def test_a_receipt_has_its_fields_and_no_others(more: str) -> None:
    north, values = partner(), _values()
    run = values["fedseg:runs"][0]
    run["unrecorded"] = [{"at": AT, "round": 1}]
    values["fedseg:seal"] = north.seen().to_dict()
    inner = {
        "": values, "fedseg:runs": run, "answers": run["answers"][0],
        "unrecorded": run["unrecorded"][0], "fedseg:seal": values["fedseg:seal"],
    }[more]  # fmt: skip
    inner["more"] = "1"
    assert code(lambda: north.check(resigned(north, values))) == "E-RECEIPT-FORMAT"
    del inner["more"]
    del inner[next(iter(inner))]
    assert code(lambda: north.check(resigned(north, values))) == "E-RECEIPT-FORMAT"


def test_what_is_no_receipt_is_refused() -> None:
    north = partner()
    for data in (b"", b"[]", b"{}", b"\xff", b'{"a":1.5}', b"{" * 10_000):
        assert code(lambda d=data: north.check(d)) == "E-RECEIPT-FORMAT"
    for beyond in (1 << 60, "\ud800"):
        for place in ("pii_processing", "entry"):
            lie = _values()
            entry = lie["fedseg:runs"][0]["answers"][0]["entry"]
            lie.get(place, entry).update(round=beyond)
            data = json.dumps(lie).encode()
            assert code(lambda d=data: north.check(d)) == "E-RECEIPT-FORMAT"
    values = _values()
    answer = values["fedseg:runs"][0]["answers"][0]
    for name, bad in (
        ("path", ["AA=="]), ("path", "AA"), ("path", [1]), ("left", 1),
        ("inclusion", [to_base64(bytes(32))] * 65), ("index", -1), ("bucket", "AA"), ("entry", []),
    ):  # fmt: skip
        before, answer[name] = answer[name], bad
        refused = code(lambda: north.check(resigned(north, values)))
        assert refused == "E-RECEIPT-FORMAT", name
        answer[name] = before
    values["fedseg:runs"][0]["handle"] = ""
    assert code(lambda: north.check(resigned(north, values))) == "E-RECEIPT-FORMAT"
    assert len(from_base64(answer["bucket"], "a bucket")) == 768


def test_a_node_that_gives_one_customer_two_handles_is_found_out_by_a_second_receipt() -> None:
    """The lie: the customer was counted, and is shown where somebody nobody counted would be."""
    north = partner()
    true = north.check(north.signed(north.shown("spring", "C-2"), customer="C-2"))
    lie = north.check(north.signed(north.shown("spring", "C-999"), customer="C-2"))
    assert states(lie) == [NOT_COUNTED] * 5
    check_together([true, true])
    assert code(lambda: check_together([true, lie])) == "E-RECEIPT-TWO"


def test_a_node_that_gives_two_customers_one_handle_is_found_out() -> None:
    north = partner()
    one = north.check(north.signed(north.shown("spring", "C-999"), customer="C-1"))
    other = north.check(north.signed(north.shown("spring", "C-999"), customer="C-2"))
    assert code(lambda: check_together([one, other])) == "E-RECEIPT-TWO"


def test_a_node_that_tells_two_customers_of_two_sets_is_found_out() -> None:
    """Two logs of one node, which nobody cosigned."""
    first, second = partner(), Partner()
    for _ in range(5):
        second.counts("spring", ALL[:50])
    one = first.check(first.signed(first.shown("spring", "C-1"), customer="C-1"))
    other = second.check(second.signed(second.shown("spring", "C-3"), customer="C-3"))
    assert code(lambda: check_together([one, other])) == "E-RECEIPT-TWO"
    same = first.check(first.signed(first.shown("spring", "C-3"), customer="C-3"))
    check_together([one, same])


def test_an_auditor_who_is_shown_the_key_sees_whose_the_handle_is() -> None:
    north = partner()
    north.counts("autumn", ALL)
    shown = [north.shown("spring", "C-2"), north.shown("autumn", "C-2")]
    checked = north.check(north.signed(*shown))
    check_opened(checked, north.key("spring"), "C-2")
    check_opened(checked, north.key("autumn"), "C-2")
    other = bytes_of("other", 32)
    for key, customer in ((north.key("spring"), "C-1"), (other, "C-2")):
        assert code(lambda k=key, c=customer: check_opened(checked, k, c)) == "E-RECEIPT-HANDLE"


def test_the_entry_has_no_count_of_customers() -> None:
    north = partner()
    entry = json.loads(north.entries[1])
    assert sorted(entry) == [
        "agreement", "at", "bits", "context", "key", "kind", "number", "root", "round", "run",
    ]  # fmt: skip
    assert (entry["kind"], entry["bits"]) == (COUNTED_ENTRY, 4)
